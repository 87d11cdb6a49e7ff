// SPDX-License-Identifier: Apache-2.0

// Goal: what was acknowledged is there after the process was killed at any moment, and after an I/O
// error nothing is acknowledged any more.
// Method: child processes that commit until they are killed, and note each acknowledgement in a
// second file; the parent then opens the store and compares.

import DecisionStore
import DecisionStoreSQLite
import Dispatch
import FleetModel
import Foundation
import Testing

@Suite struct CrashTests {
    @Test(
        "Every acknowledged commit survives kill -9 at any moment",
        arguments: [3, 17, 40, 90, 160])
    func killed(milliseconds: Int) async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let path = fixture.path
            let notes = fixture.directory.appending(path: "acknowledged").path
            for epoch in 1...2 as ClosedRange<UInt64> {
                await #expect(processExitsWith: .signal(SIGKILL)) {
                    [
                        path = path as String, notes = notes as String,
                        milliseconds = milliseconds as Int, epoch = epoch as UInt64
                    ] in
                    try await commitUntilKilled(
                        path: path, notes: notes, milliseconds: milliseconds, epoch: epoch)
                }
                try await checkAcknowledged(fixture, notes: notes, epoch: epoch)
            }
        }
    }

    @Test("After an I/O error nothing is read, written or acknowledged")
    func failStop() async throws {
        try await StoreKind.sqlite.withFixture { fixture in
            let path = fixture.path
            let notes = fixture.directory.appending(path: "acknowledged").path
            await #expect(processExitsWith: .exitCode(0)) {
                [path = path as String, notes = notes as String] in
                try await commitUntilDiskIsFull(path: path, notes: notes)
            }
            try await checkAcknowledged(fixture, notes: notes, epoch: 1)
        }
    }
}

/// Commits records `EPOCH/0`, `EPOCH/1` and so on, one after another and each with a counter, until
/// the process is killed.
private func commitUntilKilled(
    path: String, notes: String, milliseconds: Int, epoch: UInt64
) async throws {
    let store = try SQLiteDecisionStore(path: path)
    let leader = try await store.lead(id: epoch)
    let descriptor = open(notes, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(milliseconds)) {
        kill(getpid(), SIGKILL)
    }
    for number in 0... {
        try await store.commit(batch(number, epoch: epoch), under: leader)
        var acknowledged = UInt64(number) + 1
        write(descriptor, &acknowledged, 8)
    }
}

/// One step of the children: a new record, and the counter that counts them.
private func batch(_ number: Int, epoch: UInt64) -> StoreBatch {
    var batch = StoreBatch()
    batch.put("\(epoch)/\(number)", .init(repeating: 3, count: 700), expecting: .absent)
    batch.put("counter/\(epoch)", Array("\(number + 1)".utf8), expecting: .anything)
    return batch
}

/// Commits until the largest file that the process may write is reached; exits with 0 when the store
/// behaved.
private func commitUntilDiskIsFull(path: String, notes: String) async throws {
    let store = try SQLiteDecisionStore(path: path)
    let leader = try await store.lead()
    let descriptor = open(notes, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: 200_000, rlim_max: 200_000)
    guard setrlimit(__rlimit_resource_t(UInt32(RLIMIT_FSIZE.rawValue)), &limit) == 0 else {
        exit(2)
    }
    async let lost: Void = store.untilLost(leader)
    for number in 0..<10_000 {
        do throws(StoreError) {
            try await store.commit(batch(number, epoch: 1), under: leader)
            var acknowledged = UInt64(number) + 1
            write(descriptor, &acknowledged, 8)
        } catch {
            // The log is written when the transaction commits, so nobody knows how much of it is there.
            guard case .ambiguous = error else { exit(3) }
            await lost
            exit(await refusesEverything(store, leader, path: path) ? 0 : 4)
        }
    }
    exit(5)
}

private func refusesEverything(
    _ store: SQLiteDecisionStore, _ leader: Leadership, path: String
) async -> Bool {
    func isRefused(_ call: () async throws(StoreError) -> Void) async -> Bool {
        do throws(StoreError) {
            try await call()
            return false
        } catch {
            if case .failed = error { return true }
            return false
        }
    }
    let write = await isRefused { () async throws(StoreError) in
        _ = try await store.put("x", [1], under: leader)
    }
    let read = await isRefused { () async throws(StoreError) in
        _ = try await store.load(prefix: "")
    }
    let campaign = await isRefused { () async throws(StoreError) in _ = try await store.lead() }
    var changes = store.changes(after: 0).makeAsyncIterator()
    var isFollowRefused = false
    do { _ = try await changes.next() } catch { isFollowRefused = true }
    await store.close()
    // Still locked: only a new process may read the file again.
    var isStillLocked = false
    do { _ = try SQLiteDecisionStore(path: path) } catch { isStillLocked = true }
    return write && read && campaign && isFollowRefused && isStillLocked
}

/// Opens the store and compares it with the acknowledgements that a child has noted.
private func checkAcknowledged(
    _ fixture: StoreFixture, notes: String, epoch: UInt64
) async throws {
    // Its size alone: Foundation loses a page for every empty file that it reads whole.
    let size = try? FileManager.default.attributesOfItem(atPath: notes)[.size] as? Int
    let acknowledged = (size ?? 0) / 8
    let store = try fixture.open()
    let keys = Set(try await store.keys("\(epoch)/"))
    // The commit that was under way may be there as well, but only whole.
    #expect(keys.count == acknowledged || keys.count == acknowledged + 1)
    #expect(keys == Set((0..<keys.count).map { "\(epoch)/\($0)" }))
    let counter = try await store.load(prefix: "counter/\(epoch)").records.first?.value
    if !keys.isEmpty { #expect(counter == Array("\(keys.count)".utf8)) }
    await store.close()
}
