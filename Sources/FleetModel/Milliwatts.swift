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
    /// Three to four significant digits in the largest fitting unit: `132 kW`, `1.25 GW`, `700 W`.
    package var description: String {
        let magnitude = rawValue.magnitude
        let scales: [(UInt64, String)] = [
            (1_000_000_000_000, "GW"), (1_000_000_000, "MW"), (1_000_000, "kW"), (1000, "W"),
        ]
        guard let (unit, name) = scales.first(where: { magnitude >= $0.0 }) else {
            return rawValue == 0 ? "0 W" : "\(rawValue) mW"
        }
        let hundredths = (magnitude + unit / 200) / (unit / 100)
        let sign = rawValue < 0 ? "-" : ""
        return sign + Milliwatts.decimal(hundredths: hundredths) + " " + name
    }

    /// Writes hundredths without trailing zeros: 13250 is `132.5`, 7000 is `70`.
    private static func decimal(hundredths: UInt64) -> String {
        let whole = hundredths / 100
        let rest = hundredths % 100
        if rest == 0 || whole >= 1000 { return "\(whole)" }
        if rest % 10 == 0 { return "\(whole).\(rest / 10)" }
        return "\(whole)." + (rest < 10 ? "0\(rest)" : "\(rest)")
    }
}
