// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// Levels as decimals: at most 16 digits behind the point, the nearest to the level.
///
/// Levels are 2^-52 apart, some 2.2 × 10^-16, and a decimal of 16 digits is at most 0.5 × 10^-16 off:
/// so each level has a decimal of its own, and the nearest level to it is the one it was made from.
enum LevelText {
    /// 10^16, the number of steps from 0 to 1.
    static let unit: UInt64 = 10_000_000_000_000_000

    /// The nearest decimal to a level, in units of 10^-16.
    static func units(_ level: PowerLevel) -> UInt64 {
        let product = UInt128(level.rawValue) * UInt128(unit)
        return UInt64((product + (1 << 51)) >> 52)
    }

    /// The level that was written as a decimal; nil for one that no level is written as.
    static func level(units: UInt64) -> PowerLevel? {
        let raw = (UInt128(units) << 52 + UInt128(unit / 2)) / UInt128(unit)
        let level = PowerLevel(rawValue: UInt64(raw))
        return LevelText.units(level) == units ? level : nil
    }

    /// Appends a level: `0`, `0.25`, `0.3333333333333333`, `1`.
    static func append(_ level: PowerLevel, to bytes: inout [UInt8]) {
        let units = units(level)
        bytes.append(UInt8(ascii: "0") + UInt8(units / unit))
        var rest = units % unit
        guard rest > 0 else { return }
        bytes.append(UInt8(ascii: "."))
        var scale = unit / 10
        while rest > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(rest / scale))
            rest %= scale
            scale /= 10
        }
    }
}
