// SPDX-License-Identifier: Apache-2.0

/// A table in comma-separated form (RFC 4180): a header, then one record on each line.
///
/// Lines end with LF or CRLF. A field may stand in quotes; it may then have commas and line breaks in
/// it, and quotes, each written twice.
struct CSVTable {
    /// The largest file that is read.
    static let maximumByteCount = 64 << 20

    /// One line of the table.
    struct Record {
        /// The 1-based line that it starts in.
        let line: Int
        let fields: [String]
        /// Where it starts in the text.
        fileprivate let offset: Int
    }

    let file: String
    let columns: [String]
    /// All lines but the header.
    private(set) var records: [Record] = []
    private let text: [UInt8]

    /// Reads a table whose header names at least the `required` columns.
    ///
    /// - Throws: ``ConfigurationError`` at the first place that does not fit.
    init(_ bytes: [UInt8], name: String, required: [String]) throws(ConfigurationError) {
        file = name
        text = Array(try YAMLDocument.decode(bytes, name: name).utf8)
        var scanner = CSVScanner(text, file: name)
        guard let header = try scanner.next() else {
            throw ConfigurationError(
                file: name, line: 1, "the list is empty",
                hint: "its first line is to name the columns " + required.joined(separator: ", "))
        }
        columns = header.fields
        for column in required where columns.count(where: { $0 == column }) != 1 {
            let isMissing = !columns.contains(column)
            throw ConfigurationError(
                file: name, line: 1,
                isMissing
                    ? "the list has no column '\(column)'"
                    : "the list has more than one column '\(column)'",
                hint: "its columns are " + columns.prefix(16).map(printable).joined(separator: ", ")
            )
        }
        while let (line, offset, fields) = try scanner.next() {
            if fields.count != columns.count {
                throw ConfigurationError(
                    file: name, line: line,
                    "\(fields.count) fields in a list of \(columns.count) columns")
            }
            records.append(Record(line: line, fields: fields, offset: offset))
        }
    }

    /// The position of a column, or nil.
    func column(_ name: String) -> Int? { columns.firstIndex(of: name) }

    /// A field as a whole number in a range.
    ///
    /// - Throws: ``ConfigurationError`` with line and column.
    func integer(
        _ record: Record, _ column: Int, in range: ClosedRange<Int64>
    ) throws(ConfigurationError) -> Int64 {
        do throws(Quantity.Problem) {
            return try Quantity.integer(record.fields[column], in: range)
        } catch {
            throw problem(record, column, "\(columns[column]): \(error.reason)")
        }
    }

    /// An error at a field of a record.
    func problem(_ record: Record, _ column: Int, _ reason: String) -> ConfigurationError {
        var scanner = CSVScanner(text, file: file, startingAt: record.offset, line: record.line)
        let place = scanner.place(ofField: column)
        return ConfigurationError(
            file: file, line: place.line, column: place.column, printable(reason))
    }
}

/// Takes a table apart, byte by byte: one record after the other.
private struct CSVScanner {
    private static let quote: UInt8 = 34
    private static let comma: UInt8 = 44

    private let text: [UInt8]
    private let file: String
    private var position: Int
    private var line: Int
    /// Where the line starts, for columns.
    private var lineStart: Int

    init(_ text: [UInt8], file: String, startingAt position: Int = 0, line: Int = 1) {
        self.text = text
        self.file = file
        self.position = position
        self.line = line
        lineStart = position
    }

    /// The next record; nil at the end, before which empty lines do not count.
    mutating func next() throws(ConfigurationError) -> (
        line: Int, offset: Int, fields: [String]
    )? {
        if text[position...].allSatisfy({ $0 == 10 || $0 == 13 }) { return nil }
        let (start, startLine) = (position, line)
        var fields: [String] = []
        while true {
            fields.append(try field())
            guard position < text.count, text[position] == CSVScanner.comma else { break }
            position += 1
        }
        endLine()
        return (startLine, start, fields)
    }

    /// Where the field of a well-formed record stands; the record is the next one.
    mutating func place(ofField index: Int) -> (line: Int, column: Int) {
        for _ in 0..<index {
            guard (try? field()) != nil else { break }
            position += 1
        }
        let before = text[lineStart..<min(position, text.count)]
        // Characters, not bytes: continuation bytes of UTF-8 do not count.
        return (line, before.count { $0 & 0xC0 != 0x80 } + 1)
    }

    /// One field, up to the comma or line end after it.
    private mutating func field() throws(ConfigurationError) -> String {
        if position < text.count, text[position] == CSVScanner.quote { return try quotedField() }
        let start = position
        while position < text.count, text[position] != CSVScanner.comma, !isAtLineEnd {
            if text[position] == CSVScanner.quote {
                throw problem("a quote inside of a field that does not start with one")
            }
            position += 1
        }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    private mutating func quotedField() throws(ConfigurationError) -> String {
        let open = self
        position += 1
        var bytes: [UInt8] = []
        while position < text.count {
            let byte = text[position]
            position += 1
            if byte == CSVScanner.quote {
                guard position < text.count, text[position] == CSVScanner.quote else {
                    guard
                        position == text.count || text[position] == CSVScanner.comma
                            || isAtLineEnd
                    else { throw problem("a comma or the line's end is expected after a quote") }
                    return String(decoding: bytes, as: UTF8.self)
                }
                position += 1
            } else if byte == 10 {
                line += 1
                lineStart = position
            }
            bytes.append(byte)
        }
        throw open.problem("the quote that starts this field is never closed")
    }

    /// LF, CRLF, or a CR that ends the file.
    private var isAtLineEnd: Bool {
        if text[position] == 10 { return true }
        return text[position] == 13 && (position + 1 == text.count || text[position + 1] == 10)
    }

    private mutating func endLine() {
        guard position < text.count else { return }
        position += text[position] == 13 ? 2 : 1
        position = min(position, text.count)
        line += 1
        lineStart = position
    }

    private func problem(_ reason: String) -> ConfigurationError {
        let before = text[lineStart..<position]
        return ConfigurationError(
            file: file, line: line, column: before.count { $0 & 0xC0 != 0x80 } + 1, reason)
    }
}
