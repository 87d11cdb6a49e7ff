// SPDX-License-Identifier: Apache-2.0

/// The power limit of one device: what was asked for, and what the device may be enforcing.
///
/// A cap that is replaced may go on for the settle time α. So the device may be enforcing the
/// largest of: the cap requested last, and each earlier one until α after its replacement.
struct CapRegister: Hashable, Sendable {
    private struct Superseded: Hashable, Sendable {
        var capMilliwatts: UInt32
        var untilNanoseconds: Int64
    }

    /// The cap written last.
    private(set) var requestedMilliwatts: UInt32
    /// Replaced caps that matter still.
    ///
    /// **Invariant:** caps fall, ends rise, all caps are above the request.
    private var superseded: [Superseded] = []

    /// A device that has had this cap for longer than α.
    init(settledAt capMilliwatts: UInt32) { requestedMilliwatts = capMilliwatts }

    /// The most that the device may be enforcing, as of the last call.
    var enforcedMilliwatts: UInt32 { superseded.first?.capMilliwatts ?? requestedMilliwatts }

    /// Takes a new cap.
    ///
    /// - Returns: when the replaced cap is settled, if it is higher than the new one; call
    ///   ``settle(at:)`` then.
    mutating func write(
        _ capMilliwatts: UInt32, at now: Int64, settleNanoseconds: Int64
    ) -> Int64? {
        let replaced = requestedMilliwatts
        requestedMilliwatts = capMilliwatts
        let end = now + settleNanoseconds
        if replaced > capMilliwatts {
            // An earlier cap not above the replaced one ends before it and matters no more.
            superseded.removeAll { $0.capMilliwatts <= replaced }
            superseded.append(Superseded(capMilliwatts: replaced, untilNanoseconds: end))
            return end
        }
        superseded.removeAll { $0.capMilliwatts <= capMilliwatts }
        return nil
    }

    /// Drops replaced caps whose time is over.
    mutating func settle(at now: Int64) {
        superseded.removeAll { $0.untilNanoseconds <= now }
    }
}

/// The ends of settling that are to come, earliest first.
struct SettleQueue: Sendable {
    /// One end.
    struct Entry: Hashable, Sendable, Comparable {
        var instant: Int64
        var gpu: Int

        static func < (left: Entry, right: Entry) -> Bool {
            (left.instant, left.gpu) < (right.instant, right.gpu)
        }
    }

    private var heap: [Entry] = []

    /// Adds an end.
    ///
    /// - Complexity: O(log n).
    mutating func insert(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Takes the earliest end that is not after `now`, if any.
    ///
    /// - Complexity: O(log n).
    mutating func popFirst(notAfter now: Int64) -> Entry? {
        guard let first = heap.first, first.instant <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
