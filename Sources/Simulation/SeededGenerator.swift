// SPDX-License-Identifier: Apache-2.0

/// The simulator's only source of chance: SplitMix64.
///
/// The same seed gives the same numbers on every machine. Source: Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators" (2014).
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed &* 0x2545_F491_4F6C_DD1D &+ 0x9E37_79B9_7F4A_7C15 }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0..<count`.
    ///
    /// - Precondition: `count` is positive.
    package mutating func index(below count: Int) -> Int {
        Int(next().multipliedFullWidth(by: UInt64(count)).high)
    }

    /// True in `millionths` of a million cases.
    package mutating func chance(_ millionths: Int) -> Bool { index(below: 1_000_000) < millionths }

    /// A number of the range, every one as likely as any other.
    package mutating func uniform(_ range: ClosedRange<Int64>) -> Int64 {
        range.lowerBound + Int64(index(below: Int(range.upperBound - range.lowerBound) + 1))
    }

    /// A time from zero to three times the mean, most often short: the least of a few draws.
    package mutating func interval(mean: Int64) -> Int64 {
        let first = uniform(0...(3 * mean))
        let second = uniform(0...(3 * mean))
        return min(first, second)
    }
}
