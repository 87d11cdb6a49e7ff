// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// How a node stands with its lease, for people.
package enum NodeLeaseState: String, Hashable, Sendable, CaseIterable {
    /// Its uncapped draw does not fit yet: no lease, no charge.
    case heldOut = "held-out"
    /// No acknowledgement has shown it at its fallback: charged uncapped.
    case unproven
    /// Renews in time.
    case live
    /// Has not been heard of for two holds; charged at what it may be enforcing.
    case silent
    /// Silent, of class S, and its last grant is over: at its fallback.
    case fallback
}

/// One node of a site's ledger.
package struct NodeLeaseView: Hashable, Sendable {
    package var state: NodeLeaseState
    package var charge: Milliwatts
    /// The cap that was granted last in this epoch; nil before.
    package var cap: Milliwatts?
    package var fallback: Milliwatts
    package var floors: Milliwatts
    package var isSupervised: Bool
    /// Time since the last grant of this epoch; nil before.
    package var leaseAgeNanoseconds: Int64?
    /// Time since the node was last heard of in this epoch; nil before.
    package var silenceNanoseconds: Int64?
}

/// One domain of a site's ledger, all powers without overhead.
package struct DomainLedgerView: Hashable, Sendable {
    /// Σ R_n.
    package var charge: Milliwatts
    /// Σ φ_n: in commissioning, what is above the budget is the excess.
    package var unleased: Milliwatts
    /// The proven budget.
    package var budget: Milliwatts
    /// The budget that is wanted.
    package var target: Milliwatts
    package var hasLeftCommissioning: Bool
    /// The highest Σ R_n over the budget since commissioning, in millionths.
    package var peakPPM: Int64
}

extension SiteGrantor {
    /// One node, by the committed ledger; nil for a node of another site.
    package func view(of node: NodeIndex, now: ClockReading) -> NodeLeaseView? {
        guard let position = position(of: node), position < committed.count else { return nil }
        let seat = seats[position]
        return NodeLeaseView(
            state: state(of: position, now: now), charge: committed.charge[position],
            cap: seat.grantedAt == nil ? nil : seat.grantedCap,
            fallback: committed.fallback[position], floors: committed.floors[position],
            isSupervised: committed.isSupervised[position],
            leaseAgeNanoseconds: seat.grantedAt.map { now.waitedSince($0) },
            silenceNanoseconds: seat.heardAt.map { now.waitedSince($0) })
    }

    private func state(of node: Int, now: ClockReading) -> NodeLeaseState {
        if committed.proof[node] == .heldOut { return .heldOut }
        if !isSilent(node, now: now) {
            return committed.proof[node] == .proven ? .live : .unproven
        }
        if committed.proof[node] != .proven { return .unproven }
        return committed.isSupervised[node] && outstanding.isEmpty(node) ? .fallback : .silent
    }

    /// True when a node's session is over, or nothing came from it for two holds.
    private func isSilent(_ node: Int, now: ClockReading) -> Bool {
        if seats[node].isGone { return true }
        let since = seats[node].heardAt ?? tookOverAt
        return now.waitedSince(since) > 2 * topology.lease.holdNanoseconds
    }

    /// Calls `body` with every node of the site and its view, in the columns' order.
    package func forEachNode(
        now: ClockReading, _ body: (NodeIndex, NodeLeaseView) -> Void
    ) {
        for node in nodes {
            if let view = view(of: node, now: now) { body(node, view) }
        }
    }

    /// The domains of the site by the committed ledger, in the order of ``domains``.
    ///
    /// Complexity: O(nodes × depth of the power tree).
    package func domainViews() -> [DomainLedgerView] {
        var views = domains.indices.map { domain in
            DomainLedgerView(
                charge: .zero, unleased: .zero, budget: budget[domain],
                target: targetBudget[domain],
                hasLeftCommissioning: record.hasLeftCommissioning[domain],
                peakPPM: peakPPM[domain])
        }
        for node in committed.charge.indices where committed.proof[node] != .heldOut {
            forEachDomain(of: node) {
                views[$0].charge += committed.charge[node]
                views[$0].unleased += committed.unleased[node]
            }
        }
        return views
    }

    /// The floors of a node that the committed ledger reserves.
    ///
    /// A job may move from pending to starting once, on each of its nodes, this has reached what was
    /// asked for with the job counted in. Zero for a node of another site.
    package func reservedFloors(of node: NodeIndex) -> Milliwatts {
        guard let position = position(of: node), position < committed.count else { return .zero }
        guard committed.proof[position] == .proven else { return .zero }
        return committed.floors[position]
    }

    /// R_n by the committed ledger; zero for a node of another site.
    package func charge(of node: NodeIndex) -> Milliwatts {
        guard let position = position(of: node), position < committed.count else { return .zero }
        return committed.charge[position]
    }

    /// True once every domain has left commissioning.
    package var isCommissioned: Bool { !record.hasLeftCommissioning.contains(false) }

    /// True while the grantor leads.
    package var leads: Bool { isLeading }

    /// The epoch of this leadership.
    package var currentEpoch: UInt64 { epoch }

    /// The heartbeat of the last acknowledged write: the ledger's revision.
    package var revision: UInt64 { record.heartbeat }

    /// The committed ledger, as the store holds it.
    package var snapshot: LedgerSnapshot {
        LedgerSnapshot(
            site: record, shards: (0..<committed.shardCount).map { committed.shard($0) })
    }

    /// The highest committed fraction of any domain since it left commissioning, in millionths.
    package var peakCommittedPPM: Int64 { peakPPM.max() ?? 0 }

    /// Stops the process when the committed ledger breaks INV-L; for tests and the simulator.
    package func checkInvariants() {
        for (domain, view) in domainViews().enumerated() where view.hasLeftCommissioning {
            precondition(
                view.charge <= view.budget,
                "\(topology.domains[domains[domain].position].name): charged \(view.charge) of \(view.budget)"
            )
        }
        for node in committed.charge.indices where committed.proof[node] != .heldOut {
            precondition(
                committed.charge[node] >= committed.unleased[node]
                    && committed.charge[node] >= committed.floors[node],
                "node \(node): charged \(committed.charge[node])")
        }
    }
}
