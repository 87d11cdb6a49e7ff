// SPDX-License-Identifier: Apache-2.0

/// Reads JSON (RFC 8259) from front to back, value by value, as its caller expects them.
///
/// Nothing is built: the caller asks for an object, an array, a name or a whole number, and what is
/// anything else is refused on the spot, with the path to it. So nesting is as deep as the caller's
/// own code, whatever the file holds, and there is no tree to fill memory with.
///
/// - Precondition: the bytes outlive the reader.
struct JSONReader {
    /// A string's bytes, valid until the next string is read: UTF-8, escapes resolved.
    typealias Text = UnsafeRawBufferPointer

    private let bytes: UnsafePointer<UInt8>
    let count: Int
    /// The next byte to be read.
    private(set) var position = 0
    /// Holds the last string that was not plain ASCII; made when the first one comes.
    private var scratch: StringScratch?

    init(_ buffer: UnsafeRawBufferPointer) {
        // A buffer of no bytes may have no address; nothing is read through it then.
        bytes =
            buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
            ?? UnsafePointer(bitPattern: 1)!
        count = buffer.count
    }

    // MARK: - Places

    /// Goes back to a place that was left before.
    mutating func seek(_ place: Int) { position = place }

    /// The next byte that is no white space, or 0 at the end.
    ///
    /// A NUL in the file reads the same as the end here; what it is, the one who refuses it finds out.
    @inline(__always)
    mutating func peek() -> UInt8 {
        while position < count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return byte }
            position += 1
        }
        return 0
    }

    /// The byte at a place; nil behind the end.
    func byte(at place: Int) -> UInt8? { place < count ? bytes[place] : nil }

    /// Refuses anything but white space up to the end.
    mutating func end() throws(SolveFileError) {
        _ = peek()
        if position < count { throw unexpected("the end of the file") }
    }

    // MARK: - Objects and arrays

    /// Reads an object with known keys, each at most once, in any order.
    ///
    /// - Parameters:
    ///   - keys: what may stand there.
    ///   - read: reads the value of a key, given its place in `keys`.
    /// - Returns: a bit for each key that was there.
    /// - Throws: what `read` throws, with the key in its path, and what is no such object.
    @inline(__always)
    mutating func object(
        _ keys: JSONKeys,
        _ read: (_ key: Int, _ reader: inout JSONReader) throws(SolveFileError) -> Void
    ) throws(SolveFileError) -> UInt32 {
        var seen: UInt32 = 0
        try members { name, start, reader throws(SolveFileError) in
            guard let key = keys.place(of: name) else { throw keys.unknown(name, start) }
            guard seen & 1 << key == 0 else { throw JSONReader.twice(name, start) }
            seen |= 1 << key
            do throws(SolveFileError) {
                try read(key, &reader)
            } catch {
                throw error.inside(.key(keys.name(key)))
            }
        }
        return seen
    }

    /// Reads an object whose keys are names.
    ///
    /// - Parameter read: takes a key, where in the file it begins, and reads the value.
    /// - Throws: what `read` throws, and what is no object.
    @inline(__always)
    mutating func members(
        _ read: (_ key: Text, _ start: Int, _ reader: inout JSONReader)
            throws(SolveFileError) -> Void
    ) throws(SolveFileError) {
        try open(UInt8(ascii: "{"), "an object")
        if close(UInt8(ascii: "}")) { return }
        while true {
            guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key") }
            let start = position
            let key = try string()
            try afterKey()
            try read(key, start, &self)
            if try next(UInt8(ascii: "}")) { return }
        }
    }

    /// Reads an array.
    ///
    /// - Parameter read: reads the value at an index.
    /// - Throws: what `read` throws, with the index in its path, and what is no array.
    @inline(__always)
    mutating func array(
        _ read: (_ index: Int, _ reader: inout JSONReader) throws(SolveFileError) -> Void
    ) throws(SolveFileError) {
        try open(UInt8(ascii: "["), "an array")
        if close(UInt8(ascii: "]")) { return }
        var index = 0
        while true {
            do throws(SolveFileError) {
                try read(index, &self)
            } catch {
                throw error.inside(.index(index))
            }
            index += 1
            if try next(UInt8(ascii: "]")) { return }
        }
    }

    static func twice(_ key: Text, _ start: Int) -> SolveFileError {
        let name = String(decoding: key, as: UTF8.self)
        return SolveFileError(
            "the key \(SolveFileError.quoted(name)) stands there twice",
            hint: "keep one of them", offset: start)
    }

    @inline(__always)
    private mutating func open(_ bracket: UInt8, _ wanted: String) throws(SolveFileError) {
        guard peek() == bracket else { throw unexpected(wanted) }
        position += 1
    }

    @inline(__always)
    private mutating func close(_ bracket: UInt8) -> Bool {
        guard peek() == bracket else { return false }
        position += 1
        return true
    }

    /// Reads past a comma or a closing bracket; true for the bracket.
    @inline(__always)
    private mutating func next(_ bracket: UInt8) throws(SolveFileError) -> Bool {
        let byte = peek()
        guard byte == UInt8(ascii: ",") || byte == bracket else {
            throw unexpected("a comma or \"\(Character(UnicodeScalar(bracket)))\"")
        }
        position += 1
        return byte == bracket
    }

    @inline(__always)
    private mutating func afterKey() throws(SolveFileError) {
        guard peek() == UInt8(ascii: ":") else { throw unexpected("a colon") }
        position += 1
    }

    // MARK: - Values

    /// Reads `null` if it stands there.
    @inline(__always)
    mutating func null() throws(SolveFileError) -> Bool {
        guard peek() == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    /// Reads `true` or `false`.
    mutating func bool() throws(SolveFileError) -> Bool {
        switch peek() {
        case UInt8(ascii: "t"):
            try literal("true")
            return true
        case UInt8(ascii: "f"):
            try literal("false")
            return false
        default: throw unexpected("true or false")
        }
    }

    private mutating func literal(_ word: StaticString) throws(SolveFileError) {
        for index in 0..<word.utf8CodeUnitCount {
            guard position + index < count, bytes[position + index] == word.utf8Start[index] else {
                throw unexpected("a value")
            }
        }
        position += word.utf8CodeUnitCount
    }

    /// Reads a whole number in a range.
    @inline(__always)
    mutating func integer(in range: ClosedRange<Int64>) throws(SolveFileError) -> Int64 {
        let first = peek()
        let start = position
        let isNegative = first == UInt8(ascii: "-")
        if isNegative { position += 1 }
        var value: UInt64 = 0
        let digits = position
        while position < count, bytes[position] &- 0x30 < 10 {
            // At most 18 digits: under 10^18, so nothing overflows.
            guard position - digits < 18 else { throw outside(range, start) }
            value = value &* 10 &+ UInt64(bytes[position] &- 0x30)
            position += 1
        }
        guard position > digits, position == digits + 1 || bytes[digits] != 0x30, isWhole else {
            throw noInteger(start)
        }
        let signed = isNegative ? -Int64(value) : Int64(value)
        guard range.contains(signed) else { throw outside(range, start) }
        return signed
    }

    /// False where a number goes on behind its digits.
    @inline(__always)
    private var isWhole: Bool {
        guard position < count else { return true }
        let byte = bytes[position]
        return byte != UInt8(ascii: ".") && byte | 0x20 != UInt8(ascii: "e")
    }

    /// Reads a number without sign and exponent, in units of 10^-16.
    ///
    /// - Parameter limit: the most units.
    /// - Returns: the number; anything larger than the limit as `limit + 1`.
    /// - Throws: for anything else, and for more than 16 decimals.
    mutating func decimal(limit: UInt64) throws(SolveFileError) -> UInt64 {
        guard peek() &- 0x30 < 10 else { throw unexpected("a number that is not negative") }
        let start = position
        var value: UInt64 = 0
        while position < count, bytes[position] &- 0x30 < 10 {
            value = min(value * 10 + UInt64(bytes[position] &- 0x30), 1000)
            position += 1
        }
        guard position == start + 1 || bytes[start] != 0x30 else { throw noDecimal(start) }
        value = min(value, 1000) * 10_000_000_000_000_000
        guard position < count, bytes[position] == UInt8(ascii: ".") else {
            guard isWhole else { throw noDecimal(start) }
            return min(value, limit + 1)
        }
        position += 1
        var unit: UInt64 = 1_000_000_000_000_000
        let digits = position
        while position < count, bytes[position] &- 0x30 < 10 {
            guard unit > 0 else { throw noDecimal(start) }
            value += UInt64(bytes[position] &- 0x30) * unit
            unit /= 10
            position += 1
        }
        guard position > digits, isWhole else { throw noDecimal(start) }
        return min(value, limit + 1)
    }

    /// Reads a string.
    ///
    /// - Returns: its bytes, valid until the next one is read.
    /// - Throws: for anything else.
    @inline(__always)
    mutating func string() throws(SolveFileError) -> Text {
        guard peek() == UInt8(ascii: "\"") else { throw unexpected("a string") }
        let start = position + 1
        var index = start
        var isPlain = true
        while index < count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") { break }
            if byte < 0x20 || byte == UInt8(ascii: "\\") || byte >= 0x80 {
                isPlain = false
                break
            }
            index += 1
        }
        guard isPlain, index < count else { return try slowString(start) }
        position = index + 1
        return Text(start: bytes + start, count: index - start)
    }

    /// Reads a string with escapes or bytes beyond ASCII.
    private mutating func slowString(_ start: Int) throws(SolveFileError) -> Text {
        let scratch = self.scratch ?? StringScratch()
        self.scratch = scratch
        scratch.removeAll()
        var index = start
        while index < count, bytes[index] != UInt8(ascii: "\"") {
            let byte = bytes[index]
            if byte < 0x20 {
                position = index
                throw SolveFileError(
                    "a control character stands in a string", hint: "write it as an escape",
                    offset: index)
            }
            if byte == UInt8(ascii: "\\") {
                position = index
                try escape(into: scratch)
                index = position
            } else {
                scratch.append(byte)
                index += 1
            }
        }
        guard index < count else {
            position = count
            throw unexpected("the end of a string")
        }
        position = index + 1
        guard String(validating: scratch.bytes, as: UTF8.self) != nil else {
            throw SolveFileError(
                "the string is not UTF-8", hint: "save the file as UTF-8", offset: start)
        }
        return scratch.bytes
    }

    private mutating func escape(into scratch: StringScratch) throws(SolveFileError) {
        let start = position
        let byte = position + 1 < count ? bytes[position + 1] : 0
        position += 2
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(byte)
        case UInt8(ascii: "b"): scratch.append(0x08)
        case UInt8(ascii: "f"): scratch.append(0x0c)
        case UInt8(ascii: "n"): scratch.append(0x0a)
        case UInt8(ascii: "r"): scratch.append(0x0d)
        case UInt8(ascii: "t"): scratch.append(0x09)
        case UInt8(ascii: "u"):
            guard let scalar = unicodeEscape() else { throw JSONReader.badEscape(start) }
            for byte in UTF8.encode(scalar)! { scratch.append(byte) }
        default: throw JSONReader.badEscape(start)
        }
    }

    private static func badEscape(_ start: Int) -> SolveFileError {
        SolveFileError(
            "the string has an escape that JSON does not know",
            hint: "after a backslash comes one of \"\\/bfnrt, or u and four hex digits",
            offset: start)
    }

    /// Reads the digits of an escape, and those of a second one where it takes two.
    private mutating func unicodeEscape() -> UnicodeScalar? {
        guard let high = hexUnit() else { return nil }
        guard 0xd800..<0xdc00 ~= high else { return UnicodeScalar(high) }
        guard isUnicodeEscape else { return nil }
        position += 2
        guard let low = hexUnit(), 0xdc00..<0xe000 ~= low else { return nil }
        return UnicodeScalar(0x10000 + (high - 0xd800) << 10 + low - 0xdc00)
    }

    private var isUnicodeEscape: Bool {
        position + 1 < count && bytes[position] == UInt8(ascii: "\\")
            && bytes[position + 1] == UInt8(ascii: "u")
    }

    private mutating func hexUnit() -> UInt32? {
        guard position + 4 <= count else { return nil }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let byte = bytes[position]
            let digit = byte &- 0x30 < 10 ? byte &- 0x30 : (byte | 0x20) &- 0x61 &+ 10
            guard digit < 16, byte &- 0x30 < 10 || digit >= 10 else { return nil }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    /// Moves past a value without looking at it, for one that is read later.
    ///
    /// Counts brackets and steps over strings; what is wrong in between is found when it is read.
    mutating func skip() throws(SolveFileError) {
        var depth = 0
        _ = peek()
        while position < count {
            switch bytes[position] {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth <= 0 {
                    position += depth == 0 ? 1 : 0
                    return
                }
            case UInt8(ascii: "\""):
                position += 1
                while position < count, bytes[position] != UInt8(ascii: "\"") {
                    position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
                }
            case UInt8(ascii: ",") where depth == 0: return
            default: break
            }
            position += 1
        }
        position = count
        throw unexpected("the end of the value")
    }
}

/// The bytes of a string whose escapes are resolved, at an address that stays until the next one.
private final class StringScratch {
    private var storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 1)
    private var count = 0

    deinit { storage.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    func removeAll() { count = 0 }

    func append(_ byte: UInt8) {
        if count == storage.count {
            let larger = UnsafeMutableRawBufferPointer.allocate(
                byteCount: count * 2, alignment: 1)
            larger.copyMemory(from: UnsafeRawBufferPointer(storage))
            storage.deallocate()
            storage = larger
        }
        storage[count] = byte
        count += 1
    }
}
