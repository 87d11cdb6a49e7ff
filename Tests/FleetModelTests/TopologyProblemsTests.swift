// SPDX-License-Identifier: Apache-2.0

// Goal: a topology that breaks any of its invariants is told apart from a good one.
// Method: one good topology, and one change for each invariant.

import FleetModel
import Testing

@Suite struct TopologyProblemsTests {
    /// One site, two racks and a feed; two nodes of two GPUs.
    static let good: Topology = {
        let site = SiteIndex(0)
        func domain(_ name: String, _ parent: Int?, tree: UInt8 = 0) -> PowerDomain {
            PowerDomain(
                name: name, level: parent == nil ? "site" : "rack", site: site,
                parent: parent.map { DomainIndex($0) }, tree: tree, limit: .watts(3000),
                overhead: .watts(100))
        }
        func node(_ name: String, _ leaf: Int, firstGPU: Int) -> Node {
            Node(
                name: name, site: site, type: 0, leaves: [DomainIndex(leaf), DomainIndex(3)],
                firstGPU: GPUIndex(firstGPU))
        }
        let model = GPUCatalogue.models[1]
        return Topology(
            fleetName: "test",
            sites: [Site(name: "a", root: DomainIndex(0), allotment: .watts(3000))],
            domains: [
                domain("a", nil), domain("a/r1", 0), domain("a/r2", 0),
                domain("a/feed-b", nil, tree: 1),
            ],
            gpuModels: [model],
            nodeTypes: [
                NodeType(
                    name: "t", model: ModelIndex(0), gpuCount: 2, cpuMilli: 1000, memoryMiB: 1024,
                    fallback: .watts(500), enforcementClass: .supervised, bootState: .default,
                    settleNanoseconds: 100_000_000)
            ],
            nodes: [node("n1", 1, firstGPU: 0), node("n2", 2, firstGPU: 2)],
            lease: LeaseParameters())
    }()

    @Test("A good topology has no problems")
    func acceptsGood() { #expect(Self.good.problems() == []) }

    @Test("Every broken invariant is found", arguments: Self.mutations)
    func findsProblems(mutation: Mutation) {
        var topology = Self.good
        mutation.change(&topology)
        let problems = topology.problems().joined(separator: "\n")
        #expect(problems.contains(mutation.expected), "\(problems)")
    }

    struct Mutation: Sendable, CustomTestStringConvertible {
        var expected: String
        var change: @Sendable (inout Topology) -> Void
        var testDescription: String { expected }

        init(_ expected: String, _ change: @escaping @Sendable (inout Topology) -> Void) {
            self.expected = expected
            self.change = change
        }
    }

    static let mutations: [Mutation] = [
        Mutation("no sites") { $0.sites = [] },
        Mutation("has no root domain") { $0.sites[0].root = DomainIndex(9) },
        Mutation("is not the root") { $0.sites[0].root = DomainIndex(1) },
        Mutation("comes before its parent") { $0.domains[1].parent = DomainIndex(1) },
        Mutation("comes before its parent") { $0.domains[0].parent = DomainIndex(2) },
        Mutation("another tree than its parent") { $0.domains[1].tree = 1 },
        Mutation("too high a tree") { $0.domains[3].tree = 8 },
        Mutation("is in no site") { $0.domains[1].site = SiteIndex(4) },
        Mutation("unknown GPU model") { $0.nodeTypes[0].model = ModelIndex(1) },
        Mutation("has no type") { $0.nodes[0].type = 3 },
        Mutation("do not follow") { $0.nodes[1].firstGPU = GPUIndex(3) },
        Mutation("hangs from no domain") { $0.nodes[0].leaves = [] },
        Mutation("unknown domain") { $0.nodes[0].leaves = [DomainIndex(7)] },
        Mutation("primary tree first") { $0.nodes[0].leaves.reverse() },
        Mutation("hangs twice") { $0.nodes[0].leaves = [DomainIndex(1), DomainIndex(2)] },
        Mutation("has domains below it") { $0.nodes[0].leaves[0] = DomainIndex(0) },
        Mutation("node 'n1' is there twice") { $0.nodes[1].name = "n1" },
        Mutation("domain 'a/r1' is there twice") { $0.domains[2].name = "a/r1" },
        Mutation("fleet 'no good'") { $0.fleetName = "no good" },
        Mutation("not above its overhead") { $0.domains[1].overhead = .watts(3000) },
        Mutation("allotment") { $0.sites[0].allotment = .watts(3001) },
        Mutation("'a/r1' exceed its budget by 101 W") {
            $0.domains[1].limit = .watts(499)
        },
        Mutation("'a/feed-b' exceed its budget by 100 W") {
            $0.domains[3].limit = .watts(1000)
        },
        Mutation("below the 400 W") { $0.nodeTypes[0].fallback = .watts(399) },
        Mutation("above the 1.4 kW") { $0.nodeTypes[0].fallback = .watts(1401) },
        Mutation("has 0 GPUs") {
            $0.nodeTypes[0].gpuCount = 0
            $0.nodes[1].firstGPU = GPUIndex(0)
        },
        Mutation("has 65 GPUs") {
            $0.nodeTypes[0].gpuCount = 65
            $0.nodes[1].firstGPU = GPUIndex(65)
        },
        Mutation("outside of its settable range") { $0.gpuModels[0].defaultFloor = .watts(1) },
        Mutation("settles later") { $0.nodeTypes[0].settleNanoseconds = 1_000_000_000 },
        Mutation("the drift") { $0.lease.driftPPM = 0 },
    ]
}
