// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import FleetModel
internal import Foundation
internal import Glibc
internal import Synchronization
internal import Wire

/// One run of a whole fleet on this machine, from its certificates to its end.
final class UpSession: Sendable {
    /// What the command line asked for.
    struct Options: Sendable {
        var topologyPath: String
        var directory: StateDirectory
        var port: UInt16
        var httpPort: UInt16
        var unrestarted: Set<ChildKind>
        /// How many coordinators stand for the lead.
        var coordinatorCount = 1
        /// What tells a coordinator where its stores are; the state directory's without it.
        var storeArguments: [String] = []
        /// The steady clock when the command began.
        var startedAt: Int64
        /// Ends the run by itself; nil runs until it is stopped.
        var endsAt: Int64?
        var isJSON: Bool
    }

    /// What the supervisor's thread leaves for others.
    private struct Noted {
        var last: String?
        var restarts: [ChildKind: Int] = [:]
        /// Ends of processes that had never been ready.
        var failedStarts: [String: Int] = [:]
    }

    /// A process that ended so often before it was ever ready will not get ready.
    private static let failedStartLimit = 5

    let options: Options
    let file: FleetFile
    let processes: FleetProcesses
    let supervisor: Supervisor
    let progress: ProgressLine
    private let lock: StateLock
    private let noted: NotedBox

    /// Shared with the supervisor's thread.
    private final class NotedBox: Sendable {
        let value = Mutex(Noted())
    }

    var topology: Topology { file.topology }
    var hardwareProbe: HardwareProbe {
        HardwareProbe(socketPath: options.directory.hardwareSocket)
    }

    /// Prepares everything up to the point where processes can be started.
    ///
    /// - Throws: `CommandFailure` when the file is refused, the directory is in use, a port is taken
    ///   or a program is missing.
    init(_ options: Options) throws(CommandFailure) {
        self.options = options
        do {
            file = try FleetFile.load(options.topologyPath)
        } catch {
            throw CommandFailure(error)
        }
        let directory = options.directory
        lock = try directory.open()
        progress = ProgressLine()
        let ports = try UpSession.ports(options)
        processes = FleetProcesses(
            topology: file.topology,
            topologyPath: URL(fileURLWithPath: options.topologyPath).standardizedFileURL.path,
            directory: directory, ports: ports, storeArguments: options.storeArguments,
            unrestarted: options.unrestarted, programs: try FleetProcesses.programDirectory())
        try processes.checkPrograms()
        try UpSession.prepare(file.topology, directory, progress)
        try directory.makeRecords()
        let noted = NotedBox()
        self.noted = noted
        supervisor = try Supervisor(
            places: .init(runDirectory: directory.run, logDirectory: directory.logs)
        ) { UpSession.note($0, in: noted) }
    }

    /// The ports of each coordinator: those that were asked for, then any free ones.
    private static func ports(
        _ options: Options
    ) throws(CommandFailure) -> [FleetProcesses.Ports] {
        var taken: Set<UInt16> = []
        var ports: [FleetProcesses.Ports] = []
        for number in 0..<options.coordinatorCount {
            let (wanted, http) = number == 0 ? (options.port, options.httpPort) : (0, 0)
            let port = try LocalPorts.resolve(wanted, option: "--port", except: taken)
            taken.insert(port)
            let httpPort = try LocalPorts.resolve(http, option: "--http-port", except: taken)
            taken.insert(httpPort)
            ports.append(FleetProcesses.Ports(listen: port, http: httpPort))
        }
        return ports
    }

    /// Writes the compiled plan and the certificates; removes what the last run left.
    private static func prepare(
        _ topology: Topology, _ directory: StateDirectory, _ progress: ProgressLine
    ) throws(CommandFailure) {
        let plan = FleetPlan(topology: topology).encoded()
        let manager = FileManager.default
        if let known = manager.contents(atPath: directory.plan), [UInt8](known) != plan,
            manager.fileExists(atPath: directory.store + "/fleet.db")
        {
            throw CommandFailure(
                .refused, "\(directory.path) holds a fleet of another topology",
                hint: "give this one a directory of its own with --state, or remove that one")
        }
        try StateDirectory.write(plan, to: directory.plan)
        for part in [directory.run, directory.logs] {
            for name in (try? manager.contentsOfDirectory(atPath: part)) ?? [] {
                unlink("\(part)/\(name)")
            }
        }
        let certificates = try DevelopmentCertificates(
            directory: directory, fleet: topology.fleetName)
        let count = topology.nodes.count
        try certificates.issueMissing(for: topology) { done in
            progress.show(
                "issuing certificates", fraction: Double(done) / Double(count),
                detail: "\(done)/\(count)")
        }
    }

    // MARK: - Events

    private static func note(_ event: ChildEvent, in noted: NotedBox) {
        noted.value.withLock { noted in
            switch event {
            case .started: break
            case .ready(let name): noted.failedStarts[name] = nil
            case .couldNotStart(let name, _):
                noted.failedStarts[name, default: 0] += 1
                noted.last = event.text
            case .hung: noted.last = event.text
            case .ended(let name, _, let again):
                noted.failedStarts[name, default: 0] += 1
                noted.last = event.text
                let kind = ChildKind.allCases.first { name.hasPrefix($0.rawValue) }
                if let kind, again != nil { noted.restarts[kind, default: 0] += 1 }
            }
        }
    }

    /// The last thing that happened to a process.
    var lastNote: String? { noted.value.withLock { $0.last } }

    /// Forgets what happened while the fleet came up: self-tests kill enforcers on purpose.
    func forgetNotes() { noted.value.withLock { $0.last = nil } }

    /// How often processes were started again, by kind.
    var restarts: [ChildKind: Int] { noted.value.withLock { $0.restarts } }

    /// Fails when a process does not get up at all, with the last line of its log.
    func checkStarts() throws(CommandFailure) {
        let failing = noted.value.withLock { noted in
            noted.failedStarts.first { $0.value >= UpSession.failedStartLimit }?.key
        }
        guard let failing else { return }
        let log = "\(options.directory.logs)/\(failing).log"
        let text = FileManager.default.contents(atPath: log) ?? Data()
        let line = UpSession.reason(in: String(decoding: text, as: UTF8.self))
        throw CommandFailure(
            .negative, "\(failing) does not start: \(line)", hint: "see \(log)")
    }

    /// The line of a log that says why its process ended: of a crash what it says, not its trace.
    static func reason(in log: String) -> String {
        let lines = log.split(separator: "\n")
        let telling = lines.last { line in
            ["Fatal error:", "Precondition failed", " critical ", "crashed:", "error: "]
                .contains { line.contains($0) }
        }
        return (telling ?? lines.last).map(String.init) ?? "it says nothing"
    }

    /// Whether the user or the clock has asked for the end.
    var isOver: Bool {
        Interruption.hasCome || options.endsAt.map { $0 <= steadyNanoseconds() } ?? false
    }

    /// Waits for something, and meanwhile shows how far it is.
    ///
    /// - Parameter step: shows progress and says whether it has come.
    /// - Returns: false when the run is over before it has come.
    /// - Throws: `CommandFailure` when a process does not get up.
    func wait(for step: () async -> Bool) async throws(CommandFailure) -> Bool {
        while !isOver {
            if await step() { return true }
            try checkStarts()
            await UpSession.pause(milliseconds: 50)
        }
        return false
    }

    /// Pauses; a cancelled task does not wait.
    static func pause(milliseconds: Int64) async {
        do { try await Task.sleep(for: .milliseconds(milliseconds)) } catch { return }
    }

    /// Whether all children of a kind have reported that they are ready, and how many have.
    func ready(_ kind: ChildKind) -> (count: Int, total: Int) {
        let statuses = supervisor.statuses.filter { $0.kind == kind }
        return (statuses.count(where: \.isReady), statuses.count)
    }
}
