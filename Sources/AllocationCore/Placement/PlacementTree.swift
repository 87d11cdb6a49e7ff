// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The shape of the power trees, as the search needs it.
struct PlacementTree: Hashable, Sendable {
    /// Domains of the primary tree that have nodes, deepest first, then by index.
    let primaryDeepestFirst: [Int32]
    /// The position of each domain's level among the level names of the primary tree, or -1.
    let domainLevel: [Int32]
    /// The tree of each domain.
    let domainTree: [UInt8]
    /// The number of trees.
    let treeCount: Int
    /// True when any two domains, of all trees, are nested or have no node in common.
    ///
    /// Then a cheapest first search over identical tasks is exact.
    let isLaminar: Bool
    /// By tree: whether its domains nest with those of the primary tree.
    let nestsWithPrimary: [Bool]
    /// The domains of the primary tree, level by level.
    let ranks: DomainRanks

    init(_ topology: Topology) {
        var depth = [Int](repeating: 0, count: topology.domains.count)
        var levels: [String] = []
        var domainLevel: [Int32] = []
        for (index, domain) in topology.domains.enumerated() {
            if let parent = domain.parent { depth[index] = depth[parent.position] + 1 }
            if domain.tree == 0 {
                if !levels.contains(domain.level) { levels.append(domain.level) }
                domainLevel.append(Int32(levels.firstIndex(of: domain.level) ?? -1))
            } else {
                domainLevel.append(-1)
            }
        }
        self.domainLevel = domainLevel
        domainTree = topology.domains.map(\.tree)
        treeCount = Int(domainTree.max() ?? 0) + 1
        let nodes = PlacementTree.nodesByDomain(topology)
        primaryDeepestFirst = topology.domains.indices
            .filter { topology.domains[$0].tree == 0 && !nodes[$0].isEmpty }
            .sorted { (-depth[$0], $0) < (-depth[$1], $1) }
            .map { Int32($0) }
        ranks = DomainRanks(nodes, level: domainLevel)
        let trees = domainTree
        nestsWithPrimary = (0..<treeCount).map { tree in
            let both = nodes.indices.map {
                trees[$0] == 0 || Int(trees[$0]) == tree ? nodes[$0] : []
            }
            return PlacementTree.isLaminar(both, nodeCount: topology.nodes.count)
        }
        isLaminar = PlacementTree.isLaminar(nodes, nodeCount: topology.nodes.count)
    }

    /// The nodes of each domain, ascending.
    private static func nodesByDomain(_ topology: Topology) -> [[Int32]] {
        var nodes = [[Int32]](repeating: [], count: topology.domains.count)
        for node in 0..<topology.nodes.count {
            topology.forEachDomain(of: NodeIndex(node)) { nodes[$0.position].append(Int32(node)) }
        }
        return nodes
    }

    /// Adds the sets from large to small: each must lie in one smallest set so far.
    ///
    /// `inside[n]` is the smallest set so far that has node n, so a set nests exactly when all its
    /// nodes agree on it.
    private static func isLaminar(_ sets: [[Int32]], nodeCount: Int) -> Bool {
        var inside = [Int32](repeating: -1, count: nodeCount)
        let order = sets.indices.sorted { (-sets[$0].count, $0) < (-sets[$1].count, $1) }
        for set in order {
            guard let first = sets[set].first else { continue }
            let outer = inside[Int(first)]
            for node in sets[set] {
                guard inside[Int(node)] == outer else { return false }
                inside[Int(node)] = Int32(set)
            }
        }
        return true
    }
}
