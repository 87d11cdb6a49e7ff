// SPDX-License-Identifier: Apache-2.0
//
// Goal: what the fleet side asks of the grantor, and what that binds: floors, fallbacks, limits, reboots
// and nodes that are new. Method: as for the grantor's own rules.

import ControlPlane
import FleetModel
import Testing

@Suite struct `Floors, fallbacks, limits, reboots` {
    @Test func `Floors are reserved when they fit, and asked for until then`() throws {
        var bench = try GrantorBench.running()
        bench.targets = [.watts(1000), .watts(300), .watts(300), .watts(300)]
        bench.renew(0)
        bench.acknowledge(bench.tick()[0])
        bench.floors[2] = .watts(700)
        bench.tick()
        #expect(bench.grantor.reservedFloors(of: NodeIndex(2)) == .zero)
        bench.targets[0] = .watts(600)
        bench.pass(4000)
        let lowered = bench.tick().first { $0.node == NodeIndex(0) }
        bench.acknowledge(try #require(lowered))
        bench.tick()
        #expect(bench.grantor.reservedFloors(of: NodeIndex(2)) == .watts(700))
        #expect(bench.charges[2] == 700)
    }

    @Test func `Floors stay charged after the lease has ended, and through a fail-over`() throws {
        var bench = try GrantorBench.running()
        bench.floors[0] = .watts(700)
        bench.tick()
        try bench.failOver()
        bench.pass(2 * bench.waitMilliseconds)
        bench.tick()
        #expect(bench.charges[0] == 700)
        bench.floors[0] = .zero
        bench.tick()
        #expect(bench.charges[0] == 300)
    }

    @Test func `A node is granted its floors whatever its target says`() throws {
        var bench = try GrantorBench.running()
        bench.floors[0] = .watts(700)
        bench.renew(0)
        #expect(bench.tick().first { $0.node == NodeIndex(0) }?.grant.cap == .watts(700))
    }

    @Test func `A fallback that falls is charged as before until it is acknowledged`() throws {
        for rules in [LeaseRules.production, LeaseRules(breaking: .lowersFallbackEarly)] {
            var bench = try GrantorBench.running(rules: rules)
            bench.grantor.setFallback(.watts(200), of: NodeIndex(0))
            bench.targets[0] = .watts(200)
            bench.renew(0, incarnation: 2)
            let grants = bench.tick()
            #expect(grants[0].grant.fallback == .watts(200))
            #expect(grants[0].grant.fallbackVersion == 2)
            bench.tick()
            #expect(bench.stored.shards[0].unleased[0] == .watts(rules == .production ? 300 : 200))
            bench.acknowledge(grants[0])
            bench.tick()
            #expect(bench.stored.shards[0].unleased[0] == .watts(200))
        }
    }

    @Test func `A fallback that the topology has changed is handed down after a take-over`() throws
    {
        let bench = try GrantorBench.running()
        var next = try GrantorBench(
            topology: GrantorBench.topology(fallbackWatts: 400), stored: bench.stored)
        next.renew(0)
        for issued in next.tick() { next.acknowledge(issued) }
        next.renew(0, incarnation: 2)
        let grant = next.tick().first { $0.node == NodeIndex(0) }
        #expect(grant?.grant.fallback == .watts(400))
        #expect(next.charges[0] == 400)
    }

    @Test func `A lowered limit binds raises at once and becomes effective when charges fit`()
        throws
    {
        for rules in [LeaseRules.production, LeaseRules(breaking: .lowersLimitAtOnce)] {
            var bench = try GrantorBench.running(rules: rules)
            bench.targets = [.watts(1000), .watts(300), .watts(300), .watts(300)]
            bench.renew(0)
            bench.acknowledge(bench.tick()[0])
            bench.tick()
            bench.grantor.setLimit(.watts(1550), of: DomainIndex(0))
            #expect(bench.grantor.wantsUrgentTick)
            bench.targets[0] = .watts(600)
            bench.targets[2] = .watts(400)
            bench.renew(2)
            bench.pass(4000)
            let write = try proposal(of: &bench)
            guard rules == .production else {
                #expect(write.site.effectiveLimit[0] == .watts(1550))
                continue
            }
            #expect(write.site.effectiveLimit[0] == .watts(2050))
            let grants = bench.commit(write)
            #expect(bench.charges[2] == 300)
            bench.acknowledge(try #require(grants.first { $0.node == NodeIndex(0) }))
            bench.tick()
            #expect(bench.stored.site?.effectiveLimit[0] == .watts(1550))
            #expect(bench.charges.reduce(0, +) == 1500)
            bench.grantor.setLimit(.watts(2050), of: DomainIndex(0))
            bench.tick()
            #expect(bench.stored.site?.effectiveLimit[0] == .watts(2050))
        }
    }

    @Test func `A reboot is charged first; only an order after the power-on proves the node`()
        throws
    {
        var bench = try GrantorBench.running()
        let node = NodeIndex(0)
        bench.renew(0)
        let before = bench.tick()
        bench.grantor.prepareReboot(node)
        bench.tick()
        #expect(bench.grantor.isReadyForReboot(node))
        #expect(bench.charges[0] == 1000)
        for issued in before { bench.acknowledge(issued) }
        for issued in bench.tick() { bench.acknowledge(issued) }
        bench.tick()
        try bench.failOver()
        #expect(bench.grantor.isReadyForReboot(node))
        bench.grantor.powerOnConfirmed(node)
        bench.tick()
        #expect(bench.stored.shards[0].proof[0] == .unproven)
        bench.renew(0, incarnation: 2)
        let grants = bench.tick()
        #expect(bench.charges[0] == 1000)
        bench.acknowledge(try #require(grants.first { $0.node == node }))
        bench.tick()
        #expect(bench.charges[0] == 300)
    }

    @Test func `A node that the ledger does not know is held out until it fits uncapped`() throws {
        var bench = try GrantorBench.running()
        bench.targets = [.watts(600), .watts(300), .watts(300), .watts(300)]
        bench.renew(0)
        bench.acknowledge(bench.tick()[0])
        bench.stored.shards[0].remove(3)
        var next = try GrantorBench(stored: bench.stored)
        next.targets = bench.targets
        next.renew(3)
        #expect(next.tick().isEmpty)
        #expect(next.state(3) == .heldOut)
        next.pass(next.waitMilliseconds)
        next.targets[0] = .watts(300)
        next.tick()
        next.tick()
        #expect(next.state(3) == .unproven)
        #expect(next.charges[3] == 1000)
    }
}

extension LedgerShard {
    /// Forgets one node.
    fileprivate mutating func remove(_ node: Int) {
        charge.remove(at: node)
        unleased.remove(at: node)
        fallback.remove(at: node)
        fallbackVersion.remove(at: node)
        proof.remove(at: node)
        isSupervised.remove(at: node)
        floors.remove(at: node)
    }
}
