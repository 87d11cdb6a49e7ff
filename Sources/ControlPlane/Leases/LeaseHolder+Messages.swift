// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension LeaseHolder {
    /// Makes a renewal to send, and remembers both clocks as they read before it was sent.
    ///
    /// Works in every phase; a holder that has not reached its fallback yet sends no acknowledgement.
    package mutating func renewalRequested(now: ClockReading) -> LeaseRenewal {
        expire(now: now)
        return LeaseRenewal(
            incarnation: incarnation, nonce: requests.open(now: now), ack: ack, fence: fence,
            fenceEpochID: fenceEpochID, enforced: reportedEnforcement,
            provenEnforcerNanoseconds: provenEnforcerNanoseconds, violations: counts.violations)
    }

    /// True once after a new acknowledgement became ready: the agent is to be sent a fresh renewal.
    package mutating func takeAcknowledgement() -> Bool {
        defer { hasFreshAck = false }
        return hasFreshAck && ack != nil
    }

    /// Judges a grant whose signature has been verified, and begins to carry it out if it is good.
    package mutating func grantReceived(_ grant: LeaseGrant, now: ClockReading) -> GrantOutcome {
        expire(now: now)
        let outcome = judge(grant, now: now)
        guard outcome == .accepted else {
            counts.grantsRefused += 1
            return outcome
        }
        counts.grantsAccepted += 1
        let start = countedFrom(grant, now: now) ?? now
        requests.close(grant.nonce)
        fence = grant.order
        fenceEpochID = grant.epochID
        let isNewer = grant.fallbackVersion > fallbackVersion
        pending = Term(
            order: grant.order, epochID: grant.epochID, cap: grant.cap, start: start,
            leaseNanoseconds: grant.leaseNanoseconds,
            fallback: isNewer ? grant.fallback : fallback,
            fallbackVersion: isNewer ? grant.fallbackVersion : fallbackVersion)
        if rules.breaks(.acknowledgesBeforeSettling) {
            acknowledge(grant.order, epochID: grant.epochID, cap: grant.cap)
        }
        return .accepted
    }

    /// When the lease of a grant began; nil when it answers no open request.
    private func countedFrom(_ grant: LeaseGrant, now: ClockReading) -> ClockReading? {
        let isMine = grant.incarnation == incarnation
        let start = isMine ? requests.start(of: grant.nonce) : nil
        if start == nil, rules.breaks(.acceptsUnsolicited) { return now }
        if start != nil, rules.breaks(.countsFromReceipt) { return now }
        return start
    }

    private func judge(_ grant: LeaseGrant, now: ClockReading) -> GrantOutcome {
        guard grant.node == configuration.node else { return .wrongNode }
        guard let start = countedFrom(grant, now: now) else { return .unknownNonce }
        if grant.order.epoch == fence.epoch, fenceEpochID != .none, grant.epochID != fenceEpochID {
            return .unknownEpoch
        }
        guard grant.order > fence || rules.breaks(.ignoresOrder) else { return .staleOrder }
        guard now.heldSince(start) < grant.leaseNanoseconds else { return .expired }
        let newer = grant.fallbackVersion > fallbackVersion
        let least = newer ? grant.fallback : fallback
        guard least >= caps.minimumSum, grant.cap >= least, grant.cap <= caps.maximumSum else {
            return .capOutOfRange
        }
        return .accepted
    }

    /// What the holder did with a wish for shares.
    package enum ShareOutcome: Hashable, Sendable {
        /// On its way: lower, settle, raise.
        case accepted
        /// No lease is in force; the fallback is shared in equal parts.
        case noLease
        /// A grant is being carried out; ask again when it is done.
        case busy
        /// Not one cap for each device.
        case wrongCount
        /// A cap lies outside its device's settable range.
        case outOfRange
        /// The caps' sum is above the cap in force.
        case aboveCap
    }

    /// Shares the cap in force between the devices as the agent wishes.
    ///
    /// A wish during a share that is still settling replaces it.
    package mutating func sharesRequested(
        _ wishes: [Milliwatts], now: ClockReading
    ) -> ShareOutcome {
        expire(now: now)
        guard let term, term.remaining(now: now) > 0 else { return .noLease }
        guard phase == .leased, pending == nil else { return .busy }
        guard wishes.count == caps.ranges.count else { return .wrongCount }
        for (wish, range) in zip(wishes, caps.ranges) {
            guard wish >= range.minimum, wish <= range.maximum else { return .outOfRange }
        }
        guard wishes.reduce(.zero, +) <= term.cap else { return .aboveCap }
        caps.aim(wishes)
        return .accepted
    }

    /// Gives the holder a lease of its own making at or below the fallback, to measure an expiry.
    ///
    /// The fallback is verified again ``HolderStatus/lastFallbackNanoseconds`` after the deadline.
    ///
    /// - Returns: False, and nothing happens, unless the holder is at its fallback with no grant
    ///   waiting and `cap` is settable and not above the fallback.
    package mutating func selfTestBegan(
        cap: Milliwatts, leaseNanoseconds: Int64, now: ClockReading
    ) -> Bool {
        expire(now: now)
        guard phase == .atFallback, pending == nil, cap <= fallback, cap >= caps.minimumSum else {
            return false
        }
        pending = Term(
            order: fence, epochID: fenceEpochID, cap: cap, start: now,
            leaseNanoseconds: leaseNanoseconds, fallback: fallback,
            fallbackVersion: fallbackVersion, isSelfTest: true)
        return true
    }

    /// Sets what the self-test measured, once it has passed: renewals carry it from now on.
    package mutating func selfTestPassed(nanoseconds: Int64) {
        provenEnforcerNanoseconds = nanoseconds
    }

    mutating func acknowledge(_ order: LeaseOrder, epochID: RandomID, cap: Milliwatts) {
        isAckDue = false
        hasFreshAck = true
        ack = LeaseAck(order: order, epochID: epochID, cap: cap, fallbackVersion: fallbackVersion)
    }
}

/// What a holder shows of itself.
package struct HolderStatus: Hashable, Sendable {
    /// Verified and settled at the fallback.
    package var isAtFallback: Bool
    /// The cap in force: the lease's, or the fallback.
    package var cap: Milliwatts
    /// The order of the lease in force, or the highest accepted one.
    package var order: LeaseOrder
    /// Time until the deadline; 0 without a lease.
    package var remainingNanoseconds: Int64
    /// One entry for each device: where it shall be.
    package var requested: [Milliwatts]
    /// One entry for each device: what it may be enforcing, settling included.
    package var enforced: [Milliwatts]
    /// Time from the last deadline until the fallback was verified and settled.
    package var lastFallbackNanoseconds: Int64?
    package var counts: HolderCounts
}

extension LeaseHolder {
    /// The sum of what the devices may be enforcing, by read-back, settling included.
    ///
    /// In the first moments after a start nobody knows what was lowered just before: then it is the
    /// cap in force, or the read-back if that is higher.
    var reportedEnforcement: Milliwatts {
        let limit = term?.cap ?? fallback
        return min(caps.ceilingSum, max(caps.reportedSum, limit))
    }

    /// A view for the agent's display and for tests; allocates.
    package func status(now: ClockReading) -> HolderStatus {
        HolderStatus(
            isAtFallback: phase == .atFallback, cap: term?.cap ?? fallback,
            order: term?.order ?? fence,
            remainingNanoseconds: max(0, term?.remaining(now: now) ?? 0),
            requested: caps.targets, enforced: caps.targets.indices.map { caps.ceiling($0) },
            lastFallbackNanoseconds: counts.lastFallbackNanoseconds, counts: counts)
    }

    /// True until the caps have been read for the first time.
    package var isStarting: Bool { phase == .starting }

    /// True while a deadline is in force.
    package var hasLease: Bool { term != nil }

    /// Stops the process when an invariant does not hold; for tests and the simulator.
    package func checkInvariants() {
        if case .leased = phase {
            precondition(term != nil, "leased without a lease: \(phase)")
        }
        if let ack, let term, !rules.breaks(.acknowledgesBeforeSettling) {
            precondition(ack.order <= fence, "acknowledged \(ack.order) above fence \(fence)")
            precondition(term.order <= fence, "in force \(term.order) above fence \(fence)")
        }
    }
}
