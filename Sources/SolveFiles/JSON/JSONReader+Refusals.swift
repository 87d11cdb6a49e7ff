// SPDX-License-Identifier: Apache-2.0

// What the reader says when it finds something else than it was asked for.
extension JSONReader {
    /// An error for the value or sign at the present position.
    mutating func unexpected(_ wanted: String) -> SolveFileError {
        _ = peek()
        let found = self.found
        let hint: String
        switch found {
        case "the end of the file": hint = "the file is cut off, or a bracket is not closed"
        case "NaN", "Infinity": hint = "JSON has no such number"
        default: hint = "see docs/solve-files.md for the form"
        }
        return SolveFileError(
            "expected \(wanted), found \(found)", hint: hint, offset: min(position, count))
    }

    /// What stands at the present position, in words.
    private var found: String {
        guard let byte = byte(at: position) else { return "the end of the file" }
        switch byte {
        case UInt8(ascii: "{"): return "an object"
        case UInt8(ascii: "["): return "an array"
        case UInt8(ascii: "\""): return "a string"
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return "a number"
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
            return word
        case 0x21..<0x7f: return "\"\(Character(UnicodeScalar(byte)))\""
        default: return "the byte 0x\(String(byte, radix: 16))"
        }
    }

    /// The letters at the present position.
    private var word: String {
        var word = ""
        var place = position
        while let byte = byte(at: place), word.utf8.count < 16,
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        {
            word.unicodeScalars.append(UnicodeScalar(byte))
            place += 1
        }
        return word
    }

    /// An error for a whole number that begins at a place and is too small or too large.
    func outside(_ range: ClosedRange<Int64>, _ start: Int) -> SolveFileError {
        SolveFileError(
            "\(numberText(start)) is outside \(range.lowerBound)…\(range.upperBound)",
            hint: range.lowerBound == 0
                ? "a number here is never negative, and has a bound" : "keep to the range")
    }

    /// An error for what begins at a place and should be a whole number.
    mutating func noInteger(_ start: Int) -> SolveFileError {
        seek(start)
        let first = byte(at: start) ?? 0
        guard first == UInt8(ascii: "-") || first &- 0x30 < 10 else {
            return unexpected("a whole number")
        }
        return SolveFileError(
            "\(numberText(start)) is not a whole number",
            hint: "write plain digits: no fraction, no exponent, no leading zero", offset: start)
    }

    /// An error for what begins at a place and should be a level.
    func noDecimal(_ start: Int) -> SolveFileError {
        SolveFileError(
            "\(numberText(start)) is not a number with at most 16 decimals",
            hint: "a level is written as digits, a point and up to 16 digits", offset: start)
    }

    /// The characters of a number, cut where it is long.
    private func numberText(_ start: Int) -> String {
        var text = ""
        var place = start
        while let byte = byte(at: place), "+-.0123456789eE".utf8.contains(byte) {
            if text.utf8.count == 32 { return text + "…" }
            text.unicodeScalars.append(UnicodeScalar(byte))
            place += 1
        }
        return text
    }
}

/// The keys that an object may have.
struct JSONKeys: Sendable {
    private let names: [StaticString]

    /// - Precondition: at most 32.
    init(_ names: StaticString...) {
        precondition(names.count <= 32, "a bit for each key")
        self.names = names
    }

    /// The place of a key in the list.
    @inline(__always)
    func place(of text: JSONReader.Text) -> Int? {
        for place in names.indices where names[place].utf8CodeUnitCount == text.count {
            let known = UnsafeRawBufferPointer(start: names[place].utf8Start, count: text.count)
            if known.elementsEqual(text) { return place }
        }
        return nil
    }

    /// A key by its place.
    func name(_ place: Int) -> String { names[place].description }

    func unknown(_ text: JSONReader.Text, _ start: Int) -> SolveFileError {
        let name = String(decoding: text, as: UTF8.self)
        return SolveFileError(
            "unknown key \(SolveFileError.quoted(name))",
            hint: "known: " + names.map(\.description).joined(separator: ", "), offset: start)
    }

    /// Refuses an object in which a key is missing that must be there.
    func require(_ required: UInt32, in seen: UInt32) throws(SolveFileError) {
        guard seen & required != required else { return }
        let place = (~seen & required).trailingZeroBitCount
        throw SolveFileError(
            "\"\(names[place])\" is missing", hint: "see docs/solve-files.md for the form")
    }
}
