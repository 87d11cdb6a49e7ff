// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
import Dispatch
package import FleetModel
import GRDB
import Synchronization

/// The embedded ``DecisionStore``: one SQLite file, one process.
///
/// * Durable: write-ahead log with `synchronous=FULL`; a commit is acknowledged after its fsync.
/// * Alone: an exclusive `flock` on `FILE.lock`, and SQLite's exclusive locking mode, for as long as
///   the store is open. A second process is refused at once.
/// * Fail-stop: after the first I/O error nothing more is read or written, and the file stays locked
///   until the process ends. A retry after a failed fsync may report success for bytes that the
///   kernel has dropped, so the only sound way on is a new process that reads the file again.
/// * Group commit: batches that arrive while another is being written share the next fsync.
///
/// A campaign succeeds at once and ends the leadership before it: the lock already proves that no
/// other process leads.
///
/// All SQL runs on one serial dispatch queue; callers wait without holding a thread.
package final class SQLiteDecisionStore: DecisionStore {
    private let path: String
    private let queue: DispatchQueue
    private let database: SQLiteRecords
    private let state: Mutex<State>

    /// Opens the store at `path`, creating the file (mode 0600) if it is not there.
    ///
    /// Blocks while it opens, checks and recovers the file: call it at start.
    ///
    /// - Throws: ``StoreError/unavailable(_:)`` when another process holds the store,
    ///   ``StoreError/failed(_:)`` when the file cannot be opened, is damaged, is no store, or was
    ///   written by a newer version.
    package init(path: String) throws(StoreError) {
        self.path = path
        let lock = try StoreLock(databasePath: path)
        database = try SQLiteRecords(path: path, lock: lock)
        queue = DispatchQueue(label: "busbar.store")
        state = Mutex(State(revision: database.openingRevision, epochs: database.openingEpochs))
    }

    package func campaign(
        role: String, candidate: String, epochID: RandomID, above floor: UInt64
    ) async throws(StoreError) -> Leadership {
        try StoreKey.validate(role)
        let outcome = await submit(
            .campaign(role: role, candidate: candidate, epochID: epochID, floor: floor))
        guard case .elected(let leadership) = try outcome.get() else {
            preconditionFailure("a campaign must end in an election or an error")
        }
        return leadership
    }

    package func resign(_ leadership: Leadership) async throws(StoreError) {
        _ = try await submit(.resign(leadership)).get()
    }

    @discardableResult
    package func commit(
        _ batch: StoreBatch, under leadership: Leadership
    ) async throws(StoreError) -> UInt64 {
        try batch.validate()
        guard case .committed(let revision) = try await submit(.commit(batch, leadership)).get()
        else { preconditionFailure("a commit must end in a revision or an error") }
        return revision
    }

    package func load(prefix: String) async throws(StoreError) -> StoreSnapshot {
        try await read { database throws(StoreError) in try database.snapshot(prefix: prefix) }
    }

    package func changes(after revision: UInt64) -> StoreChanges {
        StoreChanges(after: revision) { [self] after throws(StoreError) in
            try await nextChange(after: after)
        }
    }

    package func untilLost(_ leadership: Leadership) async {
        await wait { state in
            state.end != nil || state.epochs[leadership.role]?.isHeld(by: leadership) != true
        }
    }

    package func close() async {
        let mayClose = state.withLock { state in
            if state.end == nil {
                state.end = .closed
                return true
            }
            return false
        }
        wakeWaiters()
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                drain()
                if mayClose { database.close() }
                continuation.resume()
            }
        }
    }
}

// MARK: - Requests

/// A write that waits for its turn.
private struct Request {
    enum Work {
        case campaign(role: String, candidate: String, epochID: RandomID, floor: UInt64)
        case resign(Leadership)
        case commit(StoreBatch, Leadership)
    }
    var work: Work
    var continuation: CheckedContinuation<Result<WriteOutcome, StoreError>, Never>
}

/// What a write that was carried out has done.
private enum WriteOutcome: Sendable {
    case elected(Leadership)
    case resigned
    case committed(UInt64)
}

/// How the store's life ended.
private enum End {
    case closed
    case failed(String)

    var error: StoreError {
        switch self {
        case .closed: .failed("it is closed")
        case .failed(let reason): .failed(reason)
        }
    }
}

/// What callers share with the serial queue.
private struct State {
    /// The newest revision that has been acknowledged.
    var revision: UInt64
    var epochs: [String: SQLiteRecords.Epoch]
    var end: End?
    var pending: [Request] = []
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
}

extension SQLiteDecisionStore {
    /// The most requests that share one transaction: bounds the wait of the first.
    private static let maximumGroupCount = 64

    private func submit(_ work: Request.Work) async -> Result<WriteOutcome, StoreError> {
        await withCheckedContinuation { continuation in
            let refusal: StoreError? = state.withLock { state in
                if let end = state.end { return end.error }
                state.pending.append(Request(work: work, continuation: continuation))
                return nil
            }
            if let refusal {
                continuation.resume(returning: .failure(refusal))
            } else {
                queue.async { [self] in drain() }
            }
        }
    }

    /// Carries out everything that waits; runs on the queue.
    private func drain() {
        while true {
            let group = state.withLock { state in
                let group = Array(state.pending.prefix(Self.maximumGroupCount))
                state.pending.removeFirst(group.count)
                return group
            }
            if group.isEmpty { return }
            run(group)
        }
    }

    /// Carries out one group in one transaction, then answers; runs on the queue.
    private func run(_ group: [Request]) {
        let end = state.withLock { $0.end }
        if case .failed(let reason) = end {
            for request in group {
                request.continuation.resume(returning: .failure(.failed(reason)))
            }
            return
        }
        var results: [Result<WriteOutcome, StoreError>] = []
        do {
            try database.transaction { () throws(StoreError) in
                for request in group { results.append(try apply(request.work)) }
            }
            let revision = database.revision
            let epochs = database.epochs
            state.withLock { state in
                state.revision = revision
                state.epochs = epochs
            }
        } catch {
            fail(error)
            results = group.map { _ in .failure(error) }
        }
        for (request, result) in zip(group, results) {
            request.continuation.resume(returning: result)
        }
        wakeWaiters()
    }

    /// Carries out one request inside the open transaction.
    ///
    /// - Throws: what ends the store; a refusal of the request alone is returned.
    private func apply(
        _ work: Request.Work
    ) throws(StoreError) -> Result<WriteOutcome, StoreError> {
        switch work {
        case .campaign(let role, let candidate, let epochID, let floor):
            return .success(
                .elected(
                    try database.elect(
                        role: role, candidate: candidate, epochID: epochID, above: floor)))
        case .resign(let leadership):
            return try database.resign(leadership).map { .resigned }
        case .commit(let batch, let leadership):
            return try database.apply(batch, under: leadership).map { .committed($0) }
        }
    }

    /// Ends the store's life after an I/O error.
    ///
    /// The connection is kept for the rest of the process on purpose: closing it would copy the log
    /// into the database, from pages of which nobody knows whether they are on disk.
    private func fail(_ error: StoreError) {
        let isFirst = state.withLock { state in
            if case .failed = state.end { return false }
            state.end = .failed(error.description)
            return true
        }
        if isFirst { _ = Unmanaged.passRetained(database) }
    }
}

// MARK: - Reading and waiting

extension SQLiteDecisionStore {
    private func read<Value: Sendable>(
        _ body: @escaping @Sendable (SQLiteRecords) throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let result: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            queue.async { [self] in
                if let end = state.withLock({ $0.end }) {
                    continuation.resume(returning: .failure(end.error))
                    return
                }
                do throws(StoreError) {
                    continuation.resume(returning: .success(try body(database)))
                } catch {
                    if case .failed = error { fail(error) }
                    continuation.resume(returning: .failure(error))
                    wakeWaiters()
                }
            }
        }
        return try result.get()
    }

    /// Waits for what changed after a revision; nil when the store was closed or the task cancelled.
    private func nextChange(after: UInt64) async throws(StoreError) -> StoreChange? {
        let known = state.withLock { $0.revision }
        if after > known {
            throw .invalid("revision \(after) has not been reached; the newest is \(known)")
        }
        await wait { $0.revision > after || $0.end != nil }
        if Task.isCancelled { return nil }
        switch state.withLock({ $0.end }) {
        case .closed: return nil
        case .failed(let reason): throw .failed(reason)
        case nil: break
        }
        return try await read { database throws(StoreError) in
            try database.changes(after: after)
        }
    }

    /// Waits until `isMet` holds of the state, or the task is cancelled.
    private func wait(until isMet: @escaping @Sendable (State) -> Bool) async {
        while !Task.isCancelled {
            let id = state.withLock { state in
                state.nextWaiter += 1
                return state.nextWaiter
            }
            let isDone = await withTaskCancellationHandler {
                await park(id, until: isMet)
            } onCancel: {
                state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
            }
            if isDone { return }
        }
    }

    /// Sleeps until the next change of the state, unless `isMet` holds already: then returns true.
    private func park(_ id: UInt64, until isMet: (State) -> Bool) async -> Bool {
        var isDone = false
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            state.withLock { state in
                isDone = isMet(state)
                // A cancellation that came before this point found no waiter to wake.
                if isDone || Task.isCancelled {
                    continuation.resume()
                } else {
                    state.waiters[id] = continuation
                }
            }
        }
        return isDone
    }

    private func wakeWaiters() {
        let waiters = state.withLock { state in
            let waiters = state.waiters
            state.waiters = [:]
            return waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }
}
