// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Glibc
import Testing
import Wire

@testable import OperatorCLI

/// Goal: what happens to power when the software of a node dies, seen on the hardware itself.
///
/// Leases last 3 s, sigma is 2 s, caps settle in 50 ms; limits below add a second for a busy machine.
/// An instrumented build multiplies all but the settling.
@Suite("Leases of real processes", .serialized, .timeLimit(.minutes(3 * Slowness.factor)))
struct LeaseTests {
    /// The fallback of a node of the test fleets.
    private static let fallback: UInt32 = 1_200_000
    private static let leaseSeconds = Double(Topologies.leaseSeconds)
    private static let sigmaSeconds = Double(Topologies.sigmaSeconds)
    private static let graceSeconds = Double(Slowness.factor)

    private func enforced(_ fleet: RunningFleet, _ node: String) throws -> UInt32 {
        try fleet.hardware.caps(node: node).enforcedMilliwatts.reduce(0, +)
    }

    /// Waits until jobs have raised the caps of these nodes above their fallback.
    private func waitUntilRaised(_ fleet: RunningFleet, _ nodes: [String]) async throws {
        for node in nodes {
            _ = try await eventually("caps of \(node) to rise", seconds: 30) {
                try enforced(fleet, node) > LeaseTests.fallback + 400_000 ? true : nil
            }
        }
    }

    /// Waits until a node is at its fallback, and returns how many seconds that took.
    private func secondsToFallback(
        _ fleet: RunningFleet, _ node: String, since start: Int64
    ) async throws -> Double {
        try await eventually("\(node) to be at its fallback", seconds: 30) {
            guard try enforced(fleet, node) <= LeaseTests.fallback else { return nil }
            return Double(steadyNanoseconds() - start) / 1e9
        }
    }

    @Test("An agent that hangs: its node falls back at the deadline, shows as silent, comes back")
    func hungAgent() async throws {
        let fleet = try await RunningFleet.start(Topologies.pair, ["--no-restart", "agent"])
        try await waitUntilRaised(fleet, ["s1", "u1"])
        let agents = [try await fleet.child("agent-s1"), try await fleet.child("agent-u1")]
        for agent in agents { kill(agent, SIGSTOP) }
        let start = steadyNanoseconds()
        for node in ["s1", "u1"] {
            let seconds = try await secondsToFallback(fleet, node, since: start)
            #expect(seconds < Self.leaseSeconds + Self.graceSeconds, "\(node)")
        }
        // A proven enforcer has put s1 at its fallback, and its watts come back; those of u1 do not.
        _ = try await eventually("the watts of s1 to come back", seconds: 40) {
            let node = try await fleet.node("s1")
            return node.state == .fallback && node.charge == .watts(1200) ? true : nil
        }
        let plain = try await fleet.node("u1")
        #expect(plain.state == .silent)
        #expect(plain.charge > .watts(1600))
        for agent in agents { kill(agent, SIGCONT) }
        try await fleet.waitUntilHealthy()
        try await waitUntilRaised(fleet, ["s1", "u1"])
        let summary = try await fleet.stop()
        #expect(summary["over_budget_instants"] as? Int == 0)
        #expect(try #require(summary["lease_expiries"] as? Int) >= 1)
    }

    @Test("Agent and enforcer killed: class S is at its fallback within sigma of the deadline")
    func killedPair() async throws {
        let fleet = try await RunningFleet.start(Topologies.pair, ["--no-restart", "agent"])
        try await waitUntilRaised(fleet, ["s1", "u1"])
        for name in ["agent-s1", "enforcer-s1", "agent-u1"] {
            kill(try await fleet.child(name), SIGKILL)
        }
        let start = steadyNanoseconds()
        let seconds = try await secondsToFallback(fleet, "s1", since: start)
        #expect(seconds < Self.leaseSeconds + Self.sigmaSeconds + Self.graceSeconds)
        _ = try await eventually("s1 to be proven at its fallback", seconds: 40) {
            try await fleet.node("s1").state == .fallback ? true : nil
        }
        #expect(try await fleet.node("u1").charge > .watts(1600))
        let summary = try await fleet.stop()
        #expect(summary["over_budget_instants"] as? Int == 0)
    }

    @Test("Agent killed and enforcer hung: class S is at its fallback within sigma of the deadline")
    func hungEnforcer() async throws {
        let fleet = try await RunningFleet.start(Topologies.pair, ["--no-restart", "agent"])
        try await waitUntilRaised(fleet, ["s1"])
        let enforcer = try await fleet.child("enforcer-s1")
        kill(try await fleet.child("agent-s1"), SIGKILL)
        kill(enforcer, SIGSTOP)
        let start = steadyNanoseconds()
        let seconds = try await secondsToFallback(fleet, "s1", since: start)
        #expect(seconds < Self.leaseSeconds + Self.sigmaSeconds + Self.graceSeconds)
        #expect(try await fleet.child("enforcer-s1") != enforcer)
        let node = try await fleet.node("s1")
        #expect(node.enforcementClass == .supervised)
        let summary = try await fleet.stop()
        #expect(summary["over_budget_instants"] as? Int == 0)
    }

    @Test("A class U node without agent and enforcer keeps its caps, and stays charged for them")
    func unsupervised() async throws {
        let fleet = try await RunningFleet.start(
            Topologies.plain, ["--no-restart", "agent", "--no-restart", "enforcer"])
        try await waitUntilRaised(fleet, ["u1", "u2"])
        let killed = [try await fleet.child("agent-u1"), try await fleet.child("enforcer-u1")]
        for process in killed { kill(process, SIGKILL) }
        _ = try await eventually("both to be gone", seconds: 30) {
            killed.allSatisfy { kill($0, 0) != 0 } ? true : nil
        }
        // Only now: till its end the enforcer moves watts between the GPUs and carries out grants.
        let before = try enforced(fleet, "u1")
        _ = try await eventually("u1 to be silent", seconds: 40) {
            try await fleet.node("u1").state == .silent ? true : nil
        }
        // Longer than any lease: nothing lowers the caps, so nobody may have the watts.
        let wait = LeaseParameters(
            leaseNanoseconds: Int64(Topologies.leaseSeconds) * 1_000_000_000,
            enforcerNanoseconds: Int64(Topologies.sigmaSeconds) * 1_000_000_000
        ).waitNanoseconds
        let until = steadyNanoseconds() + wait
        _ = try await eventually("the longest lease to be over", seconds: 40) {
            let now = try enforced(fleet, "u1")
            #expect(now == before)
            return steadyNanoseconds() > until ? true : nil
        }
        let node = try await fleet.node("u1")
        #expect(node.state == .silent)
        #expect(node.charge.rawValue >= Int64(before))
        let summary = try await fleet.stop()
        #expect(summary["over_budget_instants"] as? Int == 0)
        #expect(summary["nodes_live"] as? Int == 1)
    }

    @Test("A cap that somebody else writes is counted by the hardware and corrected")
    func plantedViolation() async throws {
        let fleet = try await RunningFleet.start(Topologies.plain)
        try await waitUntilRaised(fleet, ["u1", "u2"])
        #expect(try fleet.hardware.summary().overBudgetInstants == 0)
        for node in ["u1", "u2"] {
            for device in 0..<4 {
                try fleet.hardware.write(node: node, device: UInt16(device), cap: .watts(700))
            }
        }
        let counted = try fleet.hardware.summary().overBudgetInstants
        #expect(counted > 0)
        _ = try await eventually("the caps to be corrected", seconds: 30) {
            try enforced(fleet, "u1") + enforced(fleet, "u2") <= 4_500_000 ? true : nil
        }
        // Whoever asks the coordinator hears of it as well.
        _ = try await eventually("the coordinator to have heard", seconds: 30) {
            try await fleet.node("u1").violations > 0 ? true : nil
        }
        let shown = try await fleet.busbar("describe", "node", "u1").output
        #expect(shown.contains("raised by another hand"))
        #expect(try await fleet.busbar("get", "events").output.contains("cap-violation"))
        let summary = try await fleet.stop()
        #expect(try #require(summary["over_budget_instants"] as? Int) > 0)
        #expect((summary["first_violations"] as? [String])?.isEmpty == false)
    }
}
