// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// Checks the fields of one C message and copies them out.
struct FieldReader {
    /// The message type, for errors.
    let message: String

    /// The longest free text: a reason, a message, a description.
    static let textByteCount = 4096
    /// The longest time span: 2^60 ns (36 years), so that sums of several stay in range.
    static let maximumNanoseconds: UInt64 = 1 << 60

    func error(_ field: String, _ reason: WireError.Reason) -> WireError {
        WireError(message: message, field: field, reason: reason)
    }

    // MARK: - Texts

    /// A free text; control characters other than tab and newline become U+FFFD, so that the words
    /// of a peer cannot drive a terminal.
    func text(
        _ pointer: UnsafePointer<CChar>?, _ field: String,
        limit: Int = FieldReader.textByteCount
    ) throws(WireError) -> String {
        guard let pointer else { return "" }
        let byteCount = CBusbar_text_length(pointer)
        guard byteCount <= limit else {
            throw error(field, .tooLong(byteCount: byteCount, limit: limit))
        }
        guard let text = String(validatingCString: pointer) else { throw error(field, .notUTF8) }
        return FieldReader.harmless(text)
    }

    /// A name by the rule of ``Name``.
    func name(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(WireError) -> String {
        let name = try text(pointer, field)
        if let problem = Name.problem(in: name) { throw error(field, .badName(problem)) }
        return name
    }

    /// A name, or nil for the empty one.
    func optionalName(
        _ pointer: UnsafePointer<CChar>?, _ field: String
    ) throws(WireError) -> String? {
        guard let pointer, pointer.pointee != 0 else { return nil }
        return try name(pointer, field)
    }

    /// A free text, or nil for the empty one.
    func optionalText(
        _ pointer: UnsafePointer<CChar>?, _ field: String
    ) throws(WireError) -> String? {
        let text = try text(pointer, field)
        return text.isEmpty ? nil : text
    }

    /// A path of names such as `dublin/row1/rack3`, in at most 1,024 bytes.
    func path(_ pointer: UnsafePointer<CChar>?, _ field: String) throws(WireError) -> String {
        let path = try text(pointer, field, limit: 1024)
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            if let problem = Name.problem(in: part) { throw error(field, .badName(problem)) }
        }
        return path
    }

    private static func harmless(_ text: String) -> String {
        let mayHaveControls = text.utf8.contains { byte in
            byte < 0x20 && byte != 0x09 && byte != 0x0A || byte == 0x7F || byte == 0xC2
        }
        guard mayHaveControls else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control
            let isAllowed = !isControl || scalar == "\t" || scalar == "\n"
            result.unicodeScalars.append(isAllowed ? scalar : "\u{FFFD}")
        }
        return result
    }

    // MARK: - Numbers

    /// A power in milliwatts, at most ``Milliwatts/maximum``.
    func power(_ value: UInt64, _ field: String) throws(WireError) -> Milliwatts {
        let maximum = UInt64(Milliwatts.maximum.rawValue)
        return Milliwatts(Int64(try number(value, field, in: 0...maximum)))
    }

    /// A time span in nanoseconds.
    func duration(_ value: UInt64, _ field: String) throws(WireError) -> Int64 {
        Int64(try number(value, field, in: 0...FieldReader.maximumNanoseconds))
    }

    /// A number in a range.
    func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ value: Number, _ field: String, in range: ClosedRange<Number>
    ) throws(WireError) -> Number {
        guard range.contains(value) else {
            throw error(
                field,
                .outOfRange(
                    value: UInt64(value), minimum: UInt64(range.lowerBound),
                    maximum: UInt64(range.upperBound)))
        }
        return value
    }

    /// A number that must fit 16 bits.
    func short(_ value: UInt32, _ field: String) throws(WireError) -> UInt16 {
        UInt16(try number(value, field, in: 0...UInt32(UInt16.max)))
    }

    /// The value of an enumeration for a number of the wire.
    func value<Value: WireEnum>(_ raw: UInt32, _ field: String) throws(WireError) -> Value {
        guard let value = Value(wireValue: raw) else { throw error(field, .unknownValue(raw)) }
        return value
    }

    // MARK: - Nested and repeated

    /// A nested message that must be there.
    func message<M: Mapped>(
        _ pointer: UnsafeMutablePointer<M.CMessage>?, _ field: String
    ) throws(WireError) -> M {
        guard let pointer else { throw error(field, .missing) }
        return try M.read(pointer.pointee)
    }

    /// Throws when a repeated field has more elements than allowed.
    func checkCount(_ count: Int, _ field: String, limit: Int) throws(WireError) {
        guard count <= limit else { throw error(field, .tooMany(count: count, limit: limit)) }
    }

    /// Nested messages of a repeated field.
    func list<M: Mapped>(
        _ count: Int, _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<M.CMessage>?>?,
        _ field: String, limit: Int
    ) throws(WireError) -> [M] {
        try map(count, pointer, field, limit: limit) { element throws(WireError) in
            try message(element, field)
        }
    }

    /// A column of plain numbers.
    func column<T: BitwiseCopyable>(
        _ count: Int, _ pointer: UnsafeMutablePointer<T>?, _ field: String, limit: Int
    ) throws(WireError) -> [T] {
        try checkCount(count, field, limit: limit)
        return Array(UnsafeBufferPointer(start: pointer, count: count))
    }

    /// A column that must have as many entries as its neighbours.
    func column<T: BitwiseCopyable>(
        _ count: Int, _ pointer: UnsafeMutablePointer<T>?, _ field: String, count expected: Int
    ) throws(WireError) -> [T] {
        guard count == expected else {
            throw error(field, .wrongCount(count: count, expected: expected))
        }
        return Array(UnsafeBufferPointer(start: pointer, count: count))
    }

    /// A column of powers that must have as many entries as its neighbours.
    func powers(
        _ count: Int, _ pointer: UnsafeMutablePointer<UInt64>?, _ field: String,
        count expected: Int
    ) throws(WireError) -> [Milliwatts] {
        guard count == expected else {
            throw error(field, .wrongCount(count: count, expected: expected))
        }
        return try map(count, pointer, field, limit: count) { value throws(WireError) in
            try power(value, field)
        }
    }

    /// A column of powers.
    func powers(
        _ count: Int, _ pointer: UnsafeMutablePointer<UInt64>?, _ field: String, limit: Int
    ) throws(WireError) -> [Milliwatts] {
        try checkCount(count, field, limit: limit)
        return try powers(count, pointer, field, count: count)
    }

    /// Reads each element of a C array, after the count is checked.
    func map<T, Value>(
        _ count: Int, _ pointer: UnsafeMutablePointer<T>?, _ field: String, limit: Int,
        _ read: (T) throws(WireError) -> Value
    ) throws(WireError) -> [Value] {
        try checkCount(count, field, limit: limit)
        var values: [Value] = []
        values.reserveCapacity(count)
        for element in UnsafeBufferPointer(start: pointer, count: count) {
            values.append(try read(element))
        }
        return values
    }

    /// A byte string.
    func bytes(
        _ data: ProtobufCBinaryData, _ field: String, limit: Int
    ) throws(WireError) -> [UInt8] {
        guard data.len <= limit else {
            throw error(field, .tooLong(byteCount: data.len, limit: limit))
        }
        return Array(UnsafeBufferPointer(start: data.data, count: data.len))
    }
}

/// An enumeration with a number on the wire.
protocol WireEnum: Sendable {
    /// Nil for a number that has no meaning here.
    init?(wireValue: UInt32)
    /// The number on the wire.
    var wireValue: UInt32 { get }
}

extension WireEnum where Self: RawRepresentable, RawValue == UInt32 {
    init?(wireValue: UInt32) { self.init(rawValue: wireValue) }
    var wireValue: UInt32 { rawValue }
}
