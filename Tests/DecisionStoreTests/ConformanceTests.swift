// SPDX-License-Identifier: Apache-2.0

// Goal: every implementation of DecisionStore keeps the contract in its documentation.
// Method: each sentence of the contract is a test, run against each kind of store.

import DecisionStore
import FleetModel
import Testing

@Suite struct LeadershipConformanceTests {
    @Test("The first epoch is 1 and each campaign raises it", arguments: StoreKind.allCases)
    func epochsRise(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let first = try await store.lead(id: 1)
            #expect(first.epoch == 1)
            #expect(first.predecessor == nil)
            let second = try await store.lead(id: 2)
            #expect(second.epoch == 2)
            #expect(second.predecessor?.epoch == 1)
            #expect(second.predecessor?.epochID == RandomID(high: 7, low: 1))
            #expect(second.epochID == RandomID(high: 7, low: 2))
            #expect(second.revision > first.revision)
        }
    }

    @Test(
        "A campaign can begin above an epoch that the store never had",
        arguments: StoreKind.allCases)
    func epochsAboveFloor(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let first = try await store.campaign(
                role: "fleet", candidate: "test", epochID: RandomID(high: 1, low: 1), above: 41)
            #expect(first.epoch == 42)
            #expect(first.predecessor == nil)
            let second = try await store.campaign(
                role: "fleet", candidate: "test", epochID: RandomID(high: 1, low: 2), above: 7)
            #expect(second.epoch == 43)
            #expect(second.predecessor?.epoch == 42)
        }
    }

    @Test("A deposed leader changes nothing", arguments: StoreKind.allCases)
    func deposed(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let old = try await store.lead(id: 1)
            try await store.put("a", [1], under: old)
            let new = try await store.lead(id: 2)
            let before = try await store.load(prefix: "")
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 2)) {
                try await store.put("a", [2], under: old)
            }
            #expect(try await store.load(prefix: "") == before)
            try await store.put("a", [3], under: new)
        }
    }

    @Test("The right epoch with another id is refused", arguments: StoreKind.allCases)
    func forgedEpoch(kind: StoreKind) async throws {
        try await kind.withStore { store in
            var leadership = try await store.lead(id: 1)
            leadership.epochID = RandomID(high: 0, low: 99)
            let forged = leadership
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 1)) {
                try await store.put("a", [1], under: forged)
            }
        }
    }

    @Test("Roles have epochs of their own", arguments: StoreKind.allCases)
    func roles(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let fleet = try await store.lead("fleet")
            let site = try await store.lead("site/dublin")
            _ = try await store.lead("site/dublin", id: 2)
            try await store.put("job/1", [1], under: fleet)
            await #expect(throws: StoreError.deposed(role: "site/dublin", currentEpoch: 2)) {
                try await store.put("ledger/0", [1], under: site)
            }
            var unknown = fleet
            unknown.role = "nobody"
            let stranger = unknown
            await #expect(throws: StoreError.deposed(role: "nobody", currentEpoch: 0)) {
                try await store.put("job/2", [1], under: stranger)
            }
        }
    }

    @Test("Who resigned can no longer commit", arguments: StoreKind.allCases)
    func resigned(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leadership = try await store.lead()
            try await store.resign(leadership)
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 1)) {
                try await store.put("a", [1], under: leadership)
            }
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 1)) {
                try await store.resign(leadership)
            }
            #expect(try await store.lead(id: 2).epoch == 2)
        }
    }

    @Test("The loss of a leadership is told", arguments: StoreKind.allCases)
    func loss(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let first = try await store.lead(id: 1)
            async let firstLost: Void = store.untilLost(first)
            let second = try await store.lead(id: 2)
            await firstLost
            async let secondLost: Void = store.untilLost(second)
            try await store.put("a", [1], under: second)
            try await store.resign(second)
            await secondLost
            let third = try await store.lead(id: 3)
            async let thirdLost: Void = store.untilLost(third)
            await store.close()
            await thirdLost
        }
    }

    @Test("Epochs survive a restart", arguments: StoreKind.allCases)
    func epochsAreDurable(kind: StoreKind) async throws {
        try await kind.withFixture { fixture in
            let store = try fixture.open()
            let old = try await store.lead(id: 5)
            await store.close()
            let again = try fixture.open()
            let new = try await again.lead(id: 6)
            #expect(new.epoch == 2)
            #expect(new.predecessor?.epochID == RandomID(high: 7, low: 5))
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 2)) {
                try await again.put("a", [1], under: old)
            }
            await again.close()
        }
    }
}

@Suite struct CommitConformanceTests {
    @Test("A batch is compared whole before any of it is applied", arguments: StoreKind.allCases)
    func comparesFirst(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let version = try await store.put("a", [1], under: leader, expecting: .absent)
            let before = try await store.load(prefix: "")
            let cases: [(StoreBatch.Expectation, String, StoreError)] = [
                (.absent, "a", .conflict(key: "a", found: version)),
                (.version(version + 1), "a", .conflict(key: "a", found: version)),
                (.version(1), "b", .conflict(key: "b", found: nil)),
            ]
            for (expectation, key, error) in cases {
                var batch = StoreBatch()
                batch.put("new", [9], expecting: .absent)
                batch.put(key, [2], expecting: expectation)
                let conflicting = batch
                await #expect(throws: error) {
                    try await store.commit(conflicting, under: leader)
                }
                var checking = StoreBatch()
                checking.put("new", [9], expecting: .absent)
                checking.check(key, expectation)
                let checked = checking
                await #expect(throws: error) { try await store.commit(checked, under: leader) }
            }
            #expect(try await store.load(prefix: "") == before)
        }
    }

    @Test("All records of a commit get its revision as version", arguments: StoreKind.allCases)
    func versions(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            var batch = StoreBatch()
            batch.put("a", [1], expecting: .absent)
            batch.put("b", [], expecting: .absent)
            let first = try await store.commit(batch, under: leader)
            let second = try await store.put("a", [1], under: leader, expecting: .version(first))
            #expect(second > first)
            let snapshot = try await store.load(prefix: "")
            #expect(snapshot.revision == second)
            #expect(
                snapshot.records == [
                    StoreRecord(key: "a", version: second, value: [1]),
                    StoreRecord(key: "b", version: first, value: []),
                ])
        }
    }

    @Test(
        "A deleted record is absent, and comes back with a new version",
        arguments: StoreKind.allCases)
    func deletes(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let first = try await store.put("a", [1], under: leader)
            try await store.delete("a", under: leader)
            try await store.delete("never", under: leader)
            #expect(try await store.keys() == [])
            await #expect(throws: StoreError.conflict(key: "a", found: nil)) {
                try await store.put("a", [2], under: leader, expecting: .version(first))
            }
            let again = try await store.put("a", [2], under: leader, expecting: .absent)
            #expect(again > first)
            #expect(try await store.keys() == ["a"])
        }
    }

    @Test("A batch that only checks is a commit like any other", arguments: StoreKind.allCases)
    func checksOnly(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let version = try await store.put("a", [1], under: leader)
            var batch = StoreBatch()
            batch.check("a", .version(version))
            batch.check("b", .absent)
            #expect(try await store.commit(batch, under: leader) > version)
            #expect(try await store.load(prefix: "a").records.map(\.version) == [version])
        }
    }

    @Test(
        "What a store cannot hold is refused before anything is tried",
        arguments: StoreKind.allCases)
    func limits(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            var batches: [StoreBatch] = [StoreBatch()]
            for key in ["", "a b", "ä", "a\n", String(repeating: "k", count: 513)] {
                var batch = StoreBatch()
                batch.put(key, [1], expecting: .anything)
                batches.append(batch)
            }
            var twice = StoreBatch()
            twice.put("a", [1], expecting: .anything)
            twice.check("a", .anything)
            var many = StoreBatch()
            for number in 0...StoreLimits.maximumEntryCount {
                many.put("k\(number)", [1], expecting: .anything)
            }
            var large = StoreBatch()
            let bytes = [UInt8](repeating: 1, count: StoreLimits.maximumBatchByteCount)
            large.put("a", bytes, expecting: .anything)
            batches += [twice, many, large]
            for batch in batches {
                await #expect {
                    try await store.commit(batch, under: leader)
                } throws: { error in
                    if case StoreError.invalid = error { true } else { false }
                }
            }
            await #expect(throws: StoreError.invalid("an empty key")) {
                try await store.lead("")
            }
            #expect(try await store.keys() == [])
        }
    }

    @Test("The largest batch is held", arguments: StoreKind.allCases)
    func largestBatch(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let count = StoreLimits.maximumEntryCount
            let size = StoreLimits.maximumBatchByteCount / count - 8
            var batch = StoreBatch()
            for number in 0..<count {
                batch.put("k\(number)", .init(repeating: 7, count: size), expecting: .absent)
            }
            try await store.commit(batch, under: leader)
            let records = try await store.load(prefix: "k").records
            #expect(records.count == count)
            #expect(records.allSatisfy { $0.value.count == size })
        }
    }

    @Test("Records are loaded by prefix, in byte order", arguments: StoreKind.allCases)
    func loads(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            for key in ["job/2", "job/10", "job", "jobs", "event/1", "job/~", "Job/1"] {
                try await store.put(key, [1], under: leader)
            }
            #expect(try await store.keys("job/") == ["job/10", "job/2", "job/~"])
            #expect(try await store.keys("job") == ["job", "job/10", "job/2", "job/~", "jobs"])
            #expect(try await store.keys("x") == [])
            #expect(try await store.keys().count == 7)
        }
    }

    @Test("Acknowledged commits survive a restart", arguments: StoreKind.allCases)
    func isDurable(kind: StoreKind) async throws {
        try await kind.withFixture { fixture in
            let store = try fixture.open()
            let leader = try await store.lead()
            for number in 0..<20 {
                try await store.put("k\(number)", [UInt8(number)], under: leader)
            }
            try await store.delete("k3", under: leader)
            let before = try await store.load(prefix: "")
            await store.close()
            let again = try fixture.open()
            #expect(try await again.load(prefix: "") == before)
            await again.close()
        }
    }

    @Test("Concurrent commits are applied one after another", arguments: StoreKind.allCases)
    func concurrent(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            try await store.put("counter", [0], under: leader)
            let revisions = try await withThrowingTaskGroup(of: [UInt64].self) { group in
                for _ in 0..<8 {
                    group.addTask { try await increments(store, leader, count: 12) }
                }
                var all: [UInt64] = []
                for try await revisions in group { all += revisions }
                return all
            }
            #expect(revisions.count == 96)
            #expect(Set(revisions).count == 96)
            #expect(try await store.load(prefix: "counter").records.first?.value == [96])
        }
    }

    @Test("A closed store says so, and closing again is no error", arguments: StoreKind.allCases)
    func closed(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            await store.close()
            await store.close()
            let error = StoreError.failed("it is closed")
            await #expect(throws: error) { try await store.put("a", [1], under: leader) }
            await #expect(throws: error) { try await store.load(prefix: "") }
            await #expect(throws: error) { try await store.lead() }
            await store.untilLost(leader)
        }
    }

    @Test("Cancelling the caller does not undo a commit", arguments: StoreKind.allCases)
    func cancelled(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let task = Task { try await store.put("a", [1], under: leader) }
            task.cancel()
            let revision = try await task.value
            #expect(try await store.load(prefix: "a").records.map(\.version) == [revision])
        }
    }
}

/// Adds one to the counter `count` times, reading and comparing as a careful writer does.
private func increments(
    _ store: any DecisionStore, _ leader: Leadership, count: Int
) async throws -> [UInt64] {
    var revisions: [UInt64] = []
    while revisions.count < count {
        let record = try #require(try await store.load(prefix: "counter").records.first)
        do throws(StoreError) {
            revisions.append(
                try await store.put(
                    "counter", [record.value[0] + 1], under: leader,
                    expecting: .version(record.version)))
        } catch {
            guard case .conflict = error else { throw error }
        }
    }
    return revisions
}

@Suite struct ChangesConformanceTests {
    @Test(
        "A follower first learns what has changed, then each change", arguments: StoreKind.allCases)
    func follows(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            try await store.put("a", [1], under: leader)
            try await store.put("b", [1], under: leader)
            let mark = try await store.load(prefix: "").revision
            try await store.put("a", [2], under: leader)
            try await store.delete("b", under: leader)
            var changes = store.changes(after: mark).makeAsyncIterator()
            let past = try #require(try await changes.next())
            #expect(past.written.map(\.key) == ["a"])
            #expect(past.written.map(\.value) == [[2]])
            #expect(past.deleted == ["b"])
            async let next = nextChange(store.changes(after: past.revision))
            let revision = try await store.put("c", [3], under: leader)
            let live = try #require(try await next)
            #expect(
                live
                    == StoreChange(
                        revision: revision,
                        written: [StoreRecord(key: "c", version: revision, value: [3])],
                        deleted: []))
        }
    }

    @Test("Following from nothing ends up with everything", arguments: StoreKind.allCases)
    func mirrors(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            async let mirror = mirror(store.changes(after: 0), until: "end")
            for number in 0..<300 {
                let key = "k\(number % 70)"
                if number % 7 == 6 {
                    try await store.delete(key, under: leader)
                } else {
                    try await store.put(key, [UInt8(number % 251)], under: leader)
                }
            }
            try await store.put("end", [], under: leader)
            let expected = try await store.load(prefix: "").records
            #expect(try await mirror == expected)
            #expect(try await self.mirror(store.changes(after: 0), until: "end") == expected)
        }
    }

    @Test(
        "The changes end when the store closes or the follower is cancelled",
        arguments: StoreKind.allCases)
    func ends(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let follower = Task { try await nextChange(store.changes(after: leader.revision)) }
            follower.cancel()
            #expect(try await follower.value == nil)
            async let last = nextChange(store.changes(after: leader.revision))
            await store.close()
            #expect(try await last == nil)
        }
    }

    @Test("A revision that has not been reached cannot be followed", arguments: StoreKind.allCases)
    func future(kind: StoreKind) async throws {
        try await kind.withStore { store in
            let leader = try await store.lead()
            let ahead = leader.revision + 10
            await #expect {
                try await nextChange(store.changes(after: ahead))
            } throws: { error in
                if case StoreError.invalid = error { true } else { false }
            }
        }
    }

    private func nextChange(_ changes: StoreChanges) async throws -> StoreChange? {
        var iterator = changes.makeAsyncIterator()
        return try await iterator.next()
    }

    /// Applies changes until a key was written; the records then, in order of their keys.
    private func mirror(_ changes: StoreChanges, until last: String) async throws -> [StoreRecord] {
        var records: [String: StoreRecord] = [:]
        var revision: UInt64 = 0
        for try await change in changes {
            #expect(change.revision > revision)
            revision = change.revision
            for key in change.deleted { records[key] = nil }
            for record in change.written { records[record.key] = record }
            if records[last] != nil { break }
        }
        return records.values.sorted { $0.key < $1.key }
    }
}
