// SPDX-License-Identifier: Apache-2.0

// Goal: a copied store holds what the old one held, under epochs above it, and at no moment can two
// stores be led, or a part be taken for the whole.
// Method: embedded stores in temporary directories and a real etcd, with copies cut off half-way.

import DecisionStore
import EtcdTestSupport
import FleetModel
import Foundation
import StoreAccess
import Testing

@Suite struct StoreCopyTests {
    private let site = StoreLocation.Store.site("one")

    @Test("From embedded to etcd and back: the records are the same, the epochs rise")
    func roundTrip() async throws {
        try await withPlaces { folder, etcd in
            let records = try await fill(folder, count: 300)
            try await move(folder.location, to: etcd.location, etcd)
            let there = try await contents(etcd)
            #expect(there.records.map(\.value) == records.map(\.value))
            #expect(there.records.map(\.key) == records.map(\.key))
            let second = Place(
                location: StoreLocation(folder: folder.folder + "/second"), server: nil,
                folder: folder.folder + "/second")
            try FileManager.default.createDirectory(
                atPath: second.folder, withIntermediateDirectories: true)
            try await move(etcd.location, to: second.location, etcd)
            #expect(try await contents(second).records.map(\.value) == records.map(\.value))
            let store = try second.open(site)
            // 1 of the first leader, then two of each move.
            let leadership = try await lead(store)
            #expect(leadership.epoch == 6)
            await store.close()
        }
    }

    @Test("A store that was moved away, and one that is not whole, are refused")
    func refusals() async throws {
        try await withPlaces { folder, etcd in
            _ = try await fill(folder, count: 3)
            try await move(folder.location, to: etcd.location, etcd)
            await #expect {
                try await self.contents(folder)
            } throws: { error in
                "\(error)".contains("was moved to \(etcd.location)")
            }
            // And it can't be moved a second time, elsewhere.
            await #expect {
                try await self.move(
                    folder.location, to: StoreLocation(folder: folder.folder + "/x"), etcd)
            } throws: { "\($0)".contains("was moved") }
        }
    }

    @Test("A copy that was cut off is begun anew, and finished by a second run")
    func cutOff() async throws {
        try await withPlaces { folder, etcd in
            let records = try await fill(folder, count: 200)
            let old = try folder.open(site)
            let new = try etcd.open(site)
            let (read, _) = try await StoreCopy.takeOver(
                old, site, epochID: RandomID(high: 2, low: 1), movingTo: "\(etcd.location)")
            await #expect(throws: StoreError.failed("cut off")) {
                try await StoreCopy.write(read, to: new, epochID: RandomID(high: 2, low: 2)) {
                    () async throws(StoreError) in throw .failed("cut off")
                }
            }
            await new.close()
            await old.close()
            await #expect {
                try await self.contents(etcd)
            } throws: { "\($0)".contains("was not finished") }
            try await move(folder.location, to: etcd.location, etcd)
            #expect(try await contents(etcd).records.map(\.value) == records.map(\.value))
        }
    }

    @Test("Nothing is written over a store that is in use")
    func notEmpty() async throws {
        try await withPlaces { folder, etcd in
            _ = try await fill(folder, count: 3)
            let store = try etcd.open(site)
            let leader = try await lead(store)
            var batch = StoreBatch()
            batch.put("site", [9], expecting: .absent)
            try await store.commit(batch, under: leader)
            await store.close()
            await #expect {
                try await self.move(folder.location, to: etcd.location, etcd)
            } throws: { "\($0)".contains("holds 1 records already") }
            #expect(try await contents(etcd).records.map(\.value) == [[9]])
            #expect(try await contents(folder).records.count == 3)
        }
    }

    @Test("A backup is read as it was written; a damaged one is refused")
    func archive() throws {
        let records = (0..<50).map { number in
            StoreRecord(
                key: "k\(number)", version: 0, value: .init(repeating: UInt8(number), count: number)
            )
        }
        let archive = StoreArchive(
            fleet: "f",
            stores: [
                StoreContents(store: .fleet, epoch: 0, records: []),
                StoreContents(store: site, epoch: 1 << 40, records: records),
            ])
        let bytes = archive.bytes
        #expect(try StoreArchive(bytes) == archive)
        for position in stride(from: 0, to: bytes.count, by: 37) {
            var damaged = bytes
            damaged[position] ^= 0x10
            #expect(throws: StoreError.self, "byte \(position)") { try StoreArchive(damaged) }
            #expect(throws: StoreError.self, "cut at \(position)") {
                try StoreArchive(Array(bytes.prefix(position)))
            }
        }
    }

    // MARK: - Helpers

    private struct Place {
        var location: StoreLocation
        var server: EtcdServer?
        var folder: String

        func open(_ store: StoreLocation.Store) throws(StoreError) -> any DecisionStore {
            try location.open(store, fleet: "test", credentials: server?.credentials)
        }
    }

    private func withPlaces(_ body: (Place, Place) async throws -> Void) async throws {
        let server = try await EtcdServer.shared
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "busbar-copy-\(UUID().uuidString)"
        ).path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let url = "etcd://\(server.endpointList)/\(UUID().uuidString)"
        try await body(
            Place(location: StoreLocation(folder: folder), server: nil, folder: folder),
            Place(location: try StoreLocation(url), server: server, folder: ""))
    }

    private func lead(_ store: any DecisionStore) async throws(StoreError) -> Leadership {
        try await store.campaign(
            role: site.role, candidate: "test", epochID: RandomID(high: 1, low: 1))
    }

    /// Fills a store, some records of it large.
    private func fill(_ place: Place, count: Int) async throws -> [StoreRecord] {
        let store = try place.open(site)
        let leader = try await lead(store)
        for number in 0..<count {
            var batch = StoreBatch()
            let size = number % 50 == 7 ? 300_000 : number
            batch.put(
                "k\(number)", .init(repeating: UInt8(number % 251), count: size),
                expecting: .absent)
            try await store.commit(batch, under: leader)
        }
        let records = try await store.load(prefix: "").records
        await store.close()
        return records
    }

    private func contents(_ place: Place) async throws -> StoreContents {
        let store = try place.open(site)
        do {
            let contents = try await StoreCopy.read(store, site) { _ in nil }
            await store.close()
            return contents
        } catch {
            await store.close()
            throw error
        }
    }

    private func move(
        _ source: StoreLocation, to target: StoreLocation, _ etcd: Place
    ) async throws {
        let credentials = etcd.server?.credentials
        let from = try source.open(site, fleet: "test", credentials: credentials)
        do {
            let (contents, leadership) = try await StoreCopy.takeOver(
                from, site, epochID: RandomID(high: 3, low: 1), movingTo: "\(target)")
            let to = try target.open(site, fleet: "test", credentials: credentials)
            do {
                try await StoreCopy.write(
                    contents, to: to, epochID: RandomID(high: 3, low: 2)
                ) { () async throws(StoreError) in
                    try await StoreCopy.seal(from, under: leadership, to: "\(target)")
                }
                await to.close()
            } catch {
                await to.close()
                throw error
            }
            await from.close()
        } catch {
            await from.close()
            throw error
        }
    }
}
