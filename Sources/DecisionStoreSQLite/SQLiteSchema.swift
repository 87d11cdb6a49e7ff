// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The tables of the store, and how its file is opened.
enum SQLiteSchema {
    /// Marks a file as a Busbar store: `BuSt` in ASCII.
    static let applicationID: Int64 = 0x4275_5374
    /// The version of the tables that this code reads and writes.
    static let version: Int64 = 1

    /// Why a file is not opened.
    enum Refusal: Error, CustomStringConvertible {
        case foreign
        case newer(Int64)
        case damaged(String)
        case weak(String)

        var description: String {
            switch self {
            case .foreign: "the file is a database of another program"
            case .newer(let version):
                "the file has format \(version), which is newer than this program's \(SQLiteSchema.version)"
            case .damaged(let report): "the file is damaged: \(report)"
            case .weak(let setting): "SQLite did not accept the setting \(setting)"
            }
        }
    }

    /// How GRDB opens the file.
    ///
    /// Exclusive locking comes before the journal mode, so that the write-ahead log needs no shared
    /// memory and no other program can open the file in between.
    static var configuration: Configuration {
        var configuration = Configuration()
        configuration.label = "busbar.store"
        configuration.busyMode = .immediateError
        // After an I/O error a rollback may fail as well; that must end the store, not the process.
        configuration.allowsUnsafeTransactions = true
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE")
            try database.execute(sql: "PRAGMA trusted_schema = OFF")
        }
        return configuration
    }

    /// Verifies or makes the tables, checks the file, and sets it up for durable commits.
    ///
    /// - Throws: ``Refusal`` or GRDB's `DatabaseError`.
    static func prepare(_ database: Database) throws {
        try requireSetting("PRAGMA journal_mode = WAL", "wal", in: database)
        try database.execute(sql: "PRAGMA synchronous = FULL")
        try requireSetting("PRAGMA synchronous", "2", in: database)
        try requireSetting("PRAGMA locking_mode", "exclusive", in: database)
        let report = try String.fetchOne(database, sql: "PRAGMA quick_check(1)") ?? "no answer"
        if report != "ok" { throw Refusal.damaged(report) }
        let found = try Int64.fetchOne(database, sql: "PRAGMA application_id") ?? 0
        let tables =
            try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
        if found == 0 && tables == 0 { return try create(database) }
        if found != applicationID { throw Refusal.foreign }
        let format = try Int64.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        if format > version { throw Refusal.newer(format) }
    }

    private static func requireSetting(
        _ sql: String, _ expected: String, in database: Database
    ) throws {
        let found = try Row.fetchOne(database, sql: sql)?.first?.1 ?? .null
        let text = String.fromDatabaseValue(found) ?? Int64.fromDatabaseValue(found)?.description
        if text != expected { throw Refusal.weak(sql) }
    }

    private static func create(_ database: Database) throws {
        try database.inTransaction(.immediate) {
            try database.execute(
                sql: """
                    CREATE TABLE store (
                        revision INTEGER NOT NULL,
                        forgotten INTEGER NOT NULL
                    ) STRICT;
                    INSERT INTO store VALUES (0, 0);
                    CREATE TABLE leadership (
                        role TEXT NOT NULL PRIMARY KEY,
                        epoch INTEGER NOT NULL,
                        id_high INTEGER NOT NULL,
                        id_low INTEGER NOT NULL,
                        candidate TEXT NOT NULL,
                        is_held INTEGER NOT NULL
                    ) STRICT;
                    CREATE TABLE record (
                        key TEXT NOT NULL PRIMARY KEY,
                        version INTEGER NOT NULL,
                        value BLOB
                    ) STRICT;
                    CREATE INDEX record_by_version ON record (version);
                    CREATE INDEX deleted_by_version ON record (version) WHERE value IS NULL;
                    PRAGMA application_id = \(applicationID);
                    PRAGMA user_version = \(version);
                    """)
            return .commit
        }
    }
}
