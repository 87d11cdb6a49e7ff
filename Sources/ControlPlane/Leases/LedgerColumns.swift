// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A site's ledger as columns over its nodes, and its record.
struct LedgerColumns: Sendable {
    /// How many nodes a shard holds; the last one may hold fewer.
    let nodesPerShard: Int
    /// R_n.
    var charge: [Milliwatts] = []
    /// φ_n.
    var unleased: [Milliwatts] = []
    var fallback: [Milliwatts] = []
    var fallbackVersion: [UInt64] = []
    var proof: [NodeProof] = []
    var isSupervised: [Bool] = []
    var floors: [Milliwatts] = []

    init(nodesPerShard: Int) {
        precondition((1...LedgerShard.nodeCount).contains(nodesPerShard), "\(nodesPerShard) nodes")
        self.nodesPerShard = nodesPerShard
    }

    var count: Int { charge.count }

    mutating func append(
        charge newCharge: Milliwatts, unleased newUnleased: Milliwatts,
        fallback newFallback: Milliwatts, version: UInt64, proof newProof: NodeProof,
        isSupervised newSupervised: Bool, floors newFloors: Milliwatts
    ) {
        charge.append(newCharge)
        unleased.append(newUnleased)
        fallback.append(newFallback)
        fallbackVersion.append(version)
        proof.append(newProof)
        isSupervised.append(newSupervised)
        floors.append(newFloors)
    }

    /// Copies one node's entries from another ledger of the same nodes.
    mutating func copy(_ node: Int, from other: borrowing LedgerColumns) {
        charge[node] = other.charge[node]
        unleased[node] = other.unleased[node]
        fallback[node] = other.fallback[node]
        fallbackVersion[node] = other.fallbackVersion[node]
        proof[node] = other.proof[node]
        isSupervised[node] = other.isSupervised[node]
        floors[node] = other.floors[node]
    }

    func isSame(_ node: Int, as other: borrowing LedgerColumns) -> Bool {
        charge[node] == other.charge[node] && unleased[node] == other.unleased[node]
            && fallback[node] == other.fallback[node]
            && fallbackVersion[node] == other.fallbackVersion[node]
            && proof[node] == other.proof[node] && isSupervised[node] == other.isSupervised[node]
            && floors[node] == other.floors[node]
    }

    /// The nodes of a shard.
    func range(ofShard shard: Int) -> Range<Int> {
        let first = shard * nodesPerShard
        return first..<min(first + nodesPerShard, count)
    }

    var shardCount: Int { (count + nodesPerShard - 1) / nodesPerShard }

    /// One shard as a record to store.
    func shard(_ number: Int) -> LedgerShard {
        let nodes = range(ofShard: number)
        var shard = LedgerShard(firstNode: UInt32(nodes.lowerBound))
        shard.charge = Array(charge[nodes])
        shard.unleased = Array(unleased[nodes])
        shard.fallback = Array(fallback[nodes])
        shard.fallbackVersion = Array(fallbackVersion[nodes])
        shard.proof = Array(proof[nodes])
        shard.isSupervised = Array(isSupervised[nodes])
        shard.floors = Array(floors[nodes])
        return shard
    }

    /// Appends the nodes of a stored shard; false when it does not follow on or is malformed.
    mutating func append(_ shard: LedgerShard) -> Bool {
        guard shard.isWellFormed, Int(shard.firstNode) == count, count % nodesPerShard == 0 else {
            return false
        }
        charge += shard.charge
        unleased += shard.unleased
        fallback += shard.fallback
        fallbackVersion += shard.fallbackVersion
        proof += shard.proof
        isSupervised += shard.isSupervised
        floors += shard.floors
        return true
    }
}

/// A site's ledger as it lies in the store.
package struct LedgerSnapshot: Hashable, Sendable {
    /// Nil at the site's first start.
    package var site: SiteRecord?
    /// In order of their first nodes.
    package var shards: [LedgerShard]

    package init(site: SiteRecord? = nil, shards: [LedgerShard] = []) {
        self.site = site
        self.shards = shards
    }
}

/// One shard that a ledger write replaces.
package struct ShardWrite: Hashable, Sendable {
    /// The shard's number; its key in the store is made of it.
    package var number: Int
    package var shard: LedgerShard
}

/// One write of the ledger: one atomic batch, guarded by the epoch and by the version of every record.
///
/// The site record is in every write, so that any two writes of a site conflict and each one fences the
/// renewals that came before it.
package struct LedgerWrite: Hashable, Sendable {
    /// The heartbeat that the write commits; names it in ``SiteGrantor/writeCommitted(sequence:now:into:)``.
    package var sequence: UInt64
    package var site: SiteRecord
    /// The shards that differ from the committed ones.
    package var shards: [ShardWrite]
    /// True under production rules: the store compares the records' versions, not only the epoch.
    package var comparesVersions: Bool
}
