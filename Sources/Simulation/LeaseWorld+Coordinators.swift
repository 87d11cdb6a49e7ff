// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// The shell of a site grantor, and the wishes of a fleet around it.
struct SimulatedCoordinator {
    var grantor: SiteGrantor
    var clock: SimulatedClock
    /// Names the take-over under way; older answers are ignored.
    var token = 0
    /// The epoch that was won, and the clocks at its acknowledgement, until the ledger is read.
    var won: (epoch: UInt64, at: ClockReading)?
    var versions = SimulatedStore.Versions(site: 0, shards: [])
    /// It has seen that the store was put back, and serves no more.
    var hasStopped = false
    var targets = [Milliwatts](
        repeating: LeaseScenario.units(2), count: LeaseScenario.nodeCount)
    var floors = [Milliwatts](repeating: .zero, count: LeaseScenario.nodeCount)
}

extension LeaseWorld {
    mutating func takeOver(_ coordinator: Int) {
        guard !coordinators[coordinator].hasStopped else { return }
        report.takeOvers += 1
        coordinators[coordinator].token += 1
        coordinators[coordinator].won = nil
        coordinators[coordinator].grantor.stepDown()
        let token = coordinators[coordinator].token
        tell("c\(coordinator) campaigns")
        send(
            .raiseEpoch(coordinator: coordinator, token: token), from: .coordinator(coordinator),
            to: .store)
    }

    mutating func coordinatorReceives(_ message: Message, _ coordinator: Int) {
        switch message {
        case .epochRaised(let token, let epoch):
            guard token == coordinators[coordinator].token,
                coordinators[coordinator].won == nil, !coordinators[coordinator].grantor.leads
            else { return }
            let clocks = coordinators[coordinator].clock.reading(now: now)
            coordinators[coordinator].won = (epoch, clocks)
            send(
                .readLedger(coordinator: coordinator, token: token),
                from: .coordinator(coordinator), to: .store)
        case .ledgerRead(let token, let ledger, let versions):
            guard token == coordinators[coordinator].token else { return }
            lead(coordinator, ledger: ledger, versions: versions)
        case .written(let sequence, let epoch, let outcome):
            writeAnswered(coordinator, sequence: sequence, epoch: epoch, outcome: outcome)
        case .renewal(let renewal, let node):
            renewalArrived(renewal, node: node, coordinator: coordinator)
        case .grant, .raiseEpoch, .readLedger, .write: break
        }
    }

    private mutating func lead(
        _ coordinator: Int, ledger: LedgerSnapshot, versions: SimulatedStore.Versions
    ) {
        guard let won = coordinators[coordinator].won else { return }
        coordinators[coordinator].won = nil
        coordinators[coordinator].versions = versions
        let id = RandomID(high: generator.next() | 1, low: generator.next())
        do {
            try coordinators[coordinator].grantor.takeOver(
                epoch: won.epoch, epochID: id, ledger: ledger, now: won.at,
                isStoreDistrusted: isStoreDistrusted)
            tell("c\(coordinator) leads epoch \(won.epoch)")
        } catch {
            // A later epoch has written already: this one is over before it began.
            tell("c\(coordinator) cannot take over: \(error)")
        }
        for shard in ledger.shards {
            for node in 0..<shard.count {
                coordinators[coordinator].floors[node] = shard.floors[node]
            }
        }
    }

    private mutating func renewalArrived(_ renewal: LeaseRenewal, node: Int, coordinator: Int) {
        let clocks = coordinators[coordinator].clock.reading(now: now)
        let result = coordinators[coordinator].grantor.renewalReceived(
            renewal, from: NodeIndex(node), now: clocks)
        switch result {
        case .superseded: takeOver(coordinator)
        case .storeRolledBack(let fence):
            report.storeRollbackAlarms += 1
            if backup != nil {
                coordinators[coordinator].hasStopped = true
                coordinators[coordinator].grantor.stepDown()
            }
            tell("c\(coordinator) sees fence \(fence) of n\(node)")
        case .queued, .notLeading, .unknownNode: break
        }
    }

    mutating func tick(_ coordinator: Int) {
        after(generator.uniform(400_000_000...600_000_000), .tick(coordinator))
        guard coordinators[coordinator].grantor.leads, !isPaused(.coordinator(coordinator)) else {
            return
        }
        wish(coordinator)
        let clocks = coordinators[coordinator].clock.reading(now: now)
        let write = coordinators[coordinator].grantor.tick(
            now: clocks, targets: coordinators[coordinator].targets,
            floors: coordinators[coordinator].floors)
        sendGrants(coordinators[coordinator].grantor.takeUnfencedGrants(), from: coordinator)
        guard let write else { return }
        let epoch = coordinators[coordinator].grantor.currentEpoch
        send(
            .write(
                coordinator: coordinator, write, epoch: epoch, coordinators[coordinator].versions),
            from: .coordinator(coordinator), to: .store)
        after(
            4_000_000_000,
            .writeTimeout(coordinator: coordinator, epoch: epoch, sequence: write.sequence))
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
            coordinators[coordinator].grantor.writeCommitted(
                sequence: sequence, now: coordinators[coordinator].clock.reading(now: now),
                into: &grants)
            guard coordinators[coordinator].grantor.revision != before else { return }
            coordinators[coordinator].versions = versions
            sendGrants(grants, from: coordinator)
        case .deposed:
            tell("c\(coordinator) is deposed")
            coordinators[coordinator].grantor.stepDown()
        case .conflict: break  // A repeated message; the write itself was answered.
        }
    }

    private mutating func sendGrants(_ grants: [IssuedGrant], from coordinator: Int) {
        for issued in grants {
            send(
                .grant(issued.grant), from: .coordinator(coordinator),
                to: .node(issued.node.position))
        }
    }

    mutating func writeTimedOut(_ coordinator: Int, epoch: UInt64, sequence: UInt64) {
        guard coordinators[coordinator].grantor.leads,
            coordinators[coordinator].grantor.currentEpoch == epoch,
            coordinators[coordinator].grantor.revision < sequence
        else { return }
        coordinators[coordinator].grantor.stepDown()
        after(generator.uniform(0...2_000_000_000), .takeOver(coordinator))
    }

    /// What the fleet wants changes now and then.
    private mutating func wish(_ coordinator: Int) {
        let mean = scenario.demandNanoseconds
        for node in nodes.indices where mean > 0 && isTimeFor(mean) {
            let units = [2, 2, 4, 6, 8, 10][generator.index(below: 6)]
            coordinators[coordinator].targets[node] = LeaseScenario.units(units)
        }
        if scenario.features.contains(.floors) {
            for node in nodes.indices where isTimeFor(15_000_000_000) {
                let units = [0, 0, 4, 5, 6][generator.index(below: 5)]
                coordinators[coordinator].floors[node] = LeaseScenario.units(units)
            }
        }
        if scenario.features.contains(.fallbacks), isTimeFor(5_000_000_000) {
            let units = generator.index(below: 4) + 2
            coordinators[coordinator].grantor.setFallback(
                LeaseScenario.units(units), of: NodeIndex(generator.index(below: nodes.count)))
        }
        if scenario.features.contains(.limits), isTimeFor(10_000_000_000) {
            let domain = generator.index(below: topology.domains.count)
            let less = LeaseScenario.units([0, 4, 8][generator.index(below: 3)])
            // A rack's budget below its fallbacks could never become effective.
            let least = LeaseScenario.units(domain == 0 ? 20 : 10)
            coordinators[coordinator].grantor.setLimit(
                max(topology.domains[domain].limit - less, least), of: DomainIndex(domain))
        }
        if scenario.features.contains(.reboots) { wishReboots(coordinator) }
    }

    private mutating func wishReboots(_ coordinator: Int) {
        if isTimeFor(20_000_000_000) {
            coordinators[coordinator].grantor.prepareReboot(
                NodeIndex(generator.index(below: nodes.count)))
        }
        for node in nodes.indices where nodes[node].isPowered && !nodes[node].isPowerOnUntold {
            if coordinators[coordinator].grantor.isReadyForReboot(NodeIndex(node)) {
                powerOff(node)
            }
        }
    }

    /// True once in `mean` on average, asked twice a second.
    private mutating func isTimeFor(_ mean: Int64) -> Bool {
        generator.chance(Int(500_000_000 * 1_000_000 / mean))
    }
}
