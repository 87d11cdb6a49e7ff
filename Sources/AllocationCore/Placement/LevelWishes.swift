// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// What a gang wants of the levels of the primary tree, beyond the one that it must lie within.
struct LevelWishes: Hashable, Sendable {
    /// Position of the preferred level among the fleet's level names, or -1.
    var preferred = -1
    /// Position of the level that tasks are spread over, or -1.
    var spread = -1
    /// The most tasks in one domain of the spread level; 0 for as evenly as it goes.
    var spreadLimit = 0
    /// True when a level is named that the topology does not have.
    var hasUnknownLevel = false

    /// True when there is nothing that the search for a gang must look at.
    var isPlain: Bool { preferred < 0 && spread < 0 }

    init() {}

    init(_ spec: JobSpec, levels: [String], leavingOut relaxation: PlacementRelaxation = []) {
        if let level = spec.preferredLevel {
            preferred = levels.firstIndex(of: level) ?? -1
            hasUnknownLevel = preferred < 0
        }
        guard let wish = spec.levelSpread, !relaxation.contains(.levelSpread) else { return }
        spread = levels.firstIndex(of: wish.level) ?? -1
        spreadLimit = Int(wish.maximumTasks ?? 0)
        if spread < 0 { hasUnknownLevel = true }
    }
}

/// The nodes that can take tasks of one gang, by domain of the primary tree and by spread group.
///
/// A spread group is a domain of the level that the gang is spread over; a node in no such domain is a
/// group of its own.
struct LevelMap {
    /// Nodes with room for a task, power left out; ascending.
    let nodes: [Int32]
    /// The spread group of each node of the fleet.
    let group: [Int32]
    let groupCount: Int
    /// The place of each node among its equals, lower first; by node of the fleet.
    var preference: [Int]
    /// Nodes of each domain of the primary tree: a slice of `listed`.
    private let starts: [Int32]
    private let listed: [Int32]

    init(_ fleet: PlacementFleet, _ tree: PlacementTree, spread: Int, capacities: [Int32]) {
        let domainCount = tree.domainLevel.count
        groupCount = domainCount + fleet.nodeCount
        preference = [Int](repeating: 0, count: fleet.nodeCount)
        var group = [Int32](repeating: 0, count: fleet.nodeCount)
        var nodes: [Int32] = []
        var counts = [Int32](repeating: 0, count: domainCount + 1)
        for node in 0..<fleet.nodeCount where capacities[node] > 0 {
            nodes.append(Int32(node))
            group[node] = Int32(domainCount + node)
            // Leaves come before their ancestors: the outermost domain of the level wins, so that
            // no limit is passed where domains of one level nest.
            for position in fleet.domains(of: node) {
                let domain = Int(fleet.nodeDomains[position])
                guard tree.domainTree[domain] == 0 else { continue }
                counts[domain + 1] += 1
                if Int(tree.domainLevel[domain]) == spread { group[node] = Int32(domain) }
            }
        }
        for domain in 0..<domainCount { counts[domain + 1] += counts[domain] }
        starts = counts
        var next = counts
        var listed = [Int32](repeating: 0, count: Int(counts[domainCount]))
        for node in nodes {
            for position in fleet.domains(of: Int(node)) {
                let domain = Int(fleet.nodeDomains[position])
                guard tree.domainTree[domain] == 0 else { continue }
                listed[Int(next[domain])] = node
                next[domain] += 1
            }
        }
        self.nodes = nodes
        self.group = group
        self.listed = listed
    }

    /// The nodes with room in a domain of the primary tree; -1 is the whole fleet.
    func nodes(in domain: Int32) -> ArraySlice<Int32> {
        guard domain >= 0 else { return nodes[...] }
        return listed[Int(starts[Int(domain)])..<Int(starts[Int(domain) + 1])]
    }
}

/// Tasks of a gang that are taken on trial, and what they may still take.
struct LevelTrial {
    let request: PlacementRequest
    /// The most tasks in one spread group.
    let limit: Int
    /// What each domain may be charged.
    var budget: [Int64]
    var tasks: [TaskPlacement] = []
    /// Tasks taken in each spread group.
    var countOfGroup: [Int32]
    /// Nodes with a task, where each task needs a node of its own.
    var usedNodes: Set<Int32> = []

    init(_ request: PlacementRequest, limit: Int, _ fleet: PlacementFleet, _ map: LevelMap) {
        self.request = request
        self.limit = limit
        // A domain that is over its budget already may be brought to where it was and no further.
        budget = fleet.domainBudget.indices.map {
            max(fleet.domainBudget[$0], fleet.domainCharge[$0])
        }
        countOfGroup = [Int32](repeating: 0, count: map.groupCount)
    }

    /// True when a node may take one more task, as far as spreading goes.
    func isOpen(_ node: Int32, _ map: LevelMap) -> Bool {
        Int(countOfGroup[Int(map.group[Int(node)])]) < limit
            && !(request.isSpread && usedNodes.contains(node))
    }

    /// True when every domain of a node takes this growth of its charge.
    func fits(_ fleet: PlacementFleet, node: Int, growth: Int64) -> Bool {
        guard growth > 0 else { return true }
        for position in fleet.domains(of: node) {
            let domain = Int(fleet.nodeDomains[position])
            guard fleet.domainCharge[domain] + growth <= budget[domain] else { return false }
        }
        return true
    }
}

/// The tasks in each spread group during a ``CrossingSearch``.
struct SpreadCounts {
    private let group: [Int32]
    private let limit: Int
    private var counts: [Int32]

    init(_ map: LevelMap, limit: Int) {
        group = map.group
        self.limit = limit
        counts = [Int32](repeating: 0, count: map.groupCount)
    }

    /// True when the node's group may take one more task.
    func isOpen(_ node: Int) -> Bool { Int(counts[Int(group[node])]) < limit }

    /// Counts tasks in, or (negative) out.
    mutating func add(_ node: Int, _ change: Int32) { counts[Int(group[node])] += change }
}
