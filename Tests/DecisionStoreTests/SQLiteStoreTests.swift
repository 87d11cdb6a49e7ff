// SPDX-License-Identifier: Apache-2.0

// Goal: what the embedded store promises beyond the contract: it is alone with its file, refuses
// files that are not its own, forgets deletions in bounds, and is quick enough for a tick.

import DecisionStore
import DecisionStoreSQLite
import FleetModel
import Foundation
import GRDB
import Testing

@Suite struct SQLiteStoreTests {
    @Test("A store that is open cannot be opened a second time")
    func isExclusive() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let store = try fixture.open()
            let error = StoreError.unavailable("'\(fixture.path)' is held by another process")
            #expect(throws: error) { try fixture.open() }
            await store.close()
            await (try fixture.open()).close()
        }
    }

    @Test("Another process is refused, with and without knowledge of the lock")
    func isExclusiveAcrossProcesses() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let store = try fixture.open()
            let path = fixture.path
            await #expect(processExitsWith: .exitCode(0)) { [path = path as String] in
                let refusal = try #require(throws: StoreError.self) {
                    try SQLiteDecisionStore(path: path)
                }
                guard case .unavailable = refusal else { exit(1) }
                // A program that knows nothing of our lock file is kept out by SQLite's own.
                let outsider = try #require(throws: DatabaseError.self) {
                    let queue = try DatabaseQueue(path: path)
                    try queue.write { try $0.execute(sql: "DELETE FROM record") }
                }
                exit(outsider.resultCode == .SQLITE_BUSY ? 0 : 2)
            }
            await store.close()
        }
    }

    @Test("Only the owner can read the files")
    func fileModes() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let store = try fixture.open()
            try await store.put("a", [1], under: try await store.lead())
            for suffix in ["", "-wal", ".lock"] {
                let attributes = try FileManager.default.attributesOfItem(
                    atPath: fixture.path + suffix)
                let mode = try #require(attributes[.posixPermissions] as? NSNumber)
                #expect(mode.intValue == 0o600, "\(suffix)")
            }
            await store.close()
        }
    }

    @Test("The file is journaled, and its log is on disk before a commit is acknowledged")
    func settings() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let store = try fixture.open()
            try await store.put("a", [1], under: try await store.lead())
            await store.close()
            let queue = try DatabaseQueue(path: fixture.path)
            let mode = try await queue.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") }
            #expect(mode == "wal")
            try queue.close()
        }
    }

    @Test("A path that cannot be opened is refused with its reason")
    func badPaths() throws {
        let error = #expect(throws: StoreError.self) {
            try SQLiteDecisionStore(path: "/nonexistent/directory/fleet.db")
        }
        #expect(error?.description.contains("No such file or directory") == true)
    }

    @Test("A database of another program is refused and left alone")
    func foreign() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let queue = try DatabaseQueue(path: fixture.path)
            try await queue.write { try $0.execute(sql: "CREATE TABLE photo (id INTEGER)") }
            try queue.close()
            let error = #expect(throws: StoreError.self) { try fixture.open() }
            #expect(error?.description.contains("database of another program") == true)
            let again = try DatabaseQueue(path: fixture.path)
            #expect(try await again.read { try $0.tableExists("photo") })
        }
    }

    @Test("A file of a newer format is refused")
    func newer() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            await (try fixture.open()).close()
            let queue = try DatabaseQueue(path: fixture.path)
            try await queue.write { try $0.execute(sql: "PRAGMA user_version = 99") }
            try queue.close()
            let error = #expect(throws: StoreError.self) { try fixture.open() }
            #expect(error?.description.contains("format 99, which is newer") == true)
        }
    }

    @Test("A damaged file is refused", arguments: [0, 100, 4096 + 8])
    func damaged(offset: UInt64) async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let store = try fixture.open()
            let leader = try await store.lead()
            for number in 0..<50 {
                try await store.put("k\(number)", .init(repeating: 1, count: 900), under: leader)
            }
            await store.close()
            let file = try FileHandle(forWritingTo: URL(filePath: fixture.path))
            try file.seek(toOffset: offset)
            try file.write(contentsOf: Data(repeating: 0xA5, count: 64))
            try file.close()
            let error = #expect(throws: StoreError.self) { try fixture.open() }
            guard case .failed = error else {
                Issue.record("opened a damaged file: \(String(describing: error))")
                return
            }
        }
    }

    @Test("Old deletions are forgotten, and a follower from before them is told to load again")
    func compaction() async throws {
        try await StoreKind.sqlite.withStore { store in
            let leader = try await store.lead()
            try await store.put("stays", [1], under: leader)
            // More deletions than are remembered, in batches of the largest size.
            var made = 0
            while made <= 10_500 {
                var puts = StoreBatch()
                var deletes = StoreBatch()
                for number in made..<(made + StoreLimits.maximumEntryCount) {
                    puts.put("k\(number)", [1], expecting: .absent)
                    deletes.delete("k\(number)", expecting: .anything)
                }
                try await store.commit(puts, under: leader)
                try await store.commit(deletes, under: leader)
                made += StoreLimits.maximumEntryCount
            }
            #expect(try await store.keys() == ["stays"])
            var oldest: UInt64 = 0
            var early = store.changes(after: leader.revision).makeAsyncIterator()
            do throws(StoreError) {
                let change = try await early.next()
                Issue.record("followed forgotten changes: \(String(describing: change))")
            } catch {
                guard case .compacted(let bound) = error else { throw error }
                oldest = bound
            }
            var late = store.changes(after: oldest).makeAsyncIterator()
            #expect(try await late.next()?.deleted.isEmpty == false)
        }
    }

    @Test("A tick's ledger is committed, and ten thousand jobs are loaded, without delay")
    func isQuick() async throws {
        try await StoreKind.sqlite.withStore { store in
            let leader = try await store.lead()
            let clock = ContinuousClock()
            // Five shards of 256 nodes with about 45 bytes for each node.
            let shard = [UInt8](repeating: 0x5A, count: 256 * 45)
            var times: [Duration] = []
            for _ in 0..<50 {
                var batch = StoreBatch()
                for number in 0..<5 { batch.put("ledger/\(number)", shard, expecting: .anything) }
                batch.put("site", shard, expecting: .anything)
                let ready = batch
                times.append(
                    try await clock.measure { try await store.commit(ready, under: leader) })
            }
            let record = [UInt8](repeating: 1, count: 200)
            for start in stride(from: 0, to: 10_000, by: 100) {
                var batch = StoreBatch()
                for number in start..<(start + 100) {
                    batch.put("job/\(number)", record, expecting: .absent)
                }
                try await store.commit(batch, under: leader)
            }
            var count = 0
            let load = try await clock.measure { count = try await store.keys("job/").count }
            #expect(count == 10_000)
            let median = times.sorted()[25]
            print("store: ledger commit \(median) (median of 50), load of 10,000 jobs \(load)")
            // Far above what any disk needs; catches a table scan for each record, not a slow disk.
            #expect(median < .milliseconds(250))
            #expect(load < .seconds(5))
        }
    }
}
