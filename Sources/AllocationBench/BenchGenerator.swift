// SPDX-License-Identifier: Apache-2.0

/// SplitMix64: the same numbers for the same seed on every machine.
package struct BenchGenerator: Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0..<count`.
    package mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }

    /// A number in a range.
    package mutating func pick(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.count)
    }

    /// True `numerator` times in `denominator`.
    package mutating func isIn(_ numerator: Int, of denominator: Int) -> Bool {
        below(denominator) < numerator
    }

    /// One of some values.
    package mutating func element<Element>(of values: [Element]) -> Element {
        values[below(values.count)]
    }
}
