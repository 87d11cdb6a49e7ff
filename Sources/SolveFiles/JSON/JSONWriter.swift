// SPDX-License-Identifier: Apache-2.0

/// Pieces of JSON, appended to bytes.
extension [UInt8] {
    /// Appends a piece as it stands.
    mutating func json(_ text: StaticString) {
        append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends a number.
    mutating func json(_ value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        var rest = value.magnitude
        let start = count
        repeat {
            append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        self[start...].reverse()
    }

    /// Appends a string in quotes.
    ///
    /// Names from files hold no control characters; what stands in quotes elsewhere is ours.
    mutating func json(name: some Sequence<UInt8>) {
        append(UInt8(ascii: "\""))
        for byte in name {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                append(UInt8(ascii: "\\"))
            }
            append(byte)
        }
        append(UInt8(ascii: "\""))
    }

    /// Appends a list, with one entry a line.
    ///
    /// - Parameters:
    ///   - count: the number of entries.
    ///   - brackets: `[]` or `{}`.
    ///   - write: appends the entry at a place.
    mutating func json(
        lines count: Int, _ brackets: (StaticString, StaticString),
        _ write: (_ place: Int, _ bytes: inout [UInt8]) -> Void
    ) {
        json(brackets.0)
        for place in 0..<count {
            json(place == 0 ? "\n" : ",\n")
            write(place, &self)
        }
        if count > 0 { json("\n") }
        json(brackets.1)
    }
}
