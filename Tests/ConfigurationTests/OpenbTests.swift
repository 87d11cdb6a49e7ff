// SPDX-License-Identifier: Apache-2.0

// Goal: the trace is read as its authors meant it, and the topology made of it is the one that is
// checked in.

import Configuration
import FleetModel
import Foundation
import Testing

@Suite struct OpenbTests {
    static let data = repository.appending(path: "Tests/Data/openb")

    func nodes() throws -> [ListedNode] {
        try NodeList.load(Self.data.appending(path: "openb_node_list_gpu_node.csv").path)
    }

    func pods(_ list: String) throws -> [ListedPod] {
        try PodList.load(Self.data.appending(path: "openb_pod_list_\(list).csv").path)
    }

    @Test("The node list holds 1,213 servers and 6,212 GPUs")
    func readsNodes() throws {
        let nodes = try nodes()
        #expect(nodes.count == 1213)
        #expect(nodes.reduce(0) { $0 + Int($1.gpuCount) } == 6212)
        #expect(nodes.reduce(0) { $0 + Int($1.cpuMilli) } == 107_018_000)
        #expect(nodes.reduce(0) { $0 + Int($1.memoryMiB) } == 503_828_480)
    }

    @Test("The default pod list asks for 98 % of the GPUs")
    func readsDefaultPods() throws {
        let pods = try pods("default")
        #expect(pods.count == 8152)
        let demand = pods.reduce(0) { $0 + Int($1.task.gpuCount) * Int($1.task.gpuMilli) }
        #expect(demand == 6_086_800)
        #expect(pods.count { $0.task.gpuCount == 0 } == 1088)
        #expect(pods.count { (1...999).contains($0.task.gpuMilli) } == 3078)
        #expect(pods.allSatisfy { $0.creationSeconds != nil })
        let ordered = PodList.inOrderOfCreation(pods)
        #expect(ordered.count == pods.count)
        #expect(
            zip(ordered, ordered.dropFirst()).allSatisfy {
                ($0.creationSeconds ?? 0) <= ($1.creationSeconds ?? 0)
            })
    }

    @Test("Every list is read, with and without the further columns")
    func readsOtherLists() throws {
        #expect(try pods("cpu050").count == 7439)
        #expect(try pods("gpushare60").count == 8152)
        let constrained = try pods("gpuspec20")
        #expect(constrained.count { !$0.models.isEmpty } == 1444)
        #expect(constrained.contains { $0.models == ["V100M16", "V100M32"] })
        let bare = try pods("multigpu30")
        #expect(bare.allSatisfy { $0.creationSeconds == nil && $0.models.isEmpty })
        #expect(PodList.inOrderOfCreation(bare) == bare)
    }

    @Test("The generated topology is the one that is checked in")
    func regenerates() throws {
        let text = try OpenbTopology.yaml(nodes: nodes(), listName: "nodes")
        let url = repository.appending(path: "cluster/topologies/openb.yaml")
        if ProcessInfo.processInfo.environment["BUSBAR_REWRITE"] == "1" {
            try Data(text.utf8).write(to: url)
        }
        let checkedIn = try String(contentsOf: url, encoding: .utf8)
        #expect(text == checkedIn, "run the test with BUSBAR_REWRITE=1 and look at the difference")
    }

    @Test("The generated topology has the trace's servers, two sites, 16 rows and 152 racks")
    func shape() throws {
        let topology = try shipped("openb.yaml").topology
        let nodes = try nodes()
        #expect(topology.nodes.map(\.name) == nodes.map(\.name))
        #expect(topology.gpuCount == 6212)
        #expect(topology.sites.count == 2)
        #expect(topology.domains.count { $0.level == "row" } == 16)
        #expect(topology.domains.count { $0.level == "rack" } == 152)
        #expect(topology.nodeTypes.allSatisfy { $0.enforcementClass == .supervised })
        for (position, node) in nodes.enumerated() {
            let index = NodeIndex(position)
            #expect(topology.model(of: index).name == node.model)
            #expect(topology.type(of: index).gpuCount == node.gpuCount)
            #expect(topology.type(of: index).cpuMilli == node.cpuMilli)
            #expect(topology.type(of: index).memoryMiB == node.memoryMiB)
        }
    }

    @Test("Limits are 85 % of the GPUs' maximum, in three rows 60 %")
    func limits() throws {
        let topology = try shipped("openb.yaml").topology
        var sums = [Int64](repeating: 0, count: topology.domains.count)
        for position in topology.nodes.indices {
            let node = NodeIndex(position)
            topology.forEachDomain(of: node) {
                sums[$0.position] += topology.uncapped(node).rawValue
            }
        }
        var tight: [String] = []
        for (domain, sum) in zip(topology.domains, sums) {
            if domain.budget.rawValue * 100 == sum * 60 {
                tight.append(domain.level)
            } else {
                #expect(domain.budget.rawValue * 100 == sum * 85, "\(domain.name)")
            }
        }
        #expect(tight == ["row", "row", "row"])
    }

    @Test("A server of an unknown model is refused with its line")
    func refusesUnknownModel() throws {
        let nodes = try NodeList.parse(
            Array("sn,cpu_milli,memory_mib,gpu,model\nn1,1000,1024,8,X1\n".utf8), name: "list")
        let error = try #require(throws: ConfigurationError.self) {
            try OpenbTopology.yaml(nodes: nodes, listName: "list")
        }
        #expect(error.description.hasPrefix("list:2: there are no figures for GPU model 'X1'"))
    }
}
