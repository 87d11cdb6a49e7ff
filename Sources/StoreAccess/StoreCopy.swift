// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
package import FleetModel

/// All records of one store, with the epoch that nothing older than them can have passed.
package struct StoreContents: Hashable, Sendable {
    package var store: StoreLocation.Store
    /// The newest epoch that is known of the store's role; a copy begins above it.
    package var epoch: UInt64
    /// Without marks, in byte order of the keys.
    package var records: [StoreRecord]

    package init(store: StoreLocation.Store, epoch: UInt64, records: [StoreRecord]) {
        self.store = store
        self.epoch = epoch
        self.records = records
    }
}

extension StoreLocation.Store {
    /// The role that leads in the store.
    package var role: String {
        switch self {
        case .fleet: "fleet"
        case .site(let name): "site/\(name)"
        }
    }
}

/// Copies of whole stores: out of one, into another.
package enum StoreCopy {
    /// Reads a store without touching its leader.
    ///
    /// The records are those of one revision. The epoch is the newest that stands in them, since a
    /// store's own can only be raised, not read.
    ///
    /// - Parameters:
    ///   - store: an open store.
    ///   - name: which it is.
    ///   - epochOf: the epoch that stands in a record; nil for records without one.
    /// - Returns: the contents.
    /// - Throws: ``StoreError``; `.failed` for a store that is incomplete or was moved away.
    package static func read(
        _ store: any DecisionStore, _ name: StoreLocation.Store,
        epochOf: (StoreRecord) -> UInt64?
    ) async throws(StoreError) -> StoreContents {
        var snapshot = try await store.load(prefix: "")
        if let refusal = StoreMarks(takenFrom: &snapshot).refusal { throw .failed(refusal) }
        let epoch = snapshot.records.compactMap(epochOf).max() ?? 0
        return StoreContents(store: name, epoch: epoch, records: snapshot.records)
    }

    /// Takes a store over for good and reads it: no coordinator can write there any more.
    ///
    /// - Parameters:
    ///   - store: an open store.
    ///   - name: which it is.
    ///   - epochID: random bits for the epoch that ends all others.
    ///   - place: where it is to be moved; a move there that was cut off may be finished.
    /// - Returns: the contents, and the leadership under which ``seal(_:under:to:)`` is called.
    /// - Throws: ``StoreError``; `.failed` for a store that is incomplete or was moved elsewhere.
    package static func takeOver(
        _ store: any DecisionStore, _ name: StoreLocation.Store, epochID: RandomID,
        movingTo place: String
    ) async throws(StoreError) -> (contents: StoreContents, leadership: Leadership) {
        let leadership = try await store.campaign(
            role: name.role, candidate: "busbar store migrate", epochID: epochID)
        var snapshot = try await store.load(prefix: "")
        let marks = StoreMarks(takenFrom: &snapshot)
        if let refusal = marks.refusal, marks.values[.moved] != place {
            try await store.resign(leadership)
            throw .failed(refusal)
        }
        return (
            StoreContents(store: name, epoch: leadership.epoch, records: snapshot.records),
            leadership
        )
    }

    /// Writes contents into a store that holds nothing, or an unfinished copy, or was moved away.
    ///
    /// While it is being written the store is marked, so that no coordinator takes a part for the
    /// whole; a copy that was cut off is begun anew.
    ///
    /// - Parameters:
    ///   - contents: what to write.
    ///   - store: an open store.
    ///   - epochID: random bits for the epoch in which it is written.
    ///   - beforeUse: called when all is written, before the store may be led by a coordinator.
    /// - Throws: ``StoreError``; `.failed` when the store holds something else.
    package static func write(
        _ contents: StoreContents, to store: any DecisionStore, epochID: RandomID,
        beforeUse: () async throws(StoreError) -> Void = {}
    ) async throws(StoreError) {
        let leadership = try await store.campaign(
            role: contents.store.role, candidate: "busbar store", epochID: epochID,
            above: contents.epoch)
        try await clear(store, leadership)
        var copier = Copier(store: store, leadership: leadership)
        for record in contents.records { try await copier.put(record) }
        try await copier.flush()
        try await beforeUse()
        var batch = StoreBatch()
        batch.delete(StoreMark.incomplete.rawValue, expecting: .anything)
        try await store.commit(batch, under: leadership)
        try await store.resign(leadership)
    }

    /// Marks a store as moved away, and gives it up.
    package static func seal(
        _ store: any DecisionStore, under leadership: Leadership, to place: String
    ) async throws(StoreError) {
        var batch = StoreBatch()
        batch.put(StoreMark.moved.rawValue, Array(place.utf8), expecting: .anything)
        try await store.commit(batch, under: leadership)
        try await store.resign(leadership)
    }

    /// Empties a store that may be written over, and marks it as incomplete.
    private static func clear(
        _ store: any DecisionStore, _ leadership: Leadership
    ) async throws(StoreError) {
        var snapshot = try await store.load(prefix: "")
        let marks = StoreMarks(takenFrom: &snapshot)
        let mayBeReplaced = marks.values[.incomplete] != nil || marks.values[.moved] != nil
        guard mayBeReplaced || snapshot.records.isEmpty else {
            try await store.resign(leadership)
            throw .failed(
                "the store of '\(leadership.role)' holds \(snapshot.records.count) records already")
        }
        var batch = StoreBatch()
        batch.put(StoreMark.incomplete.rawValue, Array("yes".utf8), expecting: .anything)
        try await store.commit(batch, under: leadership)
        var keys = snapshot.records.map(\.key)[...]
        keys += [StoreMark.moved.rawValue]
        while !keys.isEmpty {
            var batch = StoreBatch()
            for key in keys.prefix(100) { batch.delete(key, expecting: .anything) }
            keys = keys.dropFirst(100)
            try await store.commit(batch, under: leadership)
        }
    }
}

/// Puts records into a store in batches that it can hold.
private struct Copier {
    let store: any DecisionStore
    let leadership: Leadership
    private var batch = StoreBatch()
    private var byteCount = 0

    init(store: any DecisionStore, leadership: Leadership) {
        self.store = store
        self.leadership = leadership
    }

    mutating func put(_ record: StoreRecord) async throws(StoreError) {
        let size = record.key.utf8.count + record.value.count
        let isFull =
            batch.entries.count == StoreLimits.maximumEntryCount
            || byteCount + size > StoreLimits.maximumBatchByteCount
        if isFull { try await flush() }
        batch.put(record.key, record.value, expecting: .absent)
        byteCount += size
    }

    mutating func flush() async throws(StoreError) {
        guard !batch.isEmpty else { return }
        try await store.commit(batch, under: leadership)
        (batch, byteCount) = (StoreBatch(), 0)
    }
}
