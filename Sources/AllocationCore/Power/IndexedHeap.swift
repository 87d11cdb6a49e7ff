// SPDX-License-Identifier: Apache-2.0

/// A binary min-heap of `(key, id)` with dense ids, ordered by key and then by id.
///
/// Every id is in the heap at most once, so the capacity is fixed by ``reset(idCount:)`` and no
/// operation after it allocates.
struct IndexedHeap: Sendable {
    private var keys: [UInt64] = []
    private var ids: [Int32] = []
    /// Position of each id, or -1.
    ///
    /// Shape: indexed by id.
    private var positions: [Int32] = []

    /// Empties the heap and makes room for ids in `0..<idCount`.
    mutating func reset(idCount: Int) {
        for id in ids { positions[Int(id)] = -1 }
        keys.removeAll(keepingCapacity: true)
        ids.removeAll(keepingCapacity: true)
        if positions.count < idCount {
            positions.append(contentsOf: repeatElement(-1, count: idCount - positions.count))
            keys.reserveCapacity(idCount)
            ids.reserveCapacity(idCount)
        }
    }

    /// Bytes that the columns have room for.
    var storageByteCount: Int {
        storageBytes(keys) + storageBytes(ids) + storageBytes(positions)
    }

    var isEmpty: Bool { ids.isEmpty }
    /// The least key, or `UInt64.max` of an empty heap.
    var minimumKey: UInt64 { keys.isEmpty ? .max : keys[0] }
    /// The id of the least key.
    ///
    /// Precondition: not empty.
    var minimumID: Int32 { ids[0] }

    /// True when the heap holds the id.
    func contains(_ id: Int32) -> Bool { positions[Int(id)] >= 0 }

    /// Inserts an id, or moves it to a new key.
    mutating func set(_ id: Int32, key: UInt64) {
        let position = Int(positions[Int(id)])
        if position < 0 {
            keys.append(key)
            ids.append(id)
            positions[Int(id)] = Int32(ids.count - 1)
            siftUp(ids.count - 1)
        } else if key < keys[position] {
            keys[position] = key
            siftUp(position)
        } else if key > keys[position] {
            keys[position] = key
            siftDown(position)
        }
    }

    /// Removes an id if it is there.
    mutating func remove(_ id: Int32) {
        let position = Int(positions[Int(id)])
        guard position >= 0 else { return }
        positions[Int(id)] = -1
        let lastKey = keys.removeLast()
        let lastID = ids.removeLast()
        guard position < ids.count else { return }
        keys[position] = lastKey
        ids[position] = lastID
        positions[Int(lastID)] = Int32(position)
        siftUp(position)
        siftDown(Int(positions[Int(lastID)]))
    }

    // MARK: - Private

    private func isBefore(_ leftKey: UInt64, _ leftID: Int32, _ position: Int) -> Bool {
        leftKey < keys[position] || (leftKey == keys[position] && leftID < ids[position])
    }

    private mutating func siftUp(_ start: Int) {
        var position = start
        let (key, id) = (keys[position], ids[position])
        while position > 0 {
            let parent = (position - 1) / 2
            guard isBefore(key, id, parent) else { break }
            place(keys[parent], ids[parent], at: position)
            position = parent
        }
        place(key, id, at: position)
    }

    private mutating func siftDown(_ start: Int) {
        var position = start
        let (key, id) = (keys[position], ids[position])
        while true {
            var child = 2 * position + 1
            guard child < ids.count else { break }
            if child + 1 < ids.count, isBefore(keys[child + 1], ids[child + 1], child) {
                child += 1
            }
            guard !isBefore(key, id, child) else { break }
            place(keys[child], ids[child], at: position)
            position = child
        }
        place(key, id, at: position)
    }

    private mutating func place(_ key: UInt64, _ id: Int32, at position: Int) {
        keys[position] = key
        ids[position] = id
        positions[Int(id)] = Int32(position)
    }
}
