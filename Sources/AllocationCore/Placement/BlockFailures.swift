// SPDX-License-Identifier: Apache-2.0

/// What a node lacks for a task.
struct PowerFailure {
    /// The first domain with too little left.
    var domain: Int32 = -1
    /// What the task would grow its charge by, in milliwatts.
    var growth: Int64 = 0
}

/// Lowest blocks of which every node was found to lack the watts for a kind of task, and what would have
/// to come back for another look.
///
/// Entries are listed by domain in one pool, so that noting them allocates nothing in the long run.
struct BlockFailures: Sendable {
    private struct Entry: Sendable {
        var block: Int32
        var column: Int16
        var growth: Int64
        /// The next entry of the same domain, or of the free ones; -1 at the end.
        var next: Int32
    }

    /// By domain: the first entry, or -1.
    private var heads: [Int32]
    private var pool: [Entry] = []
    private var free: Int32 = -1
    /// Bits of columns, some words for each lowest block.
    private var failed: [UInt64] = []
    private var wordCount = 0

    init(domainCount: Int) { heads = [Int32](repeating: -1, count: domainCount) }

    /// Bytes that the notes take.
    var byteCount: Int { heads.capacity * 4 + pool.capacity * 32 + failed.capacity * 8 }

    /// Forgets everything.
    mutating func reset(blockCount: Int, columns: Int) {
        for domain in heads.indices { heads[domain] = -1 }
        pool.removeAll(keepingCapacity: true)
        free = -1
        wordCount = (columns + 63) / 64
        failed = [UInt64](repeating: 0, count: blockCount * wordCount)
    }

    /// True when something is noted for a domain.
    func isIn(_ domain: Int32) -> Bool { heads[Int(domain)] >= 0 }

    /// Notes that no node of a block takes a task of a column, and one reason.
    mutating func add(_ block: Int, _ column: Int, _ failure: PowerFailure) {
        failed[block * wordCount + column / 64] |= 1 << UInt64(column % 64)
        let head = heads[Int(failure.domain)]
        // Nodes of one block mostly lack the same watts of the same domain.
        if head >= 0, pool[Int(head)].block == Int32(block), pool[Int(head)].column == Int16(column)
        {
            pool[Int(head)].growth = min(pool[Int(head)].growth, failure.growth)
            return
        }
        let entry = Entry(
            block: Int32(block), column: Int16(column), growth: failure.growth, next: head)
        if free >= 0 {
            heads[Int(failure.domain)] = free
            let next = pool[Int(free)].next
            pool[Int(free)] = entry
            free = next
        } else {
            heads[Int(failure.domain)] = Int32(pool.count)
            pool.append(entry)
        }
    }

    /// Forgets what is noted of a block, one of whose nodes has changed.
    ///
    /// - Returns: true when there was something.
    mutating func clear(_ block: Int) -> Bool {
        var any: UInt64 = 0
        for word in (block * wordCount)..<((block + 1) * wordCount) {
            any |= failed[word]
            failed[word] = 0
        }
        return any != 0
    }

    /// Forgets what is noted for a domain that may have enough left now; appends the blocks.
    mutating func clear(domain: Int, room: Int64, _ blocks: inout [Int32]) {
        var previous: Int32 = -1
        var position = heads[domain]
        while position >= 0 {
            let entry = pool[Int(position)]
            let word = Int(entry.block) * wordCount + Int(entry.column) / 64
            let bit: UInt64 = 1 << UInt64(entry.column % 64)
            let isNoted = failed[word] & bit != 0
            if isNoted, entry.growth > room {
                previous = position
            } else {
                if isNoted {
                    failed[word] &= ~bit
                    blocks.append(entry.block)
                }
                if previous < 0 {
                    heads[domain] = entry.next
                } else {
                    pool[Int(previous)].next = entry.next
                }
                pool[Int(position)].next = free
                free = position
            }
            position = entry.next
        }
    }

    /// Takes the noted entries out of a block's row.
    func mask(_ row: inout [Int16], _ block: Int) {
        for word in 0..<wordCount {
            var left = failed[block * wordCount + word]
            while left != 0 {
                let column = word * 64 + left.trailingZeroBitCount
                row[column] = PlacementScores.unfit
                row[row.count / 2 + column] = ScoreColumns.noGrowth
                left &= left - 1
            }
        }
    }
}
