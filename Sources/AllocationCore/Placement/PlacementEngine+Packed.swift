// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// A gang of whole GPUs as it is packed on trial: the fleet itself stays as it is.
struct PackedGang: Sendable {
    /// The tasks so far.
    var tasks: [PlannedTask] = []
    /// What the trial adds to the charge of each domain; zero between trials.
    private var added: [Int64]
    /// What the trial adds to the charge of each node that it uses, in order.
    private var growths: [(node: Int32, growth: Int64)] = []
    /// The least and the most that one task grew, or would have grown, the charge of its node.
    private(set) var leastGrowth = Int64.max
    private(set) var mostGrowth = Int64.min

    /// One bit for each tree whose domains are looked at.
    var trees = UInt64.max

    init(domainCount: Int) { added = [Int64](repeating: 0, count: domainCount) }

    /// Drops the trial.
    mutating func reset(_ fleet: PlacementFleet) {
        for entry in growths {
            for position in fleet.domains(of: Int(entry.node)) {
                added[Int(fleet.nodeDomains[position])] = 0
            }
        }
        growths.removeAll(keepingCapacity: true)
        tasks.removeAll(keepingCapacity: true)
        leastGrowth = .max
        mostGrowth = .min
    }

    /// Puts as many tasks on a node as it has room and watts for, and the gang is short of.
    mutating func fill(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet, _ domainTree: [UInt8]
    ) {
        let type = Int(fleet.nodeType[node])
        let missing = request.taskCount - tasks.count
        let room = fleet.taskCapacity(node: node, request, atMost: missing)
        let floor = fleet.heldFloor(
            PlacementFleet.taskFloor(perGPU: request.floorMilliwatts[type], milli: 1000), type: type
        )
        var free = fleet.freeDevices[node]
        var floorSum = fleet.floorSum[node]
        var charge = fleet.nodeCharge[node]
        for _ in 0..<room {
            var devices: UInt64 = 0
            for _ in 0..<request.gpuCount {
                let device = free.trailingZeroBitCount
                free &= free - 1
                devices |= 1 << UInt64(device)
                floorSum += floor - fleet.idleFloor(node: node, device: device)
            }
            let growth = fleet.charge(node: node, floorSum: floorSum) - charge
            leastGrowth = min(leastGrowth, growth)
            mostGrowth = max(mostGrowth, growth)
            guard fits(node, growth, fleet, domainTree) else { break }
            charge += growth
            add(node, growth, fleet)
            tasks.append(PlannedTask(node: Int32(node), devices: devices))
        }
    }

    /// True when every domain of a node takes this growth beside the trial.
    ///
    /// A domain that is over its budget may be brought to where it was and no further.
    private func fits(
        _ node: Int, _ growth: Int64, _ fleet: PlacementFleet, _ domainTree: [UInt8]
    ) -> Bool {
        guard growth > 0 else { return true }
        for position in fleet.domains(of: node) {
            let domain = Int(fleet.nodeDomains[position])
            if trees < .max, trees >> UInt64(domainTree[domain]) & 1 == 0 { continue }
            let charge = fleet.domainCharge[domain]
            guard added[domain] + growth <= max(fleet.domainBudget[domain], charge) - charge
            else { return false }
        }
        return true
    }

    private mutating func add(_ node: Int, _ growth: Int64, _ fleet: PlacementFleet) {
        guard growth != 0 else { return }
        growths.append((Int32(node), growth))
        for position in fleet.domains(of: node) {
            added[Int(fleet.nodeDomains[position])] += growth
        }
    }
}

/// Gangs of whole GPUs, by kept counts and scores: the cost grows with the gang and not with the fleet.
extension PlacementEngine {
    /// What a quick search found.
    enum PackedResult {
        /// The tasks are in ``PlacementEngine/packed``.
        case placed
        /// It fits nowhere: there is no room, or there are no watts.
        case refused
        /// Not placed and not ruled out: domains cross.
        case open
    }

    /// True when gangs of this kind are searched for here.
    func isPackable(_ request: PlacementRequest) -> Bool {
        guard request.gpuCount > 0, !request.isShared, request.shape >= 0, request.wishes.isPlain
        else { return false }
        if case .random = scores.policy { return false }
        return true
    }

    /// Searches for a gang: the smallest part of the primary tree that takes all of it, else anywhere;
    /// best-packing nodes first.
    ///
    /// Complexity: O(tasks · depth) for each part that is tried, O(domains / 64) to find it.
    mutating func searchPacked(_ request: PlacementRequest) -> PackedResult {
        scores.flush(fleet, tree.ranks)
        let counts = scores.counts(request, fleet, tree.ranks)
        var isOpen = false
        for level in tree.ranks.levels.indices.reversed()
        where request.requiredLevel < 0 || level == request.requiredLevel {
            var last = (count: 0, rank: -1)
            while let next = scores.gangs[counts].next(
                tree.ranks.levels[level], atLeast: request.taskCount, after: last,
                { hasWatts(tree.ranks.domains[$0], request) })
            {
                last = next
                if packOrCheapest(request, tree.ranks.domains[next.rank]) { return .placed }
                isOpen = true
            }
        }
        if request.requiredLevel < 0, scores.gangs[counts].total >= request.taskCount {
            if packOrCheapest(request, -1) { return .placed }
            isOpen = true
        }
        // Where domains nest, the cheapest tasks first are the most that fit.
        guard isOpen, !tree.isLaminar else { return .refused }
        return isShortOfWatts(request) ? .refused : .open
    }

    /// False when a domain, or one around it, has too little left for any placement of a gang inside.
    private func hasWatts(_ domain: Int32, _ request: PlacementRequest) -> Bool {
        let least = scores.index.columns.leastGrowth(column: request.shape)
        // What floors grow by may vanish in charges that are above the floors already.
        let needed = Int64(request.taskCount) * least - fleet.domainSlack[Int(domain)]
        guard needed > 0 else { return true }
        var next: DomainIndex? = DomainIndex(Int(domain))
        while let around = next {
            guard fleet.room(Int32(around.position)) >= needed else { return false }
            next = topology.domains[around.position].parent
        }
        return true
    }

    /// Packs a gang into a domain (-1: the fleet); if that leaves some out, takes the cheapest tasks
    /// first.
    private mutating func packOrCheapest(_ request: PlacementRequest, _ domain: Int32) -> Bool {
        let nodes = domain < 0 ? 0..<Int32(fleet.nodeCount) : tree.ranks.nodes[Int(domain)]
        if !nodes.isEmpty {
            pack(request, Int(nodes.lowerBound)..<Int(nodes.upperBound))
            if packed.tasks.count == request.taskCount { return true }
            // All tasks grow charges alike: another order finds no more.
            if packed.leastGrowth >= packed.mostGrowth { return false }
        }
        let tasks = takeTasks(request, domain: domain, taskCapacities(request).byNode)
        guard tasks.count == request.taskCount else { return false }
        packed.reset(fleet)
        packed.tasks.append(contentsOf: tasks.map { PlannedTask($0) })
        return true
    }

    /// True when the watts of the primary tree and of one other are too few for a gang, wherever in the
    /// fleet: exact where the two nest and all tasks grow charges alike.
    mutating func isShortOfWatts(_ request: PlacementRequest) -> Bool {
        defer { packed.trees = .max }
        for other in 0..<tree.treeCount where other > 0 || tree.treeCount == 1 {
            packed.trees = (tree.nestsWithPrimary[other] ? 1 : 0) | 1 << UInt64(other)
            pack(request, 0..<fleet.nodeCount)
            guard packed.leastGrowth >= packed.mostGrowth else { return false }
            if packed.tasks.count < request.taskCount { return true }
        }
        return false
    }

    /// Packs as much of a gang into consecutive nodes as they take.
    private mutating func pack(_ request: PlacementRequest, _ nodes: Range<Int>) {
        packed.reset(fleet)
        var score = Int16.max
        while score > PlacementScores.unfit, packed.tasks.count < request.taskCount {
            var next = PlacementScores.unfit
            fill(scores.index.tree.root, nodes, score, &next, request)
            score = next
        }
    }

    /// Fills the nodes of a score below a block, in order; finds the next lower score.
    private mutating func fill(
        _ block: Int, _ range: Range<Int>, _ score: Int16, _ next: inout Int16,
        _ request: PlacementRequest
    ) {
        let column = request.shape
        let isLowest = block < scores.index.tree.levelStarts[1]
        let first = Int(scores.index.tree.childStarts[block])
        let count = Int(scores.index.tree.childEnds[block]) - first
        let entries = scores.index.entries(first, count, column, isLowest: isLowest)
        for child in 0..<count where entries[child] > PlacementScores.unfit {
            if isLowest {
                guard range.contains(first + child) else { continue }
            } else {
                let nodes = scores.index.tree.nodes(of: first + child)
                guard nodes.overlaps(range) else { continue }
            }
            if entries[child] < score {
                next = max(next, entries[child])
                if score < .max { continue }
            }
            if !isLowest {
                // The first pass only finds the highest score.
                if score < .max { fill(first + child, range, score, &next, request) }
            } else if entries[child] == score {
                packed.fill(first + child, request, fleet, tree.domainTree)
            }
            if packed.tasks.count == request.taskCount { return }
        }
    }
}
