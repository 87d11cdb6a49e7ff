// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Says by exhaustive means whether a job fits a fleet; the slow check of every refusal.
///
/// Method: for one tree of domains, the cheapest way (in milliwatts of least charge) to put `j`
/// tasks into a domain is the best combination of the cheapest ways for its parts, because a domain
/// binds only by its own total. So one pass from the leaves to the root, with a table of costs for
/// `j` in 0...taskCount, decides exactly. Several trees at once have no such order: there each tree
/// is a necessary condition, and a placement that is found is a sufficient one.
struct PlacementOracle {
    /// What the oracle found.
    enum Verdict: Hashable, Sendable {
        case fits
        case fitsNowhere
        /// Every tree alone allows it, and no placement was found that suits all of them.
        case unknown
    }

    /// Costs in milliwatts by number of tasks; nil where so many do not fit.
    private typealias Costs = [Int64?]

    let mirror: FleetMirror

    /// Decides whether a job fits now.
    func verdict(on spec: JobSpec) -> Verdict {
        let allowed = mirror.topology.nodes.indices.map(NodeIndex.init(_:)).filter {
            isAllowed($0, spec)
        }
        guard let level = spec.requiredLevel else { return verdict(on: spec, among: allowed) }
        var best = Verdict.fitsNowhere
        for (position, domain) in mirror.topology.domains.enumerated()
        where domain.level == level && domain.tree == 0 {
            let inside = allowed.filter { isNode($0, in: DomainIndex(position)) }
            switch verdict(on: spec, among: inside) {
            case .fits: return .fits
            case .unknown: best = .unknown
            case .fitsNowhere: continue
            }
        }
        return best
    }

    private func verdict(on spec: JobSpec, among allowed: [NodeIndex]) -> Verdict {
        let count = Int(spec.taskCount)
        let costs = allowed.map { nodeCosts($0, spec) }
        let trees = Set(mirror.topology.domains.map(\.tree)).sorted()
        for tree in trees where !fits(count, allowed, costs, tree: tree) { return .fitsNowhere }
        // With one tree the condition is exact; one task is checked against all trees at once.
        if trees.count == 1 { return .fits }
        return findsPlacement(count, allowed, costs)
            ? .fits : (count == 1 ? .fitsNowhere : .unknown)
    }

    // MARK: - One node

    private func isAllowed(_ node: NodeIndex, _ spec: JobSpec) -> Bool {
        let topology = mirror.topology
        let type = topology.type(of: node)
        let site = topology.sites[topology.nodes[node.position].site.position].name
        let model = topology.model(of: node).name
        return (spec.sites.isEmpty || spec.sites.contains(site))
            && (spec.task.gpuCount == 0 || spec.models.isEmpty || spec.models.contains(model))
            && spec.selector.allSatisfy { type.labels[$0.key] == $0.value }
    }

    private func isNode(_ node: NodeIndex, in domain: DomainIndex) -> Bool {
        var isInside = false
        mirror.topology.forEachDomain(of: node) { if $0 == domain { isInside = true } }
        return isInside
    }

    /// What `j` tasks on a node add to its least charge.
    private func nodeCosts(_ node: NodeIndex, _ spec: JobSpec) -> Costs {
        let state = mirror.nodes[node.position]
        var most = spec.isSpread ? 1 : Int(spec.taskCount)
        if spec.task.cpuMilli > 0 {
            most = min(most, Int(max(0, state.cpuFree) / Int64(spec.task.cpuMilli)))
        }
        if spec.task.memoryMiB > 0 {
            most = min(most, Int(max(0, state.memoryFree) / Int64(spec.task.memoryMiB)))
        }
        let devices =
            spec.task.gpuCount == 1
            ? sharedDeviceCosts(node, spec, most: most) : wholeDeviceCosts(node, spec, most: most)
        let before = mirror.floorSum(of: node)
        let least = mirror.leastCharge(of: node)
        let fallback = mirror.topology.type(of: node).fallback.rawValue
        return devices.map { cost in cost.map { max(fallback, before + $0) - least } }
    }

    /// Tasks of several whole GPUs (or of none): the cheapest free devices, as many as they need.
    private func wholeDeviceCosts(_ node: NodeIndex, _ spec: JobSpec, most: Int) -> Costs {
        let floor = mirror.floor(of: spec, on: node)
        let rises = mirror.nodes[node.position].shares.indices.filter {
            mirror.nodes[node.position].shares[$0].isEmpty
        }.map { rise(device: $0, on: node, tasks: 1, floor: floor) }.sorted()
        return (0...max(0, most)).map { tasks in
            let needed = tasks * Int(spec.task.gpuCount)
            return needed > rises.count ? nil : rises.prefix(needed).reduce(0, +)
        }
    }

    /// Tasks of one GPU or a part of one: the best way to spread `j` of them over the devices.
    private func sharedDeviceCosts(_ node: NodeIndex, _ spec: JobSpec, most: Int) -> Costs {
        let floor = mirror.floor(of: spec, on: node)
        var costs: Costs = [0]
        for device in mirror.nodes[node.position].shares.indices {
            let room = mirror.freeMilli(device: device, on: node) / Int64(spec.task.gpuMilli)
            let own: Costs = (0...min(most, Int(max(0, room)))).map { tasks in
                rise(device: device, on: node, tasks: tasks, floor: floor)
            }
            costs = combine(costs, own, most: most)
        }
        return costs
    }

    private func rise(device: Int, on node: NodeIndex, tasks: Int, floor: Int64) -> Int64 {
        let held = mirror.nodes[node.position].shares[device].map(\.floor)
        let more = Array(repeating: floor, count: tasks)
        return mirror.floor(ofDevice: device, on: node, held: held + more)
            - mirror.floor(ofDevice: device, on: node, held: held)
    }

    // MARK: - Domains

    private func combine(_ left: Costs, _ right: Costs, most: Int) -> Costs {
        var result: Costs = Array(
            repeating: nil, count: min(most, left.count + right.count - 2) + 1)
        for (first, cost) in left.enumerated() {
            guard let cost else { continue }
            for (second, other) in right.enumerated() where first + second < result.count {
                guard let other else { continue }
                let sum = cost + other
                if result[first + second].map({ $0 > sum }) ?? true { result[first + second] = sum }
            }
        }
        return result
    }

    private func fits(
        _ count: Int, _ allowed: [NodeIndex], _ costs: [Costs], tree: UInt8
    ) -> Bool {
        let domains = mirror.topology.domains
        var table: [Costs] = Array(repeating: [0], count: domains.count)
        var outside: Costs = [0]
        for (node, cost) in zip(allowed, costs) {
            let leaf = mirror.topology.nodes[node.position].leaves.first {
                domains[$0.position].tree == tree
            }
            if let leaf {
                table[leaf.position] = combine(table[leaf.position], cost, most: count)
            } else {
                // A node that hangs from no domain of this tree is not bound by it.
                outside = combine(outside, cost, most: count)
            }
        }
        // Children come after their parents, so the reverse order is from the leaves to the roots.
        for position in domains.indices.reversed() where domains[position].tree == tree {
            let slack = domains[position].budget.rawValue - mirror.committed[position]
            let bound = table[position].map { cost in
                cost.flatMap { $0 <= max(0, slack) || $0 <= 0 ? $0 : nil }
            }
            if let parent = domains[position].parent {
                table[parent.position] = combine(table[parent.position], bound, most: count)
            } else {
                outside = combine(outside, bound, most: count)
            }
        }
        return outside.count > count && outside[count] != nil
    }

    /// Looks for a placement that suits all trees: cheapest node first, one task at a time.
    private func findsPlacement(_ count: Int, _ allowed: [NodeIndex], _ costs: [Costs]) -> Bool {
        var committed = mirror.committed
        var placed = Array(repeating: 0, count: allowed.count)
        for _ in 0..<count {
            let candidates = allowed.indices.compactMap { index -> (cost: Int64, index: Int)? in
                let next = placed[index] + 1
                guard next < costs[index].count, let cost = costs[index][next],
                    let before = costs[index][placed[index]],
                    hasRoom(allowed[index], for: cost - before, committed)
                else { return nil }
                return (cost - before, index)
            }
            guard let best = candidates.min(by: { $0 < $1 }) else { return false }
            placed[best.index] += 1
            mirror.topology.forEachDomain(of: allowed[best.index]) {
                committed[$0.position] += best.cost
            }
        }
        return true
    }

    private func hasRoom(_ node: NodeIndex, for cost: Int64, _ committed: [Int64]) -> Bool {
        var hasRoom = true
        mirror.topology.forEachDomain(of: node) { domain in
            let budget = mirror.topology.domains[domain.position].budget.rawValue
            if cost > 0 && committed[domain.position] + cost > budget { hasRoom = false }
        }
        return hasRoom
    }
}
