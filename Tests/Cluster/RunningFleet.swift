// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Foundation
import Glibc
import Synchronization
import Testing
import Wire

@testable import OperatorCLI

/// A fleet of real processes that a test has started with `busbar up`.
///
/// It ends with the test, and by itself after three minutes (more in an instrumented build) whatever
/// becomes of the test.
final class RunningFleet: Sendable {
    /// What a program that has ended left behind.
    struct Outcome: Sendable {
        var status: Int32
        var output: String
        var errors: String

        /// The JSON object on stdout.
        func json() throws -> [String: Any] {
            let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
            return try #require(value as? [String: Any], "not an object: \(output)")
        }
    }

    let directory: StateDirectory
    private let program: RunningProgram
    private let base: URL

    /// Where the programs lie: beside the bundle of the tests.
    static let programs: URL = {
        let bundle = CommandLine.arguments.first { $0.contains(".xctest") }
        if let bundle, let end = bundle.range(of: ".xctest") {
            return URL(fileURLWithPath: String(bundle[..<end.lowerBound]))
                .deletingLastPathComponent()
        }
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return root.appending(path: ".build/debug")
    }()

    /// Starts a fleet, and waits until it is healthy.
    static func start(
        _ topology: String, _ arguments: [String] = [], isHealthy: Bool = true
    ) async throws -> RunningFleet {
        let fleet = try RunningFleet(topology, arguments)
        if isHealthy { try await fleet.waitUntilHealthy() }
        return fleet
    }

    private init(_ topology: String, _ arguments: [String]) throws {
        // Short: a socket's address holds 107 bytes.
        base = URL(fileURLWithPath: "/tmp/bb-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
        let file = base.appending(path: "fleet.yaml")
        try Data(topology.utf8).write(to: file)
        directory = StateDirectory(base.appending(path: "s").path)
        program = try RunningProgram(
            "busbar",
            [
                "up", file.path, "--state", directory.path, "--port", "0", "--http-port", "0",
                "-o", "json", "--for", String(170 * Slowness.factor),
            ] + arguments, in: base)
    }

    deinit {
        program.kill(SIGKILL)
        directory.removeRecords()
        try? FileManager.default.removeItem(at: base)
    }

    /// The process of `busbar up`.
    var processID: Int32 { program.processID }

    /// Whether `busbar up` still runs.
    var isRunning: Bool { program.isRunning }

    /// The hardware, asked behind everybody's back.
    var hardware: HardwareProbe { HardwareProbe(socketPath: directory.hardwareSocket) }

    /// Runs another command against the fleet.
    func busbar(_ arguments: String...) async throws -> Outcome {
        try await RunningProgram(
            "busbar", ["--state", directory.path] + arguments, in: base
        ).outcome()
    }

    /// Begins another command, against the fleet unless another state directory is given.
    func begin(_ arguments: [String], state: String? = nil) throws -> RunningProgram {
        try RunningProgram("busbar", ["--state", state ?? directory.path] + arguments, in: base)
    }

    /// Writes a file that the fleet's commands can read, and returns its path.
    func write(_ text: String, as name: String) throws -> String {
        let file = base.appending(path: name)
        try Data(text.utf8).write(to: file)
        return file.path
    }

    /// The process of a child, by its name: `agent-n1`, `coordinator`.
    func child(_ name: String) async throws -> Int32 {
        let path = "\(directory.run)/\(name).pid"
        return try await eventually("process \(name)", seconds: 30) {
            guard let data = FileManager.default.contents(atPath: path) else { return nil }
            return Int32(String(decoding: data, as: UTF8.self).dropLast())
        }
    }

    /// A session of a client, which the body uses.
    func withClient<Result: Sendable>(
        _ body: (OperatorClient) async throws -> Result
    ) async throws -> Result {
        let client = try OperatorClient(try FleetAddress(directory), patience: .seconds(30))
        client.open()
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    /// Waits until every node is live, commissioning is over and the sample jobs are submitted.
    func waitUntilHealthy() async throws {
        try await waitUntilReachable(by: program)
        try await withClient { client in
            _ = try await eventually("the fleet to be healthy", seconds: 60) { () -> Bool? in
                let status = try? await client.status(.seconds(2))
                return status?.isHealthy == true ? true : nil
            }
        }
    }

    /// Waits until a running `up` has said where the fleet is.
    func waitUntilReachable(by program: RunningProgram) async throws {
        let contact = directory.contact
        _ = try await eventually("the fleet to be reachable", seconds: 60) { () -> Bool? in
            if !program.isRunning { return false }
            return FileManager.default.fileExists(atPath: contact) ? true : nil
        }
        try #require(program.isRunning, "busbar up ended: \(program.errorText)")
    }

    /// What the fleet says of a node.
    func node(_ name: String) async throws -> NodeView {
        try await withClient { try await $0.node(name, .seconds(10)).node }
    }

    /// Stops the fleet in order; the summary of `up`.
    func stop() async throws -> [String: Any] {
        program.kill(SIGTERM)
        let outcome = await program.outcome()
        try #require(outcome.status == 0, "busbar up: \(outcome.errors)")
        return try outcome.json()
    }
}

/// A program that a test has started.
final class RunningProgram: Sendable {
    private let process: Mutex<Process>
    let processID: Int32
    private let output: URL
    private let errors: URL

    init(_ name: String, _ arguments: [String], in directory: URL) throws {
        let process = Process()
        process.executableURL = RunningFleet.programs.appending(path: name)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let id = UUID().uuidString
        output = directory.appending(path: "\(id).out")
        errors = directory.appending(path: "\(id).err")
        for file in [output, errors] { try Data().write(to: file) }
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
        processID = process.processIdentifier
        self.process = Mutex(process)
    }

    var isRunning: Bool { process.withLock { $0.isRunning } }

    var errorText: String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

    func kill(_ signal: Int32) {
        process.withLock { process in
            if process.isRunning { _ = Glibc.kill(processID, signal) }
        }
    }

    /// Waits for the end.
    func outcome() async -> RunningFleet.Outcome {
        while isRunning { try? await Task.sleep(for: .milliseconds(10)) }
        let status = process.withLock { process in
            process.terminationReason == .exit
                ? process.terminationStatus : 128 + process.terminationStatus
        }
        return RunningFleet.Outcome(
            status: status, output: (try? String(contentsOf: output, encoding: .utf8)) ?? "",
            errors: errorText)
    }
}

/// Looks again and again until there is something to see, at most so many seconds.
func eventually<Value>(
    _ what: String, seconds: Double, _ look: () async throws -> Value?
) async throws -> Value {
    let seconds = seconds * Double(Slowness.factor)
    let deadline = steadyNanoseconds() + Int64(seconds * 1e9)
    while true {
        if let value = try await look() { return value }
        try #require(steadyNanoseconds() < deadline, "waited \(seconds) s for \(what)")
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// How much longer than its plain build an instrumented one takes; leases and patience grow with it.
enum Slowness {
    static let factor: Int =
        switch ProcessInfo.processInfo.environment["BUSBAR_SANITIZER"] {
        case "thread": 5
        case "address": 3
        default: 1
        }
}

/// Fleets for tests: short leases, so that what takes a lease takes seconds.
enum Topologies {
    static let leaseSeconds = 3 * Slowness.factor
    static let sigmaSeconds = 2 * Slowness.factor
    static let lease =
        "lease: {term: \(leaseSeconds) s, enforcer: \(sigmaSeconds) s, "
        + "tick: \(100 * Slowness.factor) ms, takeover: \(Slowness.factor) s}"

    private static func type(_ name: String, _ letter: String) -> String {
        """
          - name: \(name)
            model: H100-SXM
            gpus: 4
            cpus: 64
            memory: 512 GiB
            fallback: 1200 W
            class: \(letter)
            settle: 50 ms
        """
    }

    /// One node of class S, `s1`, and one of class U, `u1`: 4.5 kW for GPUs that draw up to 5.6 kW.
    static let pair = """
        fleet: pair
        \(lease)
        node_types:
        \(type("supervised", "S"))
        \(type("plain", "U"))
        sites:
          - name: one
            limit: 6500 W
            overhead: 2 kW
            nodes:
              - {names: s1, type: supervised}
              - {names: u1, type: plain}
        jobs:
          - {name: "busy-[1-2]", gpus: 4, cpus: 8, memory: 8 GiB, floor: 300 W, profile: steady}
        """

    /// Two nodes of class U, without jobs of their own.
    static let plain = """
        fleet: plain
        \(lease)
        node_types:
        \(type("plain", "U"))
        sites:
          - name: one
            limit: 6500 W
            overhead: 2 kW
            nodes:
              - {names: "u[1-2]", type: plain}
        jobs:
          - {name: "busy-[1-2]", gpus: 4, cpus: 8, memory: 8 GiB, floor: 300 W, profile: steady}
        """

    /// Eight nodes in two racks of which each binds before its GPUs do.
    static let racks = """
        fleet: racks
        \(lease)
        node_types:
        \(type("supervised", "S"))
        \(type("plain", "U"))
        sites:
          - name: one
            limit: 20 kW
            overhead: 4 kW
            domains:
              - name: rack1
                limit: 10 kW
                overhead: 2 kW
                nodes:
                  - {names: "a[1-4]", type: supervised}
              - name: rack2
                limit: 9 kW
                overhead: 2 kW
                nodes:
                  - {names: "b[1-4]", type: plain}
        """
}
