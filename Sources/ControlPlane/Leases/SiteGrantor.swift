// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The site leader's side of the lease protocol: the ledger of charges, and who may be told what.
///
/// A value without I/O. Safety rests on the ledger alone: what a node may be enforcing is reserved in
/// the store before the node is told, and leaves the ledger only on proof. How a shell drives it:
///
/// 1. **Lead.** Win the site's leadership (this raises the epoch), then load the ledger, *in this
///    order*, and call ``takeOver(epoch:epochID:ledger:now:isStoreDistrusted:unixMilliseconds:)``
///    with clocks read after the epoch's write was acknowledged.
/// 2. **Renewals.** Give every one to ``renewalReceived(_:from:now:)``; it stays open (long poll)
///    until a tick answers it. When an agent's session ends, call ``sessionEnded(_:)``.
/// 3. **Tick.** Every `tickNanoseconds`, or at once when ``wantsUrgentTick`` is set (with some 20 ms
///    between two writes), call ``tick(now:targets:floors:unixMilliseconds:)`` with fresh targets.
///    Commit what it returns as **one** batch: the record of the site and the changed shards, guarded
///    by the epoch and by the version of each record.
/// 4. **Acknowledged:** call ``writeCommitted(sequence:now:into:)`` with clocks read after the
///    acknowledgement; sign and send the grants it gives. Nothing is sent before.
/// 5. **Outcome unknown, or deposed:** call ``stepDown()``, send nothing, and start again at 1. Never
///    repeat a write whose outcome is unknown.
///
/// ```
///  idle ─ takeOver ► leading ─ tick ► writing ─ committed ► leading
///    ▲                  │                │
///    └──── stepDown ────┴────────────────┘
/// ```
///
/// Columns are over the site's nodes in the topology's order; a *position* is an index into them.
/// A tick costs O(nodes × depth of the power tree) and allocates only for shards that change.
package struct SiteGrantor: Sendable {
    package let topology: Topology
    package let site: SiteIndex
    /// The site's nodes: the order of all columns, targets and floors.
    package let nodes: [NodeIndex]
    /// The site's domains: the order of the site record's columns.
    package let domains: [DomainIndex]
    let rules: LeaseRules

    // MARK: What does not change

    /// Positions of the domains that carry each node: those of node `n` lie at
    /// `domainStart[n]..<domainStart[n + 1]`.
    let domainStart: [Int32]
    let domainList: [Int32]
    /// u_n, which is m_n as well: the sum of the devices' maximum caps.
    let uncapped: [Milliwatts]
    let isDeclaredSupervised: [Bool]
    let positionOfNode: [Int32]

    // MARK: The ledger

    /// As the store acknowledged it.
    var committed: LedgerColumns
    /// As the write in flight has it; scratch space otherwise.
    var proposed: LedgerColumns
    var record: SiteRecord
    var proposedRecord: SiteRecord
    /// How many nodes the store's shards hold.
    var storedNodeCount = 0

    // MARK: Of this leadership

    var isLeading = false
    var epoch: UInt64 = 0
    var epochID = RandomID.none
    /// The last record of the epochs before, as read at take-over.
    var previous: SiteRecord?
    var tookOverAt = ClockReading(rawNanoseconds: 0, bootNanoseconds: 0)
    var isStoreDistrusted = false
    /// The sequence of the write in flight.
    var inFlight: UInt64?
    var plan: [PlannedGrant] = []
    var outstanding: OutstandingGrants
    var seats: [NodeSeat]
    /// Where the next tick begins to serve nodes, so that none starves.
    var turn = 0
    /// A raise was wanted in the last tick and did not fit.
    var hasUnmetRaise = false

    // MARK: Limits, by the site's domains

    /// What each domain is to carry, overhead taken off.
    var targetBudget: [Milliwatts]
    /// What each domain is proven to carry within, overhead taken off.
    var budget: [Milliwatts]
    let overhead: [Milliwatts]
    /// Σ R' by domain, while a tick is worked out.
    var used: [Milliwatts]
    /// What a tick may raise to: the lesser of target and effective budget.
    var bound: [Milliwatts]
    /// Highest committed fraction since the domain left commissioning, in millionths.
    var peakPPM: [Int64]
    var unfenced: [IssuedGrant] = []

    /// True when the next tick should not wait for its time: a limit was lowered, a node is new, or
    /// watts came back that somebody waits for.
    package internal(set) var wantsUrgentTick = false
    package internal(set) var counts = GrantorCounts()

    /// A grantor that does not lead yet.
    ///
    /// `nodesPerShard` is a constant of the stored ledger; only tests choose a smaller one.
    package init(
        topology: Topology, site: SiteIndex, nodesPerShard: Int = LedgerShard.nodeCount,
        rules: LeaseRules = .production
    ) {
        let nodes = topology.nodes.indices.filter { topology.nodes[$0].site == site }
        let domains = topology.domains.indices.filter { topology.domains[$0].site == site }
        var positionOfDomain = [Int32](repeating: -1, count: topology.domains.count)
        for (position, domain) in domains.enumerated() {
            positionOfDomain[domain] = Int32(position)
        }
        var positionOfNode = [Int32](repeating: -1, count: topology.nodes.count)
        var start: [Int32] = [0]
        var list: [Int32] = []
        for (position, node) in nodes.enumerated() {
            positionOfNode[node] = Int32(position)
            topology.forEachDomain(of: NodeIndex(node)) {
                list.append(positionOfDomain[$0.position])
            }
            start.append(Int32(list.count))
        }
        self.topology = topology
        self.site = site
        self.rules = rules
        committed = LedgerColumns(nodesPerShard: nodesPerShard)
        proposed = committed
        self.nodes = nodes.map { NodeIndex($0) }
        self.domains = domains.map { DomainIndex($0) }
        self.positionOfNode = positionOfNode
        domainStart = start
        domainList = list
        uncapped = nodes.map { topology.uncapped(NodeIndex($0)) }
        isDeclaredSupervised = nodes.map {
            topology.type(of: NodeIndex($0)).enforcementClass == .supervised
        }
        outstanding = OutstandingGrants(nodeCount: nodes.count)
        seats = Array(repeating: NodeSeat(), count: nodes.count)
        overhead = domains.map { topology.domains[$0].overhead }
        budget = domains.map { topology.domains[$0].budget }
        targetBudget = budget
        bound = budget
        used = Array(repeating: .zero, count: domains.count)
        peakPPM = Array(repeating: 0, count: domains.count)
        record = SiteRecord(
            epochID: .none, epoch: 0, heartbeat: 0,
            leaseNanoseconds: topology.lease.leaseNanoseconds,
            hasLeftCommissioning: Array(repeating: false, count: domains.count),
            effectiveLimit: domains.map { topology.domains[$0].limit },
            firstStartUnixMilliseconds: 0, commissionedUnixMilliseconds: 0)
        proposedRecord = record
    }

    /// The position of a node in this site's columns; nil for a node of another site.
    package func position(of node: NodeIndex) -> Int? {
        let position = positionOfNode[node.position]
        return position < 0 ? nil : Int(position)
    }

    /// Calls `body` with the position of every domain that carries a node.
    @inline(__always)
    func forEachDomain(of node: Int, _ body: (Int) -> Void) {
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            body(Int(domainList[entry]))
        }
    }
}

/// A grant to send: the node is the agent's, the grant is to be signed.
package struct IssuedGrant: Hashable, Sendable {
    package var node: NodeIndex
    package var grant: LeaseGrant
}

/// An answer that a write in flight will fence.
struct PlannedGrant: Hashable, Sendable {
    var node: Int32
    var incarnation: RandomID
    var nonce: UInt64
    var cap: Milliwatts
}

/// What a leadership remembers of one node.
struct NodeSeat: Hashable, Sendable {
    /// The renewal that waits for an answer.
    var isOpen = false
    var incarnation = RandomID.none
    var nonce: UInt64 = 0
    var openedAt = ClockReading(rawNanoseconds: 0, bootNanoseconds: 0)
    /// What the node last said that its hardware may be enforcing.
    var reported = Milliwatts.zero
    var heardAt: ClockReading?
    /// The session ended, and no renewal has come since.
    var isGone = false
    /// The incarnation, cap and time of the last grant.
    var grantedTo = RandomID.none
    var grantedCap = Milliwatts.zero
    var grantedAt: ClockReading?
    var isExpiryCounted = false
    /// The highest acknowledged order of this epoch, its cap, and the fallback version acknowledged.
    var ackSequence: UInt64 = 0
    var ackCap = Milliwatts.zero
    var ackFallbackVersion: UInt64 = 0
    /// An unproven node is proven by an acknowledgement above this.
    var proofMark: UInt64 = 0
    /// The enforcer's self-test passes; nil while no renewal has said so or not.
    var isSelfTested: Bool?
    /// The fallback that is wanted; nil keeps what is committed.
    var wantedFallback: Milliwatts?
    var isRebootWanted = false
    var isPowerOnConfirmed = false
}

/// Counts of a grantor since it was made; for metrics.
package struct GrantorCounts: Hashable, Sendable {
    package var renewals: UInt64 = 0
    package var grants: UInt64 = 0
    package var writes: UInt64 = 0
    package var takeOvers: UInt64 = 0
    /// Charges that came back by an acknowledgement.
    package var reclaimsByAck: UInt64 = 0
    /// Charges that came back because a class S node's time was over.
    package var reclaimsByTime: UInt64 = 0
    /// Leases that ended unrenewed, after a wait in which the node must have noticed if it lives.
    package var leaseExpiries: UInt64 = 0
    /// Ticks in which a raise was wanted and did not fit.
    package var shortTicks: UInt64 = 0

    package init() {}
}
