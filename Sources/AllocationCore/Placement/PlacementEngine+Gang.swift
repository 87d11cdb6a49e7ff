// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Gangs: tasks are taken one by one on trial, and all given back before the answer.
extension PlacementEngine {
    /// Which nodes a search may use, and in what order it takes tasks.
    struct GangScope {
        /// A domain of the primary tree, or -1 for the whole fleet.
        var domain: Int32
        /// Cheapest growth of charges first (exact), or best-packing nodes first.
        var isCheapestFirst: Bool
        /// The tree of each domain, and the one tree whose domains are looked at; nil looks at all.
        var domainTree: [UInt8] = []
        var onlyTree: UInt8?
    }

    /// Searches for a gang: the smallest part of the primary tree that takes all of it, else anywhere.
    mutating func searchGang(_ request: PlacementRequest) -> SearchResult {
        let capacities = taskCapacities(request)
        var best = 0
        for domain in tree.primaryDeepestFirst.sorted(by: { isTried($0, before: $1, capacities) })
        where isEnough(domain, request, capacities) {
            let tasks = takeTasks(request, domain: domain, capacities.byNode)
            if tasks.count == request.taskCount { return .placed(tasks) }
            best = max(best, tasks.count)
        }
        if request.requiredLevel < 0 {
            let tasks = takeTasks(request, domain: -1, capacities.byNode)
            if tasks.count == request.taskCount { return .placed(tasks) }
            best = max(best, tasks.count)
        }
        if tree.isLaminar { return .refused(tasksThatFit: best) }
        return searchCrossing(request, capacities, tasksThatFit: best)
    }

    /// Goes through the scopes of a gang again, exactly as far as the search budget reaches.
    mutating func searchCrossing(
        _ request: PlacementRequest, _ capacities: Capacities, tasksThatFit: Int
    ) -> SearchResult {
        var search = CrossingSearch(request)
        let scopes = request.requiredLevel < 0 ? [-1] : tree.primaryDeepestFirst
        for domain in scopes {
            let isWide = domain < 0 || isEnough(domain, request, capacities)
            guard isWide, !isRuledOut(request, domain, capacities) else { continue }
            let nodes = (0..<fleet.nodeCount).filter {
                capacities.byNode[$0] > 0 && (domain < 0 || isInside($0, domain))
            }
            if let tasks = search.run(&fleet, nodes, capacities.byNode) { return .placed(tasks) }
        }
        return search.isExhausted
            ? .undecided(tasksThatFit: tasksThatFit) : .refused(tasksThatFit: tasksThatFit)
    }

    /// True when the domains of one tree alone leave too little for the gang: that is exact.
    private mutating func isRuledOut(
        _ request: PlacementRequest, _ domain: Int32, _ capacities: Capacities
    ) -> Bool {
        for tree in 0..<self.tree.treeCount {
            let scope = GangScope(
                domain: domain, isCheapestFirst: true, domainTree: self.tree.domainTree,
                onlyTree: UInt8(tree))
            if takeTasks(request, scope, capacities.byNode).count < request.taskCount {
                return true
            }
        }
        return false
    }

    private func isEnough(
        _ domain: Int32, _ request: PlacementRequest, _ capacities: Capacities
    ) -> Bool {
        let level = Int(tree.domainLevel[Int(domain)])
        return (request.requiredLevel < 0 || level == request.requiredLevel)
            && capacities.byDomain[Int(domain)] >= request.taskCount
    }

    /// The tasks of a gang that fit a domain (-1: the fleet): best-packing nodes first, and if that
    /// leaves some out, cheapest growth first.
    mutating func takeTasks(
        _ request: PlacementRequest, domain: Int32, _ capacities: [Int32]
    ) -> [TaskPlacement] {
        let packed = takeTasks(
            request, GangScope(domain: domain, isCheapestFirst: false), capacities)
        if packed.count == request.taskCount { return packed }
        let cheapest = takeTasks(
            request, GangScope(domain: domain, isCheapestFirst: true), capacities)
        return cheapest.count > packed.count ? cheapest : packed
    }

    struct Capacities {
        /// Tasks that each node can take, power left out.
        var byNode: [Int32]
        /// The same summed up by domain.
        var byDomain: [Int]
    }

    func taskCapacities(_ request: PlacementRequest) -> Capacities {
        var byNode = [Int32](repeating: 0, count: fleet.nodeCount)
        var byDomain = [Int](repeating: 0, count: topology.domains.count)
        for node in 0..<fleet.nodeCount where fleet.obstacle(node: node, request) == nil {
            // Of whole GPUs all that fit count: the domain with the least to spare is wanted.
            let isWhole = request.gpuCount > 0 && !request.isShared
            let count = fleet.taskCapacity(
                node: node, request, atMost: isWhole ? 64 : request.taskCount)
            byNode[node] = Int32(count)
            for position in fleet.domains(of: node) {
                byDomain[Int(fleet.nodeDomains[position])] += count
            }
        }
        return Capacities(byNode: byNode, byDomain: byDomain)
    }

    /// Deeper domains first; at one depth those with the least to spare.
    private func isTried(_ left: Int32, before right: Int32, _ capacities: Capacities) -> Bool {
        let (leftLevel, rightLevel) = (
            tree.domainLevel[Int(left)], tree.domainLevel[Int(right)]
        )
        if leftLevel != rightLevel { return leftLevel > rightLevel }
        let (leftCount, rightCount) = (
            capacities.byDomain[Int(left)], capacities.byDomain[Int(right)]
        )
        return (leftCount, left) < (rightCount, right)
    }

    /// Takes as many tasks of a gang as fit a scope, in the scope's order, and gives all back.
    mutating func takeTasks(
        _ request: PlacementRequest, _ scope: GangScope, _ capacities: [Int32]
    ) -> [TaskPlacement] {
        var candidates = candidates(request, scope, capacities)
        var taken: [TaskPlacement] = []
        defer {
            for task in taken.reversed() {
                fleet.take(request, node: task.node.position, devices: task.devices, giveBack: true)
            }
        }
        let budget = GangBudget(fleet, scope)
        while taken.count < request.taskCount, let candidate = candidates.popFirst() {
            let node = candidate.node
            guard let devices = fleet.cheapestDevices(node: node, request) else { continue }
            let sum = fleet.floorSum(node: node, adding: request, on: devices)
            let growth = fleet.chargeGrowth(node: node, floorSum: sum)
            if growth > candidate.growth, scope.isCheapestFirst {
                // The node's next task costs more than its last: it waits its turn.
                candidates.insert(GangCandidate(node, growth, candidate.preference))
                continue
            }
            guard budget.fits(fleet, node: node, growth: growth) else { continue }
            let task = TaskPlacement(
                node: NodeIndex(node), devices: PlacementFleet.devices(devices))
            fleet.take(request, node: node, devices: task.devices)
            taken.append(task)
            guard !request.isSpread, fleet.obstacle(node: node, request) == nil else { continue }
            candidates.insert(GangCandidate(node, candidate.growth, candidate.preference))
        }
        return taken
    }

    private mutating func candidates(
        _ request: PlacementRequest, _ scope: GangScope, _ capacities: [Int32]
    ) -> GangCandidates {
        var list: [GangCandidate] = []
        for node in 0..<fleet.nodeCount where capacities[node] > 0 {
            guard scope.domain < 0 || isInside(node, scope.domain) else { continue }
            var growth = Int64.min
            if scope.isCheapestFirst, let devices = fleet.cheapestDevices(node: node, request) {
                let sum = fleet.floorSum(node: node, adding: request, on: devices)
                growth = fleet.chargeGrowth(node: node, floorSum: sum)
            }
            let score = scores.score(node, request, fleet)
            list.append(GangCandidate(node, growth, -Int(score)))
        }
        return GangCandidates(list)
    }

    func isInside(_ node: Int, _ domain: Int32) -> Bool {
        for position in fleet.domains(of: node) where fleet.nodeDomains[position] == domain {
            return true
        }
        return false
    }
}

/// What the domains had left when a gang's search began.
///
/// Tasks taken on trial change the charges, so a domain that was over its budget from the start may be
/// brought to where it was and no further.
struct GangBudget {
    private var limit: [Int64]

    init(_ fleet: PlacementFleet) {
        limit = fleet.domainBudget.indices.map {
            max(fleet.domainBudget[$0], fleet.domainCharge[$0])
        }
    }

    init(_ fleet: PlacementFleet, _ scope: PlacementEngine.GangScope) {
        self.init(fleet)
        guard let tree = scope.onlyTree else { return }
        for domain in limit.indices where scope.domainTree[domain] != tree { limit[domain] = .max }
    }

    /// True when every domain of a node takes this growth on top of what is taken on trial.
    func fits(_ fleet: PlacementFleet, node: Int, growth: Int64) -> Bool {
        guard growth > 0 else { return true }
        for position in fleet.domains(of: node) {
            let domain = Int(fleet.nodeDomains[position])
            guard fleet.domainCharge[domain] + growth <= limit[domain] else { return false }
        }
        return true
    }
}

/// A node that may take the next task of a gang.
struct GangCandidate {
    var node: Int
    /// What its charge grows by with the next task.
    var growth: Int64
    /// Lower is taken first among equal growth.
    var preference: Int

    init(_ node: Int, _ growth: Int64, _ preference: Int) {
        self.node = node
        self.growth = growth
        self.preference = preference
    }

    static func < (left: GangCandidate, right: GangCandidate) -> Bool {
        (left.growth, left.preference, left.node) < (right.growth, right.preference, right.node)
    }
}

/// Candidates in order: a binary heap.
struct GangCandidates {
    private var heap: [GangCandidate]

    init(_ candidates: [GangCandidate]) {
        heap = candidates
        for start in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(start) }
    }

    mutating func popFirst() -> GangCandidate? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        return first
    }

    mutating func insert(_ candidate: GangCandidate) {
        heap.append(candidate)
        var position = heap.count - 1
        while position > 0, heap[position] < heap[(position - 1) / 2] {
            heap.swapAt(position, (position - 1) / 2)
            position = (position - 1) / 2
        }
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        while true {
            var child = 2 * position + 1
            guard child < heap.count else { return }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < heap[position] else { return }
            heap.swapAt(position, child)
            position = child
        }
    }
}
