// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Logging
internal import NIOCore
internal import TLSEngine
internal import Wire

// The timers, and the ledger of each site.
extension Coordinator {
    /// How often the timers look whether something is due.
    private static let beatInterval = TimeAmount.milliseconds(20)
    /// The least time between two ledger writes of a site.
    private static let urgentInterval: Int64 = 20_000_000
    /// The least time between two solves of a site that placements ask for.
    private static let solveInterval: Int64 = 100_000_000
    /// How long a placed job may wait for its floors before it goes back into the queue, in
    /// milliseconds: time for the charges of live nodes to fall, which takes a few seconds.
    private static let floorPatience: UInt64 = 10_000
    /// How often files of certificates and keys are looked at.
    private static let credentialsInterval: Int64 = 1_000_000_000
    /// Placements of queued jobs tried in one beat, so that frames are not kept waiting.
    private static let attemptsPerBeat = 32

    func startBeat() {
        beat = eventLoop.scheduleRepeatedTask(
            initialDelay: .zero, delay: Coordinator.beatInterval
        ) { _ in
            self.assumeIsolated { $0.beatPassed() }
        }
    }

    private func beatPassed() {
        guard !isEnding else { return }
        let now = SystemClock.monotonicNanoseconds()
        if now - lastWatchdog >= 250_000_000 {
            lastWatchdog = now
            notifier.watchdog()
        }
        if now - lastCredentialsLook >= Coordinator.credentialsInterval {
            lastCredentialsLook = now
            reloadCredentials()
        }
        leader.returnStalled(
            now: SystemClock.unixMilliseconds(), patience: Coordinator.floorPatience)
        leader.expireReservations(now: SystemClock.unixMilliseconds())
        if leader.hasQueueWork {
            leader.placeQueued(
                attempts: Coordinator.attemptsPerBeat, now: SystemClock.unixMilliseconds())
        }
        for site in sites where !site.isCommitting {
            let sinceTick = now - site.lastTick
            let isUrgent =
                site.grantor.wantsUrgentTick
                || leader.floorRequests[site.site.position] != site.tickedRequests
            let isDue = sinceTick >= topology.lease.tickNanoseconds
            if isDue || (isUrgent && sinceTick >= Coordinator.urgentInterval) {
                tick(site, isDue: isDue, now: now)
            }
        }
        expireWaiting(now: now)
        serveWatches(now: now)
        pump()
    }

    /// Acts on what inputs have changed: orders go out, and what must be durable is written.
    func pump() {
        guard !isEnding else { return }
        if !directives.isEmpty { sendDirectives() }
        commitFleet()
    }

    // MARK: - Ledger

    /// Solves when it is time, and writes the site's ledger.
    private func tick(_ site: SiteRuntime, isDue: Bool, now: Int64) {
        site.lastTick = now
        let isPlacementNew = site.solvedVersion != leader.held.version
        if isDue || (isPlacementNew && now - site.lastSolve >= Coordinator.solveInterval) {
            solve(site, now: now)
        }
        let floors = leader.floorsSnapshot(of: site.site)
        site.tickedRequests = leader.floorRequests[site.site.position]
        let write = site.grantor.tick(
            now: SystemClock.reading(), targets: site.loop.targets,
            floors: site.grantor.nodes.map { floors.nodeFloor[$0.position] },
            unixMilliseconds: SystemClock.unixMilliseconds())
        guard let write else { return }
        guard write.shards.allSatisfy(\.shard.isStorable) else {
            // A fault of ours: the ledger that is there stays, and the next start reads it.
            return fail(
                CoordinatorError("the ledger of site '\(site.name)' would hold an absurd power"))
        }
        site.isCommitting = true
        site.floorsInFlight = floors
        let batch = site.storeBatch(for: write)
        let index = site.site.position
        Task { await self.commitLedger(batch, write, siteIndex: index) }
    }

    private func commitLedger(
        _ batch: StoreBatch, _ write: LedgerWrite, siteIndex: Int
    ) async {
        let outcome: Result<UInt64, StoreError>
        do throws(StoreError) {
            let site = sites[siteIndex]
            let (store, leadership) = (site.store, site.leadership)
            outcome = .success(try await store.commit(batch, under: leadership))
        } catch {
            outcome = .failure(error)
        }
        ledgerCommitted(outcome, write, site: sites[siteIndex])
    }

    /// Sends the grants that a write has fenced, and lets jobs go on whose floors it holds.
    private func ledgerCommitted(
        _ outcome: Result<UInt64, StoreError>, _ write: LedgerWrite, site: SiteRuntime
    ) {
        guard !isEnding else { return }
        site.isCommitting = false
        switch outcome {
        case .failure(.ambiguous(let reason)), .failure(.unavailable(let reason)):
            retakeLedger(site, reason: reason)
        case .failure(let error):
            // Whatever the outcome of the write, a new start reads what is there and raises the epoch.
            fail(CoordinatorError("the ledger of site '\(site.name)': \(error)"))
        case .success(let revision):
            counts.siteCommits += 1
            site.noteCommitted(write, revision: revision)
            grants.removeAll(keepingCapacity: true)
            site.grantor.writeCommitted(
                sequence: write.sequence, now: SystemClock.reading(), into: &grants)
            // Any excess is a fault of ours: a debug build stops before a grant rests on it.
            assert(isLedgerSound(site))
            for issued in grants { sendGrant(issued) }
            if let floors = site.floorsInFlight {
                site.floorsInFlight = nil
                leader.floorsCommitted(floors, revision: write.sequence) { node, floor in
                    site.grantor.reservedFloors(of: node) >= floor
                }
            }
            observe(site)
            pump()
        }
    }

    /// Stops the process when a committed ledger is above a budget.
    private func isLedgerSound(_ site: SiteRuntime) -> Bool {
        site.grantor.checkInvariants()
        return true
    }

    private func sendGrant(_ issued: IssuedGrant) {
        guard let number = sessionOfNode[issued.node.position], let session = agents[number] else {
            return
        }
        let payload = issued.grant.encoded()
        do {
            let signature = try signer.sign(payload)
            counts.grantsSent += 1
            send(.grant(SignedGrant(payload: payload, signature: signature)), to: session)
        } catch {
            fail(CoordinatorError("\(error)"))
        }
    }

    // MARK: - Power

    private func solve(_ site: SiteRuntime, now: Int64) {
        let clock = SystemClock.reading()
        let views = site.domainViews
        let budget = views.map { min($0.budget, $0.target) }
        var fixed: [Milliwatts?] = []
        fixed.reserveCapacity(site.grantor.nodes.count)
        site.grantor.forEachNode(now: clock) { _, view in
            fixed.append(view.state == .live ? nil : view.charge)
        }
        var changed: [Int] = []
        site.loop.solve(
            held: leader.held,
            conditions: SitePowerLoop.Conditions(budget: budget, fixedCharge: fixed), now: now,
            changedPlans: &changed)
        site.lastSolve = now
        site.solvedVersion = leader.held.version
        counts.solves += 1
        counts.solveNanoseconds += UInt64(SystemClock.monotonicNanoseconds() - now)
        for local in changed { sendPlan(local, site: site) }
    }

    // MARK: - What the ledger says to the rest

    /// Looks at every site's ledger; at the start.
    func observeSites() {
        for site in sites { observe(site) }
    }

    /// Tells the placement engine and the audit log what has changed in a site's ledger.
    private func observe(_ site: SiteRuntime) {
        let clock = SystemClock.reading()
        let unix = SystemClock.unixMilliseconds()
        let views = site.grantor.domainViews()
        site.domainViews = views
        for (local, domain) in site.grantor.domains.enumerated() {
            leader.engine.setBudget(
                domain, min(views[local].budget, views[local].target))
            if views[local].hasLeftCommissioning {
                site.peakCharged[local] = max(site.peakCharged[local], views[local].charge)
            }
            if views[local].hasLeftCommissioning && !site.hasLeftCommissioning[local] {
                site.hasLeftCommissioning[local] = true
                leader.record(
                    .domainCommissioned, subject: topology.domains[domain.position].name,
                    message: "every cap in it is proven", actor: "coordinator", now: unix)
            }
        }
        var hasGrown = false
        var local = 0
        site.grantor.forEachNode(now: clock) { node, view in
            if observe(node, view, local: local, site: site, unix: unix) { hasGrown = true }
            local += 1
        }
        if hasGrown { leader.capacityChanged() }
    }

    /// Notes how one node stands.
    ///
    /// - Returns: true when jobs may fit on it that did not before.
    private func observe(
        _ node: NodeIndex, _ view: NodeLeaseView, local: Int, site: SiteRuntime, unix: UInt64
    ) -> Bool {
        let name = topology.nodes[node.position].name
        let before = site.nodeStates[local]
        if before != view.state {
            site.nodeStates[local] = view.state
            switch (before, view.state) {
            case (_, .live):
                leader.record(.nodeLive, subject: name, message: "", actor: name, now: unix)
            case (.live, .silent), (.live, .fallback):
                leader.record(
                    .nodeSilent, subject: name, message: "charged \(view.charge)",
                    actor: "coordinator", now: unix)
            case (.silent, .fallback):
                leader.record(
                    .leaseEnded, subject: name, message: "at its fallback of \(view.fallback)",
                    actor: "coordinator", now: unix)
            default:
                break
            }
        }
        var isCommissioned = true
        topology.forEachDomain(of: node) { domain in
            if let position = site.loop.local(domain), !site.hasLeftCommissioning[position] {
                isCommissioned = false
            }
        }
        // A live node's charge above its floors comes back as soon as watts are needed.
        let charge = view.state == .live ? Milliwatts.zero : view.charge
        var hasGrown = false
        if charge != site.minimumCharges[local] {
            hasGrown = charge < site.minimumCharges[local]
            site.minimumCharges[local] = charge
            leader.engine.setMinimumCharge(node, charge)
        }
        let isEligible = view.state == .live && isCommissioned
        if view.state == .live {
            leader.setCondition(node, isCommissioned ? nil : .unproven)
        } else {
            let isKnown = view.state == .silent || view.state == .fallback
            leader.setCondition(node, isKnown ? .silent : .unproven)
        }
        if isEligible != site.isEligible[local] {
            site.isEligible[local] = isEligible
            if isEligible { hasGrown = true }
        }
        return hasGrown
    }

    // MARK: - Fleet store

    /// Writes what the fleet leader has changed, one batch at a time: what changes meanwhile goes into
    /// the next.
    private func commitFleet() {
        guard !isFleetCommitting, let batch = leader.takeBatch() else { return }
        isFleetCommitting = true
        var store = FleetRecords.storeBatch(for: batch)
        store.put(
            "fleet",
            FleetRecords.fleetRecord(
                batch.counters, fingerprint: fingerprint,
                allotments: topology.sites.map(\.allotment)),
            expecting: fleetRecordVersion.map { .version($0) } ?? .absent)
        Task { await self.commitFleet(store) }
    }

    private func commitFleet(_ batch: StoreBatch) async {
        let outcome: Result<UInt64, StoreError>
        do throws(StoreError) {
            outcome = .success(try await fleetStore.commit(batch, under: fleetLeadership))
        } catch {
            outcome = .failure(error)
        }
        guard !isEnding else { return }
        switch outcome {
        case .failure(let error):
            fail(CoordinatorError("the fleet store: \(error)"))
        case .success(let revision):
            fleetRecordVersion = revision
            isFleetCommitting = false
            counts.fleetCommits += 1
            leader.batchCommitted(into: &directives)
            answerDurable()
            pump()
        }
    }
}
