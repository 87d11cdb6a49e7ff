// SPDX-License-Identifier: Apache-2.0

/// A binary min-heap of `(key, id)` with dense ids, ordered by key and then by id.
///
/// Every id is in the heap at most once, so the capacity is fixed by ``reset(idCount:)`` and no
/// operation after it takes memory.
struct IndexedHeap: ~Copyable {
    private var keys = PowerColumn<UInt64>()
    private var ids = PowerColumn<Int32>()
    /// Position of each id, or -1.
    ///
    /// Shape: indexed by id.
    private var positions = PowerColumn<Int32>()

    /// Empties the heap and makes room for ids in `0..<idCount`.
    mutating func reset(idCount: Int) {
        positions.reset(to: -1, count: idCount)
        // Room for all ids, so that no insertion grows the columns.
        keys.setCount(idCount)
        ids.setCount(idCount)
        keys.removeAll()
        ids.removeAll()
    }

    var storageByteCount: Int {
        keys.storageByteCount + ids.storageByteCount + positions.storageByteCount
    }

    var isEmpty: Bool { ids.count == 0 }
    /// The least key, or `UInt64.max` of an empty heap.
    var minimumKey: UInt64 { isEmpty ? .max : keys[0] }
    /// The id of the least key.
    ///
    /// Precondition: not empty.
    var minimumID: Int32 { ids[0] }

    /// Inserts an id, or moves it to a new key.
    mutating func set(_ id: Int32, key: UInt64) {
        let position = Int(positions[Int(id)])
        if position < 0 {
            keys.append(key)
            ids.append(id)
            siftUp(ids.count - 1)
        } else if key < keys[position] {
            keys[position] = key
            siftUp(position)
        } else if key > keys[position] {
            keys[position] = key
            siftDown(position)
        }
    }

    /// Removes the id of the least key.
    ///
    /// Precondition: not empty.
    mutating func removeMinimum() {
        positions[Int(ids[0])] = -1
        let lastKey = keys.removeLast()
        let lastID = ids.removeLast()
        guard !isEmpty else { return }
        keys[0] = lastKey
        ids[0] = lastID
        siftDown(0)
    }

    // MARK: - Private

    @inline(__always)
    private func isBefore(_ leftKey: UInt64, _ leftID: Int32, _ position: Int) -> Bool {
        leftKey < keys[position] || (leftKey == keys[position] && leftID < ids[position])
    }

    private func siftUp(_ start: Int) {
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

    private func siftDown(_ start: Int) {
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

    @inline(__always)
    private func place(_ key: UInt64, _ id: Int32, at position: Int) {
        keys[position] = key
        ids[position] = id
        positions[Int(id)] = Int32(truncatingIfNeeded: position)
    }
}
