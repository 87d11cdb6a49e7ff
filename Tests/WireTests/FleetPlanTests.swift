// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// Goal: a plan that is read can be used without a further check.
///
/// Method: a good plan, changed in one place each, encoded and read back.
@Suite("Fleet plans")
struct FleetPlanTests {
    static let good: Topology = {
        let model = GPUModel(
            name: "H100-SXM", vendor: .nvidia, idle: .watts(70), minimumCap: .watts(200),
            maximumCap: .watts(700), defaultFloor: .watts(300), memoryMiB: 81_920,
            isEstimate: false, source: "data sheet")
        let type = NodeType(
            name: "hgx", model: ModelIndex(0), gpuCount: 8, cpuMilli: 96_000, memoryMiB: 1_000_000,
            fallback: .watts(1600), enforcementClass: .supervised, bootState: .fallback,
            settleNanoseconds: 100_000_000, labels: ["pool": "a"])
        func domain(_ name: String, _ parent: Int?, tree: UInt8 = 0, site: Int = 0) -> PowerDomain {
            PowerDomain(
                name: name, level: "rack", site: SiteIndex(site),
                parent: parent.map { DomainIndex($0) }, tree: tree, limit: .watts(50_000),
                overhead: .watts(5000))
        }
        return Topology(
            fleetName: "demo",
            sites: [
                Site(name: "a", root: DomainIndex(0), allotment: .watts(50_000)),
                Site(name: "b", root: DomainIndex(3), allotment: .watts(50_000)),
            ],
            domains: [
                domain("a", nil), domain("a/r1", 0), domain("a/feed", nil, tree: 1),
                domain("b", nil, site: 1),
            ],
            gpuModels: [model], nodeTypes: [type],
            nodes: (0..<3).map {
                Node(
                    name: "n\($0)", site: SiteIndex(0), type: 0,
                    leaves: [DomainIndex(1), DomainIndex(2)], firstGPU: GPUIndex($0 * 8))
            },
            lease: LeaseParameters())
    }()

    /// A change that makes a plan unusable, and the field that the refusal names.
    struct Change: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var field: String
        var apply: @Sendable (inout Topology) -> Void
    }

    static let changes: [Change] = [
        Change(testDescription: "a fleet without a name", field: "fleet") { $0.fleetName = "" },
        Change(testDescription: "two nodes of one name", field: "nodes.name") {
            $0.nodes[1].name = "n0"
        },
        Change(testDescription: "two domains of one name", field: "domains.name") {
            $0.domains[2].name = "a"
        },
        Change(testDescription: "a domain whose name has an empty part", field: "name") {
            $0.domains[1].name = "a//r1"
        },
        Change(testDescription: "a node of a type that is not there", field: "nodes.type") {
            $0.nodes[0].type = 1
        },
        Change(testDescription: "a type of a model that is not there", field: "node_types.model") {
            $0.nodeTypes[0].model = ModelIndex(1)
        },
        Change(testDescription: "a type of 65 GPUs", field: "gpu_count") {
            $0.nodeTypes[0].gpuCount = 65
        },
        Change(testDescription: "a node in a site that is not there", field: "nodes.site") {
            $0.nodes[0].site = SiteIndex(2)
        },
        Change(testDescription: "a leaf that is not there", field: "nodes.leaves") {
            $0.nodes[0].leaves = [DomainIndex(4)]
        },
        Change(testDescription: "a node without a leaf", field: "nodes.leaves") {
            $0.nodes[0].leaves = []
        },
        Change(testDescription: "a node in the second tree only", field: "nodes.leaves") {
            $0.nodes[0].leaves = [DomainIndex(2)]
        },
        Change(testDescription: "a node twice in one tree", field: "nodes.leaves") {
            $0.nodes[0].leaves = [DomainIndex(1), DomainIndex(0)]
        },
        Change(testDescription: "a node that hangs from another site", field: "nodes.leaves") {
            $0.nodes[0].leaves = [DomainIndex(3)]
        },
        Change(testDescription: "a parent after its child", field: "domains.parent_plus_one") {
            $0.domains[0].parent = DomainIndex(1)
        },
        Change(testDescription: "a domain that is its own parent", field: "domains.parent_plus_one")
        {
            $0.domains[1].parent = DomainIndex(1)
        },
        Change(testDescription: "a parent in another site", field: "domains.parent_plus_one") {
            $0.domains[3].parent = DomainIndex(0)
        },
        Change(testDescription: "a parent in another tree", field: "domains.parent_plus_one") {
            $0.domains[2].parent = DomainIndex(0)
        },
        Change(testDescription: "a second root of a site", field: "domains.parent_plus_one") {
            $0.domains[1].parent = nil
        },
        Change(testDescription: "a domain in a site that is not there", field: "domains.site") {
            $0.domains[3].site = SiteIndex(5)
        },
        Change(testDescription: "an overhead above the limit", field: "domains.overhead_mw") {
            $0.domains[1].overhead = .watts(50_001)
        },
        Change(testDescription: "a site whose root is a rack", field: "sites.root") {
            $0.sites[0].root = DomainIndex(1)
        },
        Change(testDescription: "a site whose root is a feed", field: "sites.root") {
            $0.sites[0].root = DomainIndex(2)
        },
        Change(testDescription: "a root that is not there", field: "sites.root") {
            $0.sites[1].root = DomainIndex(4)
        },
        Change(testDescription: "a root of another site", field: "sites.root") {
            $0.sites[1].root = DomainIndex(0)
        },
    ]

    @Test("A good plan comes back as it was, with the first GPU of each node")
    func good() throws {
        let plan = FleetPlan(topology: Self.good)
        let decoded = try FleetPlan.decode(plan.encoded())
        #expect(decoded == plan)
        #expect(decoded.topology.nodes.map(\.firstGPU.position) == [0, 8, 16])
    }

    @Test("A plan with one thing wrong is refused", arguments: changes)
    func refused(change: Change) {
        var topology = Self.good
        change.apply(&topology)
        let bytes = FleetPlan(topology: topology).encoded()
        let error = #expect(throws: WireError.self) { try FleetPlan.decode(bytes) }
        #expect(error?.field == change.field, "\(String(describing: error))")
    }

    @Test("A plan of ten thousand nodes is read")
    func large() throws {
        var topology = Self.good
        topology.nodes = (0..<10_000).map {
            Node(
                name: "n\($0)", site: SiteIndex(0), type: 0, leaves: [DomainIndex(1)],
                firstGPU: GPUIndex($0 * 8))
        }
        let plan = FleetPlan(topology: topology)
        #expect(try FleetPlan.decode(plan.encoded()) == plan)
    }
}
