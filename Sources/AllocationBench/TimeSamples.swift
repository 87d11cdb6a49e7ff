// SPDX-License-Identifier: Apache-2.0

/// Durations of repetitions of one thing, in nanoseconds.
package struct TimeSamples: Hashable, Sendable {
    private var sorted: [Int64] = []

    package init() {}

    /// How many there are.
    package var count: Int { sorted.count }

    /// Takes in one.
    package mutating func append(_ nanoseconds: Int64) {
        let place = sorted.firstIndex { $0 > nanoseconds } ?? sorted.count
        sorted.insert(nanoseconds, at: place)
    }

    /// The least sample that `percent` of all are not above, in milliseconds; 0 of none.
    package func percentile(_ percent: Int) -> Double {
        guard !sorted.isEmpty else { return 0 }
        let rank = (sorted.count * percent + 99) / 100
        return Double(sorted[min(max(rank, 1), sorted.count) - 1]) / 1e6
    }
}
