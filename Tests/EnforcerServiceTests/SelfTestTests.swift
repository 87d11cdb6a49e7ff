// SPDX-License-Identifier: Apache-2.0

// Goal: class S is proven by what was measured, and by nothing else. Method: the self-test beside a
// core on a manual clock; the "kill" is a restart of the core by the test.

import Devices
import FleetModel
import Testing
import Wire

@testable import EnforcerService

@Suite("Self-test of class S")
struct SelfTestTests {
    /// Turns core and test until the test asks for more than patience.
    private func run(_ test: inout SelfTest, _ harness: EnforcerHarness) throws -> SelfTest.Outcome
    {
        for _ in 0..<100_000 {
            harness.run(millisecond)
            let outcome = test.advance(harness.core)
            if outcome != .running { return outcome }
        }
        Issue.record("the self-test does not come to an end")
        return .done
    }

    private func marker(
        _ outcome: SelfTest.Outcome, _ ending: SelfTest.Ending
    ) throws -> SelfTest.Marker {
        let marker = if case .end(let marker) = outcome { marker } else { nil as SelfTest.Marker? }
        let found = try #require(marker, "expected an end, got \(outcome)")
        #expect(found.ending == ending)
        return found
    }

    /// The first life of an enforcer up to its kill.
    private func killed(_ harness: EnforcerHarness) throws -> SelfTest.Marker {
        var test = SelfTest(limitNanoseconds: 2 * second, marker: nil)
        return try marker(try run(&test, harness), .kill)
    }

    /// The second life of an enforcer, which began so long after its end, up to its hanging.
    private func hung(
        _ harness: EnforcerHarness, after marker: SelfTest.Marker, pause: Int64
    ) throws -> SelfTest.Marker {
        harness.clock.advance(pause)
        try harness.restart()
        var test = SelfTest(limitNanoseconds: 2 * second, marker: marker)
        return try self.marker(try run(&test, harness), .hang)
    }

    @Test("Three measurements within σ prove every node, and no cap ever passes the fallback")
    func passes() throws {
        let harness = try EnforcerHarness(pairFleet(enforcementClass: .supervised))
        harness.run(200 * millisecond)
        var highest: UInt32 = 0
        harness.hardware.afterCommand = { [unowned harness] _ in
            highest = max(highest, (try? harness.enforcedWatts()) ?? 9999)
        }
        let marker = try killed(harness)
        #expect(marker.expiryNanoseconds.keys.sorted() == ["n1", "n2"])
        #expect(marker.expiryNanoseconds.values.allSatisfy { (0...100 * millisecond).contains($0) })
        let set = try harness.hardware.fleet.caps(node: "n1", at: harness.hardware.now)
        #expect(set.requestedMilliwatts == [300_000, 300_000], "killed below the fallback")

        let hang = try hung(harness, after: marker, pause: 30 * millisecond)
        let afterKill = try #require(hang.worstNanoseconds["n1"])
        #expect((30 * millisecond...200 * millisecond).contains(afterKill), "\(afterKill) ns")
        #expect(harness.records.proofs.isEmpty, "the hang is not measured yet")

        harness.clock.advance(1200 * millisecond)
        try harness.restart()
        let found = try #require(SelfTest.Marker(hang.encoded(), now: harness.clock.reading))
        #expect(found == hang)
        var third = SelfTest(limitNanoseconds: 2_000_000_000, marker: found)
        #expect(try run(&third, harness) == .done)
        #expect(highest <= 800)
        let proof = try #require(harness.records.proofs["n1"])
        // From the last sign of life, not from the deadline that came a little later.
        #expect((1200 * millisecond...1500 * millisecond).contains(proof), "\(proof) ns")
        #expect(try harness.renewal().provenEnforcerNanoseconds == proof)
    }

    @Test("A restart after a kill that takes longer than σ proves nothing")
    func tooSlow() throws {
        let harness = try EnforcerHarness(pairFleet(enforcementClass: .supervised))
        harness.run(200 * millisecond)
        let marker = try killed(harness)
        harness.clock.advance(3 * second)
        try harness.restart()
        var test = SelfTest(limitNanoseconds: 2 * second, marker: marker)
        #expect(try run(&test, harness) == .done)
        #expect(harness.records.proofs.isEmpty)
        #expect(try harness.renewal().provenEnforcerNanoseconds == nil)
    }

    @Test("A supervisor that restarts the dead at once but sees the hung too late proves nothing")
    func hangsTooLong() throws {
        let harness = try EnforcerHarness(pairFleet(enforcementClass: .supervised))
        harness.run(200 * millisecond)
        let hang = try hung(harness, after: try killed(harness), pause: 30 * millisecond)
        harness.clock.advance(2100 * millisecond)
        try harness.restart()
        var test = SelfTest(limitNanoseconds: 2 * second, marker: hang)
        #expect(try run(&test, harness) == .done)
        #expect(harness.records.proofs.isEmpty)
    }

    @Test("An enforcer that was stopped and let go on, not restarted, proves nothing")
    func letGoOn() throws {
        let harness = try EnforcerHarness(pairFleet(enforcementClass: .supervised))
        harness.run(200 * millisecond)
        let killed = try killed(harness)
        harness.clock.advance(30 * millisecond)
        try harness.restart()
        var test = SelfTest(limitNanoseconds: 2 * second, marker: killed)
        _ = try marker(try run(&test, harness), .hang)
        #expect(try run(&test, harness) == .done)
        #expect(harness.records.proofs.isEmpty)
    }

    @Test("Nodes that are not declared class S, or are proven already, are not tested")
    func nothingToTest() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        var test = SelfTest(limitNanoseconds: 2 * second, marker: nil)
        #expect(try run(&test, harness) == .done)
        let proven = try EnforcerHarness(pairFleet(enforcementClass: .supervised))
        proven.records.proofs = ["n1": 5, "n2": 5]
        proven.run(200 * millisecond)
        var second = SelfTest(limitNanoseconds: 2_000_000_000, marker: nil)
        #expect(try run(&second, proven) == .done)
    }

    @Test("Markers of another boot, or older than a minute, or damaged, are not used")
    func oldMarkers() throws {
        let start = ClockReading(rawNanoseconds: 100 * second, bootNanoseconds: 100 * second)
        let bytes = SelfTest.Marker(
            ending: .kill, start: start, leaseNanoseconds: second, end: start,
            expiryNanoseconds: ["n1": 5], worstNanoseconds: ["n1": 6]
        ).encoded()
        #expect(SelfTest.Marker(bytes, now: start.advanced(by: second)) != nil)
        #expect(SelfTest.Marker(bytes, now: start.advanced(by: 61 * second)) == nil)
        #expect(SelfTest.Marker(bytes, now: start.advanced(by: -second)) == nil)
        #expect(SelfTest.Marker(Array("nonsense".utf8), now: start) == nil)
        #expect(SelfTest.Marker(bytes + Array("n2 5 x\n".utf8), now: start) == nil)
    }
}
