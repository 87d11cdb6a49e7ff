// SPDX-License-Identifier: Apache-2.0

// Goal: what the replicated store promises beyond the contract: one leader among several stores, a
// quick change of leaders, groups of commits, and followers that miss nothing.
// Method: several stores of one real etcd cluster, as several coordinators would open them.

import DecisionStore
import EtcdTestSupport
import FleetModel
import Foundation
import Testing

@testable import DecisionStoreEtcd

@Suite struct EtcdLeadershipTests {
    @Test("A second store waits while the first leads, and leads when the first closes")
    func standby() async throws {
        try await withStores(2) { stores in
            let first = try await stores[0].lead(id: 1)
            let standby = Task { try await stores[1].lead(id: 2) }
            // Time for the second to stand: it must not lead although it could.
            try await Task.sleep(for: .milliseconds(500))
            try await stores[0].put("a", [1], under: first)
            await stores[0].close()
            let second = try await standby.value
            #expect(second.epoch == 2)
            #expect(second.predecessor?.epochID == first.epochID)
            try await stores[1].put("a", [2], under: second)
        }
    }

    @Test("Stores that stand at the same time lead one after another")
    func contested() async throws {
        try await withStores(4) { stores in
            let epochs = try await withThrowingTaskGroup(of: UInt64.self) { group in
                for (number, store) in stores.enumerated() {
                    group.addTask {
                        let leadership = try await store.lead(id: UInt64(number))
                        try await store.put("k", [UInt8(number)], under: leadership)
                        try await store.resign(leadership)
                        return leadership.epoch
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(epochs.sorted() == [1, 2, 3, 4])
        }
    }

    @Test("A store of a stale epoch can change nothing, and is told")
    func stale() async throws {
        try await withStores(2) { stores in
            let old = try await stores[0].lead(id: 1)
            try await stores[0].put("a", [1], under: old)
            // The first's candidacy goes, as when etcd's lease has run out under a long pause.
            await stores[0].abandon("fleet")
            async let told: Void = stores[0].untilLost(old)
            let new = try await stores[1].lead(id: 2)
            try await stores[1].put("a", [2], under: new)
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 2)) {
                try await stores[0].put("a", [9], under: old)
            }
            await told
            #expect(try await stores[1].load(prefix: "a").records.map(\.value) == [[2]])
        }
    }

    @Test("A leader that is idle learns that it was deposed")
    func idle() async throws {
        try await withStores(2) { stores in
            let old = try await stores[0].lead(id: 1)
            // Stands again at the end of the queue as soon as it finds its lease gone.
            let lease = try #require(await stores[0].candidacies["fleet"]?.lease)
            let cluster = stores[0].cluster
            _ = try await cluster.client.call(
                .leaseRevoke, EtcdLeaseRevoke(id: lease), returning: EtcdAcknowledgement.self,
                member: 0)
            _ = try await stores[1].lead(id: 2)
            await stores[0].untilLost(old)
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 2)) {
                try await stores[0].put("a", [9], under: old)
            }
        }
    }

    @Test("After a leader was killed, a standing store leads within its lease and a second")
    func killed() async throws {
        try await withStores(1) { stores in
            let server = try await EtcdServer.shared
            let options = stores[0].options
            let (prefix, note) = (options.prefix, server.directory.path + "/\(UUID().uuidString)")
            let endpoint = server.endpoints[0].port
            let directory = server.directory.path
            async let leader = #expect(processExitsWith: .signal(SIGKILL)) {
                [
                    prefix = prefix as String, note = note as String,
                    endpoint = endpoint as Int, directory = directory as String
                ] in
                try await leadUntilKilled(
                    prefix: prefix, note: note, port: endpoint, directory: directory)
            }
            while !FileManager.default.fileExists(atPath: note) {
                try await Task.sleep(for: .milliseconds(20))
            }
            // From here the child has two seconds to live: the standby queues up behind it.
            let leadership = try await stores[0].lead(id: 2)
            let end = Date()
            _ = await leader
            let killed = try #require(
                FileManager.default.attributesOfItem(atPath: note)[.modificationDate] as? Date)
            let wait = end.timeIntervalSince(killed) - 2
            #expect(leadership.epoch == 2)
            #expect(wait > 0.5, "led \(wait) s after the leader's end: before its lease was over")
            // Two seconds of lease, half a second of etcd's look, and a slow machine.
            #expect(wait < 10, "led \(wait) s after the leader's end")
            let kept = try await stores[0].load(prefix: "").records.map(\.key)
            #expect(kept == ["child"])
        }
    }
}

/// A leader of a process of its own that dies two seconds after it has noted that it leads.
private func leadUntilKilled(
    prefix: String, note: String, port: Int, directory: String
) async throws {
    let store = EtcdDecisionStore(
        EtcdOptions(
            endpoints: [.init(host: "127.0.0.1", port: port)],
            credentials: .init(
                certificatePath: directory + "/client.pem", keyPath: directory + "/client.key",
                authorityPath: directory + "/ca.pem"), prefix: prefix))
    let leadership = try await store.lead(id: 1)
    try await store.put("child", [1], under: leadership)
    try Data().write(to: URL(filePath: note))
    // The leader's life, renewed until its end.
    try await Task.sleep(for: .seconds(2))
    kill(getpid(), SIGKILL)
}

@Suite struct EtcdCommitTests {
    @Test("Commits that wait share a transaction where they touch no key in common")
    func groups() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let leader = try await store.lead()
            let revisions = try await withThrowingTaskGroup(of: UInt64.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        try await store.put("k\(number)", [1], under: leader, expecting: .absent)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(revisions).count < 100, "\(Set(revisions).count) transactions for 200")
            let records = try await store.load(prefix: "").records
            #expect(records.count == 200)
            #expect(Set(records.map(\.version)) == Set(revisions))
        }
    }

    @Test("One batch that conflicts does no harm to its neighbours in a group")
    func conflictInGroup() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let leader = try await store.lead()
            try await store.put("taken", [1], under: leader)
            let outcomes = await withTaskGroup(of: (Int, StoreError?).self) { group in
                for number in 0..<40 {
                    group.addTask {
                        do throws(StoreError) {
                            var batch = StoreBatch()
                            batch.put("k\(number)", [1], expecting: .absent)
                            if number % 10 == 3 { batch.check("taken", .absent) }
                            try await store.commit(batch, under: leader)
                            return (number, nil)
                        } catch {
                            return (number, error)
                        }
                    }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = .some($1.1) }
            }
            for (number, error) in outcomes {
                if number % 10 == 3 {
                    guard case .conflict(key: "taken", found: .some) = error else {
                        Issue.record("\(number): \(String(describing: error))")
                        continue
                    }
                } else {
                    #expect(error == nil, "\(number)")
                }
            }
            #expect(try await store.keys("k").count == 36)
        }
    }

    @Test("A snapshot of many megabytes comes whole, page by page")
    func largeSnapshot() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let leader = try await store.lead()
            for start in stride(from: 0, to: 400, by: 8) {
                var batch = StoreBatch()
                for number in start..<start + 8 {
                    let value = [UInt8](repeating: UInt8(number % 251), count: 100_000)
                    batch.put("k\(number)", value, expecting: .absent)
                }
                try await store.commit(batch, under: leader)
            }
            var options = store.options
            options.pageCount = 64
            let reader = EtcdDecisionStore(options)
            let records = try await reader.load(prefix: "k").records
            #expect(records.count == 400)
            #expect(records.map(\.key) == records.map(\.key).sorted())
            #expect(
                records.allSatisfy { record in
                    let number = Int(record.key.dropFirst())
                    return record.value.count == 100_000
                        && record.value.first == number.map { UInt8($0 % 251) }
                })
            await reader.close()
        }
    }

    @Test("Stores under other prefixes of one cluster do not see each other")
    func prefixes() async throws {
        try await withStores(1) { first in
            try await withStores(1) { second in
                let one = try await first[0].lead()
                let two = try await second[0].lead()
                #expect(two.epoch == 1)
                try await first[0].put("a", [1], under: one)
                #expect(try await second[0].load(prefix: "").records.isEmpty)
                try await second[0].put("b", [1], under: two)
                #expect(try await first[0].keys() == ["a"])
            }
        }
    }
}

@Suite struct EtcdFollowerTests {
    @Test("A follower misses nothing while its watch is cut and etcd compacts under it")
    func compaction() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let leader = try await store.lead()
            try await store.put("k0", [0], under: leader)
            let start = try await store.load(prefix: "")
            // A watch lives no longer than it takes to write a few records.
            var options = store.options
            options.relistInterval = .milliseconds(30)
            let reader = EtcdDecisionStore(options)
            let mirror = Task {
                var records = Dictionary(
                    uniqueKeysWithValues: start.records.map { ($0.key, $0) })
                var revision = start.revision
                for try await change in reader.changes(after: start.revision) {
                    #expect(change.revision > revision)
                    revision = change.revision
                    for key in change.deleted { records[key] = nil }
                    for record in change.written { records[record.key] = record }
                    if records["end"] != nil { break }
                }
                return records.values.sorted { $0.key < $1.key }
            }
            for number in 0..<400 {
                if number % 5 == 4 {
                    try await store.delete("k\(number % 40)", under: leader)
                } else {
                    try await store.put("k\(number % 40)", [UInt8(number % 251)], under: leader)
                }
                if number % 20 == 19 { try await compact(store) }
            }
            try await store.put("end", [], under: leader)
            let expected = try await store.load(prefix: "").records
            #expect(try await mirror.value == expected)
            await reader.close()
        }
    }

    @Test("Whoever asks for changes that etcd has forgotten is told to load")
    func forgotten() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let leader = try await store.lead()
            let old = try await store.put("a", [1], under: leader)
            let newest = try await store.put("a", [2], under: leader)
            try await compact(store)
            await #expect(throws: StoreError.compacted(oldest: newest)) {
                var changes = store.changes(after: old).makeAsyncIterator()
                _ = try await changes.next()
            }
            // The newest state can be followed although its own revision is older than the compaction.
            #expect(try await store.load(prefix: "").revision == newest)
            var changes = store.changes(after: newest).makeAsyncIterator()
            async let next = changes.next()
            try await store.put("a", [3], under: leader)
            #expect(try await next?.written.map(\.value) == [[3]])
        }
    }

    @Test("Parts of a revision are handed on together, and what was told before is dropped")
    func fragments() async throws {
        try await withStores(1) { stores in
            let store = stores[0]
            let inbox = EtcdInbox()
            let watcher = EtcdWatcher(cluster: store.cluster, inbox: inbox)
            func event(_ name: String, _ revision: Int64) -> EtcdWatchResponse.Event {
                EtcdWatchResponse.Event(
                    isDeletion: false,
                    keyValue: EtcdKeyValue(
                        key: store.cluster.keys.record(name), value: [1], createRevision: 1,
                        modRevision: revision))
            }
            func response(
                _ events: [EtcdWatchResponse.Event], isFragment: Bool
            ) -> EtcdWatchResponse {
                EtcdWatchResponse(
                    revision: 9, isCreated: false, isCancelled: false, compactRevision: 0,
                    cancelReason: "", isFragment: isFragment, events: events)
            }
            try await watcher.take(response([event("a", 7), event("b", 7)], isFragment: true))
            try await watcher.take(response([event("c", 7)], isFragment: false))
            let whole = try #require(try await inbox.take())
            #expect(whole.revision == 7)
            #expect(whole.written.map(\.key) == ["a", "b", "c"])
            try await watcher.take(response([event("a", 6), event("d", 8)], isFragment: false))
            #expect(try await inbox.take()?.written.map(\.key) == ["d"])
            var cancelled = response([], isFragment: false)
            cancelled.isCancelled = true
            cancelled.compactRevision = 8
            let cut = cancelled
            await #expect(throws: EtcdFailure.notApplied("cancelled: compacted to 8")) {
                try await watcher.take(cut)
            }
        }
    }

    /// Makes etcd forget everything but the newest state.
    private func compact(_ store: EtcdDecisionStore) async throws {
        let revision = try await store.cluster.fence()
        do throws(EtcdFailure) {
            _ = try await store.cluster.client.call(
                .compact, EtcdCompaction(revision: revision),
                returning: EtcdAcknowledgement.self, member: 0)
        } catch {
            // Another test of the shared cluster was first.
            if !error.isCompacted { throw error }
        }
    }
}

/// Calls `body` with stores of one new prefix of the shared cluster, and closes them.
private func withStores(
    _ count: Int, _ body: ([EtcdDecisionStore]) async throws -> Void
) async throws {
    let server = try await EtcdServer.shared
    let prefix = "/\(UUID().uuidString)/"
    let stores = (0..<count).map { _ in EtcdDecisionStore(server.options(prefix: prefix)) }
    try await body(stores)
    for store in stores { await store.close() }
}
