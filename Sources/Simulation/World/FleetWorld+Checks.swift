// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

extension FleetWorld {
    mutating func note(_ kind: WorldViolation.Kind, _ detail: String) {
        guard report.violation == nil else { return }
        // Beyond the assumptions only the promise itself counts: what domains draw.
        if scenario.broken != nil, kind != .budget { return }
        report.violation = WorldViolation(
            kind: kind, milliseconds: now / 1_000_000, detail: detail)
        for node in nodes.indices where story != nil && truth.charge[node] > 0 {
            let state = truth.isRecovering[node] ? ", recovering" : ""
            tell(
                "\(topology.nodes[node].name) enforces \(Milliwatts(truth.enforced[node])) of "
                    + "\(Milliwatts(truth.charge[node]))\(state)")
        }
        tell("VIOLATION \(kind.rawValue): \(detail)")
    }

    /// Forgets what has settled by now.
    private mutating func settle() {
        while let time = settling.nextTime, time <= now {
            guard let (_, number) = settling.next() else { return }
            let node = Int(number)
            truth.setEnforced(node, nodes[node].hardware.enforced(now: now).rawValue)
        }
    }

    /// Checks one node and all that carries it: after each rise of what it may be enforcing.
    mutating func checkNode(_ node: Int) {
        settle()
        if truth.enforced[node] > truth.charge[node], !truth.isRecovering[node] {
            let charge = Milliwatts(truth.charge[node])
            let most = Milliwatts(truth.enforced[node])
            note(.charge, "\(topology.nodes[node].name) enforces \(most), is charged \(charge)")
        }
        var worst: Int?
        truth.forEachDomain(of: node) { domain in
            if truth.hasLeftCommissioning[domain],
                truth.domainEnforced[domain] > truth.bound(domain)
            {
                worst = domain
            }
        }
        if let worst { noteExcess(worst) }
        let root = topology.sites[nodes[node].site].root.position
        if truth.recovering[root] == 0, truth.hasLeftCommissioning[root] {
            report.peakUsePPM = max(
                report.peakUsePPM, truth.domainEnforced[root] * 1_000_000 / truth.budget[root])
        }
    }

    private mutating func noteExcess(_ domain: Int) {
        let name = topology.domains[domain].name
        let enforced = Milliwatts(truth.domainEnforced[domain])
        note(.budget, "\(name) enforces \(enforced) of \(Milliwatts(truth.bound(domain)))")
    }

    /// Takes over what a site's store holds now.
    ///
    /// `changed` are the shards that a write has replaced; nil for all.
    mutating func adoptLedger(of site: Int, changed: [ShardWrite]? = nil) {
        let grantor = freshGrantors[site]
        let ledger = stores[site].ledger
        func adopt(_ shard: LedgerShard) {
            for entry in 0..<shard.count {
                let node = grantor.nodes[Int(shard.firstNode) + entry].position
                truth.setCharge(node, shard.charge[entry].rawValue)
                jobs.reservedFloors[node] = shard.floors[entry]
                jobs.isProven[node] = shard.proof[entry] == .proven
            }
        }
        if let changed {
            for change in changed { adopt(change.shard) }
        } else {
            for shard in ledger.shards { adopt(shard) }
        }
        guard let record = ledger.site else { return }
        for (position, domain) in grantor.domains.enumerated() {
            let limit = record.effectiveLimit[position]
            let overhead = topology.domains[domain.position].overhead
            truth.budget[domain.position] = (limit - overhead).rawValue
            truth.hasLeftCommissioning[domain.position] = record.hasLeftCommissioning[position]
        }
    }

    /// Checks every domain and node of a site: after each write of its ledger.
    mutating func checkSite(_ site: Int) {
        settle()
        for domain in freshGrantors[site].domains
        where truth.hasLeftCommissioning[domain.position] {
            let position = domain.position
            if truth.domainCharge[position] > truth.budget[position] {
                let charged = Milliwatts(truth.domainCharge[position])
                let budget = Milliwatts(truth.budget[position])
                note(
                    .ledger, "\(topology.domains[position].name) is charged \(charged) of \(budget)"
                )
            }
        }
        for node in freshGrantors[site].nodes {
            let position = node.position
            if truth.enforced[position] > truth.charge[position], !truth.isRecovering[position] {
                checkNode(position)
            }
            checkFloors(position)
        }
    }

    /// One entry of a site's ledger as its store has it.
    func ledgerEntry<Value>(_ node: Int, _ column: KeyPath<LedgerShard, [Value]>) -> Value? {
        let site = nodes[node].site
        guard let position = freshGrantors[site].position(of: NodeIndex(node)) else { return nil }
        return stores[site].entry(position, column)
    }
}

// MARK: - Liveness

extension FleetWorld {
    /// Faults end, and all but a few nodes and coordinators are mended: the core must converge.
    mutating func calmDown() {
        isCalm = true
        tell("the core heals")
        for link in cuts.indices { cuts[link] = 0 }
        for party in pausedUntil.indices { pausedUntil[party] = 0 }
        for store in storeStates.indices {
            storeStates[store].downUntil = 0
            storeStates[store].movingUntil = 0
        }
        for coordinator in coordinators.indices where coordinators[coordinator].isDown {
            after(
                generator.uniform(0...2_000_000_000),
                .coordinatorStarts(
                    Int32(coordinator), life: coordinators[coordinator].life))
        }
        for node in nodes.indices {
            nodes[node].isAgentDown = false
            nodes[node].liesUntil = 0
            if nodes[node].holder == nil, nodes[node].isPowered {
                after(
                    generator.uniform(0...2_000_000_000),
                    .enforcerStarts(Int32(node), boot: nodes[node].boot))
            }
        }
        leaveBroken()
    }

    /// One coordinator of each site that has three, and one node in ten, stay dead.
    private mutating func leaveBroken() {
        for (site, count) in scenario.coordinatorCounts.enumerated() where count > 2 {
            crash(
                firstCoordinator(of: site) + generator.index(below: count),
                for: (scenario.calmSeconds + 1) * 1_000_000_000)
        }
        for node in nodes.indices where generator.chance(100_000) {
            isLeftBroken[node] = true
            nodes[node].isAgentDown = true
            // The enforcer of a class S node comes back whatever happens: that is what the class says.
            if !nodes[node].isSupervised { end(node) }
        }
    }

    /// What must be so at the end: every site has a leader, every healed node a lease, every limit is
    /// the one that is wanted where silent nodes leave room for it, and the fleet has a leader.
    mutating func checkConvergence() {
        for site in stores.indices {
            let leaders = coordinators.indices.filter {
                coordinators[$0].site == site && coordinators[$0].grantor.leads
                    && coordinators[$0].grantor.currentEpoch == stores[site].epoch
            }
            if leaders.count != 1 {
                note(.liveness, "site \(topology.sites[site].name) has \(leaders.count) leaders")
            }
        }
        for node in nodes.indices where !isLeftBroken[node] && nodes[node].isPowered {
            guard ledgerEntry(node, \.proof) == .proven else { continue }
            if nodes[node].holder?.hasLease != true {
                note(.liveness, "\(topology.nodes[node].name) has no lease")
            }
        }
        for domain in topology.domains.indices where truth.hasLeftCommissioning[domain] {
            let wanted = (wantedLimits[domain] - topology.domains[domain].overhead).rawValue
            if truth.budget[domain] < wanted {
                note(.liveness, "\(topology.domains[domain].name) has not its limit back")
            }
        }
        checkFleetConvergence()
    }
}
