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
    }

    /// Searches for a gang: the smallest part of the primary tree that takes all of it, else anywhere.
    mutating func searchGang(_ request: PlacementRequest) -> SearchResult {
        let capacities = taskCapacities(request)
        var best = 0
        for domain in tree.primaryDeepestFirst.sorted(by: { isTried($0, before: $1, capacities) }) {
            let level = Int(tree.domainLevel[Int(domain)])
            guard request.requiredLevel < 0 || level == request.requiredLevel,
                capacities.byDomain[Int(domain)] >= request.taskCount
            else { continue }
            for isCheapestFirst in [false, true] {
                let scope = GangScope(domain: domain, isCheapestFirst: isCheapestFirst)
                let tasks = takeTasks(request, scope, capacities.byNode)
                if tasks.count == request.taskCount { return .placed(tasks) }
                best = max(best, tasks.count)
            }
        }
        guard request.requiredLevel < 0 else {
            return tree.isLaminar
                ? .refused(tasksThatFit: best) : .undecided(tasksThatFit: best)
        }
        for isCheapestFirst in [false, true] {
            let scope = GangScope(domain: -1, isCheapestFirst: isCheapestFirst)
            let tasks = takeTasks(request, scope, capacities.byNode)
            if tasks.count == request.taskCount { return .placed(tasks) }
            best = max(best, tasks.count)
        }
        let total = capacities.byNode.reduce(0) { $0 + Int($1) }
        if tree.isLaminar || total < request.taskCount { return .refused(tasksThatFit: best) }
        return .undecided(tasksThatFit: best)
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
            let count = fleet.taskCapacity(node: node, request, atMost: request.taskCount)
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
        let budget = GangBudget(fleet)
        while taken.count < request.taskCount, let candidate = candidates.popFirst() {
            let node = candidate.node
            guard let devices = cheapestDevices(node: node, request) else { continue }
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

    /// The devices of one more task on a node with the least growth of its floors.
    private func cheapestDevices(node: Int, _ request: PlacementRequest) -> UInt64? {
        if request.gpuCount == 0 { return 0 }
        guard request.isShared else {
            return fleet.firstFreeDevices(node: node, count: request.gpuCount)
        }
        return fleet.cheapestDevice(node: node, request).map { 1 << UInt64($0) }
    }

    private func candidates(
        _ request: PlacementRequest, _ scope: GangScope, _ capacities: [Int32]
    ) -> GangCandidates {
        var list: [GangCandidate] = []
        for node in 0..<fleet.nodeCount where capacities[node] > 0 {
            guard scope.domain < 0 || isInside(node, scope.domain) else { continue }
            var growth = Int64.min
            if scope.isCheapestFirst, let devices = cheapestDevices(node: node, request) {
                let sum = fleet.floorSum(node: node, adding: request, on: devices)
                growth = fleet.chargeGrowth(node: node, floorSum: sum)
            }
            list.append(GangCandidate(node, growth, -score(node: node, request)))
        }
        return GangCandidates(list)
    }

    private func isInside(_ node: Int, _ domain: Int32) -> Bool {
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
    private let limit: [Int64]

    init(_ fleet: PlacementFleet) {
        limit = fleet.domainBudget.indices.map {
            max(fleet.domainBudget[$0], fleet.domainCharge[$0])
        }
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
