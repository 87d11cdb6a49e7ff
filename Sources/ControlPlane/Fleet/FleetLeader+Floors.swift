// SPDX-License-Identifier: Apache-2.0

package import FleetModel

// The step that crosses stores: floors go into the ledgers of the sites before anything starts.
extension FleetLeader {
    /// The floors that a site's next ledger write is to reserve, and the jobs that wait for them.
    package struct FloorsSnapshot: Hashable, Sendable {
        package var site: SiteIndex
        /// One entry for each node of the fleet; only those of the site count.
        package var nodeFloor: [Milliwatts]
        /// The jobs whose floors are in `nodeFloor` and not yet known to be reserved.
        package var jobs: [JobID]
    }

    /// True when a job waits for the site's ledger.
    ///
    /// When `floorRequests` has grown since the last
    /// tick, the next one should not be put off.
    package func needsFloors(in site: SiteIndex) -> Bool { !awaitingFloors[site.position].isEmpty }

    /// What the next ledger write of a site must reserve.
    package func floorsSnapshot(of site: SiteIndex) -> FloorsSnapshot {
        FloorsSnapshot(
            site: site, nodeFloor: held.nodeFloor, jobs: awaitingFloors[site.position])
    }

    /// A ledger write has committed: jobs whose floors it holds in all their sites may start.
    ///
    /// - Parameters:
    ///   - snapshot: what the write was made from.
    ///   - revision: the revision of the write in the site's store.
    ///   - isReserved: whether the committed charge of a node covers at least the given floors.
    package mutating func floorsCommitted(
        _ snapshot: FloorsSnapshot, revision: UInt64,
        isReserved: (NodeIndex, Milliwatts) -> Bool
    ) {
        guard !snapshot.jobs.isEmpty else { return }
        var reserved: Set<JobID> = []
        for id in snapshot.jobs {
            guard let job = jobs[id]?.job, job.state == .pending else {
                reserved.insert(id)
                continue
            }
            let isCovered = job.tasks.allSatisfy { task in
                let node = task.placement.node
                return topology.nodes[node.position].site != snapshot.site
                    || isReserved(node, snapshot.nodeFloor[node.position])
            }
            guard isCovered else { continue }
            reserved.insert(id)
            floorsReserved(id, site: snapshot.site, revision: revision)
        }
        awaitingFloors[snapshot.site.position].removeAll { reserved.contains($0) }
    }

    /// Notes that one site has reserved a job's floors; the last one lets it start.
    private mutating func floorsReserved(_ id: JobID, site: SiteIndex, revision: UInt64) {
        jobs[id]!.sitesAwaited.removeAll { $0 == site }
        let isComplete = jobs[id]!.sitesAwaited.isEmpty
        jobs[id]!.job.ledgerRevision = max(jobs[id]!.job.ledgerRevision, revision)
        guard isComplete else { return }
        update(id) {
            $0.state = .starting
            $0.attempt += 1
        }
    }

    /// Lists a job with every site in whose ledger its floors must appear.
    mutating func awaitFloors(of id: JobID) {
        guard let job = jobs[id]?.job else { return }
        let sites = sites(of: job)
        jobs[id]!.sitesAwaited = sites
        for site in sites {
            awaitingFloors[site.position].append(id)
            floorRequests[site.position] += 1
        }
    }
}
