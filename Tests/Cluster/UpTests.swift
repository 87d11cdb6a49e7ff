// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Foundation
import Glibc
import Testing
import Wire

@testable import OperatorCLI

/// Goal: one command brings up a fleet that can be used, and takes everything with it when it ends.
@Suite("busbar up", .serialized, .timeLimit(.minutes(3 * Slowness.factor)))
struct UpTests {
    @Test("A fleet comes up, places its jobs, answers every command, and sums up what it did")
    func endToEnd() async throws {
        let fleet = try await RunningFleet.start(Topologies.pair)
        let running = try await fleet.busbar("submit", "--cpu-milli", "500", "--wait", "-o", "json")
        #expect(running.status == 0, "\(running.errors)")
        #expect(try await fleet.busbar("status").status == 0)
        for noun in ["sites", "domains", "nodes", "gpus", "jobs", "events"] {
            let outcome = try await fleet.busbar("get", noun, "-o", "json")
            let list = try outcome.json()[noun] as? [Any]
            #expect(list?.isEmpty == false, "get \(noun)")
        }
        let jobs = try await fleet.busbar("get", "jobs").output.split(separator: "\n")
        #expect(jobs.count == 4)
        #expect(jobs.allSatisfy { $0.count <= 80 })
        #expect(try await fleet.busbar("describe", "job", "busy-1").status == 0)
        #expect(try await fleet.busbar("describe", "node", "u1").status == 0)
        #expect(try await fleet.busbar("why", "busy-1").status == 0)
        let missing = try await fleet.busbar("describe", "job", "nobody")
        #expect(missing.status == 3)
        #expect(missing.errors.hasPrefix("error: "))
        let unfit = try await fleet.busbar("submit", "--gpus", "4", "--now", "--name", "late")
        #expect(unfit.status == 2)
        let dry = try await fleet.busbar("submit", "--gpus", "1", "--dry-run")
        #expect(dry.status == 1)
        #expect(try await fleet.busbar("cancel", "busy-1").status == 0)
        #expect(try await fleet.busbar("submit", "--gpus", "4", "--wait").status == 0)
        let summary = try await fleet.stop()
        #expect(summary["gpus"] as? Int == 8)
        #expect(summary["jobs_placed"] as? Int == 4)
        #expect(summary["jobs_pending"] as? Int == 0)
        #expect(summary["over_budget_instants"] as? Int == 0)
        #expect(try #require(summary["commissioning_seconds"] as? Double) > 0)
        let peak = try #require(summary["peak_committed_fraction"] as? Double)
        #expect(peak > 0.5 && peak <= 1)
    }

    @Test("Started again on the same state, a fleet has the same jobs, once")
    func again() async throws {
        let first = try await RunningFleet.start(Topologies.plain)
        try await first.withClient { client in
            _ = try await eventually("both jobs", seconds: 40) { () -> Bool? in
                try await client.status(.seconds(5)).runningJobCount == 2 ? true : nil
            }
        }
        _ = try await first.stop()
        let path = try first.write(Topologies.plain, as: "again.yaml")
        let second = try first.begin([
            "up", path, "--port", "0", "--http-port", "0", "-o", "json", "--for", "100",
        ])
        try await first.waitUntilReachable(by: second)
        try await first.withClient { client in
            _ = try await eventually("both jobs again", seconds: 60) { () -> Bool? in
                try await client.status(.seconds(5)).runningJobCount == 2 ? true : nil
            }
        }
        second.kill(SIGTERM)
        let summary = try await second.outcome().json()
        #expect(summary["jobs_placed"] as? Int == 2)
        #expect(summary["jobs_running"] as? Int == 2)
        #expect(summary["over_budget_instants"] as? Int == 0)
    }

    @Test("A second fleet on the same state, and one on a port in use, are refused with a hint")
    func refusals() async throws {
        let fleet = try await RunningFleet.start(Topologies.plain)
        let path = try fleet.write(Topologies.plain, as: "second.yaml")
        let second = try await fleet.begin(["up", path, "--for", "5"]).outcome()
        #expect(second.status == 2)
        #expect(second.errors.contains("process \(fleet.processID)"))
        #expect(second.errors.contains("\nhint: "))
        let contact = try FleetContact.load(from: fleet.directory)
        let port = try #require(contact.endpoint.split(separator: ":").last)
        let other = fleet.directory.path + "-2"
        let taken = try await fleet.begin(["up", path, "--port", String(port)], state: other)
            .outcome()
        #expect(taken.status == 2)
        #expect(taken.errors.contains("port \(port)"))
        _ = try await fleet.stop()
    }

    @Test("When `up` is killed with SIGKILL, no process of the fleet outlives it")
    func orphans() async throws {
        let fleet = try await RunningFleet.start(Topologies.plain)
        var children: [Int32] = []
        for name in ["hardware", "coordinator", "agent-u1", "agent-u2", "enforcer-u1"] {
            children.append(try await fleet.child(name))
        }
        #expect(kill(fleet.processID, SIGKILL) == 0)
        _ = try await eventually("all children to be gone", seconds: 30) { () -> Bool? in
            // A child that is dead but not yet waited for by init still has a number.
            children.allSatisfy { kill($0, 0) != 0 || isDead($0) } ? true : nil
        }
    }

    private func isDead(_ processID: Int32) -> Bool {
        guard let data = FileManager.default.contents(atPath: "/proc/\(processID)/stat") else {
            return true
        }
        return String(decoding: data, as: UTF8.self).contains(") Z ")
    }

    @Test("Every process that dies comes back, and an enforcer that hangs is back within sigma")
    func restarts() async throws {
        let fleet = try await RunningFleet.start(Topologies.plain)
        for name in ["coordinator", "agent-u1", "enforcer-u1", "hardware"] {
            let before = try await fleet.child(name)
            kill(before, SIGKILL)
            let after = try await eventually("\(name) to come back", seconds: 30) {
                let now = try await fleet.child(name)
                return now == before ? nil : now
            }
            #expect(after != before)
        }
        let hung = try await fleet.child("enforcer-u2")
        kill(hung, SIGSTOP)
        let stopped = steadyNanoseconds()
        _ = try await eventually("the hung enforcer to be replaced", seconds: 30) {
            let now = try await fleet.child("enforcer-u2")
            return now == hung ? nil : now
        }
        // Sigma is 2 s: half of it to find out, half to start another.
        #expect(steadyNanoseconds() - stopped < Int64(Topologies.sigmaSeconds) * 1_000_000_000)
        try await fleet.waitUntilHealthy()
        _ = try await fleet.stop()
    }
}
