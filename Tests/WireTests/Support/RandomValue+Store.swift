// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Wire

extension LedgerShard: RandomValue {
    static func random(_ source: inout SeededGenerator) -> LedgerShard {
        let count = Int.random(in: 0...nodeCount, using: &source)
        var shard = LedgerShard(firstNode: source.number())
        shard.charge = source.powers(count)
        shard.unleased = source.powers(count)
        shard.fallback = source.powers(count)
        shard.fallbackVersion = (0..<count).map { _ in source.number() }
        shard.proof = (0..<count).map { _ in source.pick() }
        shard.isSupervised = (0..<count).map { _ in source.flag() }
        shard.floors = source.powers(count)
        return shard
    }
}

extension SiteRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> SiteRecord {
        let count = Int.random(in: 0...40, using: &source)
        return SiteRecord(
            epochID: source.value(), epoch: source.number(), heartbeat: source.number(),
            leaseNanoseconds: source.duration(),
            hasLeftCommissioning: (0..<count).map { _ in source.flag() },
            effectiveLimit: source.powers(count), firstStartUnixMilliseconds: source.number(),
            commissionedUnixMilliseconds: source.number())
    }
}

extension JobRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> JobRecord {
        JobRecord(
            id: JobID(source.number()), requestID: source.value(), spec: source.value(),
            state: source.pick(), submittedUnixMilliseconds: source.number(),
            submittedBy: source.text(), attempt: source.number(),
            tasks: source.list(upTo: 5) { source in
                TaskRecord(
                    placement: TaskPlacement(
                        node: NodeIndex(rawValue: source.number()),
                        devices: TaskStart.devices(&source)),
                    state: source.text())
            }, ledgerRevision: source.number(), message: source.text(),
            startedUnixMilliseconds: source.number(),
            preemptedBy: source.flag() ? JobID(max(1, source.number())) : nil,
            isRequeued: source.flag())
    }
}

extension FleetRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> FleetRecord {
        FleetRecord(
            nextJobID: source.number(), topologyHash: source.number(),
            jobsPlacedTotal: source.number(), jobsFinishedTotal: source.number(),
            nextEvent: source.number(), allotments: source.powers(3))
    }
}

extension ReservationRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> ReservationRecord {
        ReservationRecord(
            name: source.name(), spec: source.value(), expiresUnixMilliseconds: source.number(),
            actor: source.text(),
            placement: source.list(upTo: 5) { source in
                TaskPlacement(
                    node: NodeIndex(rawValue: source.number()),
                    devices: TaskStart.devices(&source))
            })
    }
}

extension ReservationView: RandomValue {
    static func random(_ source: inout SeededGenerator) -> ReservationView {
        ReservationView(
            name: source.name(), spec: source.value(), expiresUnixMilliseconds: source.number(),
            madeBy: source.text(), gpuCount: source.number(), keptGPUCount: source.number(),
            nodes: source.text())
    }
}

extension NodeRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> NodeRecord {
        NodeRecord(
            node: NodeIndex(rawValue: source.number()), mark: source.pick(), actor: source.text(),
            reason: source.text(), unixMilliseconds: source.number())
    }
}

extension EventRecord: RandomValue {
    static func random(_ source: inout SeededGenerator) -> EventRecord {
        EventRecord(
            number: source.number(), unixMilliseconds: source.number(), actor: source.text(),
            kind: source.text(), subject: source.text(), message: source.text())
    }
}

extension FleetPlan: RandomValue {
    /// A fleet of a few sites, each with a primary tree and perhaps a second feed.
    static func random(_ source: inout SeededGenerator) -> FleetPlan {
        var topology = Topology(
            fleetName: source.name(), sites: [], domains: [],
            gpuModels: (0..<3).map { model(&source, name: "model \($0)") }, nodeTypes: [],
            nodes: [],
            lease: LeaseParameters(
                leaseNanoseconds: source.duration(), enforcerNanoseconds: source.duration(),
                settleNanoseconds: source.duration(),
                driftPPM: Int64(source.number(upTo: UInt32(500_000))),
                tickNanoseconds: source.duration(), holdNanoseconds: source.duration()))
        topology.nodeTypes = (0..<3).map { type(&source, name: "type \($0)") }
        for site in 0..<Int.random(in: 1...3, using: &source) {
            addSite(site, to: &topology, &source)
        }
        return FleetPlan(topology: topology)
    }

    private static func addSite(
        _ site: Int, to topology: inout Topology, _ source: inout SeededGenerator
    ) {
        let primary = addTree(0, ofSite: site, to: &topology, &source)
        topology.sites.append(
            Site(name: "site\(site)", root: primary.lowerBound, allotment: source.power()))
        let second =
            source.flag() ? addTree(1, ofSite: site, to: &topology, &source) : nil
        for number in 0..<Int.random(in: 0...5, using: &source) {
            var leaves = [DomainIndex(Int.random(in: primary.positions, using: &source))]
            if let second {
                leaves.append(DomainIndex(Int.random(in: second.positions, using: &source)))
            }
            let type = Int.random(in: topology.nodeTypes.indices, using: &source)
            let first = topology.gpuCount
            topology.nodes.append(
                Node(
                    name: "n\(site)-\(number)", site: SiteIndex(site), type: type, leaves: leaves,
                    firstGPU: GPUIndex(first)))
        }
    }

    private static func addTree(
        _ tree: UInt8, ofSite site: Int, to topology: inout Topology,
        _ source: inout SeededGenerator
    ) -> Range<DomainIndex> {
        let first = topology.domains.count
        for number in 0..<Int.random(in: 1...6, using: &source) {
            let parent =
                number == 0 ? nil : Int.random(in: first..<(first + number), using: &source)
            let limit = source.power()
            topology.domains.append(
                PowerDomain(
                    name: "site\(site)/tree\(tree)/d\(number)", level: source.text(),
                    site: SiteIndex(site), parent: parent.map { DomainIndex($0) }, tree: tree,
                    limit: limit, overhead: min(limit, source.power())))
        }
        return DomainIndex(first)..<DomainIndex(topology.domains.count)
    }

    private static func model(_ source: inout SeededGenerator, name: String) -> GPUModel {
        GPUModel(
            name: name, vendor: source.pick(), idle: source.power(), minimumCap: source.power(),
            maximumCap: source.power(), defaultFloor: source.power(), memoryMiB: source.number(),
            isEstimate: source.flag(), source: source.text())
    }

    private static func type(_ source: inout SeededGenerator, name: String) -> NodeType {
        NodeType(
            name: name, model: ModelIndex(Int.random(in: 0..<3, using: &source)),
            gpuCount: source.number(upTo: 64), cpuMilli: source.number(),
            memoryMiB: source.number(), fallback: source.power(),
            enforcementClass: source.pick(), bootState: source.pick(),
            settleNanoseconds: source.duration(), labels: ["a": source.text(), "b": source.text()])
    }
}

extension Range<DomainIndex> {
    /// The positions of the domains.
    fileprivate var positions: Range<Int> { lowerBound.position..<upperBound.position }
}
