// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel
import Testing

/// A grantor over four nodes of two 500 W GPUs in two racks, with a store that a test can look into.
///
/// u_n = 1000 W, f_n = 300 W, node 3 is of class U. Root: 2000 W, racks: 1500 W each.
struct GrantorBench {
    static let millisecond: Int64 = 1_000_000
    var grantor: SiteGrantor
    var now = ClockReading(rawNanoseconds: 0, bootNanoseconds: 900)
    var stored: LedgerSnapshot
    var targets = [Milliwatts](repeating: .watts(300), count: 4)
    var floors = [Milliwatts](repeating: .zero, count: 4)
    var epoch: UInt64 = 1
    private var nonce: UInt64 = 0

    static func topology(
        rootWatts: Int64 = 2000, fallbackWatts: Int64 = 300, leaseSeconds: Int64 = 10
    ) -> Topology {
        let model = GPUModel(
            name: "m", vendor: .other, idle: .zero, minimumCap: .watts(100),
            maximumCap: .watts(500), defaultFloor: .watts(200), memoryMiB: 1, isEstimate: true,
            source: "test")
        let types = [EnforcementClass.supervised, .unsupervised].map {
            NodeType(
                name: $0.rawValue, model: ModelIndex(0), gpuCount: 2, cpuMilli: 1, memoryMiB: 1,
                fallback: .watts(fallbackWatts), enforcementClass: $0, bootState: .default,
                settleNanoseconds: 200 * millisecond)
        }
        let domains = [rootWatts, 1500, 1500].enumerated().map { position, watts in
            PowerDomain(
                name: "d\(position)", level: "x", site: SiteIndex(0),
                parent: position == 0 ? nil : DomainIndex(0), tree: 0, limit: .watts(watts + 50),
                overhead: .watts(50))
        }
        let nodes = (0..<4).map {
            Node(
                name: "n\($0)", site: SiteIndex(0), type: $0 == 3 ? 1 : 0,
                leaves: [DomainIndex(1 + $0 / 2)], firstGPU: GPUIndex(2 * $0))
        }
        return Topology(
            fleetName: "f",
            sites: [Site(name: "s", root: DomainIndex(0), allotment: .watts(rootWatts + 50))],
            domains: domains, gpuModels: [model], nodeTypes: types, nodes: nodes,
            lease: LeaseParameters(leaseNanoseconds: leaseSeconds * 1_000_000_000))
    }

    /// A first start.
    init(
        topology: Topology = GrantorBench.topology(), stored: LedgerSnapshot = LedgerSnapshot(),
        rules: LeaseRules = .production
    ) throws {
        grantor = SiteGrantor(topology: topology, site: SiteIndex(0), rules: rules)
        self.stored = stored
        epoch = (stored.site?.epoch ?? 0) + 1
        try grantor.takeOver(
            epoch: epoch, epochID: GrantorBench.id(epoch), ledger: stored, now: now)
    }

    /// A site that has left commissioning: every node is proven, and none waits for an answer.
    static func running(
        rules: LeaseRules = .production, topology: Topology = GrantorBench.topology()
    ) throws -> GrantorBench {
        var bench = try GrantorBench(topology: topology, rules: rules)
        for node in 0..<4 { bench.renew(node) }
        for issued in bench.tick() { bench.acknowledge(issued) }
        bench.tick()
        bench.pass(4000)
        bench.tick()
        #expect(bench.grantor.isCommissioned)
        return bench
    }

    static func id(_ epoch: UInt64) -> RandomID { RandomID(high: 5, low: epoch) }

    mutating func pass(_ milliseconds: Int64) {
        now = now.advanced(by: milliseconds * GrantorBench.millisecond)
    }

    /// W of the bench's lease, rounded up to a millisecond.
    var waitMilliseconds: Int64 {
        grantor.topology.lease.waitNanoseconds / GrantorBench.millisecond + 1
    }

    /// A renewal of a node whose self-test has passed when it is of class S.
    @discardableResult mutating func renew(
        _ node: Int, ack: LeaseAck? = nil, incarnation: UInt64 = 1,
        fence: LeaseOrder = .zero, fenceID: RandomID = .none, enforced: Int64 = 300,
        proven: Bool? = nil
    ) -> SiteGrantor.OnRenewal {
        nonce += 1
        let isProven = proven ?? (node != 3)
        return grantor.renewalReceived(
            LeaseRenewal(
                incarnation: RandomID(high: incarnation, low: UInt64(node)), nonce: nonce, ack: ack,
                fence: ack?.order ?? fence, fenceEpochID: ack?.epochID ?? fenceID,
                enforced: .watts(enforced),
                provenEnforcerNanoseconds: isProven ? 1_000_000_000 : nil),
            from: NodeIndex(node), now: now)
    }

    /// The node has done what it was granted, and renews.
    mutating func acknowledge(_ issued: IssuedGrant) {
        let grant = issued.grant
        let ack = LeaseAck(
            order: grant.order, epochID: grant.epochID, cap: grant.cap,
            fallbackVersion: grant.fallbackVersion)
        renew(issued.node.position, ack: ack)
    }

    /// Half a second, a tick, and its commit; the grants to send.
    @discardableResult mutating func tick() -> [IssuedGrant] {
        pass(500)
        guard let write = grantor.tick(now: now, targets: targets, floors: floors) else {
            return []
        }
        return commit(write)
    }

    /// A tick without its half second and without its commit.
    mutating func propose() -> LedgerWrite? {
        grantor.tick(now: now, targets: targets, floors: floors)
    }

    mutating func commit(_ write: LedgerWrite) -> [IssuedGrant] {
        stored.site = write.site
        for change in write.shards {
            if change.number == stored.shards.count {
                stored.shards.append(change.shard)
            } else {
                stored.shards[change.number] = change.shard
            }
        }
        var grants: [IssuedGrant] = []
        grantor.writeCommitted(sequence: write.sequence, now: now, into: &grants)
        grantor.checkInvariants()
        return grants
    }

    /// Another leader takes over from the store.
    mutating func failOver() throws {
        epoch += 1
        try grantor.takeOver(
            epoch: epoch, epochID: GrantorBench.id(epoch), ledger: stored, now: now)
    }

    /// The charges in whole watts.
    var charges: [Int64] { (0..<4).map { grantor.charge(of: NodeIndex($0)).rawValue / 1000 } }

    func state(_ node: Int) -> NodeLeaseState? {
        grantor.view(of: NodeIndex(node), now: now)?.state
    }
}

/// The write of a tick, which there must be.
func proposal(of bench: inout GrantorBench) throws -> LedgerWrite {
    let write = bench.propose()
    return try #require(write)
}
