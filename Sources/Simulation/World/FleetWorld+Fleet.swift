// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel

// MARK: - Leading the fleet

extension FleetWorld {
    private static let fleetTimeout: Int64 = 4_000_000_000

    mutating func watchFleet(_ coordinator: Int) {
        let seat = coordinators[coordinator].fleet
        guard seat.leader == nil, now - (seat.campaignedAt ?? -10_000_000_000) > 3_000_000_000,
            isSilent(store: parties.fleetStore, to: parties.coordinator(coordinator))
        else { return }
        campaignForFleet(coordinator)
    }

    mutating func campaignForFleet(_ coordinator: Int) {
        report.fleetTakeOvers += 1
        let token = coordinators[coordinator].fleet.token + 1
        coordinators[coordinator].fleet = FleetSeat()
        coordinators[coordinator].fleet.token = token
        coordinators[coordinator].fleet.campaignedAt = now
        tell("c\(coordinator) campaigns for the fleet")
        send(
            .fleet(.raiseEpoch(token: token)), from: parties.coordinator(coordinator),
            to: parties.fleetStore)
    }

    mutating func fleetStoreReceives(_ message: FleetMessage, from: Int) {
        let store = parties.fleetStore
        let fate = fate(ofRequestTo: store)
        guard fate != .lost else { return }
        let answer: FleetMessage
        switch message {
        case .raiseEpoch(let token):
            storeStates[store].lastWrite = now
            answer = .epochRaised(token: token, epoch: fleetStore.raiseEpoch())
        case .read(let token): answer = .records(token: token, fleetStore)
        case .commit(let batch, let number, let epoch, let version):
            let outcome = commitFleetBatch(batch, epoch: epoch, expecting: version)
            if case .committed = outcome { storeStates[store].lastWrite = now }
            answer = .committed(number: number, epoch: epoch, outcome)
        default: return
        }
        if fate == .served { send(.fleet(answer), from: store, to: from) }
    }

    mutating func fleetReceives(_ message: FleetMessage, from: Int, coordinator: Int) {
        switch message {
        case .epochRaised(let token, let epoch):
            guard token == coordinators[coordinator].fleet.token,
                coordinators[coordinator].fleet.wonEpoch == nil,
                coordinators[coordinator].fleet.leader == nil
            else { return }
            coordinators[coordinator].fleet.wonEpoch = epoch
            send(
                .fleet(.read(token: token)), from: parties.coordinator(coordinator),
                to: parties.fleetStore)
        case .records(let token, let records):
            guard token == coordinators[coordinator].fleet.token else { return }
            leadFleet(coordinator, records)
        case .committed(let number, let epoch, let outcome):
            fleetCommitted(coordinator, number: number, epoch: epoch, outcome)
        case .siteState(let state): siteStateArrived(state, from: from, coordinator)
        case .plan(let plan): planArrived(plan, from: from, coordinator)
        case .floorsHeld(let floors): floorsHeldArrived(floors, coordinator)
        case .notLeading:
            coordinators[coordinator].fleetLeader =
                (coordinators[coordinator].fleetLeader + 1) % coordinators.count
        case .hello(let session, let node, let tasks):
            guard coordinators[coordinator].fleet.leader != nil else {
                send(.fleet(.notLeading), from: parties.coordinator(coordinator), to: from)
                return
            }
            coordinators[coordinator].fleet.waitingHellos.append(
                FleetSeat.Hello(session: session, node: Int(node), tasks: tasks))
        case .observed(let session, let number, let node, let observation):
            observed(observation, session: session, number: number, Int(node), coordinator)
        default: break
        }
    }

    private mutating func leadFleet(_ coordinator: Int, _ records: SimulatedFleetStore) {
        guard let epoch = coordinators[coordinator].fleet.wonEpoch else { return }
        coordinators[coordinator].fleet.wonEpoch = nil
        guard records.epoch == epoch else { return }
        do {
            let leader = try FleetLeader(
                topology: topology, jobs: Array(records.jobs.values), counters: records.counters)
            prepareFleetSeat(coordinator, leader, epoch: epoch, version: records.version)
            tell("c\(coordinator) leads the fleet, epoch \(epoch)")
        } catch {
            note(.gang, "the fleet's records contradict each other: \(error)")
        }
    }

    private mutating func prepareFleetSeat(
        _ coordinator: Int, _ leader: FleetLeader, epoch: UInt64, version: UInt64
    ) {
        var seat = FleetSeat()
        seat.token = coordinators[coordinator].fleet.token
        seat.leader = leader
        seat.epoch = epoch
        seat.version = version
        seat.siteLeader = Array(repeating: nil, count: stores.count)
        seat.fencedEpoch = Array(repeating: 0, count: stores.count)
        seat.planned = Array(repeating: (0, 0, 0), count: stores.count)
        seat.sessions = Array(repeating: nil, count: nodes.count)
        seat.minimumCharges = Array(repeating: Milliwatts(-1), count: nodes.count)
        seat.isEligible = Array(repeating: false, count: nodes.count)
        for node in nodes.indices {
            seat.leader?.engine.setEligible(NodeIndex(node), .silent)
        }
        coordinators[coordinator].fleet = seat
    }

    private mutating func endFleetLeadership(_ coordinator: Int) {
        let token = coordinators[coordinator].fleet.token
        coordinators[coordinator].fleet = FleetSeat()
        coordinators[coordinator].fleet.token = token
    }

    // MARK: The beat

    /// Half a second of a fleet leader: clients, the queue, one write, plans, signs of life.
    mutating func fleetTick(_ coordinator: Int) {
        guard coordinators[coordinator].fleet.leader != nil else { return }
        let unix = unixMilliseconds
        serveClients(coordinator)
        coordinators[coordinator].fleet.leader!.returnStalled(now: unix, patience: 10_000)
        if coordinators[coordinator].fleet.leader!.hasQueueWork {
            coordinators[coordinator].fleet.leader!.placeQueued(attempts: 8, now: unix)
        }
        commitFleet(coordinator)
        for site in stores.indices { sendPlan(to: site, coordinator) }
        for node in nodes.indices {
            guard let seat = coordinators[coordinator].fleet.sessions[node],
                now - seat.lastSent > 2_000_000_000
            else { continue }
            order(.nothing, node: node, coordinator)
        }
    }

    var unixMilliseconds: UInt64 { 1_800_000_000_000 + UInt64(now / 1_000_000) }

    private mutating func commitFleet(_ coordinator: Int) {
        guard coordinators[coordinator].fleet.inFlight == nil else { return }
        let batch = coordinators[coordinator].fleet.leader!.takeBatch()
        var seat = coordinators[coordinator].fleet
        coordinators[coordinator].fleet = FleetSeat()
        seat.commitCount += 1
        seat.inFlight = seat.commitCount
        seat.isBatchInFlight = batch != nil
        seat.fencingHellos = seat.waitingHellos
        seat.waitingHellos.removeAll()
        seat.fencingAsks = seat.waitingAsks
        seat.waitingAsks.removeAll()
        let (number, epoch, version) = (seat.commitCount, seat.epoch, seat.version)
        coordinators[coordinator].fleet = seat
        send(
            .fleet(.commit(batch, number: number, epoch: epoch, version: version)),
            from: parties.coordinator(coordinator), to: parties.fleetStore)
        after(
            FleetWorld.fleetTimeout,
            .fleetTimeout(Int32(coordinator), epoch: epoch, number: number))
    }

    /// The outcome of a write is unknown: only a new leadership can tell.
    mutating func fleetTimedOut(_ coordinator: Int, epoch: UInt64, number: UInt64) {
        guard coordinators[coordinator].fleet.epoch == epoch,
            coordinators[coordinator].fleet.inFlight == number
        else { return }
        tell("c\(coordinator) does not know what became of fleet write \(number)")
        endFleetLeadership(coordinator)
    }

    private mutating func fleetCommitted(
        _ coordinator: Int, number: UInt64, epoch: UInt64, _ outcome: SimulatedFleetStore.Outcome
    ) {
        guard coordinators[coordinator].fleet.leader != nil,
            coordinators[coordinator].fleet.epoch == epoch,
            coordinators[coordinator].fleet.inFlight == number
        else { return }
        switch outcome {
        case .committed(let version):
            coordinators[coordinator].fleet.version = version
            coordinators[coordinator].fleet.inFlight = nil
            if coordinators[coordinator].fleet.isBatchInFlight {
                var directives: [FleetDirective] = []
                coordinators[coordinator].fleet.leader!.batchCommitted(into: &directives)
                acknowledgeClients(coordinator)
                send(directives, coordinator)
            }
            welcome(coordinator)
        case .deposed:
            tell("c\(coordinator) no longer leads the fleet")
            endFleetLeadership(coordinator)
        case .conflict:
            // A repeated message: the write itself was answered, or will time out.
            break
        }
    }

    // MARK: Site leaders

    private mutating func siteStateArrived(
        _ state: SiteStateMessage, from: Int, _ coordinator: Int
    ) {
        guard coordinators[coordinator].fleet.leader != nil else {
            send(.fleet(.notLeading), from: parties.coordinator(coordinator), to: from)
            return
        }
        guard case .coordinator(let sender) = parties.kind(from) else { return }
        if let known = coordinators[coordinator].fleet.siteLeader[state.site],
            (known.epoch, known.revision) > (state.epoch, state.revision)
        {
            return
        }
        coordinators[coordinator].fleet.siteLeader[state.site] = (
            sender, state.epoch, state.revision
        )
        if coordinators[coordinator].fleet.fencedEpoch[state.site] != state.epoch {
            coordinators[coordinator].fleet.waitingAsks.append((state.site, state.epoch))
        }
        observe(state, coordinator)
    }

    /// Tells the placement engine what has changed in a site.
    private mutating func observe(_ state: SiteStateMessage, _ coordinator: Int) {
        let grantor = freshGrantors[state.site]
        var hasGrown = false
        for (position, domain) in grantor.domains.enumerated() {
            coordinators[coordinator].fleet.leader!.engine.setBudget(
                domain, state.budgets[position])
        }
        for (position, node) in grantor.nodes.enumerated() {
            let nodeState = state.states[position]
            let charge = nodeState == .live ? Milliwatts.zero : state.charges[position]
            if charge != coordinators[coordinator].fleet.minimumCharges[node.position] {
                if charge < coordinators[coordinator].fleet.minimumCharges[node.position] {
                    hasGrown = true
                }
                coordinators[coordinator].fleet.minimumCharges[node.position] = charge
                coordinators[coordinator].fleet.leader!.engine.setMinimumCharge(node, charge)
            }
            let isEligible = nodeState == .live && isCommissioned(node, state, grantor)
            if isEligible != coordinators[coordinator].fleet.isEligible[node.position] {
                coordinators[coordinator].fleet.isEligible[node.position] = isEligible
                if isEligible { hasGrown = true }
                coordinators[coordinator].fleet.leader!.engine.setEligible(
                    node, isEligible ? nil : .silent)
            }
        }
        if hasGrown { coordinators[coordinator].fleet.leader!.capacityChanged() }
    }

    private func isCommissioned(
        _ node: NodeIndex, _ state: SiteStateMessage, _ grantor: SiteGrantor
    ) -> Bool {
        guard state.hasLeftCommissioning.contains(false) else { return true }
        var isCommissioned = true
        topology.forEachDomain(of: node) { domain in
            if let position = grantor.domains.firstIndex(of: domain),
                !state.hasLeftCommissioning[position]
            {
                isCommissioned = false
            }
        }
        return isCommissioned
    }

    /// Sends a site's leader what its ledger must hold: when that has changed, and every two seconds.
    private mutating func sendPlan(to site: Int, _ coordinator: Int) {
        guard let leader = coordinators[coordinator].fleet.leader,
            let known = coordinators[coordinator].fleet.siteLeader[site],
            coordinators[coordinator].fleet.fencedEpoch[site] == known.epoch
        else { return }
        let last = coordinators[coordinator].fleet.planned[site]
        let requests = leader.floorRequests[site]
        let index = SiteIndex(site)
        let isNew = last.version != leader.held.version || last.requests != requests
        let isWaiting = leader.needsFloors(in: index)
        guard isNew || isWaiting || now - last.at > 2_000_000_000 else { return }
        coordinators[coordinator].fleet.planCount += 1
        let number = coordinators[coordinator].fleet.planCount
        coordinators[coordinator].fleet.planned[site] = (leader.held.version, requests, now)
        if isWaiting {
            if coordinators[coordinator].fleet.snapshots.count >= 24 {
                coordinators[coordinator].fleet.snapshots.removeFirst()
            }
            coordinators[coordinator].fleet.snapshots.append(
                (number, leader.floorsSnapshot(of: index)))
        }
        let plan = FleetPlanMessage(
            fleetEpoch: coordinators[coordinator].fleet.epoch, number: number,
            siteEpoch: known.epoch, held: leader.held, awaitsFloors: isWaiting)
        send(
            .fleet(.plan(plan)), from: parties.coordinator(coordinator),
            to: parties.coordinator(known.coordinator))
    }

    private mutating func floorsHeldArrived(_ floors: FloorsHeldMessage, _ coordinator: Int) {
        guard coordinators[coordinator].fleet.leader != nil,
            floors.fleetEpoch == coordinators[coordinator].fleet.epoch,
            let place = coordinators[coordinator].fleet.snapshots.firstIndex(where: {
                $0.number == floors.number
            })
        else { return }
        let snapshot = coordinators[coordinator].fleet.snapshots[place].1
        guard snapshot.site.position == floors.site else { return }
        let grantor = freshGrantors[floors.site]
        coordinators[coordinator].fleet.leader!.floorsCommitted(
            snapshot, revision: floors.revision
        ) { node, floor in
            guard let position = grantor.position(of: node) else { return false }
            return floors.reserved[position] >= floor
        }
    }
}

// MARK: - The site leader's side

extension FleetWorld {
    /// Tells the fleet leader how the site stands.
    mutating func tellFleet(_ coordinator: Int, _ views: [DomainLedgerView]) {
        let clocks = coordinators[coordinator].clock.reading(now: now)
        let count = coordinators[coordinator].grantor.nodes.count
        var states: [NodeLeaseState] = []
        var charges: [Milliwatts] = []
        states.reserveCapacity(count)
        charges.reserveCapacity(count)
        coordinators[coordinator].grantor.forEachNode(now: clocks) { _, view in
            states.append(view.state)
            charges.append(view.charge)
        }
        guard states.count == count else { return }
        let state = SiteStateMessage(
            site: coordinators[coordinator].site,
            epoch: coordinators[coordinator].grantor.currentEpoch,
            revision: coordinators[coordinator].grantor.revision,
            budgets: views.map { min($0.budget, $0.target) }, states: states, charges: charges,
            hasLeftCommissioning: views.map(\.hasLeftCommissioning))
        send(
            .fleet(.siteState(state)), from: parties.coordinator(coordinator),
            to: parties.coordinator(coordinators[coordinator].fleetLeader))
    }

    private mutating func planArrived(_ plan: FleetPlanMessage, from: Int, _ coordinator: Int) {
        guard coordinators[coordinator].grantor.leads,
            plan.siteEpoch == coordinators[coordinator].grantor.currentEpoch
        else { return }
        if let present = coordinators[coordinator].plan, !plan.isAfter(present) { return }
        if case .coordinator(let sender) = parties.kind(from) {
            coordinators[coordinator].fleetLeader = sender
        }
        coordinators[coordinator].plan = plan
        let nodes = coordinators[coordinator].grantor.nodes
        for (position, node) in nodes.enumerated() {
            coordinators[coordinator].floors[position] = plan.held.nodeFloor[node.position]
        }
    }

    /// Says which floors the write that was just acknowledged holds.
    mutating func reportFloors(_ coordinator: Int) {
        guard let plan = coordinators[coordinator].planInFlight, plan.awaitsFloors else { return }
        var reserved: [Milliwatts] = []
        for node in freshGrantors[coordinators[coordinator].site].nodes {
            reserved.append(coordinators[coordinator].grantor.reservedFloors(of: node))
        }
        let message = FloorsHeldMessage(
            site: coordinators[coordinator].site, fleetEpoch: plan.fleetEpoch,
            number: plan.number, revision: coordinators[coordinator].grantor.revision,
            reserved: reserved)
        send(
            .fleet(.floorsHeld(message)), from: parties.coordinator(coordinator),
            to: parties.coordinator(coordinators[coordinator].fleetLeader))
    }
}
