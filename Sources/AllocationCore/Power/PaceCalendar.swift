// SPDX-License-Identifier: Apache-2.0

/// Gangs by the pace of their next bend.
///
/// Gangs of one weight on curves of one kind bend together, so there are far fewer paces than gangs: each
/// entry is a list of gangs. A small table of recent entries finds the list of a pace; when it
/// misses, the pace gets a second entry, which does no harm.
struct PaceCalendar: ~Copyable {
    private static let recentCount = 256

    private var heap = IndexedHeap()
    /// The first gang of each entry, or -1.
    private var head = PowerColumn<Int32>()
    private var free = PowerColumn<Int32>()
    /// The next gang of the same entry, or -1.
    ///
    /// Shape: indexed by gang.
    private var next = PowerColumn<Int32>()
    private var recentPace = PowerColumn<UInt64>()
    private var recentEntry = PowerColumn<Int32>()

    var storageByteCount: Int {
        heap.storageByteCount + head.storageByteCount + free.storageByteCount
            + next.storageByteCount + recentPace.storageByteCount + recentEntry.storageByteCount
    }

    /// The first pace, or `UInt64.max` of an empty calendar.
    var firstPace: UInt64 { heap.minimumKey }

    /// Empties the calendar and makes room for gangs in `0..<gangCount`.
    mutating func reset(gangCount: Int) {
        heap.reset(idCount: gangCount)
        next.setCount(gangCount)
        head.setCount(gangCount)
        head.removeAll()
        free.setCount(gangCount)
        free.removeAll()
        // No gang bends at pace 0.
        recentPace.reset(to: 0, count: PaceCalendar.recentCount)
        recentEntry.setCount(PaceCalendar.recentCount)
    }

    /// Enters a gang that is in no entry.
    ///
    /// The pace is later than every pace that was taken out before.
    mutating func insert(_ gang: Int32, at pace: UInt64) {
        let recent = Int(
            truncatingIfNeeded: (pace &* 0x9E37_79B9_7F4A_7C15) >> 56)
        if recentPace[recent] != pace {
            recentPace[recent] = pace
            let entry = makeEntry(at: pace)
            recentEntry[recent] = entry
        }
        let entry = Int(recentEntry[recent])
        next[Int(gang)] = head[entry]
        head[entry] = gang
    }

    /// Takes out the gangs of one entry of the first pace.
    ///
    /// Precondition: not empty.
    ///
    /// - Returns: the first of them; `next(after:)` has the others.
    mutating func removeFirst() -> Int32 {
        let entry = heap.minimumID
        heap.removeMinimum()
        free.append(entry)
        return head[Int(entry)]
    }

    /// The gang after one in its entry, or -1; valid until the gang is entered again.
    func next(after gang: Int32) -> Int32 { next[Int(gang)] }

    private mutating func makeEntry(at pace: UInt64) -> Int32 {
        let entry: Int32
        if free.count > 0 {
            entry = free.removeLast()
            head[Int(entry)] = -1
        } else {
            entry = Int32(truncatingIfNeeded: head.count)
            head.append(-1)
        }
        heap.set(entry, key: pace)
        return entry
    }
}
