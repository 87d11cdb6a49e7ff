// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

@testable import OperatorCLI

/// Goal: what dies or hangs is started again as its policy says, and nothing outlives its parent.
@Suite("Supervision")
struct SupervisionTests {
    @Test("An enforcer that was ready restarts at once; one that never gets ready does not spin")
    func immediate() {
        var clock = RestartClock(.immediate(limit: 100_000_000))
        #expect(clock.ended(ranNanoseconds: 5, wasReady: true) == 0)
        #expect(clock.ended(ranNanoseconds: 5, wasReady: false) == 0)
        #expect(clock.ended(ranNanoseconds: 5, wasReady: false) == 20_000_000)
        for _ in 0..<80 { _ = clock.ended(ranNanoseconds: 5, wasReady: false) }
        #expect(clock.ended(ranNanoseconds: 5, wasReady: false) == 100_000_000)
        #expect(clock.ended(ranNanoseconds: 5, wasReady: true) == 0)
    }

    @Test("Pauses double up to their limit, and a healthy run forgives")
    func backoff() {
        var clock = RestartClock(.backoff(first: 100, limit: 350))
        let pauses = (0..<4).map { _ in clock.ended(ranNanoseconds: 1, wasReady: true) }
        #expect(pauses == [100, 200, 350, 350])
        let healthy = RestartClock.healthyNanoseconds
        #expect(clock.ended(ranNanoseconds: healthy, wasReady: true) == 100)
        var never = RestartClock(.never)
        #expect(never.ended(ranNanoseconds: healthy, wasReady: true) == nil)
    }

    private func spec(
        _ name: String, _ arguments: [String], _ restart: RestartPolicy = .never,
        watchdog: Int64? = nil, kind: ChildKind = .agent
    ) -> ChildSpec {
        ChildSpec(
            name: name, kind: kind, executable: "/bin/sh", arguments: arguments,
            restart: restart, watchdogNanoseconds: watchdog)
    }

    @Test("A ready child that falls silent is found at its watchdog, and a starting one never")
    func watchdog() {
        var table = ChildTable()
        table.add(spec("a", [], watchdog: 100), now: 0)
        #expect(table.due(now: 0) == [0])
        table.started(0, processID: 7, now: 10)
        #expect(table.hung(now: 1_000_000).isEmpty)
        #expect(table.heard(from: 8, isReady: true, now: 20) == nil)
        #expect(table.heard(from: 7, isReady: true, now: 20) == 0)
        #expect(table.nextInstant() == 120)
        #expect(table.hung(now: 119).isEmpty)
        #expect(table.hung(now: 120) == [0])
        table.killed(0)
        #expect(table.hung(now: 500).isEmpty)
        #expect(table.nextInstant() == nil)
    }

    @Test("Datagrams of the notify protocol are read line by line")
    func notify() {
        let bytes = Array("STATUS=x\nREADY=1\nWATCHDOG=10".utf8)
        let message = NotifySocket.parse(bytes[...], sender: 3)
        #expect(message == .init(sender: 3, isReady: true, isAlive: false))
    }

    /// Collects events, and lets a test wait for one.
    private final class Events: Sendable {
        private let events = Mutex<[ChildEvent]>([])
        func add(_ event: ChildEvent) { events.withLock { $0.append(event) } }
        var all: [ChildEvent] { events.withLock { $0 } }
    }

    private func makePlaces() throws -> Supervisor.Places {
        let base = FileManager.default.temporaryDirectory.appending(
            path: "busbar-\(UUID().uuidString.prefix(8))")
        for part in ["run", "log"] {
            try FileManager.default.createDirectory(
                at: base.appending(path: part), withIntermediateDirectories: true)
        }
        return .init(
            runDirectory: base.appending(path: "run").path,
            logDirectory: base.appending(path: "log").path)
    }

    private func wait(_ what: String, for condition: () -> Bool) async throws {
        let deadline = steadyNanoseconds() + 60_000_000_000
        while !condition() {
            try #require(steadyNanoseconds() < deadline, "waited 60 s for \(what)")
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test("A child that dies comes back, with its output in its log, and all end on stop")
    func restarts() async throws {
        let places = try makePlaces()
        let events = Events()
        let supervisor = try Supervisor(places: places, onEvent: events.add)
        let script = "echo hello; exec sleep 600"
        supervisor.start(
            spec("one", ["-c", script], .backoff(first: 1_000_000, limit: 1_000_000)))
        try await wait("the first start") { supervisor.statuses.first?.processID != nil }
        let first = try #require(supervisor.statuses.first?.processID)
        let log = places.logDirectory + "/one.log"
        // Killed before, it might have said nothing.
        try await wait("the output of the first") {
            (try? String(contentsOfFile: log, encoding: .utf8)) == "hello\n"
        }
        kill(first, SIGKILL)
        try await wait("the second start") { supervisor.statuses.first?.starts == 2 }
        let second = try #require(supervisor.statuses.first?.processID)
        #expect(second != first)
        let noted = try String(contentsOfFile: places.runDirectory + "/one.pid", encoding: .utf8)
        #expect(noted == "\(second)\n")
        try await wait("the output of both") {
            (try? String(contentsOfFile: log, encoding: .utf8)) == "hello\nhello\n"
        }
        await supervisor.stop()
        #expect(kill(second, 0) == -1)
        #expect(events.all.contains { if case .ended(_, _, .some) = $0 { true } else { false } })
    }

    @Test("A child that ignores SIGTERM is killed after its grace, kinds in order")
    func stops() async throws {
        let events = Events()
        let supervisor = try Supervisor(places: try makePlaces(), onEvent: events.add)
        supervisor.start(spec("stubborn", ["-c", "trap '' TERM; while :; do sleep 600; done"]))
        supervisor.start(spec("later", ["-c", "exec sleep 600"], kind: .hardware))
        try await wait("both to run") {
            supervisor.statuses.count { $0.processID != nil } == 2
        }
        await supervisor.stop(graceMilliseconds: 50)
        #expect(supervisor.statuses.allSatisfy { $0.processID == nil })
    }

    @Test("A program that is not there is reported, not fatal")
    func missing() async throws {
        let events = Events()
        let supervisor = try Supervisor(places: try makePlaces(), onEvent: events.add)
        var spec = spec("ghost", [])
        spec.executable = "/nonexistent/ghost"
        supervisor.start(spec)
        try await wait("the report") {
            events.all.contains { if case .couldNotStart = $0 { true } else { false } }
        }
        await supervisor.stop()
    }

    @Test("A second lock on a state directory is refused, by the name of its holder")
    func lock() throws {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "busbar-\(UUID().uuidString.prefix(8))")
        let directory = StateDirectory(path.path)
        let lock = try directory.open()
        let failure = #expect(throws: CommandFailure.self) { try directory.open() }
        #expect(failure?.status == .refused)
        #expect(failure?.message.contains("process \(getpid())") == true)
        withExtendedLifetime(lock) {}
    }

    @Test("The state directory is the option, the variable, or the default, in this order")
    func resolves() {
        let environment = ["BUSBAR_STATE": "/b", "XDG_STATE_HOME": "/x", "HOME": "/h"]
        func path(_ option: String?, without names: String...) -> String {
            StateDirectory.resolve(option: option) { names.contains($0) ? nil : environment[$0] }
                .path
        }
        #expect(path("/a") == "/a")
        #expect(path(nil) == "/b")
        #expect(path(nil, without: "BUSBAR_STATE") == "/x/busbar")
        #expect(path(nil, without: "BUSBAR_STATE", "XDG_STATE_HOME") == "/h/.local/state/busbar")
    }

    @Test("Lease records are on a tmpfs of this user alone, and leave nothing behind")
    func records() throws {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "busbar-\(UUID().uuidString.prefix(8))")
        let directory = StateDirectory(path.path)
        let lock = try directory.open()
        try directory.makeRecords()
        try directory.makeRecords()
        let file = directory.records + "/n1.lease"
        #expect(FileManager.default.createFile(atPath: file, contents: Data()))
        let place = URL(fileURLWithPath: directory.records).resolvingSymlinksInPath()
        let mode = try FileManager.default.attributesOfItem(atPath: place.path)
        #expect(mode[.posixPermissions] as? Int == 0o700)
        directory.removeRecords()
        #expect(!FileManager.default.fileExists(atPath: place.path))
        withExtendedLifetime(lock) {}
        try FileManager.default.removeItem(at: path)
    }

    @Test("Where a fleet is survives the file, and a missing file says how to start one")
    func contact() throws {
        let path = FileManager.default.temporaryDirectory.appending(
            path: "busbar-\(UUID().uuidString.prefix(8))")
        let directory = StateDirectory(path.path)
        let failure = #expect(throws: CommandFailure.self) {
            try FleetContact.load(from: directory)
        }
        #expect(failure?.status == .unavailable)
        let lock = try directory.open()
        let contact = FleetContact(
            fleet: "f\"x", endpoint: "127.0.0.1:1", http: "h", ca: "a", cert: "c", key: "k", pid: 9)
        try contact.write(to: directory)
        #expect(try FleetContact.load(from: directory) == contact)
        withExtendedLifetime(lock) {}
    }
}
