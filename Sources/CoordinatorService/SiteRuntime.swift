// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Wire

/// Everything that the coordinator keeps for one site that it leads.
///
/// Isolation: owned by the coordinator.
final class SiteRuntime {
    let site: SiteIndex
    let name: String
    let store: any DecisionStore
    /// The epoch in which the ledger is written; a new one after a write of unknown outcome.
    var leadership: Leadership
    var grantor: SiteGrantor
    var loop: SitePowerLoop
    /// The version of each ledger record, as the store acknowledged it last.
    var versions: [String: UInt64]
    /// The site's record as the store has it.
    var record: SiteRecord?

    /// When the last tick began and the last solve was made, in the coordinator's nanoseconds.
    var lastTick: Int64 = .min / 2
    var lastSolve: Int64 = .min / 2
    /// The placements that the last solve knew.
    var solvedVersion: UInt64 = 0
    /// The floor requests that the last tick knew.
    var tickedRequests: UInt64 = 0
    var isCommitting = false
    /// What the write in flight was made from.
    var floorsInFlight: FleetLeader.FloorsSnapshot?

    /// How each local node stood in the last tick, for events and for the placement engine.
    var nodeStates: [NodeLeaseState]
    /// What the placement engine was last told of each local node.
    var minimumCharges: [Milliwatts]
    var isEligible: [Bool]
    var hasLeftCommissioning: [Bool]
    /// The ledger by domain, as of the last tick.
    var domainViews: [DomainLedgerView] = []
    var peakCharged: [Milliwatts]
    /// Caps that enforcers of the site have found raised by another hand.
    var violationTotal: UInt64 = 0

    init(
        site: SiteIndex, topology: Topology, store: any DecisionStore, leadership: Leadership
    ) {
        self.site = site
        name = topology.sites[site.position].name
        self.store = store
        self.leadership = leadership
        grantor = SiteGrantor(topology: topology, site: site)
        loop = SitePowerLoop(topology: topology, site: site)
        versions = [:]
        let count = grantor.nodes.count
        nodeStates = Array(repeating: .unproven, count: count)
        minimumCharges = Array(repeating: Milliwatts(-1), count: count)
        isEligible = Array(repeating: true, count: count)
        hasLeftCommissioning = Array(repeating: false, count: grantor.domains.count)
        peakCharged = Array(repeating: .zero, count: grantor.domains.count)
    }

    /// Takes over from the site's ledger; call it with a snapshot that was loaded after the election
    /// was acknowledged, and with clocks read after it.
    ///
    /// - Throws: ``CoordinatorError`` when the ledger cannot be read or taken over.
    func takeOver(
        _ snapshot: StoreSnapshot, isStoreDistrusted: Bool
    ) throws(CoordinatorError) {
        var ledger = LedgerSnapshot()
        versions = [:]
        do {
            for stored in snapshot.records {
                versions[stored.key] = stored.version
                if stored.key == SiteRuntime.siteKey {
                    ledger.site = try SiteRecord.decode(stored.value)
                } else if stored.key.hasPrefix(SiteRuntime.shardPrefix) {
                    ledger.shards.append(try LedgerShard.decode(stored.value))
                } else {
                    throw CoordinatorError(
                        "store of site '\(name)': unknown record '\(stored.key)'")
                }
            }
            ledger.shards.sort { $0.firstNode < $1.firstNode }
            record = ledger.site
            try grantor.takeOver(
                epoch: leadership.epoch, epochID: leadership.epochID, ledger: ledger,
                now: SystemClock.reading(), isStoreDistrusted: isStoreDistrusted,
                unixMilliseconds: SystemClock.unixMilliseconds())
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("store of site '\(name)': \(error)")
        }
        domainViews = grantor.domainViews()
        hasLeftCommissioning = domainViews.map(\.hasLeftCommissioning)
        // What was proven before needs no line in the audit log at every start.
        var local = 0
        grantor.forEachNode(now: SystemClock.reading()) { _, view in
            nodeStates[local] = view.state
            local += 1
        }
    }

    /// The store's batch for a ledger write: every record compared with the version that was read or
    /// written last.
    func storeBatch(for write: LedgerWrite) -> StoreBatch {
        var batch = StoreBatch()
        batch.put(
            SiteRuntime.siteKey, write.site.encoded(), expecting: expectation(SiteRuntime.siteKey))
        for shard in write.shards {
            let key = SiteRuntime.shardKey(shard.number)
            batch.put(key, shard.shard.encoded(), expecting: expectation(key))
        }
        return batch
    }

    /// Notes that a batch was committed at a revision.
    func noteCommitted(_ write: LedgerWrite, revision: UInt64) {
        versions[SiteRuntime.siteKey] = revision
        for shard in write.shards { versions[SiteRuntime.shardKey(shard.number)] = revision }
        record = write.site
    }

    private func expectation(_ key: String) -> StoreBatch.Expectation {
        versions[key].map { .version($0) } ?? .absent
    }

    private static let siteKey = "site"
    private static let shardPrefix = "ledger/"
    private static func shardKey(_ number: Int) -> String { "\(shardPrefix)\(number)" }
}
