// SPDX-License-Identifier: Apache-2.0

/// An in-place sort that allocates nothing, for steady-state code.
enum HeapSort {
    /// Sorts by a strict order.
    ///
    /// Not stable: make the order total where ties matter.
    ///
    /// Complexity: `O(n log n)` comparisons.
    static func sort<Element>(_ items: inout [Element], by isBefore: (Element, Element) -> Bool) {
        items.withUnsafeMutableBufferPointer { buffer in
            guard buffer.count > 1 else { return }
            for start in stride(from: buffer.count / 2 - 1, through: 0, by: -1) {
                siftDown(buffer, start, buffer.count, isBefore)
            }
            for end in stride(from: buffer.count - 1, to: 0, by: -1) {
                buffer.swapAt(0, end)
                siftDown(buffer, 0, end, isBefore)
            }
        }
    }

    private static func siftDown<Element>(
        _ buffer: UnsafeMutableBufferPointer<Element>, _ start: Int, _ end: Int,
        _ isBefore: (Element, Element) -> Bool
    ) {
        var position = start
        let item = buffer[position]
        while true {
            var child = 2 * position + 1
            guard child < end else { break }
            if child + 1 < end, isBefore(buffer[child], buffer[child + 1]) { child += 1 }
            guard isBefore(item, buffer[child]) else { break }
            buffer[position] = buffer[child]
            position = child
        }
        buffer[position] = item
    }
}
