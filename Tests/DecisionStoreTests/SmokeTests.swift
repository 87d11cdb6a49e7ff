// SPDX-License-Identifier: Apache-2.0

import DecisionStore
import DecisionStoreSQLite
import FleetModel
import Foundation
import Testing

@Suite struct SmokeTests {
    @Test("A commit is read back after the store is opened again")
    func reopens() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "fleet.db").path
        let store = try SQLiteDecisionStore(path: path)
        let leader = try await store.campaign(
            role: "fleet", candidate: "a", epochID: RandomID(high: 1, low: 2))
        #expect(leader.epoch == 1)
        var batch = StoreBatch()
        batch.put("job/1", [1, 2, 3], expecting: .absent)
        let revision = try await store.commit(batch, under: leader)
        await #expect(throws: StoreError.conflict(key: "job/1", found: revision)) {
            try await store.commit(batch, under: leader)
        }
        await store.close()
        let again = try SQLiteDecisionStore(path: path)
        let snapshot = try await again.load(prefix: "job/")
        #expect(
            snapshot.records == [StoreRecord(key: "job/1", version: revision, value: [1, 2, 3])])
        await again.close()
    }
}
