// SPDX-License-Identifier: Apache-2.0

import DecisionStore
import DecisionStoreEtcd
import DecisionStoreSQLite
import EtcdTestSupport
import FleetModel
import Foundation
import Testing

/// The implementations that must pass the conformance suite.
enum StoreKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqlite
    case etcd

    var testDescription: String { rawValue }

    /// Calls `body` with a new, empty store that can be opened again after it was closed.
    func withFixture(_ body: (StoreFixture) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "busbar-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let server = self == .etcd ? try await EtcdServer.shared : nil
        try await body(StoreFixture(kind: self, directory: directory, server: server))
    }

    /// Calls `body` with a new, empty, open store, and closes it.
    func withStore(_ body: (any DecisionStore) async throws -> Void) async throws {
        try await withFixture { fixture in
            let store = try fixture.open()
            try await body(store)
            await store.close()
        }
    }
}

/// One durable store on disk.
struct StoreFixture: Sendable {
    var kind: StoreKind
    var directory: URL
    /// The cluster that holds the store under a prefix of its own.
    var server: EtcdServer?

    var path: String { directory.appending(path: "fleet.db").path }

    /// Opens the store; it must not be open.
    func open() throws(StoreError) -> any DecisionStore {
        switch kind {
        case .sqlite: return try SQLiteDecisionStore(path: path)
        case .etcd:
            guard let server else { throw .failed("no cluster was started") }
            return EtcdDecisionStore(server.options(prefix: "/\(directory.lastPathComponent)/"))
        }
    }
}

extension DecisionStore {
    /// A leadership of `role` with an id made of a number.
    func lead(_ role: String = "fleet", id: UInt64 = 1) async throws(StoreError) -> Leadership {
        try await campaign(role: role, candidate: "test", epochID: RandomID(high: 7, low: id))
    }

    /// Writes one record, whatever it was.
    @discardableResult
    func put(
        _ key: String, _ value: [UInt8], under leadership: Leadership,
        expecting: StoreBatch.Expectation = .anything
    ) async throws(StoreError) -> UInt64 {
        var batch = StoreBatch()
        batch.put(key, value, expecting: expecting)
        return try await commit(batch, under: leadership)
    }

    /// Removes one record.
    @discardableResult
    func delete(_ key: String, under leadership: Leadership) async throws(StoreError) -> UInt64 {
        var batch = StoreBatch()
        batch.delete(key, expecting: .anything)
        return try await commit(batch, under: leadership)
    }

    /// The keys of all records.
    func keys(_ prefix: String = "") async throws(StoreError) -> [String] {
        try await load(prefix: prefix).records.map(\.key)
    }
}
