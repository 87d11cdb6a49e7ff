// SPDX-License-Identifier: Apache-2.0

// Goal: the topologies that come with Busbar keep the promises that their comments and the
// documentation make.

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
}
