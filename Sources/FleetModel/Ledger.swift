// SPDX-License-Identifier: Apache-2.0

/// What is known of a node's caps when it has no lease.
package enum NodeProof: UInt8, Hashable, Sendable, CaseIterable {
    /// It may draw whatever its GPUs draw with no limit set.
    case unproven = 0
    /// An acknowledgement has shown that its enforcer holds it at its fallback.
    case proven = 1
    /// Its uncapped draw does not fit beside the other charges: no lease and no charge until it does.
    case heldOut = 2
    /// Charged uncapped because it is to be powered off or rebooted: nothing proves it before its
    /// power-on is confirmed.
    case rebooting = 3
}

/// Some consecutive nodes' part of a site's ledger, as one record of the site store.
///
/// Shape: every column has one entry for each node. Entry `i` is node `firstNode + i` of the site,
/// counting the site's nodes in the topology's order.
package struct LedgerShard: Hashable, Sendable {
    /// Nodes in a shard; the last shard of a site may hold fewer.
    package static let nodeCount = 256

    package var firstNode: UInt32
    /// R_n: the most that the node may be enforcing.
    package var charge: [Milliwatts]
    /// φ_n: what the node may draw without any lease.
    package var unleased: [Milliwatts]
    /// The fallback that was last committed for the node.
    package var fallback: [Milliwatts]
    package var fallbackVersion: [UInt64]
    package var proof: [NodeProof]
    /// True where the enforcer's self-test has conferred class S.
    package var isSupervised: [Bool]
    /// The floors that are reserved for the node's GPUs: what its jobs can rely on.
    package var floors: [Milliwatts]

    /// A shard without nodes, to append to.
    package init(firstNode: UInt32) {
        self.firstNode = firstNode
        charge = []
        unleased = []
        fallback = []
        fallbackVersion = []
        proof = []
        isSupervised = []
        floors = []
    }

    /// The number of nodes.
    package var count: Int { charge.count }

    /// True when every column has one entry for each node.
    package var isWellFormed: Bool {
        let count = charge.count
        return count <= LedgerShard.nodeCount && unleased.count == count && fallback.count == count
            && fallbackVersion.count == count && proof.count == count
            && isSupervised.count == count && floors.count == count
    }

    /// True when a store that holds the shard can be read again: well formed, and no power in it is
    /// negative or above ``Milliwatts/maximum``.
    package var isStorable: Bool {
        isWellFormed
            && [charge, unleased, fallback, floors].allSatisfy { column in
                column.allSatisfy { $0 >= .zero && $0 <= .maximum }
            }
    }
}

/// The part of a site's ledger that is no node's: written by every ledger write.
package struct SiteRecord: Hashable, Sendable {
    /// The random id of the epoch that wrote the record.
    package var epochID: RandomID
    package var epoch: UInt64
    /// Counts the ledger writes of the site, over all epochs; the sequence of a lease's order.
    package var heartbeat: UInt64
    /// L_max: no grant in force is longer.
    package var leaseNanoseconds: Int64
    /// One entry for each domain of the site, in the topology's order.
    package var hasLeftCommissioning: [Bool]
    /// One entry for each domain of the site: the limit that is proven, overhead included.
    package var effectiveLimit: [Milliwatts]
    /// Wall-clock time of the site's first start, for people only.
    package var firstStartUnixMilliseconds: UInt64
    /// Wall-clock time at which the last domain left commissioning; 0 before.
    package var commissionedUnixMilliseconds: UInt64

    package init(
        epochID: RandomID, epoch: UInt64, heartbeat: UInt64, leaseNanoseconds: Int64,
        hasLeftCommissioning: [Bool], effectiveLimit: [Milliwatts],
        firstStartUnixMilliseconds: UInt64, commissionedUnixMilliseconds: UInt64
    ) {
        self.epochID = epochID
        self.epoch = epoch
        self.heartbeat = heartbeat
        self.leaseNanoseconds = leaseNanoseconds
        self.hasLeftCommissioning = hasLeftCommissioning
        self.effectiveLimit = effectiveLimit
        self.firstStartUnixMilliseconds = firstStartUnixMilliseconds
        self.commissionedUnixMilliseconds = commissionedUnixMilliseconds
    }
}
