// SPDX-License-Identifier: Apache-2.0

/// Events by time, for worlds with many of them: a heap of small keys over a store of payloads.
///
/// Those of one instant come in the order in which they were added. Adding and taking cost O(log n) for
/// n waiting events; the steady state allocates nothing.
struct Agenda<Event> {
    private struct Key {
        var time: Int64
        var number: UInt32
        var slot: UInt32

        @inline(__always)
        func isBefore(_ other: Key) -> Bool {
            // Numbers wrap: of two waiting events the younger is less than half the range ahead.
            time != other.time ? time < other.time : Int32(bitPattern: number &- other.number) < 0
        }
    }

    private var heap: [Key] = []
    private var payloads: [Event?] = []
    private var free: [UInt32] = []
    private var added: UInt32 = 0

    /// The number of waiting events.
    var count: Int { heap.count }

    mutating func add(_ event: consuming Event, at time: Int64) {
        let slot: UInt32
        if let reused = free.popLast() {
            slot = reused
            payloads[Int(slot)] = event
        } else {
            slot = UInt32(payloads.count)
            payloads.append(event)
        }
        added &+= 1
        let key = Key(time: time, number: added, slot: slot)
        heap.append(key)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard key.isBefore(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = key
    }

    /// The time of the first event; nil when none waits.
    var nextTime: Int64? { heap.first?.time }

    /// Takes the first event; nil when none waits.
    mutating func next() -> (time: Int64, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        free.append(first.slot)
        guard let event = payloads[Int(first.slot)].take() else {
            preconditionFailure("slot \(first.slot) of the agenda is empty")
        }
        return (first.time, event)
    }

    /// Puts a key in at the root, and down to where it belongs.
    private mutating func sink(_ key: Key) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(key) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = key
    }
}
