// SPDX-License-Identifier: Apache-2.0

/// Counts of many short durations, each kept to within a sixty-fourth of itself.
package struct LatencyHistogram: Hashable, Sendable {
    /// Buckets for each doubling, as a power of two.
    private static let precision = 6

    private var counts = [UInt32](repeating: 0, count: 64 << LatencyHistogram.precision)
    /// How many durations there are.
    package private(set) var count = 0

    package init() {}

    /// Takes in one duration, in nanoseconds.
    package mutating func append(_ nanoseconds: Int64) {
        counts[LatencyHistogram.bucket(UInt64(max(0, nanoseconds)))] += 1
        count += 1
    }

    /// The least duration that `percent` of all are not above, in microseconds; 0 of none.
    package func percentile(_ percent: Int) -> Double {
        guard count > 0 else { return 0 }
        let rank = max(1, (count * percent + 99) / 100)
        var seen = 0
        for bucket in counts.indices {
            seen += Int(counts[bucket])
            if seen >= rank { return Double(LatencyHistogram.upperBound(bucket)) / 1000 }
        }
        return 0
    }

    /// Durations below 2^precision have a bucket each, longer ones share one by their first bits.
    private static func bucket(_ value: UInt64) -> Int {
        let bits = UInt64.bitWidth - value.leadingZeroBitCount
        guard bits > precision else { return Int(value) }
        let shift = bits - precision - 1
        return (shift << precision) + Int(value >> UInt64(shift))
    }

    private static func upperBound(_ bucket: Int) -> UInt64 {
        let shift = max(0, (bucket >> precision) - 1)
        return UInt64(bucket - (shift << precision) + 1) << UInt64(shift) - 1
    }
}
