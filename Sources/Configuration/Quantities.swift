// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// Numbers with units, read exactly: no floating point, no rounding.
enum Quantity {
    /// Why a text is no such quantity.
    struct Problem: Error {
        var reason: String
        var hint: String?
    }

    /// Reads watts, such as `700 W`, `132 kW` or `1.2 GW`.
    static func power(_ text: String) throws(Problem) -> Milliwatts {
        let value = try scaled(
            text, what: "a power", example: "132 kW",
            units: [
                ("mW", 1), ("W", 1000), ("kW", 1_000_000), ("MW", 1_000_000_000),
                ("GW", 1_000_000_000_000),
            ])
        guard value <= Milliwatts.maximum.rawValue else {
            throw Problem(reason: "'\(text)' is more than \(Milliwatts.maximum)")
        }
        return Milliwatts(value)
    }

    /// Reads a duration in nanoseconds, such as `100 ms`, `20 s` or `3 h`; at most a thousand days.
    static func duration(_ text: String) throws(Problem) -> Int64 {
        let second: Int64 = 1_000_000_000
        let value = try scaled(
            text, what: "a duration", example: "20 s",
            units: [
                ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", second), ("min", 60 * second),
                ("h", 3600 * second), ("d", 86_400 * second),
            ])
        guard value <= 1000 * 86_400 * second else {
            throw Problem(reason: "'\(text)' is more than 1000 days")
        }
        return value
    }

    /// Reads an amount of memory in MiB, such as `512 GiB`.
    static func memory(_ text: String) throws(Problem) -> UInt32 {
        let value = try scaled(
            text, what: "an amount of memory", example: "512 GiB",
            units: [("MiB", 1), ("GiB", 1 << 10), ("TiB", 1 << 20), ("PiB", 1 << 30)])
        guard let mebibytes = UInt32(exactly: value) else {
            throw Problem(reason: "'\(text)' is more than 4095 TiB")
        }
        return mebibytes
    }

    /// Reads CPUs in thousandths, such as `192` or `0.5`.
    static func cpus(_ text: String) throws(Problem) -> UInt32 {
        guard let value = decimal(text, scale: 1000), let milli = UInt32(exactly: value) else {
            throw Problem(
                reason: "'\(text)' is not a number of CPUs", hint: "write it like 16 or 0.5")
        }
        return milli
    }

    /// Reads a share such as `1 %` in parts per million.
    static func partsPerMillion(_ text: String) throws(Problem) -> Int64 {
        try scaled(text, what: "a share", example: "1 %", units: [("%", 10_000), ("ppm", 1)])
    }

    /// Reads GPUs of one task: a whole number, or a fraction of one GPU such as `0.25`.
    ///
    /// - Returns: the number of GPUs, and thousandths of each.
    static func gpus(_ text: String) throws(Problem) -> (count: UInt16, milli: UInt16) {
        guard let milli = decimal(text, scale: 1000) else {
            throw Problem(
                reason: "'\(text)' is not a number of GPUs", hint: "write it like 8 or 0.25")
        }
        if milli == 0 { return (0, 0) }
        if milli < 1000 { return (1, UInt16(milli)) }
        guard milli % 1000 == 0 else {
            throw Problem(
                reason: "'\(text)' GPUs cannot be had",
                hint: "a task has whole GPUs, or a fraction of one")
        }
        guard milli / 1000 <= TelemetryReport.maximumGPUCount else {
            throw Problem(
                reason: "'\(text)' GPUs is more than a node can have",
                hint: "use more tasks; a node has at most \(TelemetryReport.maximumGPUCount)")
        }
        return (UInt16(milli / 1000), 1000)
    }

    /// Reads a whole number in a range.
    static func integer(
        _ text: String, in range: ClosedRange<Int64>
    ) throws(Problem) -> Int64 {
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw Problem(reason: "'\(text)' is not a whole number")
        }
        guard let value = Int64(text), range.contains(value) else {
            throw Problem(
                reason: "'\(text)' is not between \(range.lowerBound) and \(range.upperBound)")
        }
        return value
    }

    // MARK: -

    /// Reads a number and its unit; the result is in the unit of factor 1.
    private static func scaled(
        _ text: String, what: String, example: String, units: [(name: String, factor: Int64)]
    ) throws(Problem) -> Int64 {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == "." || $0 == "-") }
        let name = text.dropFirst(number.count).drop { $0 == " " }
        let known = units.map(\.name).joined(separator: ", ")
        guard !number.isEmpty else {
            throw Problem(reason: "'\(text)' is not \(what)", hint: "write it like \(example)")
        }
        if name.isEmpty {
            throw Problem(reason: "'\(text)' has no unit", hint: "write it like \(example)")
        }
        guard let unit = units.first(where: { $0.name == name }) else {
            throw Problem(
                reason: "'\(name)' is not a unit of \(what)", hint: "units are \(known)")
        }
        if number.hasPrefix("-") { throw Problem(reason: "'\(text)' is negative") }
        guard let value = decimal(String(number), scale: unit.factor) else {
            throw Problem(
                reason: "'\(text)' is not \(what) that can be represented",
                hint: "the smallest step is 1 \(units[0].name)")
        }
        return value
    }

    /// `text × scale` for a decimal number without sign or exponent; nil if that is no whole number
    /// or overflows.
    private static func decimal(_ text: String, scale: Int64) -> Int64? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? parts[1] : ""
        guard let whole = parts.first, parts.count <= 2, isDigits(whole),
            parts.count == 1 || isDigits(fraction), whole.utf8.count + fraction.utf8.count <= 24,
            let digits = Int128(whole + fraction)
        else { return nil }
        // 24 digits times a scale below 2^60 stay below 2^127 only for the scales used above, so
        // the product is checked all the same.
        let (product, overflow) = digits.multipliedReportingOverflow(by: Int128(scale))
        let divisor = fraction.utf8.reduce(Int128(1)) { power, _ in power * 10 }
        guard !overflow, product % divisor == 0 else { return nil }
        return Int64(exactly: product / divisor)
    }

    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) }
    }
}
