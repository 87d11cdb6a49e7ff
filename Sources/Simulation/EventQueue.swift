// SPDX-License-Identifier: Apache-2.0

/// Events by time; those of one instant in the order in which they were added.
///
/// A binary heap: adding and taking cost O(log n) for n waiting events.
struct EventQueue<Event> {
    private struct Entry {
        var time: Int64
        var number: UInt64
        var event: Event

        func isBefore(_ other: borrowing Entry) -> Bool {
            time != other.time ? time < other.time : number < other.number
        }
    }

    private var heap: [Entry] = []
    private var added: UInt64 = 0

    mutating func add(_ event: Event, at time: Int64) {
        added += 1
        heap.append(Entry(time: time, number: added, event: event))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the first event; nil when none waits.
    mutating func next() -> (time: Int64, event: Event)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (first.time, first.event)
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].isBefore(heap[least]) { least = child }
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
