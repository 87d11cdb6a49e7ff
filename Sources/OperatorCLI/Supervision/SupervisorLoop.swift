// SPDX-License-Identifier: Apache-2.0

internal import CProcess
internal import Glibc

/// The supervisor's thread: waits for ends, messages and instants, and does what ``ChildTable`` says.
///
/// Isolation: made on one thread, then used on the supervisor's thread only.
struct SupervisorLoop: Sendable {
    private(set) var table = ChildTable()
    private let places: Supervisor.Places
    private let socket: NotifySocket
    private let wake: Int32
    private let onEvent: @Sendable (ChildEvent) -> Void
    /// The descriptor that becomes readable at the end of the child at the same position; -1 while
    /// it is down.
    private var ends: [Int32] = []
    private var stoppedKinds: Set<ChildKind> = []
    private var grace: Int64 = 0
    /// When children of the kind that is being stopped are killed.
    private var killAt: Int64?

    init(
        places: Supervisor.Places, socket: NotifySocket, wake: Int32,
        onEvent: @escaping @Sendable (ChildEvent) -> Void
    ) {
        self.places = places
        self.socket = socket
        self.wake = wake
        self.onEvent = onEvent
    }

    /// All children were told to stop, and none is left.
    var isDone: Bool { table.isStopping && !table.entries.contains { $0.processID != nil } }

    /// Adds a child that the next ``startDue()`` starts.
    mutating func add(_ spec: ChildSpec) {
        guard !table.isStopping else { return }
        table.add(spec, now: steadyNanoseconds())
        ends.append(-1)
    }

    /// Begins to end all children; calling it again changes nothing.
    mutating func stop(graceNanoseconds: Int64) {
        guard !table.isStopping else { return }
        grace = graceNanoseconds
        table.beginStopping()
        stopNextKind()
    }

    /// Waits for the next thing to happen, and sees to it.
    mutating func waitAndAct() {
        let (isWoken, ended) = wait()
        if isWoken { drainWake() }
        hear()
        for index in ended { reap(index) }
        killHung()
        if table.isStopping { continueStopping() }
    }

    /// Removes what the supervisor has put into the run directory.
    func finish() { socket.remove() }

    // MARK: - Waiting

    private func wait() -> (isWoken: Bool, ended: [Int]) {
        let running = ends.indices.filter { ends[$0] >= 0 }
        var polled = [wake, socket.descriptor].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        polled += running.map { pollfd(fd: ends[$0], events: Int16(POLLIN), revents: 0) }
        var timeout: Int32 = -1
        if let next = [table.nextInstant(), killAt].compactMap({ $0 }).min() {
            // Rounded up: a wake-up just before the instant would spin.
            let pause = max(0, next - steadyNanoseconds() + 999_999) / 1_000_000
            timeout = Int32(clamping: pause)
        }
        guard poll(&polled, nfds_t(polled.count), timeout) > 0 else { return (false, []) }
        let ended = running.indices.filter { polled[$0 + 2].revents != 0 }.map { running[$0] }
        return (polled[0].revents != 0, ended)
    }

    private func drainWake() {
        var count: UInt64 = 0
        // The descriptor does not block: nothing to read is fine.
        _ = read(wake, &count, 8)
    }

    private mutating func hear() {
        let now = steadyNanoseconds()
        while let message = socket.receive() {
            guard
                let ready = table.heard(
                    from: message.sender, isReady: message.isReady, now: now)
            else { continue }
            onEvent(.ready(name: table.entries[ready].spec.name))
        }
    }

    private mutating func killHung() {
        for index in table.hung(now: steadyNanoseconds()) {
            guard let processID = table.entries[index].processID else { continue }
            // The whole group: a hung agent may have started tasks.
            kill(-processID, SIGKILL)
            table.killed(index)
            onEvent(.hung(name: table.entries[index].spec.name))
        }
    }

    // MARK: - Starting

    /// Starts the children whose time has come.
    mutating func startDue() {
        for index in table.due(now: steadyNanoseconds()) {
            let spec = table.entries[index].spec
            var processID: pid_t = 0
            var end: Int32 = -1
            let error = spawn(spec, &processID, &end)
            let now = steadyNanoseconds()
            guard error == 0 else {
                onEvent(.couldNotStart(name: spec.name, reason: systemError(error)))
                _ = table.ended(index, now: now)
                continue
            }
            ends[index] = end
            table.started(index, processID: processID, now: now)
            writeProcessID(processID, of: spec)
            onEvent(.started(name: spec.name, processID: processID))
        }
    }

    private func spawn(_ spec: ChildSpec, _ processID: inout pid_t, _ end: inout Int32) -> Int32 {
        let log = "\(places.logDirectory)/\(spec.name).log"
        let output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard output >= 0 else { return errno }
        defer { close(output) }
        var environment = SupervisorLoop.inheritedEnvironment()
        environment.append("NOTIFY_SOCKET=\(socket.path)")
        if let limit = spec.watchdogNanoseconds {
            environment.append("WATCHDOG_USEC=\(limit / 1000)")
        }
        return withCStrings([spec.executable] + spec.arguments) { arguments in
            withCStrings(environment) { environment in
                CProcess_spawn(
                    spec.executable, arguments, environment, output, &processID, &end)
            }
        }
    }

    /// The environment of this process without what a supervisor of its own has put there.
    private static func inheritedEnvironment() -> [String] {
        var result: [String] = []
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            let isSupervision = ["NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="]
                .contains { text.hasPrefix($0) }
            if !isSupervision { result.append(text) }
            next += 1
        }
        return result
    }

    /// Calls `body` with a null-terminated array of C strings that live as long as the call.
    private func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else {
                preconditionFailure("an array with a terminator is not empty")
            }
            return body(base)
        }
    }

    private func writeProcessID(_ processID: pid_t, of spec: ChildSpec) {
        // Written beside and renamed, so that a reader never sees half of it.
        let path = "\(places.runDirectory)/\(spec.name).pid"
        let descriptor = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            onEvent(.couldNotStart(name: path, reason: systemError(errno)))
            return
        }
        Terminal.write("\(processID)\n", to: descriptor)
        close(descriptor)
        rename(path + ".new", path)
    }

    // MARK: - Ending

    private mutating func reap(_ index: Int) {
        guard let processID = table.entries[index].processID else { return }
        var status: Int32 = 0
        var result = waitpid(processID, &status, WNOHANG)
        while result < 0 && errno == EINTR { result = waitpid(processID, &status, WNOHANG) }
        guard result == processID else { return }
        // What the child itself has started must not outlive it.
        kill(-processID, SIGKILL)
        close(ends[index])
        ends[index] = -1
        unlink("\(places.runDirectory)/\(table.entries[index].spec.name).pid")
        let wasStopping = table.isStopping
        let again = table.ended(index, now: steadyNanoseconds())
        if !wasStopping {
            let how = SupervisorLoop.describe(status: status)
            onEvent(.ended(name: table.entries[index].spec.name, how: how, again: again))
        }
    }

    static func describe(status: Int32) -> String {
        let signal = status & 0x7f
        if signal == 0 { return "ended with status \(status >> 8 & 0xff)" }
        return "ended by signal \(signal) (\(String(cString: strsignal(signal))))"
    }

    private mutating func stopNextKind() {
        killAt = nil
        let left = table.entries.filter { $0.processID != nil }.map(\.spec.kind)
        guard let kind = left.min(), stoppedKinds.insert(kind).inserted else { return }
        signal(kind, SIGTERM)
        killAt = steadyNanoseconds() + grace
    }

    private mutating func continueStopping() {
        let running = table.entries.filter { $0.processID != nil }.map(\.spec.kind)
        guard running.contains(where: stoppedKinds.contains) else {
            stopNextKind()
            return
        }
        guard let instant = killAt, instant <= steadyNanoseconds() else { return }
        killAt = nil
        for kind in stoppedKinds { signal(kind, SIGKILL) }
    }

    private func signal(_ kind: ChildKind, _ number: Int32) {
        for entry in table.entries where entry.spec.kind == kind {
            guard let processID = entry.processID else { continue }
            kill(number == SIGKILL ? -processID : processID, number)
            // A stopped process takes SIGTERM only once it goes on.
            if number == SIGTERM { kill(processID, SIGCONT) }
        }
    }
}
