// SPDX-License-Identifier: Apache-2.0

import DecisionStore
import Foundation
import GRDB

extension [UInt8] {
    /// The bytes as an argument of a statement.
    var asBlob: DatabaseValue { Data(self).databaseValue }

    /// The bytes of a column, or nil where it is NULL.
    init?(blob row: Row, column: Int) {
        let bytes: [UInt8]? = try? row.withUnsafeData(atIndex: column) { data in
            data.map { [UInt8]($0) }
        }
        guard let bytes else { return nil }
        self = bytes
    }
}

extension StoreError {
    /// Wraps what SQLite or GRDB threw; a ``StoreError`` stays as it is.
    init(_ error: any Error, doing what: String) {
        if let error = error as? StoreError {
            self = error
        } else if let error = error as? DatabaseError, error.resultCode == .SQLITE_BUSY {
            self = .unavailable("\(what): the file is in use by another program")
        } else {
            self = .failed("\(what): \(error)")
        }
    }
}
