// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import FleetModel
internal import GRPCCore
internal import Synchronization

/// Calls on a cluster that may be repeated, and those that must not.
struct EtcdCluster: Sendable {
    let client: EtcdClient
    let keys: EtcdKeys
    let options: EtcdOptions
    private let horizon = EtcdHorizon()

    init(_ options: EtcdOptions) {
        self.options = options
        client = EtcdClient(options)
        keys = EtcdKeys(prefix: options.prefix)
    }

    /// Makes a call that changes nothing, or whose repetition changes nothing, until it succeeds or
    /// patience ends.
    ///
    /// - Throws: the last failure.
    func repeating<Request: EtcdRequest, Response: EtcdResponse>(
        _ method: EtcdMethod, _ request: Request, returning: Response.Type
    ) async throws(EtcdFailure) -> Response {
        try await patiently { () async throws(EtcdFailure) in
            let member = client.currentMember
            do throws(EtcdFailure) {
                return try await client.call(
                    method, request, returning: Response.self, member: member)
            } catch {
                if case .refused = error, !error.isFuture { throw error }
                if case .tooLarge = error { throw error }
                client.turn(from: member)
                throw .notApplied(error.reason)
            }
        }
    }

    /// Makes a transaction once it can be made; what is known not to have been applied is tried again
    /// until patience ends.
    ///
    /// - Throws: ``EtcdFailure``; after `.unknown` it was made, or was not, or may still be.
    func transact(
        _ transaction: EtcdTransaction
    ) async throws(EtcdFailure) -> EtcdTransactionResult {
        try await patiently { () async throws(EtcdFailure) in
            let member = client.currentMember
            do throws(EtcdFailure) {
                return try await client.call(
                    .transaction, transaction, returning: EtcdTransactionResult.self,
                    member: member)
            } catch {
                if case .refused = error { throw error }
                client.turn(from: member)
                if case .tooLarge(let text) = error { throw .unknown(text) }
                throw error
            }
        }
    }

    /// Makes a transaction until its outcome is known; sound only for one whose repetition finds out
    /// by its own conditions that it was made before.
    func transactRepeatedly(
        _ transaction: EtcdTransaction
    ) async throws(EtcdFailure) -> EtcdTransactionResult {
        try await repeating(.transaction, transaction, returning: EtcdTransactionResult.self)
    }

    /// Calls `body` until it does anything but throw `.notApplied`, with short waits.
    ///
    /// Every member is asked once, however long that takes.
    private func patiently<Value: Sendable>(
        _ body: () async throws(EtcdFailure) -> Value
    ) async throws(EtcdFailure) -> Value {
        let start = ContinuousClock.now
        var attempts = 0
        while true {
            do throws(EtcdFailure) {
                return try await body()
            } catch {
                attempts += 1
                guard case .notApplied = error else { throw error }
                let isOver = ContinuousClock.now - start > options.patience
                if Task.isCancelled || (isOver && attempts >= client.memberCount) { throw error }
            }
            if attempts % client.memberCount == 0 {
                // A wait that is cut short by cancellation ends the loop at its next turn.
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}

// MARK: - Reading

/// Records as they stood at one revision of etcd.
struct EtcdListing: Sendable {
    /// Etcd's own revision, at which everything was read.
    var revision: Int64
    /// The newest commit of this store that is in it; 0 for none.
    var lastCommit: UInt64
    var keyValues: [EtcdKeyValue]
}

extension EtcdCluster {
    /// A revision of etcd that is not older than any commit acknowledged before the call.
    ///
    /// A plain read, even a linearizable one, may be stale in some versions of etcd; a put is not.
    /// Reads at the returned revision are exact wherever they are served.
    func fence() async throws(EtcdFailure) -> Int64 {
        let put = EtcdTransaction(success: [.put(key: keys.fence, value: [], lease: 0)])
        return try await transactRepeatedly(put).revision
    }

    /// Reads a range in pages, all of one revision.
    func pages(_ range: EtcdRange) async throws(EtcdFailure) -> [EtcdKeyValue] {
        var found: [EtcdKeyValue] = []
        var page = range
        page.limit = options.pageCount
        while true {
            let result: EtcdRangeResult
            do throws(EtcdFailure) {
                result = try await repeating(.range, page, returning: EtcdRangeResult.self)
            } catch {
                if case .tooLarge = error, page.limit > 1 {
                    // Ask for less, here and in the pages that follow.
                    page.limit = max(1, page.limit / 8)
                    continue
                }
                throw error
            }
            found += result.keyValues
            guard result.hasMore, let last = result.keyValues.last else { return found }
            page.key = last.key + [0]
        }
    }

    /// The newest commit of this store at a revision of etcd.
    func lastCommit(at revision: Int64) async throws(EtcdFailure) -> UInt64 {
        var range = keys.allLast
        range.revision = revision
        let found = try await pages(range)
        return UInt64(found.map(\.modRevision).max() ?? 0)
    }

    /// Reads the records under a prefix as they stand now.
    func list(
        prefix: String, keysOnly: Bool = false
    ) async throws(EtcdFailure) -> EtcdListing {
        while true {
            let revision = try await fence()
            do throws(EtcdFailure) {
                var range = keys.records(prefix)
                range.revision = revision
                range.isKeysOnly = keysOnly
                let records = try await pages(range)
                let last = try await lastCommit(at: revision)
                horizon.note(commit: last, isNewestAt: revision)
                return EtcdListing(revision: revision, lastCommit: last, keyValues: records)
            } catch {
                // Forgotten while it was being read: read anew.
                if !error.isCompacted { throw error }
            }
        }
    }

    /// A revision of etcd at which the records stood as after a commit: the newest that is known, since
    /// etcd forgets old ones.
    func revision(asAfter commit: UInt64) -> Int64 {
        horizon.revision(asAfter: commit) ?? Int64(clamping: commit)
    }

    /// The newest epoch of a role, with its revision; revision 0 for none.
    func epoch(of role: String) async throws(StoreError) -> (epoch: EtcdEpoch?, revision: Int64) {
        do throws(EtcdFailure) {
            let range = EtcdRange(key: keys.epoch(role))
            let found = try await repeating(.range, range, returning: EtcdRangeResult.self)
            guard let stored = found.keyValues.first else { return (nil, 0) }
            return (try EtcdCluster.read(stored), stored.modRevision)
        } catch {
            throw error.asReadError
        }
    }

    private static func read(_ stored: EtcdKeyValue) throws(EtcdFailure) -> EtcdEpoch {
        do throws(StoreError) {
            return try EtcdEpoch(stored.value)
        } catch {
            throw .refused(.dataLoss, "\(error)")
        }
    }
}

/// Remembers until when a commit has been the newest.
private final class EtcdHorizon: Sendable {
    private let state = Mutex<(commit: UInt64, revision: Int64)>((0, 0))

    func note(commit: UInt64, isNewestAt revision: Int64) {
        state.withLock { if revision > $0.revision { $0 = (commit, revision) } }
    }

    func revision(asAfter commit: UInt64) -> Int64? {
        state.withLock { $0.commit == commit && $0.revision > 0 ? $0.revision : nil }
    }
}
