// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
package import FleetModel
internal import GRPCCore
internal import Glibc
internal import Logging

/// A candidate's key that hangs from an etcd lease, and the task that keeps it alive.
struct EtcdCandidacy {
    /// The lease, and the revision in which the key was made.
    var lease: Int64
    var createRevision: Int64
    var keeper: Task<Void, Never>
}

extension EtcdDecisionStore {
    /// How often a candidate looks whether its turn has come.
    private static let turnInterval = Duration.milliseconds(100)

    package func campaign(
        role: String, candidate: String, epochID: RandomID, above floor: UInt64
    ) async throws(StoreError) -> Leadership {
        try StoreKey.validate(role)
        try checkOpen()
        beginUpkeep()
        while true {
            let candidacy = try await announce(role, candidate)
            if try await waitForTurn(role, candidacy) { break }
            // The key has gone, with its lease: stand again, at the end of the queue.
            await abandon(role)
        }
        let leadership = try await raiseEpoch(
            role, candidate: candidate, epochID: epochID, above: floor)
        try checkOpen()
        // Batches that wait belong to the leadership before; the writer refuses them.
        let waiting = roles[role]?.queue ?? []
        let writer = roles[role]?.writer
        for request in waiting {
            request.continuation.resume(
                returning: .failure(.deposed(role: role, currentEpoch: leadership.epoch)))
        }
        var state = EtcdRole(
            leadership: leadership, lastRevision: Int64(leadership.revision))
        state.writer = writer
        roles[role] = state
        wakeWaiters()
        return leadership
    }

    package func resign(_ leadership: Leadership) async throws(StoreError) {
        try checkOpen()
        let role = leadership.role
        if let state = roles[role], let refusal = refusal(of: leadership, state) {
            guard case .ambiguous = refusal else { throw refusal }
        }
        let (found, revision) = try await cluster.epoch(of: role)
        guard var epoch = found, epoch.isHeld(by: leadership) else {
            throw .deposed(role: role, currentEpoch: found?.number ?? 0)
        }
        epoch.isHeld = false
        let transaction = epochTransaction(role, epoch, replacing: revision)
        do throws(EtcdFailure) {
            let result = try await cluster.transactRepeatedly(transaction)
            if !result.isSuccess, let stored = result.ranges.first?.first {
                // Ours, from an attempt whose answer was lost; or another's.
                let now = try stored.epoch()
                guard now.id == epoch.id, !now.isHeld else {
                    noteEpoch(now.number, role: role, leadership)
                    throw .refused(.failedPrecondition, "epoch \(now.number) has begun")
                }
            }
        } catch {
            if case .refused(.failedPrecondition, _) = error, let state = roles[role],
                let refusal = refusal(of: leadership, state)
            {
                throw refusal
            }
            throw error.asWriteError
        }
        noteEpoch(leadership.epoch, role: role, leadership)
        await abandon(role)
    }

    // MARK: - Standing

    /// Makes the candidate's key, unless this store stands already.
    private func announce(
        _ role: String, _ candidate: String
    ) async throws(StoreError) -> EtcdCandidacy {
        if let standing = candidacies[role] { return standing }
        let lease = Int64.random(in: 1 ... .max)
        let key = cluster.keys.candidate(role, lease: lease)
        do throws(EtcdFailure) {
            do throws(EtcdFailure) {
                _ = try await cluster.repeating(
                    .leaseGrant,
                    EtcdLeaseGrant(id: lease, timeToLive: options.electionSeconds),
                    returning: EtcdLeaseGranted.self)
            } catch {
                // The id is random: one that exists is ours, from an attempt whose answer was lost.
                guard case .refused(.failedPrecondition, _) = error else { throw error }
            }
            let value = Array("\(candidate) \(hostName()) \(getpid())".utf8)
            let result = try await cluster.transactRepeatedly(
                EtcdTransaction(
                    compares: [EtcdCompare(key: key, modRevision: 0)],
                    success: [.put(key: key, value: value, lease: lease)],
                    failure: [.range(EtcdRange(key: key))]))
            let created =
                result.isSuccess
                ? result.revision : result.ranges.first?.first?.createRevision ?? 0
            let keeper = Task { await self.keep(role, lease) }
            let candidacy = EtcdCandidacy(
                lease: lease, createRevision: created, keeper: keeper)
            candidacies[role] = candidacy
            return candidacy
        } catch {
            throw isClosed ? Self.closedError : error.asWriteError
        }
    }

    /// Waits until no candidate is older.
    ///
    /// - Returns: false when this candidate's own key has gone.
    private func waitForTurn(
        _ role: String, _ candidacy: EtcdCandidacy
    ) async throws(StoreError) -> Bool {
        let prefix = cluster.keys.candidates(role)
        let range = EtcdRange(
            key: prefix, end: EtcdKeys.end(of: prefix), isKeysOnly: true,
            maximumCreateRevision: candidacy.createRevision)
        let own = cluster.keys.candidate(role, lease: candidacy.lease)
        while true {
            try checkOpen()
            if Task.isCancelled { throw .unavailable("the campaign was cancelled") }
            do throws(EtcdFailure) {
                let found = try await cluster.repeating(
                    .range, range, returning: EtcdRangeResult.self)
                guard found.keyValues.contains(where: { $0.key == own }) else { return false }
                if found.keyValues.count == 1 { return true }
            } catch {
                if case .refused = error { throw error.asReadError }
                // Nothing was lost by asking: a candidate outlasts a cluster without a leader.
                options.log.debug("etcd: still a candidate", metadata: ["role": "\(role)"])
            }
            do {
                try await Task.sleep(for: Self.turnInterval)
            } catch {
                throw .unavailable("the campaign was cancelled")
            }
        }
    }

    /// Keeps a candidate's lease alive, and looks whether its epoch still leads.
    private func keep(_ role: String, _ lease: Int64) async {
        let interval = Duration.milliseconds(options.electionSeconds * 1000 / 4)
        while !Task.isCancelled && !isClosed && candidacies[role]?.lease ?? lease == lease {
            do {
                try await Task.sleep(for: interval)
            } catch {
                return
            }
            await renew(role, lease)
            guard let state = roles[role], state.end == nil else { continue }
            do throws(StoreError) {
                // Stale at worst, which costs time and no safety.
                let (epoch, revision) = try await cluster.epoch(of: role)
                if let epoch, revision > Int64(state.leadership.revision) {
                    noteEpoch(epoch.number, role: role, state.leadership)
                }
            } catch {
                options.log.debug("etcd: the epoch of '\(role)' was not read: \(error)")
            }
        }
    }

    /// Renews a lease on the first member that answers.
    private func renew(_ role: String, _ lease: Int64) async {
        for _ in 0..<cluster.client.memberCount {
            let member = cluster.client.currentMember
            do throws(EtcdFailure) {
                let kept = try await cluster.client.call(
                    .leaseKeepAlive, EtcdLeaseKeepAlive(id: lease), returning: EtcdLeaseKept.self,
                    member: member, timeout: .milliseconds(options.electionSeconds * 350))
                if kept.lease.timeToLive == 0 { await candidacyEnded(role, lease) }
                return
            } catch {
                cluster.client.turn(from: member)
                options.log.debug(
                    "etcd: a lease was not renewed",
                    metadata: ["role": "\(role)", "reason": "\(error.reason)"])
            }
        }
    }

    /// Notes that a lease has ended; a leader stands again.
    private func candidacyEnded(_ role: String, _ lease: Int64) async {
        guard candidacies[role]?.lease == lease else { return }
        options.log.warning(
            "etcd: the candidate's lease has ended", metadata: ["role": "\(role)"])
        candidacies[role] = nil
        await standAgain(role)
    }

    /// A leader whose key went with its lease stands again, so that others see that it lives.
    private func standAgain(_ role: String) async {
        guard !isClosed, let state = roles[role], state.end == nil else { return }
        do throws(StoreError) {
            _ = try await announce(role, state.leadership.candidate)
        } catch {
            options.log.warning(
                "etcd: cannot stand again", metadata: ["role": "\(role)", "reason": "\(error)"])
        }
    }

    /// Takes the candidate's key away.
    func abandon(_ role: String) async {
        guard let candidacy = candidacies.removeValue(forKey: role) else { return }
        candidacy.keeper.cancel()
        do throws(EtcdFailure) {
            _ = try await cluster.client.call(
                .leaseRevoke, EtcdLeaseRevoke(id: candidacy.lease),
                returning: EtcdAcknowledgement.self, member: cluster.client.currentMember,
                timeout: .seconds(1))
        } catch {
            // The lease then ends by itself.
            options.log.debug("etcd: a lease was not revoked: \(error.reason)")
        }
    }

    // MARK: - Epochs

    /// Writes the next epoch of a role.
    ///
    /// Each attempt compares the epoch that it replaces, and its value has a random id: repeating it
    /// finds out whether the first was applied, and makes it impossible when it was not.
    private func raiseEpoch(
        _ role: String, candidate: String, epochID: RandomID, above floor: UInt64
    ) async throws(StoreError) -> Leadership {
        var (found, revision) = try await cluster.epoch(of: role)
        while true {
            try checkOpen()
            let epoch = EtcdEpoch(
                number: max(found?.number ?? 0, floor) + 1, id: epochID, isHeld: true,
                candidate: candidate,
                predecessor: found.map { .init(epoch: $0.number, epochID: $0.id) })
            func leadership(at revision: Int64) -> Leadership {
                Leadership(
                    role: role, candidate: candidate, epoch: epoch.number, epochID: epochID,
                    revision: UInt64(revision), predecessor: epoch.predecessor)
            }
            do throws(EtcdFailure) {
                let result = try await cluster.transactRepeatedly(
                    epochTransaction(role, epoch, replacing: revision))
                if result.isSuccess { return leadership(at: result.revision) }
                guard let stored = result.ranges.first?.first else {
                    throw .refused(.dataLoss, "the epoch of '\(role)' has gone")
                }
                let newest = try stored.epoch()
                if newest == epoch { return leadership(at: stored.modRevision) }
                (found, revision) = (newest, stored.modRevision)
            } catch {
                if case .notApplied(let text) = error {
                    // Its attempts may have been sent: one of them may still be applied.
                    throw isClosed ? Self.closedError : .ambiguous("etcd: \(text)")
                }
                throw error.asWriteError
            }
        }
    }

    /// Writes an epoch where another stands.
    private func epochTransaction(
        _ role: String, _ epoch: EtcdEpoch, replacing revision: Int64
    ) -> EtcdTransaction {
        let keys = cluster.keys
        return EtcdTransaction(
            compares: [EtcdCompare(key: keys.epoch(role), modRevision: revision)],
            success: [
                .put(key: keys.epoch(role), value: epoch.bytes, lease: 0),
                .put(
                    key: keys.last(role), value: Array(EtcdEpoch.hex(epoch.id).utf8), lease: 0),
            ],
            failure: [.range(EtcdRange(key: keys.epoch(role)))])
    }
}

extension EtcdKeyValue {
    /// Reads the epoch that is stored here.
    func epoch() throws(EtcdFailure) -> EtcdEpoch {
        do throws(StoreError) {
            return try EtcdEpoch(value)
        } catch {
            throw .refused(.dataLoss, "\(error)")
        }
    }
}

/// This machine's name, for people who look at the candidates.
private func hostName() -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return "unknown" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
