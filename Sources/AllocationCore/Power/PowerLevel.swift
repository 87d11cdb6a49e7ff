// SPDX-License-Identifier: Apache-2.0

/// Where a gang stands between its floors (0) and full pace (1), in fixed point.
///
/// 52 fractional bits: with weights up to 2^20 (``PowerProblem/maximumWeight``) one step of the common
/// pace moves a level by at most 2^20 / 2^52 = 2^-32.
package struct PowerLevel: Hashable, Comparable, Sendable {
    /// The level in units of 2^-52, in `0...2^52`.
    package var rawValue: UInt64

    /// Wraps a number of units of 2^-52.
    @inlinable
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number of fractional bits.
    package static let fractionalBits: UInt64 = 52
    /// The raw value of full pace.
    package static let fullRawValue: UInt64 = 1 << 52
    /// At the floor.
    package static let floor = PowerLevel(rawValue: 0)
    /// At full pace.
    package static let full = PowerLevel(rawValue: 1 << 52)

    @inlinable
    package static func < (left: PowerLevel, right: PowerLevel) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The level as a fraction, for people and for metrics; never for decisions.
    package var fraction: Double { Double(rawValue) / Double(PowerLevel.fullRawValue) }

    /// The level in millionths, rounded down.
    package var partsPerMillion: UInt32 {
        // rawValue <= 2^52 and 10^6 < 2^20, so the product does not fit 64 bits: multiply wide.
        let product = rawValue.multipliedFullWidth(by: 1_000_000)
        return UInt32(product.high << 12 | product.low >> 52)
    }
}
