// SPDX-License-Identifier: Apache-2.0

// Goal: the topologies that come with Busbar keep the promises that their comments and the
// documentation make.

import AllocationCore
import Configuration
import FleetModel
import Foundation
import Testing

/// The root of the repository.
let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

func shipped(_ name: String) throws -> FleetFile {
    try FleetFile.load(repository.appending(path: "cluster/topologies/\(name)").path)
}

@Suite struct ShippedTopologyTests {
    @Test("The quickstart has two sites, two vendors, both classes and exactly 256 GPUs")
    func quickstartShape() throws {
        let topology = try shipped("quickstart.yaml").topology
        #expect(topology.gpuCount == 256)
        #expect(topology.nodes.count == 32)
        #expect(topology.sites.map(\.name) == ["dublin", "oslo"])
        #expect(Set(topology.gpuModels.map(\.vendor)) == [.nvidia, .amd])
        #expect(Set(topology.nodeTypes.map(\.enforcementClass)) == [.supervised, .unsupervised])
        #expect(topology.nodeTypes.allSatisfy { $0.gpuCount == 8 })
        let dublin = topology.nodes.filter { $0.site.position == 0 }
        #expect(dublin.allSatisfy { $0.leaves.count == 2 })
        #expect(topology.domains.contains { $0.tree == 1 && $0.name == "dublin/ups/string2" })
    }

    @Test("The quickstart's jobs all fit, caps bind in several domains, and servers stay free")
    func quickstartLoad() throws {
        let file = try shipped("quickstart.yaml")
        let topology = file.topology
        var engine = PlacementEngine(topology: topology)
        var full = [Int64](repeating: 0, count: topology.domains.count)
        var isTouched = [Bool](repeating: false, count: topology.nodes.count)
        for (number, spec) in file.sampleJobs.enumerated() {
            let tasks = try place(spec, JobID(UInt64(number + 1)), &engine)
            for task in tasks {
                isTouched[task.node.position] = true
                let watts = topology.model(of: task.node).maximumCap.rawValue
                topology.forEachDomain(of: task.node) { domain in
                    full[domain.position] += watts * Int64(task.devices.count)
                }
            }
        }
        for position in topology.nodes.indices where !isTouched[position] {
            topology.forEachDomain(of: NodeIndex(position)) { domain in
                full[domain.position] += topology.type(of: NodeIndex(position)).fallback.rawValue
            }
        }
        let binding = zip(topology.domains, full).filter { $0.budget.rawValue < $1 }.map(\.0.name)
        #expect(binding.count >= 3, "\(binding)")
        #expect(topology.sites.allSatisfy { site in binding.contains { $0.hasPrefix(site.name) } })

        // Whole servers of either vendor, with the watts for their floors.
        for model in ["H100-SXM", "MI300X"] {
            let whole = JobSpec(
                name: "whole", taskCount: 4,
                task: TaskRequest(
                    gpuCount: 8, gpuMilli: 1000, cpuMilli: 192_000, memoryMiB: 1 << 21),
                isSpread: true, models: [model])
            _ = try place(whole, JobID(model == "MI300X" ? 1001 : 1000), &engine)
        }
    }

    @Test("The spare servers' rack can run them at full power beside everything else")
    func quickstartSpare() throws {
        let topology = try shipped("quickstart.yaml").topology
        let spare = topology.nodes.indices.filter {
            topology.nodeTypes[topology.nodes[$0].type].labels["pool"] == "spare"
        }
        #expect(spare.count == 4)
        // Everything in the site, at full power where its own rack allows it.
        var need = [Int64](repeating: 0, count: topology.domains.count)
        for position in topology.domains.indices where topology.domains[position].level == "rack" {
            let rack = topology.domains[position]
            var draw: Int64 = 0
            for node in topology.nodes.indices
            where topology.nodes[node].leaves[0].position == position {
                draw += topology.uncapped(NodeIndex(node)).rawValue
            }
            var next = rack.parent
            while let domain = next {
                need[domain.position] += min(draw, rack.budget.rawValue)
                next = topology.domains[domain.position].parent
            }
        }
        for node in spare {
            var next = topology.domains[topology.nodes[node].leaves[0].position].parent
            while let domain = next {
                let above = topology.domains[domain.position]
                #expect(need[domain.position] <= above.budget.rawValue, "\(above.name)")
                next = above.parent
            }
        }
    }

    @Test("The programme has 6 GW of MI450 in four phases, and NVIDIA beside it")
    func programme() throws {
        let topology = try shipped("programme-6gw.yaml").topology
        func limit(_ prefix: String) -> Int64 {
            topology.sites.filter { $0.name.hasPrefix(prefix) }.reduce(0) {
                $0 + topology.domains[$1.root.position].limit.rawValue
            }
        }
        #expect(limit("phase-") == Milliwatts.watts(6_000_000_000).rawValue)
        #expect(limit("nvidia-") == Milliwatts.watts(1_000_000_000).rawValue)
        var gpus = [Int](repeating: 0, count: topology.gpuModels.count)
        for node in topology.nodes {
            let type = topology.nodeTypes[node.type]
            gpus[type.model.position] += Int(type.gpuCount)
        }
        let byName = Dictionary(
            uniqueKeysWithValues: zip(topology.gpuModels.map(\.name), gpus).filter { $0.1 > 0 })
        #expect(byName == ["MI450": 1_548_288, "GB300": 239_616, "VR200": 138_240])
        // Every model of the programme says that its figures are estimates.
        for (model, count) in zip(topology.gpuModels, gpus) where count > 0 {
            #expect(model.isEstimate, "\(model.name)")
        }
    }

    @Test("The one-server topology has one server and a job that fits it")
    func singleNode() throws {
        let file = try shipped("single-node.yaml")
        #expect(file.topology.nodes.count == 1)
        #expect(file.topology.gpuCount == 8)
        var engine = PlacementEngine(topology: file.topology)
        for spec in file.sampleJobs { _ = try place(spec, JobID(1), &engine) }
    }

    private func place(
        _ spec: JobSpec, _ id: JobID, _ engine: inout PlacementEngine
    ) throws -> [TaskPlacement] {
        guard case .placed(let tasks) = engine.place(spec) else {
            Issue.record("job '\(spec.name)' was not placed")
            return []
        }
        try engine.hold(id, spec, tasks)
        return tasks
    }
}
