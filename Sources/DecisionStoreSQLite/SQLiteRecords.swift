// SPDX-License-Identifier: Apache-2.0

import DecisionStore
import FleetModel
import GRDB

/// The tables of the store and the SQL on them.
///
/// ```
/// store       one row: revision, and the newest deletion that has been forgotten
/// leadership  role → epoch, its id, candidate, held or given up
/// record      key → version, value; a deleted record stays as a row without a value
/// ```
///
/// **Isolation:** after `init`, call only on the serial queue of ``SQLiteDecisionStore``; that
/// confinement is why the class may be declared `Sendable` although it has mutable state.
final class SQLiteRecords: @unchecked Sendable {
    /// One role's newest epoch.
    struct Epoch: Hashable, Sendable {
        var number: UInt64
        var id: RandomID
        var isHeld: Bool

        /// True when `leadership` is of this epoch and has not been given up.
        func isHeld(by leadership: Leadership) -> Bool {
            isHeld && number == leadership.epoch && id == leadership.epochID
        }
    }

    /// Deleted records that are remembered for followers; above it the older half is forgotten.
    static let maximumTombstoneCount = 10_000
    /// The most rows that one element of a change sequence merges.
    static let maximumChangeCount = 2 * StoreLimits.maximumEntryCount

    let openingRevision: UInt64
    let openingEpochs: [String: Epoch]
    /// The newest revision, that of the open transaction included.
    private(set) var revision: UInt64
    /// The newest epochs, those of the open transaction included.
    private(set) var epochs: [String: Epoch]

    private let database: DatabaseQueue
    private var lock: StoreLock?
    private var tombstoneCount: Int

    /// Opens the file, checks it and makes or verifies its tables.
    init(path: String, lock: consuming StoreLock) throws(StoreError) {
        do {
            database = try DatabaseQueue(path: path, configuration: SQLiteSchema.configuration)
            let opening = try database.writeWithoutTransaction { database in
                try SQLiteSchema.prepare(database)
                return try Opening(database)
            }
            openingRevision = opening.revision
            openingEpochs = opening.epochs
            revision = opening.revision
            epochs = opening.epochs
            tombstoneCount = opening.tombstoneCount
        } catch {
            throw StoreError(error, doing: "opening '\(path)'")
        }
        self.lock = consume lock
    }

    /// Closes the file and lets go of the lock.
    func close() {
        do {
            try database.close()
            lock = nil
        } catch {
            // Every acknowledged commit is durable already, so nothing is lost; the lock stays
            // held as long as SQLite may still have the file open.
        }
    }
}

/// What is kept in memory of the tables.
private struct Opening {
    var revision: UInt64
    var epochs: [String: SQLiteRecords.Epoch] = [:]
    var tombstoneCount: Int

    init(_ database: Database) throws {
        revision = try UInt64.fetchOne(database, sql: "SELECT revision FROM store") ?? 0
        let rows = try Row.fetchCursor(
            database, sql: "SELECT role, epoch, id_high, id_low, is_held FROM leadership")
        while let row = try rows.next() {
            let high: Int64 = row[2]
            let low: Int64 = row[3]
            epochs[row[0]] = SQLiteRecords.Epoch(
                number: row[1],
                id: RandomID(high: UInt64(bitPattern: high), low: UInt64(bitPattern: low)),
                isHeld: row[4])
        }
        tombstoneCount =
            try Int.fetchOne(
                database, sql: "SELECT count(*) FROM record WHERE value IS NULL") ?? 0
    }
}

// MARK: - Writing

extension SQLiteRecords {
    /// Runs `body` in one transaction that ends with an fsync.
    ///
    /// - Throws: ``StoreError/ambiguous(_:)`` when the commit itself failed, else the error of `body`
    ///   or of SQLite, and nothing was changed.
    func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        let before = (revision, epochs, tombstoneCount)
        var isCommitting = false
        do {
            try database.writeWithoutTransaction { database in
                try database.beginTransaction(.immediate)
                do {
                    try body()
                    isCommitting = true
                    try database.commit()
                } catch {
                    if database.isInsideTransaction { try database.rollback() }
                    throw error
                }
            }
        } catch {
            (revision, epochs, tombstoneCount) = before
            let reason = StoreError(error, doing: "writing")
            throw isCommitting ? .ambiguous(reason.description) : reason
        }
    }

    /// Raises the epoch of a role.
    func elect(
        role: String, candidate: String, epochID: RandomID, above floor: UInt64
    ) throws(StoreError) -> Leadership {
        let old = epochs[role]
        let epoch = Epoch(number: max(old?.number ?? 0, floor) + 1, id: epochID, isHeld: true)
        try sql { database in
            try self.advance(database)
            try database.cachedStatement(
                sql: """
                    INSERT OR REPLACE INTO leadership (role, epoch, id_high, id_low, candidate, is_held)
                    VALUES (?, ?, ?, ?, ?, 1)
                    """
            ).execute(arguments: [
                role, epoch.number, Int64(bitPattern: epochID.high), Int64(bitPattern: epochID.low),
                candidate,
            ])
        }
        epochs[role] = epoch
        return Leadership(
            role: role, candidate: candidate, epoch: epoch.number, epochID: epochID,
            revision: revision,
            predecessor: old.map { Leadership.Predecessor(epoch: $0.number, epochID: $0.id) })
    }

    /// Gives a role up.
    func resign(_ leadership: Leadership) throws(StoreError) -> Result<Void, StoreError> {
        if let refusal = deposition(of: leadership) { return .failure(refusal) }
        try sql { database in
            try self.advance(database)
            try database.cachedStatement(sql: "UPDATE leadership SET is_held = 0 WHERE role = ?")
                .execute(arguments: [leadership.role])
        }
        epochs[leadership.role]?.isHeld = false
        return .success(())
    }

    /// Applies a batch, or says why not; compares everything before it changes anything.
    func apply(
        _ batch: StoreBatch, under leadership: Leadership
    ) throws(StoreError) -> Result<UInt64, StoreError> {
        if let refusal = deposition(of: leadership) { return .failure(refusal) }
        let refusal: StoreError? = try sql { database in
            for entry in batch.entries {
                if let refusal = try Self.mismatch(of: entry, in: database) { return refusal }
            }
            try self.advance(database)
            for entry in batch.entries { try self.write(entry, in: database) }
            try self.forgetOldDeletions(database)
            return nil
        }
        if let refusal { return .failure(refusal) }
        return .success(revision)
    }

    private func deposition(of leadership: Leadership) -> StoreError? {
        guard let epoch = epochs[leadership.role] else {
            return .deposed(role: leadership.role, currentEpoch: 0)
        }
        if epoch.isHeld(by: leadership) { return nil }
        return .deposed(role: leadership.role, currentEpoch: epoch.number)
    }

    private static func mismatch(
        of entry: StoreBatch.Entry, in database: Database
    ) throws -> StoreError? {
        if entry.expectation == .anything { return nil }
        let found = try UInt64.fetchOne(
            database.cachedStatement(
                sql: "SELECT version FROM record WHERE key = ? AND value IS NOT NULL"),
            arguments: [entry.key])
        let isMet =
            switch entry.expectation {
            case .anything: true
            case .absent: found == nil
            case .version(let version): found == version
            }
        return isMet ? nil : .conflict(key: entry.key, found: found)
    }

    private func write(_ entry: StoreBatch.Entry, in database: Database) throws {
        switch entry.operation {
        case .check: break
        case .put(let value):
            tombstoneCount -= try Self.isTombstone(entry.key, in: database) ? 1 : 0
            try database.cachedStatement(
                sql: "INSERT OR REPLACE INTO record (key, version, value) VALUES (?, ?, ?)"
            ).execute(arguments: [entry.key, revision, value.asBlob])
        case .delete:
            try database.cachedStatement(
                sql: """
                    UPDATE record SET version = ?, value = NULL WHERE key = ? AND value IS NOT NULL
                    """
            ).execute(arguments: [revision, entry.key])
            tombstoneCount += database.changesCount
        }
    }

    private static func isTombstone(_ key: String, in database: Database) throws -> Bool {
        try Row.fetchOne(
            database.cachedStatement(sql: "SELECT 1 FROM record WHERE key = ? AND value IS NULL"),
            arguments: [key]) != nil
    }

    private func advance(_ database: Database) throws {
        revision += 1
        try database.cachedStatement(sql: "UPDATE store SET revision = ?")
            .execute(arguments: [revision])
    }

    private func forgetOldDeletions(_ database: Database) throws {
        guard tombstoneCount > Self.maximumTombstoneCount else { return }
        let bound = try UInt64.fetchOne(
            database,
            sql: """
                SELECT version FROM record WHERE value IS NULL
                ORDER BY version LIMIT 1 OFFSET ?
                """, arguments: [tombstoneCount / 2])
        guard let bound else { return }
        try database.execute(
            sql: "DELETE FROM record WHERE value IS NULL AND version <= ?", arguments: [bound])
        tombstoneCount -= database.changesCount
        try database.execute(sql: "UPDATE store SET forgotten = ?", arguments: [bound])
    }

    /// Runs SQL inside the transaction that is open.
    private func sql<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        do {
            return try database.unsafeReentrantWrite(body)
        } catch {
            throw StoreError(error, doing: "writing")
        }
    }
}

// MARK: - Reading

extension SQLiteRecords {
    /// All live records under a prefix.
    func snapshot(prefix: String) throws(StoreError) -> StoreSnapshot {
        do {
            return try database.writeWithoutTransaction { database in
                var records: [StoreRecord] = []
                // Keys are printable ASCII, so every key with the prefix is below prefix + DEL.
                let rows = try Row.fetchCursor(
                    database,
                    sql: """
                        SELECT key, version, value FROM record
                        WHERE key >= ? AND key < ? AND value IS NOT NULL ORDER BY key
                        """, arguments: [prefix, prefix + "\u{7F}"])
                while let row = try rows.next() { records.append(StoreRecord(row)) }
                return StoreSnapshot(revision: self.revision, records: records)
            }
        } catch {
            throw StoreError(error, doing: "reading")
        }
    }

    /// What has changed after a revision: at least one revision's worth, at most
    /// ``maximumChangeCount`` rows.
    func changes(after: UInt64) throws(StoreError) -> StoreChange {
        let rows: [StoredRow]
        let forgotten: UInt64
        do {
            (rows, forgotten) = try database.writeWithoutTransaction { database in
                let forgotten = try UInt64.fetchOne(database, sql: "SELECT forgotten FROM store")
                let rows = try Row.fetchAll(
                    database,
                    sql: """
                        SELECT key, version, value FROM record WHERE version > ?
                        ORDER BY version, key LIMIT ?
                        """, arguments: [after, Self.maximumChangeCount])
                return (rows.map(StoredRow.init), forgotten ?? 0)
            }
        } catch {
            throw StoreError(error, doing: "reading")
        }
        if after < forgotten { throw .compacted(oldest: forgotten) }
        return Self.change(rows, upTo: revision)
    }

    /// Turns rows in order of version into one change, leaving out a last revision that may be cut.
    private static func change(_ rows: [StoredRow], upTo newest: UInt64) -> StoreChange {
        var change = StoreChange(revision: newest, written: [], deleted: [])
        var kept = rows[...]
        if rows.count == maximumChangeCount, let cut = rows.last?.version {
            // A revision has at most half as many rows, so something is left.
            kept = rows.prefix { $0.version < cut }
            change.revision = cut - 1
        }
        for row in kept {
            if let value = row.value {
                change.written.append(
                    StoreRecord(key: row.key, version: row.version, value: value))
            } else {
                change.deleted.append(row.key)
            }
        }
        return change
    }
}

/// A row of the record table: without a value it is the mark of a deletion.
private struct StoredRow: Sendable {
    var key: String
    var version: UInt64
    var value: [UInt8]?

    init(_ row: Row) {
        key = row[0]
        version = row[1]
        value = [UInt8](blob: row, column: 2)
    }
}

extension StoreRecord {
    /// Reads a row with a value.
    fileprivate init(_ row: Row) {
        self.init(key: row[0], version: row[1], value: [UInt8](blob: row, column: 2) ?? [])
    }
}
