// SPDX-License-Identifier: Apache-2.0

/// A table in comma-separated form: a header line, then one record on each line.
///
/// Quoted fields are refused: the lists that are read have none, and a comma or a line break inside
/// of one would be told from the next field by guesswork.
struct CSVTable {
    /// The largest file that is read.
    static let maximumByteCount = 64 << 20

    let file: String
    let columns: [String]
    /// Fields of each record, with its line.
    private(set) var records: [(line: Int, fields: [Substring])] = []

    /// Reads a table whose first line names at least the `required` columns.
    ///
    /// - Throws: ``ConfigurationError`` at the first line that does not fit.
    init(_ bytes: [UInt8], name: String, required: [String]) throws(ConfigurationError) {
        file = name
        let text = try YAMLDocument.decode(bytes, name: name)
        var lines = text.utf8.split(separator: 10, omittingEmptySubsequences: false).map {
            Substring($0.last == 13 ? $0.dropLast() : $0)
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        guard let header = lines.first else {
            throw ConfigurationError(file: name, line: 1, "the list is empty")
        }
        columns = Self.fields(header).map(String.init)
        for column in required where !columns.contains(column) {
            throw ConfigurationError(
                file: name, line: 1, "the list has no column '\(column)'",
                hint: "its columns are " + columns.prefix(16).map(printable).joined(separator: ", ")
            )
        }
        records.reserveCapacity(lines.count)
        for (position, text) in lines.enumerated().dropFirst() {
            let line = position + 1
            if text.utf8.contains(34) {
                throw ConfigurationError(file: name, line: line, "quotes are not supported")
            }
            let fields = Self.fields(text)
            if fields.count != columns.count {
                throw ConfigurationError(
                    file: name, line: line,
                    "\(fields.count) fields in a list of \(columns.count) columns")
            }
            records.append((line, fields))
        }
    }

    /// The position of a column, or nil.
    func column(_ name: String) -> Int? { columns.firstIndex(of: name) }

    /// A field as a whole number in a range.
    ///
    /// - Throws: ``ConfigurationError`` with the line.
    func integer(
        _ record: (line: Int, fields: [Substring]), _ column: Int, in range: ClosedRange<Int64>
    ) throws(ConfigurationError) -> Int64 {
        do throws(Quantity.Problem) {
            return try Quantity.integer(String(record.fields[column]), in: range)
        } catch {
            throw problem(record, "\(columns[column]): \(error.reason)")
        }
    }

    /// An error at a record.
    func problem(
        _ record: (line: Int, fields: [Substring]), _ reason: String
    ) -> ConfigurationError {
        ConfigurationError(file: file, line: record.line, printable(reason))
    }

    private static func fields(_ line: Substring) -> [Substring] {
        line.utf8.split(separator: 44, omittingEmptySubsequences: false).map { Substring($0) }
    }
}
