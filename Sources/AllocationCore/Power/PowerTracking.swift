// SPDX-License-Identifier: Apache-2.0

/// The domains that may become full: those whose GPUs together want more than fits.
///
/// A domain that has room for all its GPUs at full can stop no gang, at any pace and in any class, so the
/// solve leaves it out. Most domains of a fleet are of that kind. To track one of them does no harm.
struct PowerTracking: ~Copyable {
    /// The domain of each tracked one, in the order in which they came.
    private(set) var domain = PowerColumn<Int32>()
    /// The next tracked domain above each tracked one, or -1.
    private(set) var above = PowerColumn<Int32>()
    /// The place of each domain among the tracked ones, or -1.
    ///
    /// Shape: indexed by domain, as `nearest`.
    private var place = PowerColumn<Int32>()
    /// The nearest tracked domain at or above each domain, or -1.
    private(set) var nearest = PowerColumn<Int32>()

    /// The place of the next domain that will be tracked.
    var nextPlace: Int32 { Int32(truncatingIfNeeded: count) }
    /// The number of tracked domains.
    var count: Int { domain.count }

    var storageByteCount: Int {
        domain.storageByteCount + above.storageByteCount + place.storageByteCount
            + nearest.storageByteCount
    }

    /// Tracks no domain.
    mutating func reset(_ view: PowerView) {
        domain.removeAll()
        // Links are of the old domains: the next `extend` makes new ones.
        nearest.removeAll()
        place.reset(to: -1, count: view.domainCount)
    }

    /// Tracks the domains whose GPUs want more than fits, besides those that are tracked already.
    ///
    /// - Returns: true when there are new ones.
    mutating func extend(_ view: PowerView, _ sums: borrowing PowerSums) -> Bool {
        let before = count
        for index in 0..<view.domainCount where place[index] < 0 {
            let sum = sums.total[index]
            guard sum.span > view.budget[index] - sum.floor else { continue }
            place[index] = Int32(truncatingIfNeeded: count)
            domain.append(Int32(truncatingIfNeeded: index))
        }
        if count > before || nearest.count != view.domainCount { link(view) }
        return count > before
    }

    private mutating func link(_ view: PowerView) {
        nearest.setCount(view.domainCount)
        above.setCount(count)
        for index in 0..<view.domainCount {
            let parent = Int(view.parent[index])
            let higher = parent < 0 ? -1 : nearest[parent]
            let place = place[index]
            nearest[index] = place < 0 ? higher : place
            if place >= 0 { above[Int(place)] = higher }
        }
    }
}
