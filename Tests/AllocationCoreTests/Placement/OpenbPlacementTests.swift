// SPDX-License-Identifier: Apache-2.0

// Goal: a production trace is placed on the production fleet under power limits that are tighter than the
// fleet, at least 92 % of its GPU demand, and what is refused fits nowhere. Debug builds take an eighth of
// the fleet and of the pods.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Placement of a production trace")
struct OpenbPlacementTests {
    /// Racks of 8 nodes, rows of 10 racks, two feeds that split each row, with limits at `percent` of
    /// the GPUs' maximum.
    private func topology(_ nodes: [ExperimentNode], percent: Int64) -> Topology {
        let watts: [String: Int64] = [
            "T4": 70, "G2": 150, "A10": 150, "P100": 250, "V100M16": 300, "V100M32": 300, "G3": 400,
        ]
        let names = watts.keys.sorted()
        var topology = Topology(
            fleetName: "openb",
            sites: [Site(name: "s", root: DomainIndex(0), allotment: .maximum)],
            domains: [domain("site", nil, 0), domain("feeds", nil, 1)],
            gpuModels: names.map { RandomFleet.model($0, (watts[$0] ?? 0) * 1000) }, nodeTypes: [],
            nodes: [], lease: LeaseParameters())
        for index in topology.gpuModels.indices {
            let maximum = topology.gpuModels[index].maximumCap.rawValue
            topology.gpuModels[index].defaultFloor = Milliwatts(maximum / 2)
        }
        var gpuCount = 0
        var (row, rack, feed) = (0, 0, 0)
        for (index, node) in nodes.enumerated() {
            if index % 80 == 0 { row = topology.add(domain("row\(index)", 0, 0)) }
            if index % 40 == 0 { feed = topology.add(domain("feed\(index)", 1, 1)) }
            if index % 8 == 0 { rack = topology.add(domain("rack\(index)", row, 0)) }
            let type = topology.type(of: node, model: names.firstIndex(of: node.model) ?? 0)
            topology.nodes.append(
                Node(
                    name: node.name, site: SiteIndex(0), type: type,
                    leaves: [DomainIndex(rack), DomainIndex(feed)], firstGPU: GPUIndex(gpuCount)))
            gpuCount += Int(node.gpuCount)
        }
        topology.setLimits(percent: percent)
        return topology
    }

    private func domain(_ name: String, _ parent: Int?, _ tree: UInt8) -> PowerDomain {
        PowerDomain(
            name: name, level: name.filter(\.isLetter), site: SiteIndex(0),
            parent: parent.map { DomainIndex($0) }, tree: tree, limit: .zero, overhead: .zero)
    }

    private func spec(_ pod: ExperimentPod) -> JobSpec {
        JobSpec(name: pod.name, task: pod.task, models: pod.models)
    }

    @Test(
        "At least 92 % of the arrived GPU demand is placed, within every limit",
        arguments: [85, 62])
    func default92(percent: Int) throws {
        let step = PlacementExperimentTests.isWhole ? 1 : 8
        let nodes = try OpenbTrace.nodes().enumerated().filter { $0.offset % step == 0 }
        let topology = topology(nodes.map(\.element), percent: Int64(percent))
        let pods = try OpenbTrace.pods("default").enumerated().filter { $0.offset % step == 0 }
        var engine = PlacementEngine(topology: topology)
        var (arrived, placed, refused) = (0, 0, 0)
        for (index, pod) in pods.map(\.element).enumerated() {
            arrived += pod.gpuMilli
            let outcome = engine.place(spec(pod), explaining: false)
            guard case .placed(let placement) = outcome else {
                refused += 1
                if refused % 20 == 1 { expectNoRoom(engine, pod) }
                continue
            }
            try engine.hold(JobID(UInt64(index + 1)), spec(pod), placement)
            placed += pod.gpuMilli
        }
        #expect(engine.firstBrokenInvariant() == nil)
        for domain in topology.domains.indices {
            #expect(engine.headroom(of: DomainIndex(domain)) >= .zero)
        }
        #expect(placed * 100 >= arrived * 92, "\(placed) of \(arrived) thousandths")
    }

    /// Tries every node and device by holding the pod there.
    private func expectNoRoom(_ engine: PlacementEngine, _ pod: ExperimentPod) {
        var engine = engine
        let topology = engine.topology
        for node in topology.nodes.indices {
            let model = topology.model(of: NodeIndex(node)).name
            guard pod.models.isEmpty || pod.models.contains(model) else { continue }
            let free = (0..<Int(topology.type(of: NodeIndex(node)).gpuCount)).filter {
                engine.freeMilli(of: NodeIndex(node), device: $0) >= Int(pod.task.gpuMilli)
            }
            let count = Int(pod.task.gpuCount)
            guard free.count >= count else { continue }
            let choices = count == 1 ? free.map { [$0] } : [Array(free.prefix(count))]
            for choice in choices {
                let placement = TaskPlacement(
                    node: NodeIndex(node), devices: choice.map { UInt16($0) })
                do {
                    try engine.hold(JobID(1_000_000), spec(pod), [placement])
                    Issue.record("\(pod.name) was refused and fits node \(node)")
                    return
                } catch {
                    continue
                }
            }
        }
    }
}

extension Topology {
    fileprivate mutating func add(_ domain: PowerDomain) -> Int {
        domains.append(domain)
        return domains.count - 1
    }

    fileprivate mutating func type(of node: ExperimentNode, model: Int) -> Int {
        let maximum = gpuModels[model].maximumCap.rawValue
        let type = NodeType(
            name: "\(node.model)x\(node.gpuCount)", model: ModelIndex(model),
            gpuCount: node.gpuCount, cpuMilli: node.cpuMilli, memoryMiB: node.memoryMiB,
            fallback: Milliwatts(maximum * Int64(node.gpuCount) * 3 / 10),
            enforcementClass: .supervised, bootState: .fallback, settleNanoseconds: 0)
        if let known = nodeTypes.firstIndex(of: type) { return known }
        nodeTypes.append(type)
        return nodeTypes.count - 1
    }

    fileprivate mutating func setLimits(percent: Int64) {
        for node in nodes.indices {
            let share = Milliwatts(uncapped(NodeIndex(node)).rawValue * percent / 100)
            var carriers: [DomainIndex] = []
            forEachDomain(of: NodeIndex(node)) { carriers.append($0) }
            for domain in carriers { domains[domain.position].limit += share }
        }
    }
}
