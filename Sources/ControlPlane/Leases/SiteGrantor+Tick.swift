// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension SiteGrantor {
    /// Works out the next ledger and the answers that its commit will fence.
    ///
    /// Charges fall to what is proven; they rise, in this order, for floors that jobs need, for nodes
    /// that wait to be charged uncapped, for higher fallbacks, and for open renewals whose target is
    /// above their charge, all only while every domain's charges stay within the lesser of its target
    /// and its proven limit. The answers are those open renewals whose cap changes, whose node is new,
    /// or that have been held for long enough.
    ///
    /// `targets` is what the power loop wants each node to have; a cap of at least the floors and the
    /// fallback is granted whatever it says. `floors` is what the jobs on each node rely on, idle GPUs
    /// at their share of the fallback included: it falls at once and rises when it fits, see
    /// ``reservedFloors(of:)``. `unixMilliseconds` is the wall clock, recorded for people.
    ///
    /// Shape: `targets` and `floors` have one entry for each of ``nodes``.
    ///
    /// - Returns: The write to commit; nil while another is in flight or the grantor does not lead.
    package mutating func tick(
        now: ClockReading, targets: [Milliwatts], floors: [Milliwatts], unixMilliseconds: UInt64 = 0
    ) -> LedgerWrite? {
        precondition(targets.count == nodes.count && floors.count == nodes.count)
        guard isLeading, inFlight == nil else { return nil }
        wantsUrgentTick = false
        hasUnmetRaise = false
        proposedRecord = record
        proposedRecord.epoch = epoch
        proposedRecord.epochID = epochID
        proposedRecord.heartbeat = record.heartbeat + 1
        updateLease(now: now)
        collectReleases(now: now, floors: floors)
        updateLimits()
        updateCommissioning(unixMilliseconds: unixMilliseconds)
        raiseLeastCharges(floors: floors)
        planAnswers(now: now, targets: targets)
        if hasUnmetRaise { counts.shortTicks += 1 }
        turn = nodes.isEmpty ? 0 : (turn + 1) % nodes.count
        let shards = changedShards()
        if rules.breaks(.answersWithoutWrite), shards.isEmpty, record.epoch == epoch {
            answerUnfenced(now: now)
            return nil
        }
        inFlight = proposedRecord.heartbeat
        return LedgerWrite(
            sequence: proposedRecord.heartbeat, site: proposedRecord, shards: shards,
            comparesVersions: !rules.breaks(.comparesEpochOnly))
    }

    /// The broken rule of ``LeaseMutant/answersWithoutWrite``: grants that no write has fenced.
    private mutating func answerUnfenced(now: ClockReading) {
        record.heartbeat = proposedRecord.heartbeat
        var grants: [IssuedGrant] = []
        for planned in plan { issue(planned, sequence: record.heartbeat, now: now, into: &grants) }
        plan.removeAll(keepingCapacity: true)
        unfenced += grants
    }

    /// Takes the grants that no write has fenced: none under production rules.
    package mutating func takeUnfencedGrants() -> [IssuedGrant] {
        defer { unfenced.removeAll(keepingCapacity: true) }
        return unfenced
    }

    /// The write of a tick is acknowledged: adopts it and appends the grants to send to `grants`.
    ///
    /// A sequence that is not the one in flight is ignored. `now` is read after the acknowledgement.
    package mutating func writeCommitted(
        sequence: UInt64, now: ClockReading, into grants: inout [IssuedGrant]
    ) {
        guard isLeading, inFlight == sequence else { return }
        inFlight = nil
        counts.writes += 1
        swap(&committed, &proposed)
        record = proposedRecord
        storedNodeCount = nodes.count
        for domain in domains.indices {
            budget[domain] = record.effectiveLimit[domain] - overhead[domain]
        }
        notePeaks()
        for planned in plan { issue(planned, sequence: sequence, now: now, into: &grants) }
        plan.removeAll(keepingCapacity: true)
    }

    /// Remembers a grant as outstanding and closes the renewal that it answers.
    mutating func issue(
        _ planned: PlannedGrant, sequence: UInt64, now: ClockReading,
        into grants: inout [IssuedGrant]
    ) {
        let node = Int(planned.node)
        let lease = min(leaseNanoseconds, record.leaseNanoseconds)
        outstanding.append(
            OutstandingGrant(
                sequence: sequence, cap: planned.cap, since: now,
                waitNanoseconds: waitNanoseconds(lease: lease)),
            node: node)
        let seat = seats[node]
        if seat.incarnation == planned.incarnation, seat.nonce == planned.nonce {
            seats[node].isOpen = false
        }
        seats[node].grantedTo = planned.incarnation
        seats[node].grantedCap = planned.cap
        seats[node].grantedAt = now
        seats[node].isExpiryCounted = false
        counts.grants += 1
        let grant = LeaseGrant(
            node: topology.nodes[nodes[node].position].name, incarnation: planned.incarnation,
            nonce: planned.nonce, order: LeaseOrder(epoch: epoch, sequence: sequence),
            epochID: epochID, cap: planned.cap, leaseNanoseconds: lease,
            fallback: committed.fallback[node], fallbackVersion: committed.fallbackVersion[node],
            holdNanoseconds: topology.lease.holdNanoseconds)
        grants.append(IssuedGrant(node: nodes[node], grant: grant))
    }
}

// MARK: - Falling charges

extension SiteGrantor {
    /// Raises L_max with this write; lowers it once no longer grant of earlier epochs can be in force.
    private mutating func updateLease(now: ClockReading) {
        let wait = waitNanoseconds(lease: record.leaseNanoseconds)
        if leaseNanoseconds >= record.leaseNanoseconds || now.waitedSince(tookOverAt) >= wait {
            proposedRecord.leaseNanoseconds = leaseNanoseconds
        }
    }

    /// Drops what is proven dead and sets every charge to the least that is left.
    private mutating func collectReleases(now: ClockReading, floors: [Milliwatts]) {
        for domain in used.indices { used[domain] = .zero }
        let wait = waitNanoseconds(lease: record.leaseNanoseconds)
        for node in nodes.indices {
            proposed.copy(node, from: committed)
            if proposed.proof[node] == .heldOut { continue }
            noteExpiry(of: node, now: now, wait: wait)
            expireGrants(of: node, now: now)
            updateProof(of: node)
            updateClass(of: node)
            proposed.floors[node] = min(floors[node], committed.floors[node])
            let charge = max(leastCharge(of: node), outstanding.highestCap(node))
            proposed.charge[node] = charge
            add(charge, node: node)
        }
    }

    private mutating func expireGrants(of node: Int, now: ClockReading) {
        let isReclaimed =
            committed.isSupervised[node] || rules.breaks(.reclaimsUnsupervisedByTime)
        guard isReclaimed, outstanding.expire(now: now, node: node) else { return }
        counts.reclaimsByTime += 1
    }

    /// Counts a lease whose time is over, of whatever class its node is.
    private mutating func noteExpiry(of node: Int, now: ClockReading, wait: Int64) {
        guard let since = seats[node].grantedAt, !seats[node].isExpiryCounted else { return }
        guard now.waitedSince(since) >= wait else { return }
        seats[node].isExpiryCounted = true
        counts.leaseExpiries += 1
    }

    /// φ_n falls to the fallback by an acknowledgement that has its version.
    private mutating func updateProof(of node: Int) {
        let seat = seats[node]
        if proposed.proof[node] == .rebooting {
            guard seat.isPowerOnConfirmed else { return }
            proposed.proof[node] = .unproven
            seats[node].proofMark = proposedRecord.heartbeat
            seats[node].isPowerOnConfirmed = false
            return
        }
        let hasVersion = seat.ackFallbackVersion == proposed.fallbackVersion[node]
        if proposed.proof[node] == .unproven {
            guard seat.ackSequence > seat.proofMark, hasVersion else { return }
            proposed.proof[node] = .proven
        }
        if hasVersion || rules.breaks(.lowersFallbackEarly) {
            proposed.unleased[node] = proposed.fallback[node]
        }
    }

    /// Class S is conferred by the self-test that a renewal reports, and lost when one reports none.
    private mutating func updateClass(of node: Int) {
        guard let isSelfTested = seats[node].isSelfTested else { return }
        proposed.isSupervised[node] = isSelfTested && isDeclaredSupervised[node]
    }

    /// g_n as the proposed ledger has it.
    private func leastCharge(of node: Int) -> Milliwatts {
        if rules.breaks(.leavesOutFloors) { return proposed.unleased[node] }
        return max(proposed.unleased[node], proposed.floors[node])
    }

    mutating func add(_ power: Milliwatts, node: Int) {
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            used[Int(domainList[entry])] += power
        }
    }
}

// MARK: - Limits and commissioning

extension SiteGrantor {
    /// Makes limits effective: higher ones with this write, lower ones when the charges fit them.
    private mutating func updateLimits() {
        for domain in domains.indices {
            let target = targetBudget[domain]
            if target != budget[domain] {
                let isProven = used[domain] <= target || rules.breaks(.lowersLimitAtOnce)
                if target > budget[domain] || isProven {
                    proposedRecord.effectiveLimit[domain] = target + overhead[domain]
                }
            }
            bound[domain] = min(target, proposedRecord.effectiveLimit[domain] - overhead[domain])
        }
    }

    /// Lets domains go in which everything that may be drawn without a lease, and everything that is
    /// charged, fits.
    private mutating func updateCommissioning(unixMilliseconds: UInt64) {
        guard record.hasLeftCommissioning.contains(false) else { return }
        var unleased = [Milliwatts](repeating: .zero, count: domains.count)
        for node in nodes.indices where proposed.proof[node] != .heldOut {
            forEachDomain(of: node) { unleased[$0] += proposed.unleased[node] }
        }
        for domain in domains.indices where !record.hasLeftCommissioning[domain] {
            let fits = unleased[domain] <= bound[domain] && used[domain] <= bound[domain]
            proposedRecord.hasLeftCommissioning[domain] = fits
        }
        if !proposedRecord.hasLeftCommissioning.contains(false) {
            proposedRecord.commissionedUnixMilliseconds = unixMilliseconds
        }
        wantsUrgentTick = proposedRecord.hasLeftCommissioning != record.hasLeftCommissioning
    }

    /// True while any domain of a node is in commissioning by the committed ledger.
    func isFrozen(_ node: Int) -> Bool {
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1])
        where !record.hasLeftCommissioning[Int(domainList[entry])] {
            return true
        }
        return false
    }
}

// MARK: - After the answers

extension SiteGrantor {
    private func changedShards() -> [ShardWrite] {
        var writes: [ShardWrite] = []
        for number in 0..<proposed.shardCount {
            let nodes = proposed.range(ofShard: number)
            let isNew = nodes.upperBound > storedNodeCount
            guard isNew || nodes.contains(where: { !proposed.isSame($0, as: committed) }) else {
                continue
            }
            writes.append(ShardWrite(number: number, shard: proposed.shard(number)))
        }
        return writes
    }

    private mutating func notePeaks() {
        for domain in domains.indices where record.hasLeftCommissioning[domain] {
            guard budget[domain] > .zero else { continue }
            let fraction = used[domain].rawValue * 1_000_000 / budget[domain].rawValue
            peakPPM[domain] = max(peakPPM[domain], fraction)
        }
    }
}
