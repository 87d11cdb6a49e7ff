// SPDX-License-Identifier: Apache-2.0

// The messages of etcd that this store speaks, as values. Keys are bytes; revisions and leases are
// etcd's signed 64-bit numbers.

/// A key with what etcd knows of it.
struct EtcdKeyValue: Hashable, Sendable {
    var key: [UInt8]
    var value: [UInt8]
    /// The revision of the write that made the key.
    var createRevision: Int64
    /// The revision of the newest write.
    var modRevision: Int64
}

/// Which keys to read.
struct EtcdRange: Hashable, Sendable {
    var key: [UInt8]
    /// The end of the range, not in it; empty for the one key.
    var end: [UInt8] = []
    /// The most keys; 0 for all.
    var limit: Int64 = 0
    /// The revision at which to read; 0 for the newest.
    var revision: Int64 = 0
    var isKeysOnly = false
    /// Leaves out what was written before; 0 for nothing.
    var minimumModRevision: Int64 = 0
    /// Leaves out what was made after; 0 for nothing.
    var maximumCreateRevision: Int64 = 0
    /// Newest made first; for elections.
    var isNewestFirst = false
}

/// What a range read found.
struct EtcdRangeResult: Hashable, Sendable {
    var keyValues: [EtcdKeyValue]
    var hasMore: Bool
    /// The store's revision when it was served.
    var revision: Int64
}

/// One condition of a transaction.
struct EtcdCompare: Hashable, Sendable {
    var key: [UInt8]
    /// The revision of the newest write; 0 is met by a key that is absent.
    var modRevision: Int64
}

/// One step of a transaction.
enum EtcdOperation: Hashable, Sendable {
    case range(EtcdRange)
    case put(key: [UInt8], value: [UInt8], lease: Int64)
    case delete(key: [UInt8])
}

/// Steps that are carried out at once: one list or the other.
struct EtcdTransaction: Hashable, Sendable {
    var compares: [EtcdCompare] = []
    /// When every condition is met.
    ///
    /// Holds a put: without one, etcd 3.4 answers from its own memory.
    var success: [EtcdOperation] = []
    var failure: [EtcdOperation] = []
}

/// What a transaction did.
struct EtcdTransactionResult: Hashable, Sendable {
    var isSuccess: Bool
    var revision: Int64
    /// What each range of the list found; empty for the other steps.
    var ranges: [[EtcdKeyValue]]
}

/// The begin of a watch over a range of keys.
struct EtcdWatchRequest: Hashable, Sendable {
    var key: [UInt8]
    var end: [UInt8]
    var startRevision: Int64
}

/// A part of what a watch tells.
struct EtcdWatchResponse: Hashable, Sendable {
    struct Event: Hashable, Sendable {
        var isDeletion: Bool
        var keyValue: EtcdKeyValue
    }

    var revision: Int64
    var isCreated: Bool
    var isCancelled: Bool
    /// With `isCancelled`: what was asked for is older than this and has been forgotten; else 0.
    var compactRevision: Int64
    var cancelReason: String
    /// More of the same revision follows.
    var isFragment: Bool
    var events: [Event]
}

/// A lease that was granted or renewed.
struct EtcdLease: Hashable, Sendable {
    var id: Int64
    /// In seconds; 0 for a lease that has ended.
    var timeToLive: Int64
}

/// How a member of the cluster stands.
struct EtcdStatus: Hashable, Sendable {
    var version: String
    /// The member that leads; 0 for none.
    var leader: UInt64
    var revision: Int64
    var databaseByteCount: Int64
    var usedByteCount: Int64
    /// From etcd 3.6 on; else 0.
    var quotaByteCount: Int64
}

/// An alarm that a member has raised.
enum EtcdAlarm: Hashable, Sendable {
    /// The database has reached its quota: nothing can be written.
    case noSpace
    /// A member's data differ from the others'.
    case corrupt
    case other(UInt32)
}
