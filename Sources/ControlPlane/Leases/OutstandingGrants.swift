// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// A grant that its node might still be enforcing.
struct OutstandingGrant: Hashable, Sendable {
    /// The order's sequence in this epoch; 0 stands for all grants of earlier epochs together.
    var sequence: UInt64
    var cap: Milliwatts
    /// k: the grantor's clocks when the write that fenced the grant was acknowledged.
    var since: ClockReading
    /// W: how long the grantor waits from `since`.
    var waitNanoseconds: Int64

    func isOver(now: ClockReading) -> Bool { now.waitedSince(since) >= waitNanoseconds }
}

/// For every node, the grants that it might still be enforcing: at most four each.
///
/// A fifth is merged with the oldest: the higher cap, the later order and the later end, so that no
/// grant is ever forgotten early.
struct OutstandingGrants: Sendable {
    private static let width = 4
    private var slots: [OutstandingGrant]
    private var counts: [UInt8]

    init(nodeCount: Int) {
        let empty = OutstandingGrant(
            sequence: 0, cap: .zero,
            since: ClockReading(rawNanoseconds: 0, bootNanoseconds: 0), waitNanoseconds: 0)
        slots = Array(repeating: empty, count: nodeCount * OutstandingGrants.width)
        counts = Array(repeating: 0, count: nodeCount)
    }

    /// True when the node can't be enforcing any grant.
    func isEmpty(_ node: Int) -> Bool { counts[node] == 0 }

    /// The highest cap that the node might be enforcing by a grant.
    func highestCap(_ node: Int) -> Milliwatts {
        let first = node * OutstandingGrants.width
        var highest = Milliwatts.zero
        for slot in first..<(first + Int(counts[node])) { highest = max(highest, slots[slot].cap) }
        return highest
    }

    mutating func append(_ grant: OutstandingGrant, node: Int) {
        let first = node * OutstandingGrants.width
        let count = Int(counts[node])
        if count < OutstandingGrants.width {
            slots[first + count] = grant
            counts[node] += 1
            return
        }
        merge(slots[first], into: first + 1)
        for slot in first..<(first + count - 1) { slots[slot] = slots[slot + 1] }
        slots[first + count - 1] = grant
    }

    private mutating func merge(_ older: OutstandingGrant, into slot: Int) {
        slots[slot].sequence = max(slots[slot].sequence, older.sequence)
        slots[slot].cap = max(slots[slot].cap, older.cap)
        slots[slot].waitNanoseconds = max(slots[slot].waitNanoseconds, older.waitNanoseconds)
    }

    /// Drops the grants that an acknowledgement of `sequence` has superseded.
    mutating func acknowledged(_ sequence: UInt64, node: Int) {
        _ = drop(node: node) { $0.sequence < sequence }
    }

    /// Drops the grants whose time is over.
    ///
    /// - Returns: True when any was dropped.
    mutating func expire(now: ClockReading, node: Int) -> Bool {
        drop(node: node) { $0.isOver(now: now) }
    }

    private mutating func drop(node: Int, where isDead: (OutstandingGrant) -> Bool) -> Bool {
        let first = node * OutstandingGrants.width
        let count = Int(counts[node])
        var kept = 0
        for slot in first..<(first + count) where !isDead(slots[slot]) {
            slots[first + kept] = slots[slot]
            kept += 1
        }
        counts[node] = UInt8(kept)
        return kept < count
    }
}
