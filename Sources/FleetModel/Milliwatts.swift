// SPDX-License-Identifier: Apache-2.0

/// A power in whole milliwatts, so that "never above" is exact.
///
/// Arithmetic traps on overflow: `Int64` milliwatts reach 9.2 petawatts, and parsed input is bounded
/// by ``maximum`` before it is added up.
package struct Milliwatts: Hashable, Comparable, Sendable, AdditiveArithmetic {
    /// The number of milliwatts.
    package var rawValue: Int64

    /// Wraps a number of milliwatts.
    @inlinable
    package init(_ rawValue: Int64) { self.rawValue = rawValue }

    /// Wraps a number of whole watts.
    @inlinable
    package static func watts(_ watts: Int64) -> Milliwatts { Milliwatts(watts * 1000) }

    /// Nothing.
    package static let zero = Milliwatts(0)

    /// The largest power that a file or a message may name: 1 TW, far above any fleet.
    ///
    /// A million such values still sum without overflow.
    package static let maximum = Milliwatts(1_000_000_000_000_000)

    @inlinable
    package static func < (left: Milliwatts, right: Milliwatts) -> Bool {
        left.rawValue < right.rawValue
    }

    @inlinable
    package static func + (left: Milliwatts, right: Milliwatts) -> Milliwatts {
        Milliwatts(left.rawValue + right.rawValue)
    }

    @inlinable
    package static func - (left: Milliwatts, right: Milliwatts) -> Milliwatts {
        Milliwatts(left.rawValue - right.rawValue)
    }

    /// The watts as a fraction, for people and for metrics; never for decisions.
    package var watts: Double { Double(rawValue) / 1000 }
}

extension Milliwatts: CustomStringConvertible {
    /// At most four significant digits in the largest fitting unit: `132.5 kW`, `1.25 GW`, `700 W`.
    package var description: String {
        let magnitude = rawValue.magnitude
        let scales: [(UInt64, String)] = [
            (1_000_000_000_000, "GW"), (1_000_000_000, "MW"), (1_000_000, "kW"), (1000, "W"),
        ]
        guard let (unit, name) = scales.first(where: { magnitude >= $0.0 }) else {
            return rawValue == 0 ? "0 W" : "\(rawValue) mW"
        }
        let sign = rawValue < 0 ? "-" : ""
        return sign + Milliwatts.decimal(magnitude, unit: unit) + " " + name
    }

    /// Writes `magnitude / unit`, rounded to two decimals below 100 and to one above, without
    /// trailing zeros.
    private static func decimal(_ magnitude: UInt64, unit: UInt64) -> String {
        let decimals: UInt64 = magnitude / unit >= 100 ? 10 : 100
        let parts = (magnitude + unit / decimals / 2) / (unit / decimals)
        let whole = parts / decimals
        let rest = parts % decimals
        if rest == 0 || whole >= 1000 { return "\(whole)" }
        if decimals == 10 { return "\(whole).\(rest)" }
        if rest % 10 == 0 { return "\(whole).\(rest / 10)" }
        return "\(whole)." + (rest < 10 ? "0\(rest)" : "\(rest)")
    }
}
