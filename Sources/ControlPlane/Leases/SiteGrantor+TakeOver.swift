// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Why a stored ledger can't be taken over.
package enum LedgerError: Error, Hashable, Sendable {
    /// A shard is out of place, has columns of different lengths, or is missing.
    case malformedShard(number: Int)
    /// The record names another number of domains than the topology has for the site.
    case domainCount(stored: Int, expected: Int)
    /// The ledger has more nodes than the topology has for the site.
    case nodeCount(stored: Int, expected: Int)
    /// The leadership's epoch is not above the ledger's: the store is older than its ledger.
    case epochNotAbove(stored: UInt64, offered: UInt64)
}

extension SiteGrantor {
    /// Begins to lead, by the ledger as it was read **after** the epoch's write was acknowledged.
    ///
    /// Nothing is taken for expired: every node may be enforcing its whole charge for one wait from
    /// `now`, and a class U node until it acknowledges an order of this epoch. With an empty snapshot
    /// (the site's first start) every node is unproven, charged uncapped, and every domain is in
    /// commissioning.
    ///
    /// `epochID` is 128 fresh random bits. With `isStoreDistrusted` (a store that may have been put
    /// back) nothing is raised until the wait is over and every class U node has reported.
    ///
    /// Errors: ``LedgerError``; the grantor does not lead then, and the operator has to look.
    package mutating func takeOver(
        epoch newEpoch: UInt64, epochID newID: RandomID, ledger: LedgerSnapshot,
        now: ClockReading, isStoreDistrusted distrusted: Bool = false,
        unixMilliseconds: UInt64 = 0
    ) throws(LedgerError) {
        stepDown()
        committed = try columns(of: ledger)
        if let stored = ledger.site {
            try check(stored, newEpoch: newEpoch)
            record = stored
        } else {
            record.firstStartUnixMilliseconds = unixMilliseconds
        }
        previous = ledger.site
        storedNodeCount = ledger.shards.reduce(0) { $0 + $1.count }
        epoch = newEpoch
        epochID = newID
        isStoreDistrusted = distrusted
        tookOverAt = now
        adoptLimits()
        rememberGrants(now: now)
        proposed = committed
        seats = Array(repeating: NodeSeat(), count: nodes.count)
        for node in nodes.indices {
            let fallback = topology.type(of: nodes[node]).fallback
            if fallback != committed.fallback[node] { seats[node].wantedFallback = fallback }
        }
        isLeading = true
        wantsUrgentTick = true
        counts.takeOvers += 1
    }

    /// Stops leading: drops the open renewals and forgets the write in flight.
    ///
    /// To be called when the store says that the leadership is over, and when a write's outcome is
    /// unknown; after either, only a take-over makes the grantor answer again.
    package mutating func stepDown() {
        isLeading = false
        inFlight = nil
        plan.removeAll(keepingCapacity: true)
        unfenced.removeAll(keepingCapacity: true)
        wantsUrgentTick = false
        for node in seats.indices { seats[node].isOpen = false }
    }

    private func check(_ stored: SiteRecord, newEpoch: UInt64) throws(LedgerError) {
        guard stored.epoch < newEpoch else {
            throw .epochNotAbove(stored: stored.epoch, offered: newEpoch)
        }
        let count = stored.hasLeftCommissioning.count
        guard count == domains.count, stored.effectiveLimit.count == domains.count else {
            throw .domainCount(stored: count, expected: domains.count)
        }
    }

    private func columns(of ledger: LedgerSnapshot) throws(LedgerError) -> LedgerColumns {
        var columns = LedgerColumns(nodesPerShard: committed.nodesPerShard)
        for (number, shard) in ledger.shards.enumerated() {
            guard columns.append(shard) else { throw .malformedShard(number: number) }
        }
        guard columns.count <= nodes.count else {
            throw .nodeCount(stored: columns.count, expected: nodes.count)
        }
        let isFirstStart = ledger.site == nil
        for node in columns.count..<nodes.count {
            columns.append(
                charge: isFirstStart ? uncapped[node] : .zero, unleased: uncapped[node],
                fallback: topology.type(of: nodes[node]).fallback, version: 1,
                proof: isFirstStart ? .unproven : .heldOut, isSupervised: false, floors: .zero)
        }
        return columns
    }

    /// The proven limits are the record's; the limits wanted are the topology's.
    private mutating func adoptLimits() {
        for domain in domains.indices {
            budget[domain] = record.effectiveLimit[domain] - overhead[domain]
            targetBudget[domain] = topology.domains[domains[domain].position].budget
        }
    }

    /// Grants of earlier epochs, all in one: the whole charge, until one wait from now.
    private mutating func rememberGrants(now: ClockReading) {
        outstanding = OutstandingGrants(nodeCount: nodes.count)
        var wait = waitNanoseconds(lease: max(record.leaseNanoseconds, leaseNanoseconds))
        if rules.breaks(.skipsTakeOverWait) { wait = 0 }
        for node in nodes.indices where committed.proof[node] != .heldOut {
            let past = OutstandingGrant(
                sequence: 0, cap: committed.charge[node], since: now, waitNanoseconds: wait)
            outstanding.append(past, node: node)
        }
    }

    /// L of the grants: the configured one, once the record holds one that is not shorter.
    var leaseNanoseconds: Int64 { topology.lease.leaseNanoseconds }

    /// W for a lease of a given length.
    func waitNanoseconds(lease: Int64) -> Int64 {
        var parameters = topology.lease
        parameters.leaseNanoseconds = lease
        if rules.breaks(.ignoresDrift) { parameters.driftPPM = 0 }
        return parameters.waitNanoseconds
    }
}
