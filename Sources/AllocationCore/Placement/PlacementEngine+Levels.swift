// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Gangs with a preferred level or a level to spread over.
///
/// Spreading with a limit is a condition: for identical tasks it is one more capacity of each domain of
/// the level, in tasks instead of watts, so that taking the cheapest task first stays exact where
/// domains nest. A preferred level, and spreading without a limit, only choose among what fits.
extension PlacementEngine {
    /// Searches for a gang with wishes.
    ///
    /// Complexity: O(nodes · depth) to find the candidates, then O(candidates · log) for each part of
    /// the tree that is tried; spreading evenly multiplies that by the logarithm of the tasks.
    mutating func searchLevels(_ request: PlacementRequest) -> SearchResult {
        let capacities = taskCapacities(request)
        var map = LevelMap(
            fleet, tree, spread: request.wishes.spread, capacities: capacities.byNode)
        // All at once, while nothing is taken on trial: scores are kept.
        for node in map.nodes {
            map.preference[Int(node)] = -Int(scores.score(Int(node), request, fleet))
        }
        if request.wishes.spread >= 0, request.wishes.spreadLimit > 0 {
            return searchLevels(request, request.wishes.spreadLimit, map, capacities)
        }
        let free = searchLevels(request, request.taskCount, map, capacities)
        guard request.wishes.spread >= 0, case .placed = free else { return free }
        // Invariant: placed with `high` per domain, and with `low` per domain not.
        var best = free
        var low = 0
        var high = request.taskCount
        while high - low > 1 {
            let middle = low + (high - low) / 2
            let result = searchLevels(request, middle, map, capacities)
            if result.isPlaced { (best, high) = (result, middle) } else { low = middle }
        }
        return best
    }

    /// Searches with at most `limit` tasks in one spread group.
    private mutating func searchLevels(
        _ request: PlacementRequest, _ limit: Int, _ map: LevelMap, _ capacities: Capacities
    ) -> SearchResult {
        var best = 0
        for scope in scopes(request, capacities) {
            for isFewest in [true, false] where !isFewest || isCut(scope, request) {
                var trial = LevelTrial(request, limit: limit, fleet, map)
                if isFewest {
                    fillFewest(&trial, scope, map)
                } else {
                    fillPackedOrCheapest(&trial, map.nodes(in: scope), map)
                }
                giveBack(&trial, map, downTo: 0, keepingList: true)
                if trial.tasks.count == request.taskCount { return .placed(trial.tasks) }
                best = max(best, trial.tasks.count)
            }
        }
        if tree.isLaminar { return .refused(tasksThatFit: best) }
        return searchCrossingLevels(request, limit, map, capacities, tasksThatFit: best)
    }

    // MARK: - Scopes

    /// The parts of the fleet to try, in order: domains of the preferred level first, else the deepest,
    /// then wider ones, and -1 for the whole fleet unless a level is required.
    private func scopes(_ request: PlacementRequest, _ capacities: Capacities) -> [Int32] {
        let wished = Int32(request.wishes.preferred)
        let required = Int32(request.requiredLevel)
        var scopes: [Int32] = []
        for domain in tree.primaryDeepestFirst
        where capacities.byDomain[Int(domain)] >= request.taskCount {
            let isRequired = tree.domainLevel[Int(domain)] == required
            if required >= 0, !isRequired, !isWithin(domain, level: required) { continue }
            // Parts of a preferred domain are not preferred to it; but a required level may be
            // finer than the preferred one.
            if wished >= 0, !isRequired, isWithin(domain, level: wished) { continue }
            scopes.append(domain)
        }
        scopes.sort { isBefore($0, $1, wished, capacities) }
        if required < 0 { scopes.append(-1) }
        return scopes
    }

    private func isBefore(
        _ left: Int32, _ right: Int32, _ wished: Int32, _ capacities: Capacities
    ) -> Bool {
        func key(_ domain: Int32) -> (Int, Int, Int, Int32) {
            let isWished = wished >= 0 && tree.domainLevel[Int(domain)] == wished
            return (
                isWished ? 0 : 1, -depth(domain), capacities.byDomain[Int(domain)], domain
            )
        }
        return key(left) < key(right)
    }

    private func depth(_ domain: Int32) -> Int {
        var depth = 0
        var next = topology.domains[Int(domain)].parent
        while let parent = next {
            depth += 1
            next = topology.domains[parent.position].parent
        }
        return depth
    }

    /// True when a domain lies in another one; -1 is the whole fleet.
    private func isWithin(_ domain: Int32, domain outer: Int32) -> Bool {
        var next = topology.domains[Int(domain)].parent
        while let parent = next {
            if parent.position == Int(outer) { return true }
            next = topology.domains[parent.position].parent
        }
        return outer < 0
    }

    /// True when a domain lies in one of a level.
    private func isWithin(_ domain: Int32, level: Int32) -> Bool {
        var next = topology.domains[Int(domain)].parent
        while let parent = next {
            if tree.domainLevel[parent.position] == level { return true }
            next = topology.domains[parent.position].parent
        }
        return false
    }

    /// True when a scope has to be cut into domains of the preferred level.
    private func isCut(_ scope: Int32, _ request: PlacementRequest) -> Bool {
        let wished = Int32(request.wishes.preferred)
        return wished >= 0 && (scope < 0 || tree.domainLevel[Int(scope)] != wished)
    }

    // MARK: - Filling

    /// Takes the gang from as few domains of the preferred level as a greedy choice finds: the one that
    /// takes the most first, and at the end the one with the least to spare.
    private mutating func fillFewest(_ trial: inout LevelTrial, _ scope: Int32, _ map: LevelMap) {
        let wished = Int32(trial.request.wishes.preferred)
        var parts: [(count: Int, domain: Int32)] = []
        for domain in tree.primaryDeepestFirst.sorted()
        where tree.domainLevel[Int(domain)] == wished && !map.nodes(in: domain).isEmpty {
            guard isWithin(domain, domain: scope) else { continue }
            fillPackedOrCheapest(&trial, map.nodes(in: domain), map)
            parts.append((trial.tasks.count, domain))
            giveBack(&trial, map, downTo: 0)
        }
        parts.sort { ($1.count, $0.domain) < ($0.count, $1.domain) }
        while trial.tasks.count < trial.request.taskCount, !parts.isEmpty {
            let missing = trial.request.taskCount - trial.tasks.count
            let index = parts.lastIndex { $0.count >= missing } ?? 0
            let part = parts.remove(at: index)
            fillPackedOrCheapest(&trial, map.nodes(in: part.domain), map)
        }
        // Nodes that lie in no domain of the level.
        if trial.tasks.count < trial.request.taskCount {
            fillPackedOrCheapest(&trial, map.nodes(in: scope), map)
        }
    }

    /// Takes as many tasks as some nodes give: the best-packing ones first and, if that leaves some of
    /// the gang out, the cheapest growth of charges first.
    private mutating func fillPackedOrCheapest(
        _ trial: inout LevelTrial, _ nodes: ArraySlice<Int32>, _ map: LevelMap
    ) {
        let before = trial.tasks.count
        fill(&trial, nodes, map, isCheapestFirst: false)
        guard trial.tasks.count < trial.request.taskCount else { return }
        let packed = Array(trial.tasks[before...])
        giveBack(&trial, map, downTo: before)
        fill(&trial, nodes, map, isCheapestFirst: true)
        guard trial.tasks.count - before < packed.count else { return }
        giveBack(&trial, map, downTo: before)
        for task in packed { take(&trial, task, map) }
    }

    /// Takes tasks one by one and leaves them taken.
    private mutating func fill(
        _ trial: inout LevelTrial, _ nodes: ArraySlice<Int32>, _ map: LevelMap,
        isCheapestFirst: Bool
    ) {
        let request = trial.request
        var list: [GangCandidate] = []
        for node in nodes where trial.isOpen(node, map) {
            guard let next = nextTask(Int(node), request) else { continue }
            list.append(
                GangCandidate(
                    Int(node), isCheapestFirst ? next.growth : .min,
                    map.preference[Int(node)]))
        }
        var candidates = GangCandidates(list)
        while trial.tasks.count < request.taskCount, let candidate = candidates.popFirst() {
            let node = Int32(candidate.node)
            guard trial.isOpen(node, map), let next = nextTask(candidate.node, request) else {
                continue
            }
            if isCheapestFirst, next.growth > candidate.growth {
                // The node's next task costs more than its last: it waits its turn.
                candidates.insert(
                    GangCandidate(candidate.node, next.growth, candidate.preference))
                continue
            }
            guard trial.fits(fleet, node: candidate.node, growth: next.growth) else { continue }
            take(
                &trial,
                TaskPlacement(
                    node: NodeIndex(candidate.node), devices: PlacementFleet.devices(next.devices)),
                map)
            candidates.insert(candidate)
        }
    }

    /// The devices of a node's next task, and what its charge grows by; nil when there is no room.
    private func nextTask(
        _ node: Int, _ request: PlacementRequest
    ) -> (devices: UInt64, growth: Int64)? {
        guard fleet.obstacle(node: node, request) == nil,
            let devices = fleet.cheapestDevices(node: node, request)
        else { return nil }
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        return (devices, fleet.chargeGrowth(node: node, floorSum: sum))
    }

    private mutating func take(_ trial: inout LevelTrial, _ task: TaskPlacement, _ map: LevelMap) {
        fleet.take(trial.request, node: task.node.position, devices: task.devices)
        trial.tasks.append(task)
        trial.countOfGroup[Int(map.group[task.node.position])] += 1
        if trial.request.isSpread { trial.usedNodes.insert(Int32(task.node.position)) }
    }

    /// Gives back the tasks after the first `count`; they may stay in the list as the answer.
    private mutating func giveBack(
        _ trial: inout LevelTrial, _ map: LevelMap, downTo count: Int, keepingList: Bool = false
    ) {
        for task in trial.tasks[count...].reversed() {
            fleet.take(
                trial.request, node: task.node.position, devices: task.devices, giveBack: true)
            trial.countOfGroup[Int(map.group[task.node.position])] -= 1
            trial.usedNodes.remove(Int32(task.node.position))
        }
        if !keepingList { trial.tasks.removeSubrange(count...) }
    }

    // MARK: - Crossing feeds

    /// Goes through the scopes again, exactly as far as the search budget reaches.
    private mutating func searchCrossingLevels(
        _ request: PlacementRequest, _ limit: Int, _ map: LevelMap, _ capacities: Capacities,
        tasksThatFit: Int
    ) -> SearchResult {
        var search = CrossingSearch(request)
        search.spread = SpreadCounts(map, limit: limit)
        // Wishes narrow nothing here: only the required level does.
        let scopes =
            request.requiredLevel < 0
            ? [-1]
            : tree.primaryDeepestFirst.filter {
                Int(tree.domainLevel[Int($0)]) == request.requiredLevel
                    && capacities.byDomain[Int($0)] >= request.taskCount
            }
        for scope in scopes where !isRuledOut(request, limit, scope, map) {
            let nodes = map.nodes(in: scope).map { Int($0) }
            if let tasks = search.run(&fleet, nodes, capacities.byNode) { return .placed(tasks) }
        }
        return search.isExhausted
            ? .undecided(tasksThatFit: tasksThatFit) : .refused(tasksThatFit: tasksThatFit)
    }

    /// True when the domains of one tree alone leave too little for the gang: that is exact.
    ///
    /// Spread groups are domains of the primary tree, so the limit binds beside its watts only.
    private mutating func isRuledOut(
        _ request: PlacementRequest, _ limit: Int, _ scope: Int32, _ map: LevelMap
    ) -> Bool {
        for only in 0..<tree.treeCount {
            var trial = LevelTrial(
                request, limit: only == 0 ? limit : request.taskCount, fleet, map)
            for domain in trial.budget.indices where tree.domainTree[domain] != only {
                trial.budget[domain] = .max
            }
            fill(&trial, map.nodes(in: scope), map, isCheapestFirst: true)
            giveBack(&trial, map, downTo: 0, keepingList: true)
            if trial.tasks.count < request.taskCount { return true }
        }
        return false
    }
}
