// SPDX-License-Identifier: Apache-2.0

/// Rows of scores, each kept once however many nodes have it.
///
/// Nodes in one situation score alike for every kind of task, and in a large fleet most nodes are in one
/// of a few thousand situations: a node stores the number of its row. Rows are counted and go when
/// nothing refers to them.
struct ScoreRows: Sendable {
    /// Entries of a row; a multiple of ``ScoreRows/granule``.
    let stride: Int
    /// Entries that rows grow by: 64 bytes.
    static let granule = 32

    /// All rows, one after the other.
    private(set) var values: [Int16] = []
    private var references: [Int32] = []
    private var hashes: [UInt64] = []
    private var free: [Int32] = []
    /// Open addressing with linear probing: a row or -1; a power of two of them.
    private var table: [Int32]
    private var liveCount = 0

    init(stride: Int) {
        precondition(stride % ScoreRows.granule == 0, "rows are whole granules")
        self.stride = stride
        table = [Int32](repeating: -1, count: 1024)
    }

    /// The number of different rows.
    var count: Int { liveCount }

    /// Bytes that the rows take.
    var byteCount: Int {
        values.capacity * 2 + references.capacity * 4 + hashes.capacity * 8 + free.capacity * 4
            + table.capacity * 4
    }

    /// The number of a row with these entries, counted once more.
    mutating func intern(_ entries: UnsafePointer<Int16>) -> Int32 {
        let hash = ScoreRows.hash(entries, stride)
        let mask = table.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while table[slot] >= 0 {
            let row = Int(table[slot])
            if hashes[row] == hash, isEqual(row, entries) {
                references[row] += 1
                return Int32(row)
            }
            slot = (slot + 1) & mask
        }
        let row = insert(entries, hash)
        table[slot] = row
        liveCount += 1
        if liveCount * 2 > table.count { growTable() }
        return row
    }

    /// The number of a row that differs from another in one kind of task, counted once more.
    mutating func row(
        like row: Int32, but score: Int16, _ growth: Int16, in column: Int
    ) -> Int32 {
        var copy = Array(values[(Int(row) * stride)..<((Int(row) + 1) * stride)])
        copy[column] = score
        copy[stride / 2 + column] = growth
        return copy.withUnsafeBufferPointer {
            // The buffer has at least one granule.
            intern($0.baseAddress.unsafelyUnwrapped)
        }
    }

    /// Counts a row once more.
    mutating func retain(_ row: Int32) { references[Int(row)] += 1 }

    /// Counts a row once less.
    mutating func release(_ row: Int32) {
        references[Int(row)] -= 1
        guard references[Int(row)] == 0 else { return }
        removeFromTable(row)
        free.append(row)
        liveCount -= 1
    }

    // MARK: - Private

    private mutating func insert(_ entries: UnsafePointer<Int16>, _ hash: UInt64) -> Int32 {
        if let row = free.popLast() {
            let first = Int(row) * stride
            for index in 0..<stride { values[first + index] = entries[index] }
            references[Int(row)] = 1
            hashes[Int(row)] = hash
            return row
        }
        values.append(contentsOf: UnsafeBufferPointer(start: entries, count: stride))
        references.append(1)
        hashes.append(hash)
        return Int32(references.count - 1)
    }

    private func isEqual(_ row: Int, _ entries: UnsafePointer<Int16>) -> Bool {
        values.withUnsafeBufferPointer { values in
            var difference: Int16 = 0
            for index in 0..<stride {
                difference |= values[row * stride + index] ^ entries[index]
            }
            return difference == 0
        }
    }

    private mutating func growTable() {
        table = [Int32](repeating: -1, count: table.count * 2)
        let mask = table.count - 1
        for row in references.indices where references[row] > 0 {
            var slot = Int(truncatingIfNeeded: hashes[row]) & mask
            while table[slot] >= 0 { slot = (slot + 1) & mask }
            table[slot] = Int32(row)
        }
    }

    /// Closes the gap, so that every row stays reachable from its own slot.
    private mutating func removeFromTable(_ row: Int32) {
        let mask = table.count - 1
        var gap = Int(truncatingIfNeeded: hashes[Int(row)]) & mask
        while table[gap] != row { gap = (gap + 1) & mask }
        var slot = (gap + 1) & mask
        while table[slot] >= 0 {
            let home = Int(truncatingIfNeeded: hashes[Int(table[slot])]) & mask
            if (slot &- home) & mask >= (slot &- gap) & mask {
                table[gap] = table[slot]
                gap = slot
            }
            slot = (slot + 1) & mask
        }
        table[gap] = -1
    }

    /// Four independent lanes of multiply and mix: a row takes as long as a quarter of it.
    private static func hash(_ entries: UnsafePointer<Int16>, _ count: Int) -> UInt64 {
        let words = UnsafeRawPointer(entries)
        var lanes = (
            UInt64(0x9E37_79B9_7F4A_7C15), UInt64(0xBF58_476D_1CE4_E5B9),
            UInt64(0x94D0_49BB_1331_11EB), UInt64(0xD6E8_FEB8_6659_FD93)
        )
        for offset in Swift.stride(from: 0, to: count * 2, by: 32) {
            lanes.0 = mix(lanes.0 ^ words.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            lanes.1 = mix(
                lanes.1 ^ words.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
            lanes.2 = mix(
                lanes.2 ^ words.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self))
            lanes.3 = mix(
                lanes.3 ^ words.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self))
        }
        return mix(mix(mix(lanes.0) ^ lanes.1) ^ mix(lanes.2 ^ mix(lanes.3)))
    }

    private static func mix(_ word: UInt64) -> UInt64 {
        let product = word &* 0x9E37_79B9_7F4A_7C15
        return product ^ (product >> 32)
    }
}
