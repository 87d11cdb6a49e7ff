// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The right to commit, from one election of one role.
package struct Leadership: Hashable, Sendable {
    package var role: String
    package var candidate: String
    /// Above the epoch before; the first is 1 or above what the campaign knew.
    package var epoch: UInt64
    package var epochID: RandomID
    /// The revision of the election.
    package var revision: UInt64
    /// The epoch that this one ended, with its id; nil for the first.
    package var predecessor: Predecessor?

    /// An epoch that has ended.
    package struct Predecessor: Hashable, Sendable {
        package var epoch: UInt64
        package var epochID: RandomID

        package init(epoch: UInt64, epochID: RandomID) {
            self.epoch = epoch
            self.epochID = epochID
        }
    }

    package init(
        role: String, candidate: String, epoch: UInt64, epochID: RandomID, revision: UInt64,
        predecessor: Predecessor?
    ) {
        self.role = role
        self.candidate = candidate
        self.epoch = epoch
        self.epochID = epochID
        self.revision = revision
        self.predecessor = predecessor
    }
}

/// One value under one key.
package struct StoreRecord: Hashable, Sendable {
    package var key: String
    /// The revision of the commit that wrote it last: rises with every write, never repeats.
    package var version: UInt64
    package var value: [UInt8]

    package init(key: String, version: UInt64, value: [UInt8]) {
        self.key = key
        self.version = version
        self.value = value
    }
}

/// All records under a prefix, as they stood at one revision.
package struct StoreSnapshot: Hashable, Sendable {
    /// The newest revision that the snapshot shows; follow ``DecisionStore/changes(after:)`` from it.
    package var revision: UInt64
    /// In byte order of the keys.
    package var records: [StoreRecord]

    package init(revision: UInt64, records: [StoreRecord]) {
        self.revision = revision
        self.records = records
    }
}

/// What a commit changes, and what it relies on.
///
/// ```swift
/// var batch = StoreBatch()
/// batch.put("job/17", bytes, expecting: .absent)
/// batch.put("fleet", counters, expecting: .version(41))
/// let revision = try await store.commit(batch, under: leadership)
/// ```
package struct StoreBatch: Hashable, Sendable {
    /// The state that a record must be in for the batch to be applied.
    package enum Expectation: Hashable, Sendable {
        /// Whatever it is. Sound only where one leader is the sole writer and its epoch is enough.
        case anything
        case absent
        case version(UInt64)
    }

    /// One step of a batch.
    package enum Operation: Hashable, Sendable {
        case put([UInt8])
        case delete
        /// Changes nothing: the batch only relies on the record being as expected.
        case check
    }

    /// An operation on one key.
    package struct Entry: Hashable, Sendable {
        package var key: String
        package var expectation: Expectation
        package var operation: Operation
    }

    /// In the order in which they were added; each key at most once.
    package private(set) var entries: [Entry] = []

    package init() {}

    /// True when the batch has no entry.
    package var isEmpty: Bool { entries.isEmpty }

    /// Writes a record.
    package mutating func put(_ key: String, _ value: [UInt8], expecting: Expectation) {
        entries.append(Entry(key: key, expectation: expecting, operation: .put(value)))
    }

    /// Removes a record; removing what is absent is no error where the expectation allows it.
    package mutating func delete(_ key: String, expecting: Expectation) {
        entries.append(Entry(key: key, expectation: expecting, operation: .delete))
    }

    /// Relies on a record being as expected without changing it.
    package mutating func check(_ key: String, _ expected: Expectation) {
        entries.append(Entry(key: key, expectation: expected, operation: .check))
    }
}

/// The records that changed up to one revision.
package struct StoreChange: Hashable, Sendable {
    /// The newest revision that is covered.
    package var revision: UInt64
    /// Records that were written, in order of their versions.
    package var written: [StoreRecord]
    /// Keys that were removed, in order of removal.
    package var deleted: [String]

    package init(revision: UInt64, written: [StoreRecord], deleted: [String]) {
        self.revision = revision
        self.written = written
        self.deleted = deleted
    }
}

/// What every implementation of ``DecisionStore`` can hold.
///
/// Set so that a batch fits one transaction of a replicated store with default limits (128
/// operations and 1.5 MiB, less the guards that the store adds itself).
package enum StoreLimits {
    package static let maximumKeyByteCount = 512
    package static let maximumEntryCount = 120
    /// Keys and values of a batch together.
    package static let maximumBatchByteCount = 1 << 20
}
