// SPDX-License-Identifier: Apache-2.0
//
// Goal: each rule of the grantor, C1 to C6, commissioning, and what they bind besides. Method: a bench
// of four nodes whose renewals, commits and clock a test gives by hand.

import ControlPlane
import FleetModel
import Testing

@Suite struct `Commissioning` {
    @Test func `At first start every node is charged uncapped and nothing is raised`() throws {
        var bench = try GrantorBench()
        bench.targets = Array(repeating: .watts(1000), count: 4)
        for node in 0..<4 { bench.renew(node) }
        let grants = bench.tick()
        #expect(bench.charges == [1000, 1000, 1000, 1000])
        #expect(grants.map(\.grant.cap) == Array(repeating: .watts(300), count: 4))
        #expect(!bench.grantor.isCommissioned)
        #expect(bench.state(0) == .unproven)
    }

    @Test func `A node is proven by acknowledging an order, and is charged its fallback then`()
        throws
    {
        var bench = try GrantorBench()
        bench.renew(0)
        let grants = bench.tick()
        bench.acknowledge(grants[0])
        #expect(bench.grantor.wantsUrgentTick)
        bench.tick()
        #expect(bench.charges == [300, 1000, 1000, 1000])
        #expect(bench.state(0) == .live)
    }

    @Test func `A domain leaves when what it may draw and its charges fit; its parent later`()
        throws
    {
        var bench = try GrantorBench()
        for node in 0..<2 { bench.renew(node) }
        for issued in bench.tick() { bench.acknowledge(issued) }
        bench.tick()
        #expect(bench.stored.site?.hasLeftCommissioning == [false, true, false])
        // Node 0 lies in the root as well, which is in commissioning: not raised.
        bench.targets[0] = .watts(800)
        bench.tick()
        #expect(bench.charges[0] == 300)
        for node in 2..<4 { bench.renew(node) }
        for issued in bench.tick() { bench.acknowledge(issued) }
        bench.tick()
        #expect(bench.stored.site?.hasLeftCommissioning == [true, true, true])
        #expect(bench.grantor.isCommissioned)
    }

    @Test func `Commissioning is entered at the first start only`() throws {
        var bench = try GrantorBench.running()
        try bench.failOver()
        #expect(bench.grantor.isCommissioned)
    }

    @Test func `No floors are reserved in commissioning`() throws {
        var bench = try GrantorBench()
        bench.renew(0)
        bench.acknowledge(bench.tick()[0])
        bench.floors[0] = .watts(500)
        bench.tick()
        bench.tick()
        #expect(bench.grantor.reservedFloors(of: NodeIndex(0)) == .zero)
    }

    @Test func `A report, however low, proves nothing; the mutant believes it`() throws {
        for rules in [LeaseRules.production, LeaseRules(breaking: .provesByReport)] {
            var bench = try GrantorBench(rules: rules)
            bench.renew(0, enforced: 200)
            bench.tick()
            bench.tick()
            let isGullible = rules.breaks(.provesByReport)
            #expect(bench.stored.shards[0].proof[0] == (isGullible ? .proven : .unproven))
        }
    }

    @Test func `Class S is conferred when it is declared and the self-test is quick enough`() throws
    {
        var bench = try GrantorBench()
        bench.renew(0, proven: true)
        bench.renew(1, proven: false)
        bench.renew(3, proven: true)
        bench.tick()
        #expect(bench.stored.shards[0].isSupervised == [true, false, false, false])
        bench.renew(0, proven: false)
        bench.tick()
        #expect(bench.stored.shards[0].isSupervised[0] == false)
    }
}

@Suite struct `C1, C2: take-over` {
    @Test func `A class S node's charge comes back one wait after the take-over, not before`()
        throws
    {
        var bench = try GrantorBench.running()
        bench.targets[0] = .watts(900)
        bench.renew(0)
        bench.tick()
        #expect(bench.charges[0] == 900)
        try bench.failOver()
        bench.targets[0] = .watts(300)
        bench.pass(bench.waitMilliseconds - 501)
        bench.tick()
        #expect(bench.charges[0] == 900)
        bench.tick()
        #expect(bench.charges[0] == 300)
        #expect(bench.grantor.counts.reclaimsByTime > 0)
    }

    @Test func `A class U node's charge comes back only by an acknowledgement of this epoch`()
        throws
    {
        var bench = try GrantorBench.running()
        bench.targets[3] = .watts(900)
        bench.renew(3)
        let old = bench.tick()[0]
        try bench.failOver()
        bench.targets[3] = .watts(300)
        bench.pass(1_000_000)
        bench.tick()
        #expect(bench.charges[3] == 900)
        bench.acknowledge(old)
        bench.tick()
        #expect(bench.charges[3] == 900)
        bench.renew(3)
        bench.pass(4000)
        let grants = bench.tick()
        #expect(bench.charges[3] == 900)
        bench.acknowledge(grants[0])
        bench.tick()
        #expect(bench.charges[3] == 300)
    }

    @Test func `The epoch must be above the ledger's`() throws {
        let bench = try GrantorBench.running()
        var other = SiteGrantor(topology: GrantorBench.topology(), site: SiteIndex(0))
        #expect(throws: LedgerError.epochNotAbove(stored: 1, offered: 1)) {
            try other.takeOver(
                epoch: 1, epochID: GrantorBench.id(1), ledger: bench.stored, now: bench.now)
        }
    }

    @Test func `A malformed ledger is refused, with the shard's number`() throws {
        let bench = try GrantorBench.running()
        var broken = bench.stored
        broken.shards[0].floors.removeLast()
        #expect(throws: LedgerError.malformedShard(number: 0)) {
            try GrantorBench(stored: broken)
        }
        broken = bench.stored
        broken.site?.effectiveLimit.removeLast()
        #expect(throws: LedgerError.domainCount(stored: 3, expected: 3)) {
            try GrantorBench(stored: broken)
        }
    }

    @Test func `A longer lease of before prolongs the wait, and is forgotten after it`() throws {
        var bench = try GrantorBench.running(topology: GrantorBench.topology(leaseSeconds: 60))
        bench.targets[0] = .watts(900)
        bench.renew(0)
        bench.tick()
        var next = try GrantorBench(topology: GrantorBench.topology(), stored: bench.stored)
        next.pass(30_000)
        next.tick()
        #expect(next.charges[0] == 900)
        #expect(next.stored.site?.leaseNanoseconds == 60_000_000_000)
        next.pass(40_000)
        next.tick()
        next.tick()
        #expect(next.charges[0] == 300)
        #expect(next.stored.site?.leaseNanoseconds == 10_000_000_000)
    }

    @Test func `A distrusted store raises nothing before the wait and before class U has reported`()
        throws
    {
        var bench = try GrantorBench.running()
        bench.epoch += 1
        try bench.grantor.takeOver(
            epoch: bench.epoch, epochID: GrantorBench.id(bench.epoch), ledger: bench.stored,
            now: bench.now, isStoreDistrusted: true)
        bench.targets[0] = .watts(900)
        bench.renew(0, enforced: 300)
        #expect(bench.tick().map(\.grant.cap) == [.watts(300)])
        bench.pass(bench.waitMilliseconds)
        bench.renew(0, incarnation: 2)
        bench.tick()
        #expect(bench.charges[0] == 300)
        bench.renew(3)
        bench.tick()
        bench.renew(0, incarnation: 3)
        bench.tick()
        #expect(bench.charges[0] == 900)
    }
}

@Suite struct `C3 to C6: ticks` {
    @Test func `A raise is in the store before the grant is given`() throws {
        var bench = try GrantorBench.running()
        bench.targets[0] = .watts(900)
        bench.renew(0)
        bench.pass(500)
        let write = bench.propose()
        #expect(write?.shards.first?.shard.charge[0] == .watts(900))
        #expect(bench.charges[0] == 300)
        #expect(
            bench.propose() == nil)
        let grants = bench.commit(try #require(write))
        #expect(grants.map(\.grant.cap) == [.watts(900)])
        #expect(grants[0].grant.order == LeaseOrder(epoch: 1, sequence: bench.grantor.revision))
    }

    @Test func `A renewal that comes while a write is in flight waits for the next`() throws {
        var bench = try GrantorBench.running()
        bench.targets[0] = .watts(900)
        bench.pass(500)
        let write = bench.propose()
        bench.renew(0)
        #expect(bench.commit(try #require(write)).isEmpty)
        #expect(bench.tick().count == 1)
    }

    @Test func `Nothing is raised above any domain's budget, and what is left is granted`() throws {
        var bench = try GrantorBench.running()
        bench.targets = Array(repeating: .watts(1000), count: 4)
        for node in 0..<4 { bench.renew(node) }
        bench.tick()
        #expect(bench.charges.reduce(0, +) == 2000)
        #expect(bench.grantor.peakCommittedPPM == 1_000_000)
    }

    @Test
    func `Lower before raise: watts reach another node in the tick after the acknowledgement`()
        throws
    {
        var bench = try GrantorBench.running()
        bench.targets = [.watts(1000), .watts(300), .watts(300), .watts(300)]
        for node in 0..<4 { bench.renew(node) }
        for issued in bench.tick() { bench.acknowledge(issued) }
        bench.tick()
        #expect(bench.charges[0] == 1000)
        bench.targets = [.watts(400), .watts(300), .watts(1000), .watts(300)]
        let lowered = bench.tick().first { $0.node == NodeIndex(0) }
        #expect(lowered?.grant.cap == .watts(400))
        #expect(bench.charges[0] == 1000 && bench.charges[2] == 400)
        bench.acknowledge(try #require(lowered))
        bench.renew(2)
        #expect(bench.grantor.wantsUrgentTick)
        bench.tick()
        #expect(bench.charges == [400, 300, 1000, 300])
    }

    @Test func `A renewal is held, and answered before the hold is over`() throws {
        var bench = try GrantorBench.running()
        bench.renew(1)
        var ticks = 0
        while bench.tick().isEmpty, ticks < 20 { ticks += 1 }
        #expect((2...6).contains(ticks))
    }

    @Test func `A fresher request of a node that waits keeps its place`() throws {
        var bench = try GrantorBench.running()
        bench.renew(1)
        var ticks = 0
        while bench.tick().isEmpty, ticks < 20 {
            bench.renew(1)
            ticks += 1
        }
        #expect((2...6).contains(ticks))
    }

    @Test func `A silent class S node is charged until its grant is dead, then its fallback`()
        throws
    {
        var bench = try GrantorBench.running()
        bench.targets[0] = .watts(900)
        bench.renew(0)
        bench.tick()
        bench.pass(bench.waitMilliseconds - 501)
        bench.tick()
        #expect(bench.charges[0] == 900)
        #expect(bench.state(0) == .silent)
        bench.tick()
        #expect(bench.charges[0] == 300)
        #expect(bench.state(0) == .fallback)
        #expect(bench.grantor.counts.leaseExpiries > 0)
    }

    @Test func `A silent class U node stays charged; the mutant reclaims it by time`() throws {
        for rules in [LeaseRules.production, LeaseRules(breaking: .reclaimsUnsupervisedByTime)] {
            var bench = try GrantorBench.running(rules: rules)
            bench.targets[3] = .watts(900)
            bench.renew(3)
            bench.tick()
            bench.pass(bench.waitMilliseconds)
            bench.tick()
            bench.tick()
            let isReclaimed = rules.breaks(.reclaimsUnsupervisedByTime)
            #expect(bench.charges[3] == (isReclaimed ? 300 : 900))
            if !isReclaimed { #expect(bench.state(3) == .silent) }
        }
    }

    @Test func `A session that ended makes its node silent at once, and drops its renewal`() throws
    {
        var bench = try GrantorBench.running()
        bench.renew(0)
        bench.grantor.sessionEnded(NodeIndex(0))
        #expect(bench.state(0) == .silent)
        #expect(!bench.tick().contains { $0.node == NodeIndex(0) })
        bench.renew(0)
        #expect(bench.state(0) == .live)
    }

    @Test func `After a step down nothing is answered, and a late commit changes nothing`() throws {
        var bench = try GrantorBench.running()
        bench.targets[0] = .watts(900)
        bench.renew(0)
        bench.pass(500)
        let write = try proposal(of: &bench)
        bench.grantor.stepDown()
        #expect(bench.commit(write).isEmpty)
        #expect(bench.renew(0) == .notLeading)
        #expect(bench.tick().isEmpty)
    }

    @Test func `Unchanged shards are not written again, the site's record always is`() throws {
        var bench = try GrantorBench.running()
        bench.pass(500)
        let write = bench.propose()
        #expect(write?.shards.isEmpty == true)
        #expect(write?.site.heartbeat == bench.grantor.revision + 1)
        #expect(write?.comparesVersions == true)
    }
}

@Suite struct `Put-back stores` {
    @Test func `A fence above what this store has written stops the site`() throws {
        var bench = try GrantorBench.running()
        let heartbeat = bench.grantor.revision
        let id = GrantorBench.id(1)
        let ahead = LeaseOrder(epoch: 1, sequence: heartbeat + 1)
        #expect(bench.renew(0, fence: ahead, fenceID: id) == .storeRolledBack(fence: ahead))
        let last = LeaseOrder(epoch: 1, sequence: heartbeat)
        #expect(bench.renew(0, fence: last, fenceID: id) == .queued)
        let stranger = RandomID(high: 6, low: 6)
        #expect(bench.renew(0, fence: last, fenceID: stranger) == .storeRolledBack(fence: last))
        try bench.failOver()
        #expect(bench.renew(0, fence: last, fenceID: id) == .queued)
        #expect(bench.renew(0, fence: ahead, fenceID: id) == .storeRolledBack(fence: ahead))
        #expect(bench.renew(0, fence: last, fenceID: stranger) == .storeRolledBack(fence: last))
    }

    @Test
    func `A distrusted store is found out by a report above its charge, a trusted one is not`()
        throws
    {
        var bench = try GrantorBench.running()
        #expect(bench.renew(0, enforced: 301) == .queued)
        bench.epoch += 1
        try bench.grantor.takeOver(
            epoch: bench.epoch, epochID: GrantorBench.id(bench.epoch), ledger: bench.stored,
            now: bench.now, isStoreDistrusted: true)
        #expect(bench.renew(0, enforced: 300) == .queued)
        #expect(bench.renew(0, enforced: 301) == .storeRolledBack(fence: .zero))
    }

    @Test func `A fence of a later epoch says that this leader is superseded`() throws {
        var bench = try GrantorBench.running()
        let later = LeaseOrder(epoch: 9, sequence: 1)
        #expect(bench.renew(0, fence: later, fenceID: GrantorBench.id(9)) == .superseded(by: 9))
    }

    @Test func `A site that starts anew knows no fence at all`() throws {
        var bench = try GrantorBench()
        let fence = LeaseOrder(epoch: 1, sequence: 1)
        #expect(
            bench.renew(0, fence: fence, fenceID: GrantorBench.id(1))
                == .storeRolledBack(fence: fence))
    }
}
