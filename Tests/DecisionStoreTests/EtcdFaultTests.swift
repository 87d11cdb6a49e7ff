// SPDX-License-Identifier: Apache-2.0

// Goal: whatever happens to etcd, what was acknowledged is there once, what was refused is not there,
// and what nobody knows is called so.
// Method: clusters of their own, whose members are killed, stopped and filled while stores write.

import DecisionStore
import EtcdTestSupport
import FleetModel
import Foundation
import Testing

@testable import DecisionStoreEtcd

@Suite(.serialized) struct EtcdFaultTests {
    @Test("A commit under way while etcd stands still is found out, and applied exactly once")
    func resolved() async throws {
        try await withStore(callTimeout: .milliseconds(300)) { server, store in
            let leader = try await store.lead()
            var version = try await store.put("n", [0], under: leader)
            for round in 1...5 as ClosedRange<UInt8> {
                server.signal(SIGSTOP, 0)
                let known = version
                async let commit = store.put(
                    "n", [round], under: leader, expecting: .version(known))
                // Longer than one call may take: the outcome of the first attempt is unknown.
                try await Task.sleep(for: .milliseconds(450))
                server.signal(SIGCONT, 0)
                version = try await commit
                let record = try await store.load(prefix: "n").records.first
                #expect(record == StoreRecord(key: "n", version: version, value: [round]))
            }
        }
    }

    @Test("A ledger's commit of unknown outcome ends its leadership")
    func uncertain() async throws {
        try await withStore(
            callTimeout: .milliseconds(300), ambiguity: .endsLeadership
        ) { server, store in
            let old = try await store.lead(id: 1)
            try await store.put("n", [0], under: old)
            server.signal(SIGSTOP, 0)
            async let lost: Void = store.untilLost(old)
            let outcome = await outcome { try await store.put("n", [1], under: old) }
            #expect(outcome.isAmbiguous)
            await lost
            server.signal(SIGCONT, 0)
            // Nothing more under it, even when etcd is back.
            let next = await self.outcome { try await store.put("n", [2], under: old) }
            #expect(next.isAmbiguous)
            let new = try await store.lead(id: 2)
            #expect(new.epoch == 2)
            await #expect(throws: StoreError.deposed(role: "fleet", currentEpoch: 2)) {
                try await store.put("n", [3], under: old)
            }
            // The write whose outcome is unknown came before the epoch or never comes.
            let before = try await store.load(prefix: "").records
            #expect(before.map(\.value) == [[0]] || before.map(\.value) == [[1]])
            try await store.put("m", [4], under: new)
            let after = try await store.load(prefix: "n").records
            #expect(after == before)
        }
    }

    @Test("What was acknowledged survives kill -9 of etcd at any moment, once")
    func killed() async throws {
        try await withStore(callTimeout: .seconds(1)) { server, store in
            let leader = try await store.lead()
            let writer = Task { () -> [Int: StoreError?] in
                var outcomes: [Int: StoreError?] = [:]
                var number = 0
                while !Task.isCancelled {
                    do throws(StoreError) {
                        try await store.put(
                            "k\(number)", [1], under: leader, expecting: .absent)
                        outcomes[number] = .some(nil)
                    } catch {
                        outcomes[number] = error
                    }
                    number += 1
                }
                return outcomes
            }
            for pause in [130, 250, 70, 310] {
                // The writer's time between two kills.
                try await Task.sleep(for: .milliseconds(pause))
                server.kill(0)
                try server.startMember(0)
                try await server.waitUntilReady()
            }
            writer.cancel()
            let outcomes = await writer.value
            let keys = Set(try await store.keys())
            var acknowledged = 0
            for (number, error) in outcomes {
                switch error {
                case nil:
                    acknowledged += 1
                    #expect(keys.contains("k\(number)"), "k\(number) was acknowledged")
                case .ambiguous: break
                case .conflict:
                    Issue.record("k\(number) was applied and not acknowledged")
                case let error?:
                    #expect(!keys.contains("k\(number)"), "k\(number) was refused: \(error)")
                }
            }
            #expect(acknowledged > 20, "\(acknowledged) of \(outcomes.count)")
        }
    }

    @Test("Three members: one may go, two may not, and all come back", .timeLimit(.minutes(2)))
    func members() async throws {
        let server = try await EtcdServer.start(.init(memberCount: 3))
        let prefix = "/\(UUID().uuidString)/"
        var options = server.options(prefix: prefix)
        options.callTimeout = .seconds(2)
        options.patience = .seconds(20)
        let store = EtcdDecisionStore(options)
        let leader = try await store.lead()
        var number = 0
        func write(_ count: Int) async throws {
            for _ in 0..<count {
                try await store.put("k\(number)", [1], under: leader, expecting: .absent)
                number += 1
            }
        }
        try await write(20)
        // Each member once, so the cluster's leader among them, and the one that the store talks to.
        for member in 0..<3 {
            server.kill(member)
            try await write(10)
            try server.startMember(member)
            try await write(10)
            try await server.waitUntilReady()
        }
        server.kill(0)
        server.kill(1)
        var hasty = options
        (hasty.callTimeout, hasty.patience) = (.milliseconds(300), .milliseconds(500))
        let lonely = EtcdDecisionStore(hasty)
        let alone = await outcome { _ = try await lonely.load(prefix: "") }
        guard case .failure(.unavailable) = alone else {
            Issue.record("without a majority: \(alone)")
            return
        }
        await lonely.close()
        try server.startMember(0)
        try server.startMember(1)
        try await write(10)
        #expect(try await store.keys().count == number)
        await store.close()
    }

    @Test("A full database refuses commits, is noticed, and nothing is lost")
    func full() async throws {
        let server = try await EtcdServer.start(.init(quotaByteCount: 4 << 20))
        let store = EtcdDecisionStore(server.options(prefix: "/full/"))
        let leader = try await store.lead()
        await store.lookAfterCluster()
        #expect(await !store.lastHealth.isFull)
        let value = [UInt8](repeating: 7, count: 200_000)
        var count = 0
        var refusal: StoreError?
        while refusal == nil && count < 100 {
            do throws(StoreError) {
                try await store.put("k\(count)", value, under: leader, expecting: .absent)
                count += 1
            } catch {
                refusal = error
            }
        }
        guard case .unavailable(let reason) = refusal else {
            Issue.record("after \(count) records: \(String(describing: refusal))")
            return
        }
        #expect(reason.contains("quota"))
        await store.lookAfterCluster()
        let health = await store.lastHealth
        #expect(health.isFull)
        #expect(health.databaseByteCount > 3 << 20)
        #expect(!health.version.isEmpty)
        await store.close()
    }

    @Test("A leader forgets what was overwritten long ago, and not what is new")
    func compacts() async throws {
        let server = try await EtcdServer.shared
        var options = server.options(prefix: "/\(UUID().uuidString)/")
        options.compactionInterval = .zero
        options.upkeepInterval = .seconds(3600)
        let store = EtcdDecisionStore(options)
        let leader = try await store.lead()
        let first = try await store.put("a", [1], under: leader)
        try await store.put("a", [2], under: leader)
        await store.lookAfterCluster()
        try await store.put("a", [3], under: leader)
        // What the first look has seen is forgotten by the second.
        await store.lookAfterCluster()
        #expect(await store.lastHealth.compactedRevision > Int64(first))
        await #expect {
            var changes = store.changes(after: first).makeAsyncIterator()
            _ = try await changes.next()
        } throws: { error in
            if case StoreError.compacted = error { true } else { false }
        }
        #expect(try await store.load(prefix: "").records.map(\.value) == [[3]])
        await store.close()
    }

    @Test("A client without the right certificate is refused, with the reason")
    func credentials() async throws {
        let server = try await EtcdServer.shared
        let other = try await EtcdServer.start()
        var options = server.options(prefix: "/x/")
        options.patience = .milliseconds(500)
        options.credentials = other.credentials
        let stranger = EtcdDecisionStore(options)
        let refused = await outcome { _ = try await stranger.load(prefix: "") }
        guard case .failure(.unavailable) = refused else {
            Issue.record("a stranger: \(refused)")
            return
        }
        await stranger.close()
        options.credentials = nil
        let plain = EtcdDecisionStore(options)
        let unencrypted = await outcome { _ = try await plain.load(prefix: "") }
        guard case .failure(.unavailable) = unencrypted else {
            Issue.record("without TLS: \(unencrypted)")
            return
        }
        await plain.close()
    }

    // MARK: - Helpers

    private func withStore(
        callTimeout: Duration, ambiguity: EtcdOptions.Ambiguity = .isResolved,
        _ body: (EtcdServer, EtcdDecisionStore) async throws -> Void
    ) async throws {
        let server = try await EtcdServer.start()
        var options = server.options(prefix: "/\(UUID().uuidString)/")
        options.callTimeout = callTimeout
        options.ambiguity = ambiguity
        options.patience = .seconds(20)
        let store = EtcdDecisionStore(options)
        try await body(server, store)
        await store.close()
    }

    private func outcome<Value>(
        _ body: () async throws -> Value
    ) async -> Result<Value, StoreError> {
        do {
            return .success(try await body())
        } catch {
            return .failure(error as? StoreError ?? .failed("\(error)"))
        }
    }
}

extension Result where Failure == StoreError {
    fileprivate var isAmbiguous: Bool {
        if case .failure(.ambiguous) = self { true } else { false }
    }
}
