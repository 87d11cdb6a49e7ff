// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
internal import FleetModel
internal import GRPCCore
internal import Logging

/// A batch that waits for its turn.
struct EtcdCommitRequest {
    var batch: StoreBatch
    var continuation: CheckedContinuation<Result<UInt64, StoreError>, Never>
}

extension EtcdDecisionStore {
    /// What one transaction may hold beside the store's own guards: etcd's defaults are 128 conditions
    /// or steps, and 1.5 MiB.
    static let maximumGroupEntryCount = 120
    static let maximumGroupByteCount = StoreLimits.maximumBatchByteCount + 65_536

    @discardableResult
    package func commit(
        _ batch: StoreBatch, under leadership: Leadership
    ) async throws(StoreError) -> UInt64 {
        try batch.validate()
        try checkOpen()
        try await adopt(leadership)
        try checkOpen()
        guard let role = roles[leadership.role] else {
            preconditionFailure("a leadership was adopted and is not known")
        }
        if let refusal = refusal(of: leadership, role) { throw refusal }
        let result = await withCheckedContinuation { continuation in
            roles[leadership.role]?.queue.append(
                EtcdCommitRequest(batch: batch, continuation: continuation))
            beginWriting(leadership.role)
        }
        return try result.get()
    }

    /// Learns of a leadership that another store object has won, say before a restart.
    private func adopt(_ leadership: Leadership) async throws(StoreError) {
        if roles[leadership.role] != nil { return }
        let (epoch, revision) = try await cluster.epoch(of: leadership.role)
        // Another call may have come first meanwhile.
        if roles[leadership.role] != nil { return }
        guard let epoch, epoch.isHeld(by: leadership) else {
            throw .deposed(role: leadership.role, currentEpoch: epoch?.number ?? 0)
        }
        let last: UInt64
        do throws(EtcdFailure) {
            let range = EtcdRange(key: cluster.keys.last(leadership.role))
            let found = try await cluster.repeating(
                .range, range, returning: EtcdRangeResult.self)
            last = UInt64(found.keyValues.first?.modRevision ?? 0)
        } catch {
            throw error.asReadError
        }
        if roles[leadership.role] != nil { return }
        var known = leadership
        known.revision = UInt64(revision)
        roles[leadership.role] = EtcdRole(leadership: known, lastRevision: Int64(last))
    }

    /// Why nothing can be committed under a leadership; nil when it can.
    func refusal(of leadership: Leadership, _ role: EtcdRole) -> StoreError? {
        let name = leadership.role
        guard role.isOf(leadership) else {
            return .deposed(role: name, currentEpoch: role.leadership.epoch)
        }
        switch role.end {
        case nil: return nil
        case .deposed(let epoch): return .deposed(role: name, currentEpoch: epoch)
        case .uncertain(let reason): return .ambiguous(reason)
        }
    }

    // MARK: - Groups

    private func beginWriting(_ role: String) {
        guard roles[role]?.writer == nil else { return }
        roles[role]?.writer = Task { await self.write(role) }
    }

    /// Writes what waits, group after group.
    private func write(_ role: String) async {
        while let group = takeGroup(role) {
            let results = await write(group.map(\.batch), role: role)
            for (request, result) in zip(group, results) {
                if let result {
                    request.continuation.resume(returning: result)
                } else {
                    // Its conditions hold, its neighbour's did not: at the head of the next group.
                    roles[role]?.queue.insert(request, at: 0)
                }
            }
        }
        roles[role]?.writer = nil
    }

    /// The batches that go into the next transaction; nil when none waits.
    private func takeGroup(_ role: String) -> [EtcdCommitRequest]? {
        guard let state = roles[role], !state.queue.isEmpty else { return nil }
        if let error = refusal(of: state.leadership, state) {
            roles[role]?.queue = []
            for request in state.queue {
                request.continuation.resume(returning: .failure(error))
            }
            return nil
        }
        var count = 0
        var entryCount = 0
        var byteCount = 0
        var keys: Set<String> = []
        for request in state.queue {
            entryCount += request.batch.entries.count
            byteCount += request.batch.byteCount
            let isWithin =
                entryCount <= Self.maximumGroupEntryCount
                && byteCount <= Self.maximumGroupByteCount
            let names = request.batch.entries.map(\.key)
            guard count == 0 || isWithin && keys.isDisjoint(with: names) else { break }
            keys.formUnion(names)
            count += 1
        }
        let group = Array(state.queue.prefix(count))
        roles[role]?.queue.removeFirst(count)
        return group
    }

    /// Writes one group.
    ///
    /// - Returns: the outcome of each batch; nil for one that was not applied and may be tried again.
    private func write(
        _ batches: [StoreBatch], role: String
    ) async -> [Result<UInt64, StoreError>?] {
        func all(_ error: StoreError) -> [Result<UInt64, StoreError>?] {
            batches.map { _ in .failure(error) }
        }
        guard let state = roles[role] else { return all(Self.closedError) }
        let id = RandomID.random()
        let transaction = transaction(for: batches, id: id, state)
        do throws(EtcdFailure) {
            let result = try await cluster.transact(transaction)
            if result.isSuccess {
                return batches.map { _ in .success(committed(role, state, result.revision)) }
            }
            return judge(result, batches, role: role, state)
        } catch {
            guard case .unknown(let reason) = error else { return all(error.asWriteError) }
            if options.ambiguity == .isResolved,
                let revision = await resolve(id, role: role, state)
            {
                return batches.map { _ in
                    revision == 0 ? nil : .success(committed(role, state, revision))
                }
            }
            return all(becomeUncertain(role, state, "etcd: \(reason)"))
        }
    }

    private func committed(_ role: String, _ state: EtcdRole, _ revision: Int64) -> UInt64 {
        // A campaign of this very store may have replaced the leadership meanwhile.
        if roles[role]?.isOf(state.leadership) == true { roles[role]?.lastRevision = revision }
        return UInt64(revision)
    }

    private func becomeUncertain(
        _ role: String, _ state: EtcdRole, _ reason: String
    ) -> StoreError {
        if roles[role]?.isOf(state.leadership) == true {
            roles[role]?.end = .uncertain(reason)
            wakeWaiters()
        }
        return .ambiguous(reason)
    }

    // MARK: - Transactions

    private func guards(_ state: EtcdRole) -> [EtcdCompare] {
        let role = state.leadership.role
        return [
            EtcdCompare(
                key: cluster.keys.epoch(role), modRevision: Int64(state.leadership.revision)),
            EtcdCompare(key: cluster.keys.last(role), modRevision: state.lastRevision),
        ]
    }

    private func transaction(
        for batches: [StoreBatch], id: RandomID, _ state: EtcdRole
    ) -> EtcdTransaction {
        let keys = cluster.keys
        let role = state.leadership.role
        var transaction = EtcdTransaction(compares: guards(state))
        transaction.failure = [
            .range(EtcdRange(key: keys.epoch(role))), .range(EtcdRange(key: keys.last(role))),
        ]
        for entry in batches.flatMap(\.entries) {
            let key = keys.record(entry.key)
            if let modRevision = entry.expectation.modRevision {
                transaction.compares.append(EtcdCompare(key: key, modRevision: modRevision))
                transaction.failure.append(.range(EtcdRange(key: key, isKeysOnly: true)))
            }
            switch entry.operation {
            case .put(let value):
                transaction.success.append(.put(key: key, value: value, lease: 0))
            case .delete: transaction.success.append(.delete(key: key))
            case .check: break
            }
        }
        transaction.success.append(
            .put(key: keys.last(role), value: Array(EtcdEpoch.hex(id).utf8), lease: 0))
        return transaction
    }

    /// Finds out which condition of a transaction was not met.
    private func judge(
        _ result: EtcdTransactionResult, _ batches: [StoreBatch], role: String,
        _ state: EtcdRole
    ) -> [Result<UInt64, StoreError>?] {
        func all(_ error: StoreError) -> [Result<UInt64, StoreError>?] {
            batches.map { _ in .failure(error) }
        }
        let epoch = result.ranges.first?.first
        if epoch?.modRevision ?? 0 != Int64(state.leadership.revision) {
            return all(becomeDeposed(state, by: epoch))
        }
        let last = result.ranges.dropFirst().first?.first?.modRevision ?? 0
        if last != state.lastRevision {
            return all(
                becomeUncertain(
                    role, state, "a write of epoch \(state.leadership.epoch) is there unannounced"))
        }
        var found: [[UInt8]: Int64] = [:]
        for stored in result.ranges.dropFirst(2).joined() {
            found[stored.key] = stored.modRevision
        }
        var hasMismatch = false
        let outcomes = batches.map { batch -> Result<UInt64, StoreError>? in
            for entry in batch.entries {
                let revision = found[cluster.keys.record(entry.key)]
                if let expected = entry.expectation.modRevision, expected != revision ?? 0 {
                    hasMismatch = true
                    return .failure(
                        .conflict(key: entry.key, found: revision.map { UInt64($0) }))
                }
            }
            return nil
        }
        if hasMismatch { return outcomes }
        return all(.failed("etcd refused a transaction whose conditions hold"))
    }

    /// Notes that somebody else leads.
    private func becomeDeposed(_ state: EtcdRole, by stored: EtcdKeyValue?) -> StoreError {
        let role = state.leadership.role
        var current = state.leadership.epoch
        if let stored {
            do throws(StoreError) {
                current = try EtcdEpoch(stored.value).number
            } catch {
                return error
            }
        }
        noteEpoch(current, role: role, state.leadership)
        return .deposed(role: role, currentEpoch: current)
    }

    /// Ends a leadership because the role's newest epoch is another.
    func noteEpoch(_ epoch: UInt64, role: String, _ leadership: Leadership) {
        guard roles[role]?.isOf(leadership) == true, roles[role]?.end == nil else { return }
        roles[role]?.end = .deposed(epoch)
        wakeWaiters()
    }

    // MARK: - Ambiguity

    /// Finds out whether a transaction was applied, by a put that makes it impossible from then on.
    ///
    /// The first attempt relies on `last` being at a revision. The put moves `last` away from it under
    /// the same condition, so exactly one of the two can ever be applied; the loser's branch reads
    /// which one it was.
    ///
    /// - Returns: the revision of the transaction; 0 when it was not applied and never will be; nil
    ///   when that cannot be found out.
    private func resolve(_ id: RandomID, role: String, _ state: EtcdRole) async -> Int64? {
        let keys = cluster.keys
        let probe = EtcdEpoch.hex(RandomID.random())
        let transaction = EtcdTransaction(
            compares: guards(state),
            success: [.put(key: keys.last(role), value: Array(probe.utf8), lease: 0)],
            failure: [.range(EtcdRange(key: keys.last(role)))])
        do throws(EtcdFailure) {
            let result = try await cluster.transactRepeatedly(transaction)
            if result.isSuccess {
                _ = committed(role, state, result.revision)
                return 0
            }
            guard let last = result.ranges.first?.first else { return nil }
            let text = String(decoding: last.value, as: UTF8.self)
            if text == EtcdEpoch.hex(id) { return last.modRevision }
            if text == probe {
                // An earlier attempt of the probe itself.
                _ = committed(role, state, last.modRevision)
                return 0
            }
            return nil
        } catch {
            return nil
        }
    }
}

extension StoreBatch {
    /// Keys and values together.
    fileprivate var byteCount: Int {
        entries.reduce(0) { sum, entry in
            guard case .put(let value) = entry.operation else { return sum + entry.key.utf8.count }
            return sum + entry.key.utf8.count + value.count
        }
    }
}

extension StoreBatch.Expectation {
    /// The revision that etcd must have for the key; nil for any.
    fileprivate var modRevision: Int64? {
        switch self {
        case .anything: nil
        case .absent: 0
        case .version(let version): Int64(clamping: version)
        }
    }
}

extension RandomID {
    /// 128 bits of the system's generator.
    static func random() -> RandomID {
        RandomID(high: UInt64.random(in: .min ... .max), low: UInt64.random(in: .min ... .max))
    }
}
