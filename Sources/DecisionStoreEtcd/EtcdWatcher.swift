// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import GRPCCore
internal import Logging

/// Follows a store: lists, watches, and lists again whenever the watch has ended or grown old.
///
/// A watch of etcd is taken as a hint: some versions lose events after compactions, repeat them, or go
/// back in time. What counts is the list. It is compared with what the follower has been told at
/// every new connection and every few minutes, and everything up to its revision that a watch still
/// brings is dropped. So a compaction under the watch, a member that restarts or a stream that is cut
/// costs the follower a list, and no change.
actor EtcdWatcher {
    private let cluster: EtcdCluster
    private let inbox: EtcdInbox
    /// The version of every record, as the follower has been told.
    private var known: [String: Int64] = [:]
    /// Etcd's revision up to which the follower has been told everything.
    private var floor: Int64 = 0
    /// Parts of a revision that is not whole yet.
    private var parts: [EtcdWatchResponse.Event] = []

    init(cluster: EtcdCluster, inbox: EtcdInbox) {
        self.cluster = cluster
        self.inbox = inbox
    }

    /// Feeds the inbox until the task is cancelled or the follower cannot be served.
    func run(after: UInt64) async {
        do throws(StoreError) {
            try await begin(after: after)
        } catch {
            return inbox.end(Task.isCancelled ? nil : error)
        }
        var pause = Duration.milliseconds(50)
        while !Task.isCancelled {
            let start = ContinuousClock.now
            await watch()
            if Task.isCancelled { return }
            if ContinuousClock.now - start > .seconds(10) { pause = .milliseconds(50) }
            do {
                try await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(2))
                try await list()
            } catch {
                cluster.options.log.info(
                    "etcd: a follower waits for the cluster", metadata: ["reason": "\(error)"])
            }
        }
    }

    // MARK: - Lists

    /// Finds out what has changed since a revision that the follower knows.
    private func begin(after: UInt64) async throws(StoreError) {
        do throws(EtcdFailure) {
            let standing = cluster.revision(asAfter: after)
            let now = try await cluster.list(prefix: "")
            guard after <= now.lastCommit else {
                throw .refused(.invalidArgument, "\(now.lastCommit)")
            }
            if after > 0 {
                var base = cluster.keys.records("")
                base.revision = standing
                base.isKeysOnly = true
                do throws(EtcdFailure) {
                    known = versions(try await cluster.pages(base))
                } catch {
                    guard error.isCompacted else { throw error }
                    throw .refused(.outOfRange, "\(now.lastCommit)")
                }
            }
            tell(now, after: after)
        } catch {
            switch error {
            case .refused(.invalidArgument, let newest) where UInt64(newest) != nil:
                throw .invalid(
                    "revision \(after) has not been reached; the newest is \(newest)")
            case .refused(.outOfRange, let newest):
                throw .compacted(oldest: UInt64(newest) ?? 0)
            default: throw error.asReadError
            }
        }
    }

    /// Tells the follower what a new list has and the last one had not.
    private func list() async throws(EtcdFailure) {
        tell(try await cluster.list(prefix: ""), after: 0)
    }

    private func tell(_ listing: EtcdListing, after: UInt64) {
        var steps: [EtcdStep] = []
        var present: [String: Int64] = [:]
        present.reserveCapacity(listing.keyValues.count)
        for stored in listing.keyValues {
            guard let record = StoreRecord(stored, cluster.keys) else { continue }
            present[record.key] = stored.modRevision
            if known[record.key] != stored.modRevision { steps.append(.written(record)) }
        }
        for key in known.keys where present[key] == nil {
            steps.append(.deleted(key, revision: listing.lastCommit))
        }
        known = present
        floor = listing.revision
        parts = []
        if !steps.isEmpty || (after > 0 && listing.lastCommit > after) {
            inbox.put(steps, upTo: listing.lastCommit)
        }
    }

    private func versions(_ stored: [EtcdKeyValue]) -> [String: Int64] {
        var versions: [String: Int64] = [:]
        for stored in stored {
            if let name = cluster.keys.recordName(stored.key) {
                versions[name] = stored.modRevision
            }
        }
        return versions
    }

    // MARK: - Watches

    /// Watches on one stream until it ends or has grown old.
    private func watch() async {
        let request = cluster.keys.watched(from: floor + 1)
        let member = cluster.client.currentMember
        let lifetime = cluster.options.relistInterval
        let (client, log) = (cluster.client, cluster.options.log)
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do throws(EtcdFailure) {
                    try await client.stream(.watch, member: member) { writer in
                        try await writer.write(request)
                        // Ending the requests would end the stream.
                        try await Task.sleep(for: .seconds(86_400 * 365))
                    } receive: { (response: EtcdWatchResponse) in
                        try await self.take(response)
                    }
                } catch {
                    log.debug("etcd: a watch ended", metadata: ["reason": "\(error.reason)"])
                }
                if !Task.isCancelled { client.turn(from: member) }
            }
            group.addTask {
                // Cut short when the stream has ended before.
                try? await Task.sleep(for: lifetime)
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// Takes in one response.
    ///
    /// - Throws: when the watch is of no use any more; the list that follows brings what it missed.
    func take(_ response: EtcdWatchResponse) throws {
        if response.isCancelled {
            let reason =
                response.compactRevision > 0
                ? "compacted to \(response.compactRevision)" : response.cancelReason
            throw EtcdFailure.notApplied("cancelled: \(reason)")
        }
        parts += response.events
        if response.isFragment { return }
        var steps: [EtcdStep] = []
        var newest: Int64 = 0
        for event in parts {
            let stored = event.keyValue
            // Etcd has been seen to repeat events after a reconnect.
            guard stored.modRevision > floor else { continue }
            newest = max(newest, stored.modRevision)
            guard let record = StoreRecord(stored, cluster.keys) else { continue }
            if event.isDeletion {
                known[record.key] = nil
                steps.append(.deleted(record.key, revision: record.version))
            } else {
                known[record.key] = stored.modRevision
                steps.append(.written(record))
            }
        }
        parts = []
        guard newest > 0 else { return }
        floor = newest
        inbox.put(steps, upTo: UInt64(newest))
    }
}
