// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Quantities as a person reads them.
package enum Format {
    /// What stands for a value that is not known; never a zero.
    package static let unknown = "-"

    /// A power given in milliwatts on the wire; above ``Milliwatts/maximum`` it is unknown.
    package static func watts(_ milliwatts: UInt64, isKnown: Bool = true) -> String {
        guard isKnown, let value = Int64(exactly: milliwatts) else { return unknown }
        return Milliwatts(value).description
    }

    /// What is left of `whole` after `part`; negative where more is taken than there is.
    package static func headroom(_ whole: UInt64, minus part: UInt64) -> String {
        guard let whole = Int64(exactly: whole), let part = Int64(exactly: part) else {
            return unknown
        }
        return Milliwatts(whole - part).description
    }

    /// A share in parts per million, as whole percent; below one percent with one decimal.
    package static func percent(ppm: UInt64) -> String {
        if ppm > 0 && ppm < 10_000 { return "0.\(max(1, ppm / 1000)) %" }
        return "\((ppm + 5000) / 10_000) %"
    }

    /// A number of GPUs held in thousandths: `3`, `2.5`.
    package static func gpus(milli: UInt64) -> String {
        let rest = milli % 1000
        if rest == 0 { return String(milli / 1000) }
        var digits = String(1000 + rest).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(milli / 1000).\(digits)"
    }

    /// A time: `420 ms`, `8.5 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`.
    package static func duration(milliseconds: UInt64) -> String {
        let seconds = milliseconds / 1000
        if milliseconds < 1000 { return "\(milliseconds) ms" }
        if seconds < 60 { return "\(seconds).\(milliseconds % 1000 / 100) s" }
        if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds < 86400 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
        return "\(seconds / 86400) d \(seconds % 86400 / 3600) h"
    }

    /// An instant in UTC, as `2026-11-22T22:04:09Z`; from milliseconds since 1970.
    package static func instant(unixMilliseconds: UInt64) -> String {
        let seconds = unixMilliseconds / 1000
        let (year, month, day) = civil(days: Int64(seconds / 86400))
        let rest = seconds % 86400
        func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(year)-\(two(UInt64(month)))-\(two(UInt64(day)))T"
            + "\(two(rest / 3600)):\(two(rest % 3600 / 60)):\(two(rest % 60))Z"
    }

    /// A bar of `width` characters of which `fraction` is filled.
    package static func bar(fraction: Double, width: Int) -> String {
        let filled = Int((min(1, max(0, fraction)) * Double(width)).rounded(.down))
        return String(repeating: "█", count: filled)
            + String(repeating: "░", count: width - filled)
    }

    /// The Gregorian date of a day counted from 1970-01-01, by eras of 400 years.
    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        // Days from 0000-03-01; years that start in March put the leap day last.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
