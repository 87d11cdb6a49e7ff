// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Finds the best node for a kind of task without looking at all nodes.
///
/// Every node has a row of scores, one for each kind of task; every block of the ``BlockTree`` has the
/// largest of each column of its children. The best node lies on the way down along the largest entry.
///
/// Watts: a task that a block's domains have too little for, on any of its nodes, has no entry in the
/// block's row: the block is *lowered*. A search lowers a block when it comes across it; when watts come
/// back the block is raised before the next search. So an entry is never too small, and a domain without
/// watts costs one visit and not one for each search.
struct PlacementIndex: Sendable {
    /// More milliwatts than any domain has, with room to add to.
    private static let unlimited = Int64.max / 4

    let tree: BlockTree
    /// The kinds of tasks.
    var columns: ScoreColumns
    var rows: ScoreRows
    /// The row of each node.
    var rowOfNode: [Int32]
    /// The rows of the blocks, one after the other.
    var blockRows: [Int16]
    /// The watts, in milliwatts, that the entries of a lowered block were last compared with; `.max`
    /// for blocks that are not lowered.
    var loweredRoom: [Int64]
    /// By domain: how many blocks that have it as their own are lowered.
    var loweredCount: [Int32]

    /// Lowest blocks in which no node has the watts for a kind of task.
    var failures: BlockFailures

    // What changed since the last search.
    private var isNodeChanged: [Bool]
    private(set) var changedNodes: [Int32] = []
    private var isDomainChanged: [Bool]
    private var changedDomains: [Int32] = []
    private var isBlockChanged: [Bool]
    /// By level.
    private var changedBlocks: [[Int32]]
    private var scratch: [Int16]
    private var cleared: [Int32] = []

    private let siteCount: Int
    private let kindCount: Int

    init(_ tree: BlockTree, _ fleet: PlacementFleet, siteCount: Int, kindCount: Int) {
        self.tree = tree
        self.siteCount = siteCount
        self.kindCount = kindCount
        columns = ScoreColumns(fleet, siteCount: siteCount, kindCount: kindCount)
        rows = ScoreRows(stride: ScoreRows.granule)
        rowOfNode = []
        blockRows = []
        loweredRoom = [Int64](repeating: .max, count: tree.count)
        loweredCount = [Int32](repeating: 0, count: fleet.domainBudget.count)
        failures = BlockFailures(domainCount: fleet.domainBudget.count)
        isNodeChanged = [Bool](repeating: false, count: fleet.nodeCount)
        isDomainChanged = [Bool](repeating: false, count: fleet.domainBudget.count)
        isBlockChanged = [Bool](repeating: false, count: tree.count)
        changedBlocks = [[Int32]](repeating: [], count: max(0, tree.levelStarts.count - 1))
        scratch = []
    }

    /// Bytes that the index takes.
    var byteCount: Int {
        tree.byteCount + rows.byteCount + rowOfNode.capacity * 4 + blockRows.capacity * 2
            + failures.byteCount + loweredRoom.capacity * 8 + loweredCount.capacity * 4
            + isNodeChanged.capacity
            + isDomainChanged.capacity + isBlockChanged.capacity + changedNodes.capacity * 4
            + changedDomains.capacity * 4 + changedBlocks.reduce(0) { $0 + $1.capacity * 4 }
    }

    // MARK: - Noting changes

    /// Notes that a node's row, or what its domains have left, may be another.
    mutating func nodeChanged(_ node: Int) {
        // Before the first kind of task there is nothing to bring up to date.
        guard !rowOfNode.isEmpty, !isNodeChanged[node] else { return }
        isNodeChanged[node] = true
        changedNodes.append(Int32(node))
    }

    /// Notes that a domain may have more left.
    mutating func budgetChanged(_ domain: Int) { domainChanged(Int32(domain)) }

    private mutating func domainChanged(_ domain: Int32) {
        guard !isDomainChanged[Int(domain)],
            loweredCount[Int(domain)] > 0 || failures.isIn(domain)
        else { return }
        isDomainChanged[Int(domain)] = true
        changedDomains.append(domain)
    }

    private mutating func blockChanged(_ block: Int, level: Int) {
        guard !isBlockChanged[block] else { return }
        isBlockChanged[block] = true
        changedBlocks[level].append(Int32(block))
    }

    /// The level of a block: there are few.
    private func level(of block: Int) -> Int {
        var level = 0
        while block >= tree.levelStarts[level + 1] { level += 1 }
        return level
    }

    // MARK: - Columns

    /// Forgets all kinds of tasks.
    mutating func removeAllColumns(_ fleet: PlacementFleet) {
        columns = ScoreColumns(fleet, siteCount: siteCount, kindCount: kindCount)
    }

    /// Starts to keep the scores of a kind of task; its column is its shape.
    ///
    /// Everything is up to date before and after. Complexity: O(nodes).
    mutating func addColumn(
        _ request: PlacementRequest, _ scorer: NodeScorer, _ fleet: PlacementFleet
    ) {
        let column = columns.add(request, scorer.prices, fleet)
        if case .random = scorer.policy { return }
        if column > 0, column < rows.stride / 2 {
            fillColumn(column, request, scorer, fleet)
        } else {
            fillRows(scorer, fleet)
        }
        refillBlocks(fleet)
    }

    private mutating func fillRows(_ scorer: NodeScorer, _ fleet: PlacementFleet) {
        let granules = columns.count * 2 / ScoreRows.granule + 1
        rows = ScoreRows(stride: granules * ScoreRows.granule)
        scratch = [Int16](repeating: 0, count: rows.stride)
        rowOfNode = [Int32](repeating: -1, count: fleet.nodeCount)
        for node in 0..<fleet.nodeCount {
            if node > 0, fleet.isAlike(node, node - 1) {
                rowOfNode[node] = rowOfNode[node - 1]
                rows.retain(rowOfNode[node])
            } else {
                rowOfNode[node] = row(of: node, scorer, fleet)
            }
        }
        blockRows = [Int16](repeating: ScoreColumns.noGrowth, count: tree.count * rows.stride)
    }

    private mutating func fillColumn(
        _ column: Int, _ request: PlacementRequest, _ scorer: NodeScorer, _ fleet: PlacementFleet
    ) {
        // Most nodes are in one of few situations, before and after.
        var known: [Int64: Int32] = [:]
        var score = PlacementScores.unfit
        var growth = ScoreColumns.noGrowth
        for node in 0..<fleet.nodeCount {
            if node == 0 || !fleet.isAlike(node, node - 1) {
                score = scorer.score(node, request, fleet)
                if score > PlacementScores.unfit {
                    growth = columns.entry(growth: fleet.leastGrowth(node: node, request))
                }
            }
            guard score > PlacementScores.unfit else { continue }
            let old = rowOfNode[node]
            let key = Int64(old) << 32 | Int64(score) << 16 | Int64(UInt16(bitPattern: growth))
            let row = known[key]
            rowOfNode[node] = row ?? rows.row(like: old, but: score, growth, in: column)
            if let row { rows.retain(row) } else { known[key] = rowOfNode[node] }
            // The number of a row that goes is used again, but no node to come has it.
            rows.release(old)
        }
    }

    /// Works out the rows of all blocks.
    mutating func refillBlocks(_ fleet: PlacementFleet) {
        for block in loweredRoom.indices { loweredRoom[block] = .max }
        for domain in loweredCount.indices { loweredCount[domain] = 0 }
        for domain in changedDomains { isDomainChanged[Int(domain)] = false }
        changedDomains.removeAll(keepingCapacity: true)
        failures.reset(
            blockCount: tree.count == 0 ? 0 : tree.levelStarts[1], columns: rows.stride / 2)
        for block in 0..<tree.count { _ = refill(block, fleet) }
    }

    // MARK: - Bringing up to date

    /// Brings all rows in line with the fleet.
    ///
    /// Complexity: O(changed nodes · (kinds of tasks + depth)).
    mutating func flush(_ scorer: NodeScorer, _ fleet: PlacementFleet) {
        for position in changedNodes.indices {
            let node = Int(changedNodes[position])
            isNodeChanged[node] = false
            for domain in fleet.domains(of: node) { domainChanged(fleet.nodeDomains[domain]) }
            let new = row(of: node, scorer, fleet)
            let old = rowOfNode[node]
            rowOfNode[node] = new
            rows.release(old)
            let block = Int(tree.blockOfNode[node])
            if failures.clear(block) || new != old { blockChanged(block, level: 0) }
        }
        changedNodes.removeAll(keepingCapacity: true)
        raiseBlocks(fleet)
        for level in changedBlocks.indices {
            for position in changedBlocks[level].indices {
                let block = Int(changedBlocks[level][position])
                isBlockChanged[block] = false
                let isChanged = refill(block, fleet)
                if isChanged, tree.parents[block] >= 0 {
                    blockChanged(Int(tree.parents[block]), level: level + 1)
                }
            }
            changedBlocks[level].removeAll(keepingCapacity: true)
        }
    }

    /// Notes the lowered blocks for which changed domains have more left than they were lowered to.
    private mutating func raiseBlocks(_ fleet: PlacementFleet) {
        for position in changedDomains.indices {
            let domain = Int(changedDomains[position])
            isDomainChanged[domain] = false
            cleared.removeAll(keepingCapacity: true)
            failures.clear(domain: domain, room: fleet.room(Int32(domain)), &cleared)
            for block in cleared { blockChanged(Int(block), level: 0) }
            let blocks =
                Int(tree.domainBlockStarts[domain])..<Int(tree.domainBlockStarts[domain + 1])
            for index in blocks {
                let block = Int(tree.domainBlocks[index])
                guard loweredRoom[block] < .max else { continue }
                if room(block, fleet) > loweredRoom[block] {
                    blockChanged(block, level: level(of: block))
                }
            }
        }
        changedDomains.removeAll(keepingCapacity: true)
    }

    /// The watts that are left in the tightest of a block's own domains, in milliwatts.
    func room(_ block: Int, _ fleet: PlacementFleet) -> Int64 {
        var least = PlacementIndex.unlimited
        for position in Int(tree.ownDomainStarts[block])..<Int(tree.ownDomainStarts[block + 1]) {
            least = min(least, fleet.room(tree.ownDomains[position]))
        }
        return least
    }

    private mutating func row(
        of node: Int, _ scorer: NodeScorer, _ fleet: PlacementFleet
    ) -> Int32 {
        let stride = rows.stride
        return scratch.withUnsafeMutableBufferPointer { scratch in
            // The buffer has at least one granule.
            let row = scratch.baseAddress.unsafelyUnwrapped
            columns.fill(row, stride: stride, node: node, fleet, scorer)
            return rows.intern(row)
        }
    }

    /// Works out a block's row from its children, and lowers it if it was lowered.
    ///
    /// - Returns: true when it changed.
    private mutating func refill(_ block: Int, _ fleet: PlacementFleet) -> Bool {
        let children = Int(tree.childStarts[block])..<Int(tree.childEnds[block])
        if block < tree.levelStarts[1] {
            PlacementIndex.fillMost(&scratch, rows.values, children) { [rowOfNode] in
                Int(rowOfNode[$0])
            }
        } else {
            PlacementIndex.fillMost(&scratch, blockRows, children) { $0 }
        }
        if loweredRoom[block] < .max {
            let room = room(block, fleet)
            let isLowered = columns.mask(&scratch, 0, stride: rows.stride, room: room)
            note(block, loweredTo: isLowered ? room : .max)
        }
        if block < tree.levelStarts[1] { failures.mask(&scratch, block) }
        return PlacementIndex.copy(scratch, to: &blockRows, at: block * rows.stride)
    }

    /// Fills a row with the largest entries of some rows.
    @inline(__always)
    private static func fillMost(
        _ most: inout [Int16], _ source: [Int16], _ children: Range<Int>, _ row: (Int) -> Int
    ) {
        let stride = most.count
        most.withUnsafeMutableBufferPointer { most in
            source.withUnsafeBufferPointer { source in
                // All rows have `stride` entries, at least a granule of them.
                let target = most.baseAddress.unsafelyUnwrapped
                for index in 0..<stride { target[index] = ScoreColumns.noGrowth }
                for child in children {
                    let entries = source.baseAddress.unsafelyUnwrapped + row(child) * stride
                    for index in 0..<stride { target[index] = max(target[index], entries[index]) }
                }
            }
        }
    }

    /// Copies a row; true when it was another.
    private static func copy(_ row: [Int16], to rows: inout [Int16], at first: Int) -> Bool {
        precondition(first + row.count <= rows.count, "rows are all of one length")
        return rows.withUnsafeMutableBufferPointer { rows in
            row.withUnsafeBufferPointer { row in
                let target = rows.baseAddress.unsafelyUnwrapped + first
                let entries = row.baseAddress.unsafelyUnwrapped
                var difference: Int16 = 0
                for index in 0..<row.count {
                    difference |= target[index] ^ entries[index]
                    target[index] = entries[index]
                }
                return difference != 0
            }
        }
    }

    // MARK: - Searching

    /// The entries of a column of the children of a block.
    func entries(
        _ first: Int, _ count: Int, _ column: Int, isLowest: Bool
    ) -> InlineArray<16, Int16> {
        var entries = InlineArray<16, Int16>(repeating: PlacementScores.unfit)
        for child in 0..<count {
            entries[child] =
                isLowest
                ? rows.values[Int(rowOfNode[first + child]) * rows.stride + column]
                : blockRows[(first + child) * rows.stride + column]
        }
        return entries
    }

    // MARK: - Lowering

    /// Notes how far a block is lowered.
    private mutating func note(_ block: Int, loweredTo room: Int64) {
        let change: Int32 = (room < .max ? 1 : 0) - (loweredRoom[block] < .max ? 1 : 0)
        loweredRoom[block] = room
        guard change != 0 else { return }
        for position in Int(tree.ownDomainStarts[block])..<Int(tree.ownDomainStarts[block + 1]) {
            loweredCount[Int(tree.ownDomains[position])] += change
        }
    }

    /// True when a task of a column fits no node of a block for want of watts in the block's own domains.
    func isBlocked(_ block: Int, column: Int, room: Int64) -> Bool {
        let growth = blockRows[block * rows.stride + rows.stride / 2 + column]
        return columns.isBlocked(growth, room: room)
    }

    /// Takes the entries out of a block's row that its watts are too few for, and out of the rows around
    /// it what came from there.
    mutating func lower(_ block: Int, to room: Int64, _ fleet: PlacementFleet) {
        let isLowered = columns.mask(
            &blockRows, block * rows.stride, stride: rows.stride, room: room)
        // What was taken out before stays out, and comes back no sooner.
        let wasLowered = loweredRoom[block] < .max
        note(block, loweredTo: isLowered || wasLowered ? min(room, loweredRoom[block]) : .max)
        refillAround(block, fleet)
    }

    /// Takes one kind out of the row of a lowest block of which no node has the watts for a task; each
    /// lacked what `failed` says.
    mutating func fail(
        _ block: Int, column: Int, _ failed: InlineArray<16, PowerFailure>, _ count: Int,
        _ fleet: PlacementFleet
    ) {
        for index in 0..<count { failures.add(block, column, failed[index]) }
        blockRows[block * rows.stride + column] = PlacementScores.unfit
        blockRows[block * rows.stride + rows.stride / 2 + column] = ScoreColumns.noGrowth
        refillAround(block, fleet)
    }

    private mutating func refillAround(_ block: Int, _ fleet: PlacementFleet) {
        var around = Int(tree.parents[block])
        while around >= 0, refill(around, fleet) { around = Int(tree.parents[around]) }
    }
}
