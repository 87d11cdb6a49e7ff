// SPDX-License-Identifier: Apache-2.0

import FleetModel

@testable import AllocationCore

/// Which power trees a random fleet has.
enum FeedLayout: CaseIterable {
    /// One tree.
    case single
    /// Two feeds, each behind the same racks: domains nest.
    case paired
    /// Two feeds behind different halves of the racks: domains cross.
    case crossing
}

/// Small fleets with every feature that a placement may trip over.
enum RandomFleet {
    static func topology(
        _ layout: FeedLayout, _ generator: inout SeededGenerator, rackCount: Int = 2,
        nodesPerRack: ClosedRange<Int> = 1...2, gpusPerNode: ClosedRange<Int> = 1...3
    ) -> Topology {
        var domains = [
            domain("site", "site", parent: nil, tree: 0), domain("row", "row", parent: 0, tree: 0),
        ]
        let racks = (0..<rackCount).map { rack in
            domains.append(domain("rack\(rack)", "rack", parent: 1, tree: 0))
            return domains.count - 1
        }
        var feeds: [Int] = []
        if layout != .single {
            domains.append(domain("feed", "feed", parent: nil, tree: 1))
            let root = domains.count - 1
            for feed in 0..<rackCount {
                domains.append(domain("feed\(feed)", "feed", parent: root, tree: 1))
                feeds.append(domains.count - 1)
            }
        }
        let types = (0..<2).map { nodeType($0, gpusPerNode, &generator) }
        var nodes: [Node] = []
        var gpuCount = 0
        for rack in 0..<rackCount {
            for index in 0..<generator.pick(nodesPerRack) {
                let type = generator.pick(0...1)
                var leaves = [DomainIndex(racks[rack])]
                if layout == .paired { leaves.append(DomainIndex(feeds[rack])) }
                if layout == .crossing {
                    leaves.append(DomainIndex(feeds[(rack + index) % rackCount]))
                }
                nodes.append(
                    Node(
                        name: "n\(nodes.count)", site: SiteIndex(0), type: type, leaves: leaves,
                        firstGPU: GPUIndex(gpuCount)))
                gpuCount += Int(types[type].gpuCount)
            }
        }
        return Topology(
            fleetName: "small",
            sites: [Site(name: "s", root: DomainIndex(0), allotment: .watts(1_000_000))],
            domains: domains, gpuModels: [model("A", 300), model("B", 500)], nodeTypes: types,
            nodes: nodes, lease: LeaseParameters())
    }

    static func model(_ name: String, _ maximum: Int64) -> GPUModel {
        GPUModel(
            name: name, vendor: .nvidia, idle: Milliwatts(20), minimumCap: Milliwatts(100),
            maximumCap: Milliwatts(maximum), defaultFloor: Milliwatts(maximum - 100),
            memoryMiB: 1, isEstimate: true, source: "test")
    }

    private static func domain(
        _ name: String, _ level: String, parent: Int?, tree: UInt8
    ) -> PowerDomain {
        PowerDomain(
            name: name, level: level, site: SiteIndex(0), parent: parent.map { DomainIndex($0) },
            tree: tree, limit: .watts(1_000_000), overhead: .zero)
    }

    private static func nodeType(
        _ model: Int, _ gpus: ClosedRange<Int>, _ generator: inout SeededGenerator
    ) -> NodeType {
        let count = generator.pick(gpus)
        return NodeType(
            name: "t\(model)", model: ModelIndex(model), gpuCount: UInt16(count),
            cpuMilli: UInt32(generator.pick(2...6) * 1000), memoryMiB: 64,
            fallback: Milliwatts(Int64(count * 120 + generator.pick(0...2))),
            enforcementClass: .supervised, bootState: .fallback, settleNanoseconds: 0,
            labels: model == 0 ? ["disk": "ssd"] : [:])
    }

    /// A random job for such a fleet.
    static func job(
        _ generator: inout SeededGenerator, tasks: ClosedRange<Int> = 1...4
    ) -> JobSpec {
        let gpus = generator.element(of: [0, 1, 1, 1, 1, 2, 3])
        let milli = gpus == 1 ? generator.element(of: [1000, 1000, 250, 400, 700]) : 1000
        var spec = JobSpec(
            name: "job", taskCount: UInt32(generator.pick(tasks)),
            task: TaskRequest(
                gpuCount: UInt16(gpus), gpuMilli: UInt16(milli),
                cpuMilli: UInt32(generator.pick(0...2) * 1000),
                memoryMiB: UInt32(generator.pick(0...2) * 16)))
        spec.isSpread = generator.oneIn(3)
        if generator.oneIn(4) { spec.models = [generator.element(of: ["A", "B"])] }
        if generator.oneIn(8) { spec.selector = ["disk": "ssd"] }
        if generator.oneIn(4) { spec.requiredLevel = generator.element(of: ["rack", "row"]) }
        if generator.oneIn(5) { spec.preferredLevel = generator.element(of: ["rack", "row"]) }
        if generator.oneIn(4) {
            spec.levelSpread = LevelSpread(
                level: generator.element(of: ["rack", "rack", "row"]),
                maximumTasks: generator.element(of: [nil, 1, 2, 3]))
        }
        spec.isFullPace = generator.oneIn(8)
        if !spec.isFullPace, generator.oneIn(3) {
            spec.floor = Milliwatts(generator.element(of: [50, 100, 150, 280, 320]))
        }
        return spec
    }
}
