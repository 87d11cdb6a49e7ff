// SPDX-License-Identifier: Apache-2.0

/// A growing column of plain values, for the solver's inner loops.
///
/// It keeps its storage when it is emptied, so that a solve of a size that was solved before takes no
/// memory. Elements are not checked against the count in optimized builds: every index that the solver
/// uses is one that it made itself or has compared with a bound once (``PowerView``).
struct PowerColumn<Element: BitwiseCopyable>: ~Copyable {
    /// The elements; valid until the column grows.
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private(set) var capacity: Int

    init() {
        capacity = 4
        base = UnsafeMutablePointer<Element>.allocate(capacity: 4)
    }

    deinit { base.deallocate() }

    /// Bytes that the column has room for.
    var storageByteCount: Int { capacity * MemoryLayout<Element>.stride }

    /// One element.
    ///
    /// Precondition: the index is in `0..<count`; checked in debug builds.
    subscript(_ index: Int) -> Element {
        @inline(__always) get {
            assert(index >= 0 && index < count)
            return base[index]
        }
        @inline(__always) nonmutating set {
            assert(index >= 0 && index < count)
            base[index] = newValue
        }
        @inline(__always) nonmutating _modify {
            assert(index >= 0 && index < count)
            yield &base[index]
        }
    }

    /// Adds an element.
    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { grow(to: count + 1) }
        base[count] = element
        count += 1
    }

    /// Takes the last element away.
    ///
    /// Precondition: there is one.
    mutating func removeLast() -> Element {
        assert(count > 0)
        count -= 1
        return base[count]
    }

    /// Forgets all elements and keeps the storage.
    mutating func removeAll() { count = 0 }

    /// Forgets all elements and makes room for `count` of one value.
    mutating func reset(to value: Element, count: Int) {
        setCount(count)
        base.update(repeating: value, count: count)
    }

    /// Changes the count; elements beyond the old count hold anything.
    mutating func setCount(_ newCount: Int) {
        if newCount > capacity { grow(to: newCount) }
        count = newCount
    }

    @inline(never)
    private mutating func grow(to least: Int) {
        // Half as much again: the column's storage counts in the bytes of each GPU.
        let newCapacity = max(least, capacity + capacity / 2 + 4)
        let newBase = UnsafeMutablePointer<Element>.allocate(capacity: newCapacity)
        newBase.update(from: base, count: count)
        base.deallocate()
        base = newBase
        capacity = newCapacity
    }
}

// A column owns its storage alone and hands out no reference that outlives a call.
extension PowerColumn: @unchecked Sendable where Element: Sendable {}
