// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
internal import Logging
internal import Synchronization

/// The replicated ``DecisionStore``: records in an etcd cluster, shared by several coordinators.
///
/// * Fenced: every commit compares the revision of its role's epoch and of the commit before it, and
///   always contains a put. A delayed older write of the same epoch fails like one of an older epoch.
/// * Group commit: batches that wait while another is being written and touch no key in common go
///   into one transaction, within etcd's limits; they share its revision.
/// * Exact reads: a read has the revision of a put made just before it, so that no stale member can
///   serve it.
/// * Elections: a candidate's key hangs from an etcd lease; the oldest candidate leads. Leases make
///   the change quick. Safety rests on the epoch alone: a wrong guess costs an election.
/// * No blind repetition: see ``EtcdOptions/Ambiguity``.
package actor EtcdDecisionStore: DecisionStore {
    nonisolated let cluster: EtcdCluster
    /// The followers' inboxes, for the end.
    nonisolated let inboxes = EtcdInboxes()
    nonisolated let options: EtcdOptions

    var roles: [String: EtcdRole] = [:]
    var isClosed = false
    var candidacies: [String: EtcdCandidacy] = [:]
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var nextWaiter: UInt64 = 0
    private var upkeep: Task<Void, Never>?
    /// What the last look at the cluster found.
    var health = EtcdHealth()
    var compactTo: Int64 = 0
    var compactedAt = ContinuousClock.now

    static let closedError = StoreError.failed("it is closed")

    /// Prepares a store; connects with the first call.
    package init(_ options: EtcdOptions) {
        self.options = options
        cluster = EtcdCluster(options)
    }

    package func load(prefix: String) async throws(StoreError) -> StoreSnapshot {
        try checkOpen()
        beginUpkeep()
        do throws(EtcdFailure) {
            let listing = try await cluster.list(prefix: prefix)
            let keys = cluster.keys
            return StoreSnapshot(
                revision: listing.lastCommit,
                records: listing.keyValues.compactMap { StoreRecord($0, keys) })
        } catch {
            throw isClosed ? Self.closedError : error.asReadError
        }
    }

    package nonisolated func changes(after revision: UInt64) -> StoreChanges {
        let feed = EtcdFeed(cluster: cluster, inboxes: inboxes)
        return StoreChanges(after: revision) { after throws(StoreError) in
            try await feed.next(after: after)
        }
    }

    package func untilLost(_ leadership: Leadership) async {
        while !Task.isCancelled {
            guard !isClosed, let role = roles[leadership.role], role.isHeld(by: leadership) else {
                return
            }
            await waitForChange()
        }
    }

    package func close() async {
        if !isClosed {
            isClosed = true
            wakeWaiters()
            inboxes.close()
        }
        // What has begun is finished; what waits behind it is refused.
        for role in roles.keys { await roles[role]?.writer?.value }
        upkeep?.cancel()
        await upkeep?.value
        for role in candidacies.keys { await abandon(role) }
        await cluster.client.close()
        wakeWaiters()
    }

    func checkOpen() throws(StoreError) {
        if isClosed { throw Self.closedError }
    }

    /// Starts the loop that looks after the cluster, once.
    func beginUpkeep() {
        guard upkeep == nil, !isClosed else { return }
        upkeep = Task { [weak self, interval = options.upkeepInterval] in
            while !Task.isCancelled {
                await self?.lookAfterCluster()
                do {
                    try await Task.sleep(for: interval)
                } catch {
                    return
                }
            }
        }
    }
}

// MARK: - Waiting for a loss

extension EtcdDecisionStore {
    /// Sleeps until some role has changed, or the task is cancelled.
    private func waitForChange() async {
        nextWaiter += 1
        let id = nextWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume()
                } else {
                    waiters[id] = continuation
                }
            }
        } onCancel: {
            Task { await self.wake(id) }
        }
    }

    private func wake(_ id: UInt64) {
        waiters.removeValue(forKey: id)?.resume()
    }

    func wakeWaiters() {
        let all = waiters
        waiters = [:]
        for waiter in all.values { waiter.resume() }
    }
}

/// What a store knows of one role in which it leads or has led.
struct EtcdRole {
    var leadership: Leadership
    /// The newest commit under the leadership: the next one compares it.
    var lastRevision: Int64
    /// Why nothing more can be committed; nil while it leads.
    var end: End?
    var queue: [EtcdCommitRequest] = []
    var writer: Task<Void, Never>?

    enum End {
        /// Somebody else leads, or it was given up; the newest epoch that is known.
        case deposed(UInt64)
        /// A write of which nobody knows whether it was applied.
        case uncertain(String)
    }

    /// True while `leadership` leads as far as this store knows.
    func isHeld(by leadership: Leadership) -> Bool {
        end == nil && isOf(leadership)
    }

    func isOf(_ leadership: Leadership) -> Bool {
        self.leadership.epoch == leadership.epoch && self.leadership.epochID == leadership.epochID
    }
}

extension StoreRecord {
    /// The record of a key; nil for a key that is none.
    init?(_ stored: EtcdKeyValue, _ keys: EtcdKeys) {
        guard let name = keys.recordName(stored.key) else { return nil }
        self.init(key: name, version: UInt64(stored.modRevision), value: stored.value)
    }
}
