// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The best node for a task, by the way down the index.
extension PlacementEngine {
    /// The best node found so far.
    private struct Best {
        var node = -1
        var devices: UInt64 = 0
        var score = PlacementScores.unfit

        /// True when something with this score that starts with this node may hold a better one.
        func isBeaten(by score: Int16, first: Int) -> Bool {
            score > self.score || (score == self.score && first < node)
        }
    }

    /// The node with the highest score among those whose domains have the watts; the first of equals.
    ///
    /// Complexity: O(depth · fanout), and as much again for each node that has a high score and not the
    /// watts.
    mutating func bestNodeIndexed(_ request: PlacementRequest) -> NodeChoice? {
        scores.flush(fleet, tree.ranks)
        guard fleet.nodeCount > 0 else { return nil }
        let column = request.shape
        let root = scores.index.tree.root
        guard !isRuledOut(root, column) else { return nil }
        var best = Best()
        descend(root, column, request, &best)
        return best.node < 0 ? nil : NodeChoice(node: best.node, devices: best.devices)
    }

    /// True when a block's domains have too little for a task, on any of its nodes; notes it then.
    private mutating func isRuledOut(_ block: Int, _ column: Int) -> Bool {
        let room = scores.index.room(block, fleet)
        guard scores.index.isBlocked(block, column: column, room: room) else { return false }
        scores.index.lower(block, to: room, fleet)
        return true
    }

    /// Looks through the blocks of a block, the highest entry first.
    private mutating func descend(
        _ block: Int, _ column: Int, _ request: PlacementRequest, _ best: inout Best
    ) {
        if block < scores.index.tree.levelStarts[1] {
            tryNodes(block, column, request, &best)
            return
        }
        let first = Int(scores.index.tree.childStarts[block])
        let count = Int(scores.index.tree.childEnds[block]) - first
        var entries = scores.index.entries(first, count, column, isLowest: false)
        while true {
            var pick = -1
            for child in 0..<count where pick < 0 || entries[child] > entries[pick] {
                let node = Int(scores.index.tree.firstNodes[first + child])
                if best.isBeaten(by: entries[child], first: node) { pick = child }
            }
            guard pick >= 0 else { return }
            entries[pick] = PlacementScores.unfit
            if !isRuledOut(first + pick, column) { descend(first + pick, column, request, &best) }
        }
    }

    /// Looks through the nodes of a lowest block, the highest entry first; notes it when none of them
    /// has the watts.
    private mutating func tryNodes(
        _ block: Int, _ column: Int, _ request: PlacementRequest, _ best: inout Best
    ) {
        let first = Int(scores.index.tree.childStarts[block])
        let count = Int(scores.index.tree.childEnds[block]) - first
        var entries = scores.index.entries(first, count, column, isLowest: true)
        var failed = InlineArray<16, PowerFailure>(repeating: PowerFailure())
        var failedCount = 0
        while true {
            var pick = -1
            for child in 0..<count where pick < 0 || entries[child] > entries[pick] {
                if best.isBeaten(by: entries[child], first: first + child) { pick = child }
            }
            guard pick >= 0 else { break }
            if let failure = powerFailure(first + pick, request) {
                failed[failedCount] = failure
                failedCount += 1
                entries[pick] = PlacementScores.unfit
                continue
            }
            guard let devices = devices(node: first + pick, request) else {
                preconditionFailure("node \(first + pick) has the watts and not the devices")
            }
            best = Best(node: first + pick, devices: devices, score: entries[pick])
            // The other nodes have at most this score and come after, or have been tried.
            return
        }
        guard failedCount > 0 else { return }
        for child in 0..<count where entries[child] > PlacementScores.unfit {
            guard let failure = powerFailure(first + child, request) else { return }
            failed[failedCount] = failure
            failedCount += 1
        }
        scores.index.fail(block, column: column, failed, failedCount, fleet)
    }

    /// What a node that passes every other test lacks for a task, on whichever devices; nil when nothing.
    private func powerFailure(_ node: Int, _ request: PlacementRequest) -> PowerFailure? {
        let growth = fleet.leastGrowth(node: node, request)
        guard growth > 0 else { return nil }
        for position in fleet.domains(of: node) {
            let domain = fleet.nodeDomains[position]
            if fleet.room(domain) < growth { return PowerFailure(domain: domain, growth: growth) }
        }
        return nil
    }
}
