// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel

// MARK: - Leading a site

extension FleetWorld {
    /// How long a leader's writes may stay away before another coordinator campaigns.
    private static let patience: Int64 = 2_500_000_000
    /// How long a write may take before its outcome counts as unknown.
    private static let writeTimeout: Int64 = 4_000_000_000

    /// Looks now and then whether the site, or the fleet, wants a leader.
    mutating func watch(_ coordinator: Int, life: Int32) {
        guard coordinators[coordinator].life == life else { return }
        after(
            generator.uniform(700_000_000...1_300_000_000),
            .watch(Int32(coordinator), life: life))
        let party = parties.coordinator(coordinator)
        guard !isPaused(party) else { return }
        let site = coordinators[coordinator].site
        if !coordinators[coordinator].grantor.leads,
            now - (coordinators[coordinator].campaignedAt ?? -10_000_000_000) > 3_000_000_000,
            isSilent(store: parties.store(site), to: party)
        {
            takeOver(coordinator)
        }
        watchFleet(coordinator)
    }

    /// True when a party can reach a store in which nobody has written for a while.
    func isSilent(store: Int, to party: Int) -> Bool {
        guard isLinked(store, party), now >= storeStates[store].downUntil else { return false }
        return now - storeStates[store].lastWrite > FleetWorld.patience
    }

    mutating func takeOver(_ coordinator: Int) {
        guard !coordinators[coordinator].isDown else { return }
        report.siteTakeOvers += 1
        coordinators[coordinator].token += 1
        let token = coordinators[coordinator].token
        coordinators[coordinator].won = nil
        coordinators[coordinator].campaignedAt = now
        stepDown(coordinator)
        tell("c\(coordinator) campaigns for site \(siteName(of: coordinator))")
        send(
            .raiseEpoch(token: token), from: parties.coordinator(coordinator),
            to: coordinators[coordinator].site)
    }

    func siteName(of coordinator: Int) -> String {
        topology.sites[coordinators[coordinator].site].name
    }

    private mutating func stepDown(_ coordinator: Int) {
        coordinators[coordinator].grantor.stepDown()
        coordinators[coordinator].plan = nil
        coordinators[coordinator].planInFlight = nil
    }

    mutating func coordinatorReceives(_ message: Message, from: Int, _ coordinator: Int) {
        switch message {
        case .epochRaised(let token, let epoch):
            guard token == coordinators[coordinator].token,
                coordinators[coordinator].won == nil, !coordinators[coordinator].grantor.leads
            else { return }
            let clocks = coordinators[coordinator].clock.reading(now: now)
            coordinators[coordinator].won = (epoch, clocks)
            send(.readLedger(token: token), from: parties.coordinator(coordinator), to: from)
        case .ledgerRead(let token, let ledger, let versions):
            guard token == coordinators[coordinator].token else { return }
            lead(coordinator, ledger: ledger, versions: versions)
        case .written(let sequence, let epoch, let outcome):
            writeAnswered(coordinator, sequence: sequence, epoch: epoch, outcome: outcome)
        case .renewal(let renewal, let node):
            renewalArrived(renewal, node: Int(node), from: from, coordinator: coordinator)
        default: break
        }
    }

    private mutating func lead(
        _ coordinator: Int, ledger: LedgerSnapshot, versions: SimulatedStore.Versions
    ) {
        guard let won = coordinators[coordinator].won else { return }
        coordinators[coordinator].won = nil
        coordinators[coordinator].versions = versions
        coordinators[coordinator].campaignedAt = nil
        let id = RandomID(high: generator.next() | 1, low: generator.next())
        do {
            try coordinators[coordinator].grantor.takeOver(
                epoch: won.epoch, epochID: id, ledger: ledger, now: won.at)
            tell("c\(coordinator) leads site \(siteName(of: coordinator)), epoch \(won.epoch)")
        } catch {
            // A later epoch has written already: this one is over before it began.
            tell("c\(coordinator) cannot take over: \(error)")
            return
        }
        // Until a fenced plan comes, the floors are the ledger's.
        var floors = ledger.shards.flatMap(\.floors)
        let nodes = coordinators[coordinator].grantor.nodes
        while floors.count < nodes.count {
            floors.append(topology.type(of: nodes[floors.count]).fallback)
        }
        coordinators[coordinator].floors = floors
        coordinators[coordinator].loop = freshLoops[coordinators[coordinator].site]
        coordinators[coordinator].lastSolve = -10_000_000_000
        for domain in coordinators[coordinator].grantor.domains
        where wantedLimits[domain.position] != topology.domains[domain.position].limit {
            coordinators[coordinator].grantor.setLimit(wantedLimits[domain.position], of: domain)
        }
    }

    private mutating func renewalArrived(
        _ renewal: LeaseRenewal, node: Int, from: Int, coordinator: Int
    ) {
        let clocks = coordinators[coordinator].clock.reading(now: now)
        let result = coordinators[coordinator].grantor.renewalReceived(
            renewal, from: NodeIndex(node), now: clocks)
        switch result {
        case .superseded: takeOver(coordinator)
        case .storeRolledBack(let fence):
            report.storeRollbackAlarms += 1
            if scenario.broken == .store {
                noteAlarm()
                stopServing(coordinator)
                return
            }
            tell("c\(coordinator) sees the unknown fence \(fence) of \(topology.nodes[node].name)")
            // A stale ledger looks the same: read it again.
            takeOver(coordinator)
        case .notLeading: send(.notLeading, from: parties.coordinator(coordinator), to: from)
        case .queued:
            if generator.chance(300_000) { takeTelemetry(of: node, coordinator) }
        case .unknownNode: break
        }
    }
}

// MARK: - Ticks

extension FleetWorld {
    mutating func tick(_ coordinator: Int, life: Int32) {
        guard coordinators[coordinator].life == life else { return }
        after(
            generator.uniform(400_000_000...600_000_000), .tick(Int32(coordinator), life: life))
        let party = parties.coordinator(coordinator)
        guard !isPaused(party) else { return }
        fleetTick(coordinator)
        guard coordinators[coordinator].grantor.leads else { return }
        wishReboots(coordinator)
        look(coordinator)
        let clocks = coordinators[coordinator].clock.reading(now: now)
        let write = coordinators[coordinator].grantor.tick(
            now: clocks, targets: coordinators[coordinator].loop.targets,
            floors: coordinators[coordinator].floors)
        sendGrants(coordinators[coordinator].grantor.takeUnfencedGrants(), from: coordinator)
        guard let write else { return }
        coordinators[coordinator].planInFlight = coordinators[coordinator].plan
        if crashes(coordinator) { return }
        let epoch = coordinators[coordinator].grantor.currentEpoch
        send(
            .write(write, epoch: epoch, coordinators[coordinator].versions), from: party,
            to: coordinators[coordinator].site)
        after(
            FleetWorld.writeTimeout,
            .writeTimeout(Int32(coordinator), epoch: epoch, sequence: write.sequence))
        if crashes(coordinator) { return }
    }

    /// Once a second: shares the site's watts, and says how it stands.
    private mutating func look(_ coordinator: Int) {
        guard now - coordinators[coordinator].lastSolve >= 900_000_000 else { return }
        coordinators[coordinator].lastSolve = now
        let views = coordinators[coordinator].grantor.domainViews()
        tellFleet(coordinator, views)
        if let plan = coordinators[coordinator].plan { solve(coordinator, plan, views) }
    }

    private mutating func solve(
        _ coordinator: Int, _ plan: FleetPlanMessage, _ views: [DomainLedgerView]
    ) {
        let clocks = coordinators[coordinator].clock.reading(now: now)
        var fixed: [Milliwatts?] = []
        fixed.reserveCapacity(coordinators[coordinator].grantor.nodes.count)
        coordinators[coordinator].grantor.forEachNode(now: clocks) { _, view in
            fixed.append(view.state == .live ? nil : view.charge)
        }
        let budget = views.map { min($0.budget, $0.target) }
        var changedPlans: [Int] = []
        coordinators[coordinator].loop.solve(
            held: plan.held,
            conditions: SitePowerLoop.Conditions(budget: budget, fixedCharge: fixed),
            now: clocks.rawNanoseconds, changedPlans: &changedPlans)
    }

    private mutating func writeAnswered(
        _ coordinator: Int, sequence: UInt64, epoch: UInt64, outcome: SimulatedStore.Outcome
    ) {
        guard coordinators[coordinator].grantor.leads,
            coordinators[coordinator].grantor.currentEpoch == epoch
        else { return }
        switch outcome {
        case .committed(let versions):
            var grants: [IssuedGrant] = []
            let before = coordinators[coordinator].grantor.revision
            let clocks = coordinators[coordinator].clock.reading(now: now)
            coordinators[coordinator].grantor.writeCommitted(
                sequence: sequence, now: clocks, into: &grants)
            guard coordinators[coordinator].grantor.revision != before else { return }
            coordinators[coordinator].versions = versions
            if crashes(coordinator) { return }
            reportFloors(coordinator)
            sendGrants(grants, from: coordinator)
        case .deposed:
            tell("c\(coordinator) is deposed")
            stepDown(coordinator)
        case .conflict: break  // A repeated message; the write itself was answered.
        }
    }

    private mutating func sendGrants(_ grants: [IssuedGrant], from coordinator: Int) {
        for issued in grants {
            if crashes(coordinator) { return }
            send(
                .grant(issued.grant), from: parties.coordinator(coordinator),
                to: parties.node(issued.node.position))
        }
    }

    mutating func writeTimedOut(_ coordinator: Int, epoch: UInt64, sequence: UInt64) {
        guard coordinators[coordinator].grantor.leads,
            coordinators[coordinator].grantor.currentEpoch == epoch,
            coordinators[coordinator].grantor.revision < sequence
        else { return }
        tell("c\(coordinator) does not know what became of write \(sequence)")
        stepDown(coordinator)
    }
}

// MARK: - Crashes

extension FleetWorld {
    /// True when the dice end the coordinator at this step.
    private mutating func crashes(_ coordinator: Int) -> Bool {
        guard !isCalm, scenario.settings.crashPPM > 0,
            generator.chance(scenario.settings.crashPPM / 10)
        else { return false }
        crash(coordinator)
        return true
    }

    /// Ends a coordinator; its supervisor starts it again a while later.
    mutating func crash(_ coordinator: Int, for length: Int64? = nil) {
        guard !coordinators[coordinator].isDown else { return }
        report.faults.note(.coordinatorCrash)
        let down = length ?? generator.uniform(200_000_000...15_000_000_000)
        tell("c\(coordinator) crashes for \(down / 1_000_000) ms")
        countGrantor(coordinator)
        let site = coordinators[coordinator].site
        coordinators[coordinator].life += 1
        coordinators[coordinator].isDown = true
        coordinators[coordinator].won = nil
        coordinators[coordinator].campaignedAt = nil
        coordinators[coordinator].grantor = freshGrantors[site]
        coordinators[coordinator].plan = nil
        coordinators[coordinator].planInFlight = nil
        coordinators[coordinator].fleet = FleetSeat()
        after(
            down,
            .coordinatorStarts(Int32(coordinator), life: coordinators[coordinator].life))
    }

    /// The store was put back: the site is served no more until an operator has looked.
    private mutating func stopServing(_ coordinator: Int) {
        tell("c\(coordinator) sees that the store was put back, and stops")
        crash(coordinator, for: scenario.roughSeconds * 1_000_000_000)
    }

    mutating func startCoordinator(_ coordinator: Int, life: Int32) {
        guard coordinators[coordinator].life == life, coordinators[coordinator].isDown else {
            return
        }
        coordinators[coordinator].isDown = false
        after(generator.uniform(0...500_000_000), .tick(Int32(coordinator), life: life))
        after(generator.uniform(0...1_000_000_000), .watch(Int32(coordinator), life: life))
    }

    mutating func countGrantor(_ coordinator: Int) {
        report.reclaimsByTime += Int(coordinators[coordinator].grantor.counts.reclaimsByTime)
    }
}
