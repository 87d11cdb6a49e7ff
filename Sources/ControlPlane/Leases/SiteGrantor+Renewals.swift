// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension SiteGrantor {
    /// What became of a renewal.
    package enum OnRenewal: Hashable, Sendable {
        /// Open: a tick will answer it.
        case queued
        /// This grantor does not lead: refuse the session.
        case notLeading
        /// The node is not of this site.
        case unknownNode
        /// The node has accepted an order of a later epoch: step down and take over again. When the
        /// new epoch is not above this one either, the store has been put back.
        case superseded(by: UInt64)
        /// The node has accepted an order that this store has never seen, or reports more than a
        /// distrusted store charges it: the store has been put back. Stop serving the site and say so.
        case storeRolledBack(fence: LeaseOrder)
    }

    /// Takes a renewal from a node's agent; a later one of the same node replaces it.
    package mutating func renewalReceived(
        _ renewal: LeaseRenewal, from node: NodeIndex, now: ClockReading
    ) -> OnRenewal {
        guard isLeading else { return .notLeading }
        guard let position = position(of: node) else { return .unknownNode }
        if renewal.fence.epoch > epoch { return .superseded(by: renewal.fence.epoch) }
        if isUnknownFence(renewal) || isUncharged(renewal, node: position) {
            return .storeRolledBack(fence: renewal.fence)
        }
        counts.renewals += 1
        takeAcknowledgement(renewal.ack, node: position)
        takeProof(renewal, node: position)
        if seats[position].grantedTo != renewal.incarnation { wantsUrgentTick = true }
        // A fresher request of a node that waits already does not make it wait longer.
        let isWaiting =
            seats[position].isOpen && seats[position].incarnation == renewal.incarnation
        if !isWaiting { seats[position].openedAt = now }
        seats[position].isOpen = true
        seats[position].isGone = false
        seats[position].incarnation = renewal.incarnation
        seats[position].nonce = renewal.nonce
        seats[position].heardAt = now
        seats[position].reported = renewal.enforced
        return .queued
    }

    /// An agent's session is over: its open renewal is dropped and the node counts as silent.
    package mutating func sessionEnded(_ node: NodeIndex) {
        guard let position = position(of: node) else { return }
        seats[position].isOpen = false
        seats[position].isGone = true
    }

    /// True when no history of this store can have led to the renewal's fence.
    private func isUnknownFence(_ renewal: LeaseRenewal) -> Bool {
        let fence = renewal.fence
        guard fence != .zero else { return false }
        if fence.epoch == epoch {
            return renewal.fenceEpochID != epochID || fence.sequence > record.heartbeat
        }
        guard let previous else { return true }
        if fence > LeaseOrder(epoch: previous.epoch, sequence: previous.heartbeat) { return true }
        return fence.epoch == previous.epoch && renewal.fenceEpochID != previous.epochID
    }

    /// True when a node may be enforcing more than a ledger that is not to be trusted charges it.
    ///
    /// A trusted store is not asked: there, an old report that comes late says nothing.
    private func isUncharged(_ renewal: LeaseRenewal, node: Int) -> Bool {
        isStoreDistrusted && renewal.enforced > committed.charge[node]
    }

    private mutating func takeAcknowledgement(_ ack: LeaseAck?, node: Int) {
        guard let ack, ack.order.epoch == epoch, ack.epochID == epochID else { return }
        guard ack.order.sequence >= seats[node].ackSequence else { return }
        let isNew = ack.order.sequence > seats[node].ackSequence
        seats[node].ackSequence = ack.order.sequence
        seats[node].ackCap = ack.cap
        seats[node].ackFallbackVersion = max(
            seats[node].ackFallbackVersion, ack.fallbackVersion)
        let before = outstanding.highestCap(node)
        outstanding.acknowledged(ack.order.sequence, node: node)
        if outstanding.highestCap(node) < before {
            counts.reclaimsByAck += 1
            if hasUnmetRaise { wantsUrgentTick = true }
        }
        if isNew, committed.proof[node] == .unproven { wantsUrgentTick = true }
    }

    private mutating func takeProof(_ renewal: LeaseRenewal, node: Int) {
        let limit = topology.lease.enforcerNanoseconds
        seats[node].isSelfTested = renewal.provenEnforcerNanoseconds.map { $0 <= limit } ?? false
        if rules.breaks(.provesByReport), renewal.enforced <= committed.fallback[node] {
            seats[node].ackSequence = max(seats[node].ackSequence, record.heartbeat + 1)
            seats[node].ackFallbackVersion = committed.fallbackVersion[node]
        }
    }
}

// MARK: - What the fleet side asks for

extension SiteGrantor {
    /// Sets what a domain is to carry, overhead included; a raise only when the fleet allows it.
    ///
    /// A lower limit binds every raise from now on and becomes effective once the charges are proven
    /// to fit it; a higher one becomes effective with the next write.
    ///
    /// - Precondition: The domain is of this site.
    package mutating func setLimit(_ limit: Milliwatts, of domain: DomainIndex) {
        guard let position = domains.firstIndex(of: domain) else {
            preconditionFailure("domain \(domain.position) is not of site \(site.position)")
        }
        targetBudget[position] = limit - overhead[position]
        wantsUrgentTick = true
    }

    /// Asks for another fallback of a node; it becomes effective when the enforcer has stored it.
    ///
    /// - Precondition: The node is of this site and the fallback is settable.
    package mutating func setFallback(_ fallback: Milliwatts, of node: NodeIndex) {
        guard let position = position(of: node) else {
            preconditionFailure("node \(node.position) is not of site \(site.position)")
        }
        seats[position].wantedFallback = fallback
    }

    /// Asks for a node to be charged uncapped, before it is powered off or rebooted.
    ///
    /// ``isReadyForReboot(_:)`` says when the ledger has it; only then may the node go down. After
    /// its power-on is confirmed, ``powerOnConfirmed(_:)`` lets acknowledgements prove it again.
    package mutating func prepareReboot(_ node: NodeIndex) {
        guard let position = position(of: node) else { return }
        seats[position].isRebootWanted = true
        seats[position].isPowerOnConfirmed = false
    }

    /// True when the committed ledger charges the node uncapped, whatever it acknowledges.
    ///
    /// A leader that has been deposed and does not know it yet may say so after the node has been down
    /// and proven again under the next one. So whoever takes the node down checks that it is still in
    /// the boot for which ``prepareReboot(_:)`` was asked; in a later one it is on again already, which
    /// is ``powerOnConfirmed(_:)``.
    package func isReadyForReboot(_ node: NodeIndex) -> Bool {
        guard let position = position(of: node) else { return false }
        return committed.proof[position] == .rebooting
    }

    /// A node that was charged for its reboot is powered on again: orders of later writes prove it.
    package mutating func powerOnConfirmed(_ node: NodeIndex) {
        guard let position = position(of: node) else { return }
        seats[position].isRebootWanted = false
        seats[position].isPowerOnConfirmed = true
    }
}
