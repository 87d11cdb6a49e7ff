// SPDX-License-Identifier: Apache-2.0

/// FNV-1a with 64 bits, over the little-endian bytes of what it is given: a name for a result.
///
/// Equal results have equal names on every machine, so that a faster solver shows at once when it has
/// become a different one.
package struct ResultHash: Hashable, Sendable {
    /// The hash of what was combined so far.
    package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    package init() {}

    /// Takes in four bytes.
    package mutating func combine(_ word: UInt32) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
            value = (value ^ UInt64((word >> shift) & 0xFF)) &* 0x0000_0100_0000_01B3
        }
    }

    /// Takes in a column.
    package mutating func combine(_ column: [UInt32]) {
        for word in column { combine(word) }
    }

    /// Sixteen digits.
    package var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
