// SPDX-License-Identifier: Apache-2.0

// Goal: the enforcer keeps the lease rules on real (simulated) devices: with signatures, records and
// restarts. Method: the core alone, on a clock that stands still until moved; the simulated hardware
// judges what was possibly enforced at every instant.

import ControlPlane
import Devices
import EnforcerService
import FleetModel
import TLSEngine
import Testing
import Wire

@Suite("Enforcer: lease")
struct EnforcerLeaseTests {
    @Test("Nodes that boot uncapped are at their fallback before any agent speaks")
    func startsAtFallback() throws {
        let harness = try EnforcerHarness()
        #expect(try harness.enforcedWatts("n1") == 1400)
        harness.run(200 * millisecond)
        #expect(try harness.hardware.enforced("n1") == [400_000, 400_000])
        #expect(try harness.hardware.enforced("n2") == [400_000, 400_000])
        #expect(harness.core.status(of: "n1")?.isAtFallback == true)
    }

    @Test("A signed grant raises the node, is acknowledged once settled, and ends at its deadline")
    func grantAndDeadline() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        let request = try harness.renewal()
        #expect(request.ack == nil)
        #expect(request.enforced == .watts(800))
        let asked = harness.clock.reading.rawNanoseconds
        #expect(
            try harness.deliver(harness.grant(for: request, watts: 1200, sequence: 5)) == .accepted)
        harness.run(100 * millisecond)
        #expect(try harness.enforcedWatts() == 1200)

        let renewals = harness.take("n1").compactMap { body in
            if case .renewal(let renewal) = body { renewal } else { nil }
        }
        let ack = try #require(renewals.last?.ack)
        #expect(ack.order == LeaseOrder(epoch: 1, sequence: 5))
        #expect(ack.cap == .watts(1200))
        #expect(ack.epochID == harness.epochID)

        harness.run(asked + 20 * second - 5 * millisecond - harness.clock.reading.rawNanoseconds)
        #expect(try harness.enforcedWatts() == 1200)
        harness.run(5 * millisecond)
        harness.run(60 * millisecond)
        #expect(try harness.hardware.enforced("n1") == [400_000, 400_000])
        #expect(harness.core.status(of: "n1")?.counts.leaseExpiries == 1)
    }

    @Test("The clock that ran further ends the lease")
    func twoClocks() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1)
        // Suspended for a minute: only the boot clock counts that.
        harness.clock.reading.bootNanoseconds += 60 * second
        harness.run(100 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("A lowered cap is acknowledged only when it holds")
    func lowering() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1400, sequence: 1)
        let lower = harness.grant(for: try harness.renewal(), watts: 900, sequence: 2)
        #expect(try harness.deliver(lower) == .accepted)
        harness.run(40 * millisecond)
        #expect(try harness.enforcedWatts() == 1400)
        #expect(try harness.renewal().ack?.order.sequence != 2)
        harness.run(20 * millisecond)
        #expect(try harness.enforcedWatts() == 900)
        let ack = try harness.renewal().ack
        #expect(ack?.order.sequence == 2)
        #expect(ack?.cap == .watts(900))
    }

    @Test("The record is on disk before the first raise")
    func recordFirst() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        var highestAtStore: UInt32 = 0
        harness.records.afterStore = {
            let now = (try? harness.enforcedWatts()) ?? 9999
            if harness.records.leases["n1"]?.cap == .watts(1200) {
                highestAtStore = max(highestAtStore, now)
                harness.records.afterStore = {}
            }
        }
        try harness.lease(watts: 1200, sequence: 1)
        #expect(highestAtStore == 800)
    }
}

@Suite("Enforcer: refused grants")
struct EnforcerRefusalTests {
    private func started() throws -> (EnforcerHarness, LeaseRenewal) {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        return (harness, try harness.renewal())
    }

    @Test("A grant that was changed after signing is refused")
    func tampered() throws {
        let (harness, request) = try started()
        let signer = TestSigners.shared.coordinator
        let honest = harness.grant(for: request, watts: 900, sequence: 1)
        var greedy = honest
        greedy.cap = .watts(1400)
        let signature = try signer.sign(honest.encoded())
        let signed = SignedGrant(payload: greedy.encoded(), signature: signature)
        harness.send(.grantDelivery(GrantDelivery(grant: signed, signerChain: signer.chain)))
        #expect(
            harness.take("n1").contains(
                .grantVerdict(GrantVerdict(outcome: .badSignature, order: .zero))))
        harness.run(100 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("Signers of another site, or of an unknown authority, are refused")
    func wrongSigners() throws {
        let (harness, request) = try started()
        let grant = harness.grant(for: request, watts: 900, sequence: 1)
        #expect(try harness.deliver(grant, by: TestSigners.shared.foreign) == .badSignature)
        #expect(try harness.deliver(grant, by: TestSigners.shared.impostor) == .badSignature)
        #expect(try harness.deliver(grant) == .accepted)
    }

    @Test("A grant is good once: replayed it answers no open request")
    func replay() throws {
        let (harness, request) = try started()
        let grant = harness.grant(for: request, watts: 1200, sequence: 1)
        #expect(try harness.deliver(grant) == .accepted)
        #expect(try harness.deliver(grant) == .unknownNonce)
    }

    @Test("A grant for another node is refused, whoever delivers it")
    func wrongNode() throws {
        let (harness, request) = try started()
        let grant = harness.grant(for: request, watts: 1200, sequence: 1, node: "n2")
        #expect(try harness.deliver(grant, to: "n1") == .wrongNode)
    }

    @Test("An order at or below the fence is refused, also after a restart that resumed")
    func staleOrder() throws {
        let (harness, _) = try started()
        try harness.lease(watts: 1000, sequence: 9)
        let stale = harness.grant(for: try harness.renewal(), watts: 1200, sequence: 9)
        #expect(try harness.deliver(stale) == .staleOrder)
        try harness.restart()
        harness.run(200 * millisecond)
        let resumed = try harness.renewal()
        #expect(resumed.fence == LeaseOrder(epoch: 1, sequence: 9))
        let old = harness.grant(for: resumed, watts: 1200, sequence: 8)
        #expect(try harness.deliver(old) == .staleOrder)
    }

    @Test("Caps below the fallback or above the devices, and grants that are over, are refused")
    func ranges() throws {
        let (harness, request) = try started()
        #expect(
            try harness.deliver(harness.grant(for: request, watts: 799, sequence: 1))
                == .capOutOfRange)
        #expect(
            try harness.deliver(harness.grant(for: request, watts: 1401, sequence: 1))
                == .capOutOfRange)
        harness.run(2 * second)
        let late = harness.grant(for: request, watts: 1200, sequence: 1, lease: second)
        #expect(try harness.deliver(late) == .expired)
    }

    @Test("One epoch with two ids is two histories: refused")
    func unknownEpoch() throws {
        let (harness, _) = try started()
        try harness.lease(watts: 1000, sequence: 1)
        var grant = harness.grant(for: try harness.renewal(), watts: 1000, sequence: 2)
        grant.epochID = RandomID(high: 8, low: 8)
        #expect(try harness.deliver(grant) == .unknownEpoch)
    }

    @Test("A message for a node that is not hosted, and what agents do not say, is refused")
    func nonsense() throws {
        let (harness, _) = try started()
        harness.send(.renewalRequest, "n9")
        #expect(harness.take("n9") == [.refusal("no node 'n9' here")])
        harness.send(.grantVerdict(GrantVerdict(outcome: .accepted, order: .zero)))
        #expect(harness.take("n1").contains(.refusal("an agent does not say that")))
    }
}

@Suite("Enforcer: shares")
struct EnforcerShareTests {
    @Test("Shares above the cap in force, out of range or of another number are refused")
    func refusedShares() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        harness.send(.shareRequest(capMilliwatts: [500_000, 300_000]))
        harness.run(100 * millisecond)
        #expect(try harness.hardware.enforced("n1") == [400_000, 400_000], "there is no lease")
        try harness.lease(watts: 1000, sequence: 1)
        _ = harness.take("n1")
        let wrong: [([UInt32], String)] = [
            ([600_000, 400_001], "aboveCap"), ([199_000, 600_000], "outOfRange"),
            ([701_000, 200_000], "outOfRange"), ([500_000], "wrongCount"),
        ]
        for (caps, reason) in wrong {
            harness.send(.shareRequest(capMilliwatts: caps))
            #expect(harness.take("n1").contains(.refusal("shares refused: \(reason)")))
        }
        harness.run(second)
        #expect(try harness.enforcedWatts() == 1000)
    }

    @Test("Watts change hands by lower, settle, raise: never above the cap at any instant")
    func lowerSettleRaise() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1000, sequence: 1)
        harness.send(.shareRequest(capMilliwatts: [700_000, 300_000]))
        harness.run(200 * millisecond)
        #expect(try harness.hardware.enforced("n1") == [700_000, 300_000])

        var highest: UInt32 = 0
        harness.hardware.afterCommand = { [unowned harness] _ in
            highest = max(highest, (try? harness.enforcedWatts()) ?? 9999)
        }
        let begun = harness.clock.reading.rawNanoseconds
        harness.send(.shareRequest(capMilliwatts: [250_000, 700_000]))
        while try harness.hardware.enforced("n1") != [250_000, 700_000] {
            harness.run(millisecond)
            highest = max(highest, try harness.enforcedWatts())
            try #require(harness.clock.reading.rawNanoseconds - begun < second)
        }
        #expect(highest <= 1000)
        #expect(harness.clock.reading.rawNanoseconds - begun >= 50 * millisecond)
    }

    @Test("The agent hears of every change, and once a second without one")
    func statuses() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1000, sequence: 1)
        let statuses = harness.take("n1").compactMap { body in
            if case .status(let status) = body { status } else { nil }
        }
        #expect(statuses.last?.cap == .watts(1000))
        #expect(statuses.last?.requestedCapMilliwatts.reduce(0, +) == 1_000_000)
        #expect((statuses.last?.remainingNanoseconds ?? 0) > 19 * second)
        harness.run(3 * second)
        let quiet = harness.take("n1").count { body in
            if case .status = body { true } else { false }
        }
        #expect((2...4).contains(quiet), "\(quiet) statuses in three quiet seconds")
    }
}

@Suite("Enforcer: faults")
struct EnforcerFaultTests {
    @Test("Killed and restarted within its lease, it resumes the cap and the old deadline")
    func resume() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        let asked = harness.clock.reading.rawNanoseconds
        try harness.lease(watts: 1200, sequence: 1)
        try harness.restart()
        harness.run(200 * millisecond)
        #expect(try harness.enforcedWatts() == 1200)
        let renewal = try harness.renewal()
        #expect(renewal.ack?.cap == .watts(1200))
        harness.run(asked + 20 * second - harness.clock.reading.rawNanoseconds)
        harness.run(60 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("Killed and restarted after its lease, it goes to the fallback at once")
    func restartAfterDeadline() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1, lease: 2 * second)
        harness.clock.advance(10 * second)
        #expect(try harness.enforcedWatts() == 1200, "hardware keeps its caps")
        try harness.restart()
        harness.run(60 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("Killed after any device write or record, it never leaves more than the old or new cap")
    func killedAtEveryStep() throws {
        for step in 0..<12 {
            let harness = try EnforcerHarness()
            harness.run(200 * millisecond)
            try harness.lease(watts: 1400, sequence: 1, lease: 10 * second)
            let asked = harness.clock.reading.rawNanoseconds
            let lower = harness.grant(
                for: try harness.renewal(), watts: 900, sequence: 2, lease: 10 * second)
            var count = 0
            harness.hardware.afterCommand = { _ in
                count += 1
                if count == step { harness.hardware.isAvailable = false }
            }
            if step == 0 { harness.hardware.isAvailable = false }
            #expect(try harness.deliver(lower) == .accepted)
            harness.run(30 * millisecond)
            harness.hardware.afterCommand = { _ in }
            harness.hardware.isAvailable = true
            try harness.restart()
            harness.run(300 * millisecond)
            #expect(try harness.enforcedWatts() <= 1400)
            harness.run(
                asked + 10 * second + 60 * millisecond - harness.clock.reading.rawNanoseconds)
            #expect(try harness.enforcedWatts() == 800, "killed at step \(step)")
        }
    }

    @Test("A replayed grant of an earlier incarnation is refused")
    func replayAfterRestart() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        let grant = harness.grant(for: try harness.renewal(), watts: 1200, sequence: 1)
        try harness.restart()
        harness.run(200 * millisecond)
        _ = try harness.renewal()
        #expect(try harness.deliver(grant) == .unknownNonce)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("Caps that a driver reload raised are put back within a second, and counted")
    func reassert() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1000, sequence: 1)
        try harness.hardware.fleet.resetDriver(node: "n1", at: harness.hardware.now)
        #expect(try harness.enforcedWatts() == 1400)
        harness.run(second + 100 * millisecond)
        #expect(try harness.enforcedWatts() == 1000)
        #expect(harness.core.status(of: "n1")?.counts.violations == 2)
        let told = harness.take("n1").compactMap { body in
            if case .renewal(let renewal) = body { renewal.violations } else { nil }
        }
        #expect(told.last == 2, "a renewal carries the count to the coordinator unasked")
    }

    @Test("Hardware that is away is waited for; one that was power-cycled starts at the fallback")
    func powerCycle() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1)
        let before = try harness.renewal().incarnation
        harness.hardware.isAvailable = false
        harness.run(3 * second)
        harness.hardware.powerCycle()
        harness.hardware.isAvailable = true
        #expect(try harness.enforcedWatts() == 1400, "it boots uncapped")
        harness.run(400 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
        #expect(try harness.renewal().incarnation != before)
    }

    @Test("Hardware that was away without a reboot keeps its lease")
    func shortOutage() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1)
        harness.hardware.isAvailable = false
        harness.run(3 * second)
        harness.hardware.isAvailable = true
        harness.run(400 * millisecond)
        #expect(try harness.enforcedWatts() == 1200)
        try harness.lease(watts: 1000, sequence: 2)
        #expect(try harness.enforcedWatts() == 1000)
    }

    @Test("A raise whose answer was lost is found before anything is raised on top of it")
    func lostAnswer() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1000, sequence: 1)
        harness.send(.shareRequest(capMilliwatts: [300_000, 300_000]))
        harness.run(200 * millisecond)
        var highest: UInt32 = 0
        harness.hardware.afterCommand = { [unowned harness] command in
            highest = max(highest, (try? harness.enforcedWatts()) ?? 9999)
            if case .setCap(_, 0, 700_000) = command { harness.hardware.losesAnswers = true }
        }
        harness.send(.shareRequest(capMilliwatts: [700_000, 300_000]))
        harness.run(millisecond)
        #expect(try harness.hardware.enforced("n1") == [700_000, 300_000])
        // The agent changes its mind before the enforcer knows what became of the raise.
        harness.send(.shareRequest(capMilliwatts: [300_000, 700_000]))
        harness.hardware.losesAnswers = false
        harness.run(500 * millisecond)
        #expect(try harness.hardware.enforced("n1") == [300_000, 700_000])
        #expect(highest <= 1000)
    }

    @Test("A deadline that passes while the hardware is away is kept as soon as it is back")
    func deadlineDuringOutage() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1, lease: 2 * second)
        harness.hardware.isAvailable = false
        harness.run(5 * second)
        harness.hardware.isAvailable = true
        harness.run(400 * millisecond)
        #expect(try harness.enforcedWatts() == 800)
    }

    @Test("An agent that goes away takes its connection with it; another one is served")
    func agentChanges() throws {
        let harness = try EnforcerHarness()
        harness.run(200 * millisecond)
        try harness.lease(watts: 1200, sequence: 1)
        harness.core.connectionClosed(EnforcerHarness.agent)
        _ = harness.take("n1")
        harness.run(3 * second)
        #expect(harness.take("n1").isEmpty)
        #expect(try harness.renewal().ack?.cap == .watts(1200))
    }
}
