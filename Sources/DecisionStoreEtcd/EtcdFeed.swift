// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import Synchronization

/// One follower's view of the changes: starts a watch when it is first asked, ends it when dropped.
final class EtcdFeed: Sendable {
    private let cluster: EtcdCluster
    private let inboxes: EtcdInboxes
    private let open = Mutex<Open?>(nil)

    /// A watch that feeds an inbox.
    private struct Open {
        var inbox: EtcdInbox
        var task: Task<Void, Never>
        /// The revision up to which the follower has been told.
        var revision: UInt64
    }

    init(cluster: EtcdCluster, inboxes: EtcdInboxes) {
        self.cluster = cluster
        self.inboxes = inboxes
    }

    deinit { end() }

    /// Waits for what has changed after a revision; nil when the store was closed or the task
    /// cancelled.
    func next(after: UInt64) async throws(StoreError) -> StoreChange? {
        let inbox = inbox(after: after)
        let change = try await inbox.take()
        if let change {
            open.withLock { if $0?.inbox === inbox { $0?.revision = change.revision } }
        }
        return change
    }

    /// The inbox of a watch that goes on from a revision; a follower that goes back begins anew.
    private func inbox(after: UInt64) -> EtcdInbox {
        if let open = open.withLock({ $0 }), open.revision == after { return open.inbox }
        end()
        let inbox = EtcdInbox()
        let watcher = EtcdWatcher(cluster: cluster, inbox: inbox)
        let task = Task { await watcher.run(after: after) }
        open.withLock { $0 = Open(inbox: inbox, task: task, revision: after) }
        inboxes.add(inbox)
        return inbox
    }

    private func end() {
        guard
            let old = open.withLock({ open in
                defer { open = nil }
                return open
            })
        else { return }
        old.task.cancel()
        inboxes.remove(old.inbox)
    }
}

/// All inboxes of a store, for its end.
final class EtcdInboxes: Sendable {
    private let state = Mutex<(all: [ObjectIdentifier: EtcdInbox], isClosed: Bool)>(([:], false))

    func add(_ inbox: EtcdInbox) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.all[ObjectIdentifier(inbox)] = inbox }
            return state.isClosed
        }
        if isClosed { inbox.end(nil) }
    }

    func remove(_ inbox: EtcdInbox) {
        state.withLock { $0.all[ObjectIdentifier(inbox)] = nil }
    }

    /// Ends every follower's sequence.
    func close() {
        let all = state.withLock { state in
            state.isClosed = true
            let all = state.all.values
            state.all = [:]
            return Array(all)
        }
        for inbox in all { inbox.end(nil) }
    }
}

/// What a watch has brought and a follower has not taken yet: the newest state of each record.
final class EtcdInbox: Sendable {
    private let state = Mutex(State())

    private struct State {
        var written: [String: StoreRecord] = [:]
        /// Removed records, with the revision of the removal.
        var deleted: [String: UInt64] = [:]
        var revision: UInt64 = 0
        var isEnded = false
        var error: StoreError?
        var waiter: CheckedContinuation<Void, Never>?

        mutating func takeChange() -> StoreChange? {
            guard revision > 0 else { return nil }
            let change = StoreChange(
                revision: revision,
                written: written.values.sorted { ($0.version, $0.key) < ($1.version, $1.key) },
                deleted: deleted.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map(\.key))
            (written, deleted, revision) = ([:], [:], 0)
            return change
        }
    }

    /// Adds what happened up to a revision, in order.
    func put(_ steps: [EtcdStep], upTo revision: UInt64) {
        let waiter = state.withLock { state in
            guard !state.isEnded else {
                return Optional<CheckedContinuation<Void, Never>>.none
            }
            for step in steps {
                switch step {
                case .written(let record):
                    state.deleted[record.key] = nil
                    state.written[record.key] = record
                case .deleted(let key, let revision):
                    state.written[key] = nil
                    state.deleted[key] = revision
                }
            }
            state.revision = max(state.revision, revision)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Ends the sequence, with an error or without; what was put before is handed out first.
    func end(_ error: StoreError?) {
        let waiter = state.withLock { state in
            if !state.isEnded {
                state.isEnded = true
                state.error = error
            }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits for a change; nil at the end or when the task is cancelled.
    func take() async throws(StoreError) -> StoreChange? {
        while true {
            let (change, isEnded, error) = state.withLock { state in
                (state.takeChange(), state.isEnded, state.error)
            }
            if let change { return change }
            if let error { throw error }
            if isEnded || Task.isCancelled { return nil }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isDue = state.withLock { state in
                        if state.revision > 0 || state.isEnded || Task.isCancelled { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isDue { continuation.resume() }
                }
            } onCancel: {
                state.withLock { state in
                    defer { state.waiter = nil }
                    return state.waiter
                }?.resume()
            }
        }
    }
}

/// What happened to one record.
enum EtcdStep: Hashable, Sendable {
    case written(StoreRecord)
    case deleted(String, revision: UInt64)
}
