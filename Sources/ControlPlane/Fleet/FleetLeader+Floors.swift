// SPDX-License-Identifier: Apache-2.0

package import FleetModel

// The step that crosses stores: floors go into the ledgers of the sites before anything starts.
extension FleetLeader {
    /// The floors that a site's next ledger write is to reserve, and the jobs that wait for them.
    package struct FloorsSnapshot: Hashable, Sendable {
        package var site: SiteIndex
        /// One entry for each node of the fleet; only those of the site count.
        package var nodeFloor: [Milliwatts]
        /// The placements whose floors are in `nodeFloor` and not yet known to be reserved.
        package var requests: [FloorsRequest]
    }

    /// A placement that waits for a ledger.
    package struct FloorsRequest: Hashable, Sendable {
        package var job: JobID
        /// Which placement of the job: one that was given up meanwhile proves nothing.
        var placement: UInt64
    }

    /// True when a job waits for the site's ledger.
    ///
    /// When `floorRequests` has grown since the last
    /// tick, the next one should not be put off.
    package func needsFloors(in site: SiteIndex) -> Bool { !awaitingFloors[site.position].isEmpty }

    /// What the next ledger write of a site must reserve.
    package func floorsSnapshot(of site: SiteIndex) -> FloorsSnapshot {
        FloorsSnapshot(
            site: site, nodeFloor: held.nodeFloor, requests: awaitingFloors[site.position])
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
        guard !snapshot.requests.isEmpty else { return }
        var reserved: Set<FloorsRequest> = []
        for request in snapshot.requests {
            let id = request.job
            guard let job = jobs[id]?.job, isAwaited(request) else {
                reserved.insert(request)
                continue
            }
            let isCovered = job.tasks.allSatisfy { task in
                let node = task.placement.node
                return topology.nodes[node.position].site != snapshot.site
                    || isReserved(node, snapshot.nodeFloor[node.position])
            }
            guard isCovered else { continue }
            reserved.insert(request)
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
        placementCount += 1
        jobs[id]!.placement = placementCount
        jobs[id]!.sitesAwaited = sites
        for site in sites {
            awaitingFloors[site.position].append(
                FloorsRequest(job: id, placement: placementCount))
            floorRequests[site.position] += 1
        }
    }

    /// Puts jobs back into the queue whose floors no ledger has taken for too long: a node of theirs
    /// went silent, or other nodes' charges do not fall.
    ///
    /// Safe because nothing of them was started: a start follows a durable `starting` only. What they
    /// hold is let go when the return is durable.
    ///
    /// - Parameters:
    ///   - now: Unix time in milliseconds.
    ///   - patience: how long a job may wait, in milliseconds.
    package mutating func returnStalled(now: UInt64, patience: UInt64) {
        for id in awaitingFloors.flatMap({ $0.map(\.job) }) {
            guard let entry = jobs[id], entry.job.state == .pending else { continue }
            if entry.placedAt == 0 || entry.placedAt > now { jobs[id]!.placedAt = now }
            guard now - jobs[id]!.placedAt >= patience else { continue }
            returnToQueue(id)
            record(
                .jobReturned, subject: "\(id)",
                message: "its floors did not fit a ledger in time", actor: "coordinator",
                now: now)
        }
        for site in awaitingFloors.indices {
            awaitingFloors[site] = awaitingFloors[site].filter { isAwaited($0) }
        }
    }

    /// True while the placement of a request still waits.
    private func isAwaited(_ request: FloorsRequest) -> Bool {
        guard let entry = jobs[request.job] else { return false }
        return entry.job.state == .pending && entry.placement == request.placement
    }
}
