// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// A store of records with versions, behind an epoch: atomic batches, guarded by both.
struct SimulatedStore {
    /// The versions of all records of the ledger.
    struct Versions: Hashable {
        var site: UInt64
        var shards: [UInt64]
    }

    enum Outcome: Hashable {
        case committed(Versions)
        case deposed
        case conflict
    }

    private(set) var epoch: UInt64 = 0
    private(set) var ledger: LedgerSnapshot
    private(set) var versions: Versions
    /// The ledger as it was some writes ago, for reads that are not what they should be.
    private(set) var stale: (ledger: LedgerSnapshot, versions: Versions)

    init(ledger: LedgerSnapshot) {
        self.ledger = ledger
        versions = Versions(site: 0, shards: ledger.shards.map { _ in 0 })
        stale = (ledger, versions)
        epoch = ledger.site?.epoch ?? 0
    }

    /// One entry of a column over all shards.
    func entry<Value>(_ node: Int, _ column: KeyPath<LedgerShard, [Value]>) -> Value? {
        for shard in ledger.shards where node < Int(shard.firstNode) + shard.count {
            return shard[keyPath: column][node - Int(shard.firstNode)]
        }
        return nil
    }

    /// Becomes what it was: the epoch as well.
    mutating func putBack(_ copy: SimulatedStore) {
        self = copy
    }

    mutating func raiseEpoch() -> UInt64 {
        epoch += 1
        return epoch
    }

    mutating func commit(_ write: LedgerWrite, epoch writer: UInt64, expecting: Versions) -> Outcome
    {
        guard writer == epoch else { return .deposed }
        guard expecting == versions || !write.comparesVersions else { return .conflict }
        if versions.site % 8 == 0 { stale = (ledger, versions) }
        ledger.site = write.site
        versions.site += 1
        for change in write.shards {
            if change.number == ledger.shards.count {
                ledger.shards.append(change.shard)
                versions.shards.append(1)
            } else {
                ledger.shards[change.number] = change.shard
                versions.shards[change.number] += 1
            }
        }
        return .committed(versions)
    }
}
