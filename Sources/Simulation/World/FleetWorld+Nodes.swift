// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

// MARK: - The enforcer

extension FleetWorld {
    mutating func startEnforcer(_ node: Int, boot: Int32) {
        guard nodes[node].isPowered, nodes[node].boot == boot, nodes[node].holder == nil,
            !isLeftBroken[node] || nodes[node].isSupervised
        else { return }
        var configuration = nodes[node].configuration
        configuration.bootID.low = UInt64(boot) + 1
        nodes[node].generation += 1
        nodes[node].isBusy = false
        nodes[node].wakeAt = 0
        nodes[node].waitingGrants.removeAll(keepingCapacity: true)
        nodes[node].holder = LeaseHolder(
            configuration: configuration,
            incarnation: RandomID(high: generator.next() | 1, low: generator.next()),
            record: nodes[node].record,
            provenEnforcerNanoseconds: nodes[node].isSupervised ? 500_000_000 : nil,
            now: nodes[node].clock.reading(now: now), rules: scenario.rules)
        nodes[node].startedAt = now
        driveEnforcer(node)
    }

    mutating func wakeEnforcer(_ node: Int, generation: Int32) {
        guard nodes[node].generation == generation, nodes[node].wakeAt == now else { return }
        nodes[node].wakeAt = 0
        driveEnforcer(node)
    }

    /// Asks the holder for steps until one takes time, or there is none.
    mutating func driveEnforcer(_ node: Int) {
        while nodes[node].holder != nil, !nodes[node].isBusy {
            let clocks = nodes[node].clock.reading(now: now)
            let step = nodes[node].holder!.nextStep(now: clocks)
            switch step {
            case .wait(let nanoseconds):
                sleep(node, nanoseconds)
                if nodes[node].holder!.takeAcknowledgement() { sendRenewal(node) }
                return
            case .readCaps:
                if killsAtStep(node) { return }
                let wasFirst = nodes[node].holder!.isStarting
                nodes[node].holder!.capsRead(nodes[node].hardware.limits, now: clocks)
                if wasFirst, nodes[node].holder!.hasLease { report.resumes += 1 }
            case .setCap, .storeRecord:
                nodes[node].isBusy = true
                after(
                    generator.uniform(500_000...6_000_000),
                    .stepDone(
                        Int32(node), generation: nodes[node].generation, step))
                return
            }
        }
    }

    private mutating func sleep(_ node: Int, _ nanoseconds: Int64) {
        let late = generator.uniform(0...10_000_000)
        let time = now + nodes[node].clock.realTime(for: nanoseconds) + late
        let present = nodes[node].wakeAt
        // A wake that comes too early does no harm.
        if present > now, present <= time { return }
        nodes[node].wakeAt = time
        agenda.add(.enforcerWakes(Int32(node), generation: nodes[node].generation), at: time)
    }

    /// Carries a step out and answers it; the process may be killed just before or just after.
    mutating func finish(_ step: LeaseHolder.Step, on node: Int) {
        if killsAtStep(node) { return }
        let clocks = nodes[node].clock.reading(now: now)
        switch step {
        case .setCap(let device, let cap): writeHardware(node, device: device, cap: cap)
        case .storeRecord(let record): nodes[node].record = record
        case .readCaps, .wait: break
        }
        if killsAtStep(node) { return }
        nodes[node].isBusy = false
        switch step {
        case .setCap(let device, _):
            let readBack = nodes[node].hardware.limits[device]
            nodes[node].holder!.capWritten(device: device, readBack: readBack, now: clocks)
        case .storeRecord: nodes[node].holder!.recordStored(now: clocks)
        case .readCaps, .wait: break
        }
        while let grant = nodes[node].waitingGrants.popLast() { take(grant, node) }
        driveEnforcer(node)
    }

    private mutating func killsAtStep(_ node: Int) -> Bool {
        guard !isCalm, scenario.settings.killPPM > 0,
            generator.chance(scenario.settings.killPPM)
        else { return false }
        return kill(node)
    }

    private mutating func writeHardware(_ node: Int, device: Int, cap: Milliwatts) {
        let old = nodes[node].hardware.limits[device]
        nodes[node].hardware.set(device, cap, now: now)
        report.hardwareWrites += 1
        fold(UInt64(cap.rawValue) &+ UInt64(node * 64 + device) &* 1_000_003)
        tell("\(topology.nodes[node].name) gpu \(device): \(old) -> \(cap)")
        hardwareChanged(node)
    }

    /// Brings the checkers' columns up to date after a change of a node's hardware, and checks.
    mutating func hardwareChanged(_ node: Int) {
        let before = truth.enforced[node]
        let most = nodes[node].hardware.enforced(now: now).rawValue
        truth.setEnforced(node, most)
        if nodes[node].hardware.isSettling {
            settling.add(
                Int32(node), at: now + nodes[node].hardware.settleNanoseconds)
        }
        if most > before { checkNode(node) }
    }

    /// Ends the enforcer; a supervisor starts it again, on class S nodes within σ.
    mutating func kill(_ node: Int) -> Bool {
        guard nodes[node].holder != nil, now - nodes[node].lastKill > 4_000_000_000 else {
            return false
        }
        report.faults.note(.enforcerKill)
        nodes[node].lastKill = now
        end(node)
        let down =
            nodes[node].isSupervised || isCalm
            ? generator.uniform(50_000_000...350_000_000)
            : generator.uniform(200_000_000...60_000_000_000)
        tell("\(topology.nodes[node].name) enforcer killed for \(down / 1_000_000) ms")
        after(down, .enforcerStarts(Int32(node), boot: nodes[node].boot))
        return true
    }

    mutating func countHolder(_ node: Int) {
        guard let counts = nodes[node].holder?.counts else { return }
        report.expiries += Int(counts.leaseExpiries)
        report.grantsAccepted += Int(counts.grantsAccepted)
    }

    mutating func end(_ node: Int) {
        countHolder(node)
        nodes[node].holder = nil
        nodes[node].generation += 1
        nodes[node].isBusy = false
        nodes[node].wakeAt = 0
    }
}

// MARK: - The agent, which only relays

extension FleetWorld {
    /// How long an agent waits for an answer before it asks another coordinator.
    private var renewalPatience: Int64 { topology.lease.holdNanoseconds + 2_500_000_000 }

    mutating func agentWakes(_ node: Int) {
        after(generator.uniform(900_000_000...1_500_000_000), .agentWakes(Int32(node)))
        guard isAgentUp(node) else { return }
        if nodes[node].holder != nil, now - nodes[node].lastRenewal > renewalPatience {
            let isUnserved = now - nodes[node].lastGrant > renewalPatience
            if isUnserved, !nodes[node].hasMoved { nodes[node].favourite += 1 }
            sendRenewal(node)
        }
        superviseSession(node)
        if generator.chance(60_000) { wishShares(node) }
    }

    func isAgentUp(_ node: Int) -> Bool {
        nodes[node].isPowered && !nodes[node].isAgentDown && !isPaused(parties.node(node))
    }

    mutating func sendRenewal(_ node: Int) {
        guard isAgentUp(node) else { return }
        nodes[node].lastRenewal = now
        nodes[node].hasMoved = false
        let site = nodes[node].site
        let count = scenario.coordinatorCounts[site]
        let isBroadcast =
            !isCalm && count > 1 && generator.chance(scenario.settings.broadcastPPM)
        for step in 0..<(isBroadcast ? count : 1) {
            let clocks = nodes[node].clock.reading(now: now)
            guard let renewal = nodes[node].holder?.renewalRequested(now: clocks) else { return }
            let coordinator = firstCoordinator(of: site) + (nodes[node].favourite + step) % count
            send(
                .renewal(renewal, node: Int32(node)), from: parties.node(node),
                to: parties.coordinator(coordinator))
        }
    }

    func firstCoordinator(of site: Int) -> Int {
        scenario.coordinatorCounts.prefix(site).reduce(0, +)
    }

    /// Asks for another split of the cap in force.
    private mutating func wishShares(_ node: Int) {
        let clocks = nodes[node].clock.reading(now: now)
        guard let status = nodes[node].holder?.status(now: clocks) else { return }
        let ranges = nodes[node].configuration.devices
        var left = status.cap
        for range in ranges { left = left - range.minimum }
        guard left >= .zero else { return }
        let shares = ranges.map { range in
            let most = min(left, range.maximum - range.minimum)
            let more = Milliwatts(generator.uniform(0...max(0, most.rawValue)))
            left = left - more
            return range.minimum + more
        }
        _ = nodes[node].holder?.sharesRequested(shares, now: clocks)
        driveEnforcer(node)
    }

    mutating func agentReceives(_ message: Message, from: Int32, _ node: Int) {
        guard isAgentUp(node) else { return }
        switch message {
        case .grant(let grant):
            guard nodes[node].holder != nil else { return }
            if nodes[node].isBusy {
                nodes[node].waitingGrants.insert(grant, at: 0)
                return
            }
            take(grant, node)
            driveEnforcer(node)
        case .notLeading:
            guard case .coordinator(let coordinator) = parties.kind(Int(from)) else { return }
            let first = firstCoordinator(of: nodes[node].site)
            let count = scenario.coordinatorCounts[nodes[node].site]
            guard nodes[node].favourite % count == coordinator - first else { return }
            nodes[node].favourite += 1
            nodes[node].hasMoved = true
            // Ask the next one soon, not at once: nobody may lead.
            nodes[node].lastRenewal = min(
                nodes[node].lastRenewal, now - renewalPatience + 500_000_000)
        default: break
        }
    }

    private mutating func take(_ grant: LeaseGrant, _ node: Int) {
        let clocks = nodes[node].clock.reading(now: now)
        guard let outcome = nodes[node].holder?.grantReceived(grant, now: clocks) else { return }
        tell("\(topology.nodes[node].name) grant \(grant.order) \(grant.cap): \(outcome)")
        guard outcome == .accepted else { return }
        if grant.order <= nodes[node].lastOrder {
            note(
                .fence,
                "\(topology.nodes[node].name) took \(grant.order) after \(nodes[node].lastOrder)")
        }
        nodes[node].lastOrder = grant.order
        nodes[node].lastGrant = now
    }
}

// MARK: - Power cycles and resets

extension FleetWorld {
    mutating func powerOff(_ node: Int, isAnnounced: Bool) {
        tell("\(topology.nodes[node].name) powered off")
        end(node)
        nodes[node].boot += 1
        nodes[node].isPowered = false
        nodes[node].lastOrder = .zero
        nodes[node].session = NodeSession()
        nodes[node].tasks.removeAll()
        nodes[node].isPowerOnUntold = isAnnounced
        // It will come up uncapped: from now on its domains bear no other such node.
        if !isAnnounced { beginRecovery(node) }
        nodes[node].hardware.powerOff()
        hardwareChanged(node)
        after(
            generator.uniform(1_000_000_000...6_000_000_000),
            .powerOn(Int32(node), boot: nodes[node].boot))
    }

    mutating func powerOn(_ node: Int, boot: Int32) {
        guard nodes[node].boot == boot, !nodes[node].isPowered else { return }
        nodes[node].isPowered = true
        if !nodes[node].isPowerOnUntold { beginRecovery(node) }
        raiseAll(node)
        after(
            generator.uniform(1_000_000_000...10_000_000_000),
            .enforcerStarts(Int32(node), boot: boot))
        if nodes[node].isPowerOnUntold {
            after(
                generator.uniform(100_000_000...2_000_000_000),
                .powerOnTold(Int32(node), boot: boot))
        }
    }

    /// Every device goes to its default cap.
    private mutating func raiseAll(_ node: Int) {
        for device in nodes[node].hardware.limits.indices {
            nodes[node].hardware.set(device, nodes[node].maximumCap, now: now)
        }
        hardwareChanged(node)
    }

    /// Tells whoever leads, until the ledger has it.
    mutating func tellPowerOn(_ node: Int, boot: Int32) {
        guard nodes[node].boot == boot else { return }
        let proof = ledgerEntry(node, \.proof)
        guard proof == .rebooting else {
            nodes[node].isPowerOnUntold = false
            return
        }
        for coordinator in coordinators.indices
        where coordinators[coordinator].site == nodes[node].site {
            coordinators[coordinator].grantor.powerOnConfirmed(NodeIndex(node))
        }
        after(1_000_000_000, .powerOnTold(Int32(node), boot: boot))
    }

    /// Takes nodes down for which the ledger says that they may go.
    mutating func wishReboots(_ coordinator: Int) {
        guard hasAskedForReboot else { return }
        for node in freshGrantors[coordinators[coordinator].site].nodes
        where nodes[node.position].isPowered && !nodes[node.position].isPowerOnUntold {
            guard coordinators[coordinator].grantor.isReadyForReboot(node) else { continue }
            guard nodes[node.position].boot == nodes[node.position].bootToEnd else {
                // The boot that was to end has ended: a late leader must not end the next one, too.
                coordinators[coordinator].grantor.powerOnConfirmed(node)
                continue
            }
            report.faults.note(.powerCycle)
            powerOff(node.position, isAnnounced: true)
        }
    }

    mutating func resetDriver(_ node: Int) {
        tell("\(topology.nodes[node].name) driver reset")
        beginRecovery(node)
        raiseAll(node)
    }

    /// How long the enforcer may take to bring a reset node back: G6's second, then the way down.
    private var recoveryNanoseconds: Int64 {
        1_300_000_000 + 2 * topology.lease.settleNanoseconds
    }

    /// From now on the node's domains bear what the ledger does not cover.
    private mutating func beginRecovery(_ node: Int) {
        nodes[node].resetAt = now
        truth.setRecovering(node, true)
        after(recoveryNanoseconds, .recoveryDue(Int32(node)))
    }

    /// A recovery takes as long again from a start of the enforcer; while it is down there is no end.
    mutating func reviewRecovery(_ node: Int) {
        guard let resetAt = nodes[node].resetAt else { return }
        let since = max(resetAt, nodes[node].startedAt)
        let due = since + recoveryNanoseconds
        if nodes[node].holder == nil || !nodes[node].isPowered {
            after(1_000_000_000, .recoveryDue(Int32(node)))
        } else if now < due {
            agenda.add(.recoveryDue(Int32(node)), at: due)
        } else {
            nodes[node].resetAt = nil
            truth.setRecovering(node, false)
            checkNode(node)
        }
    }
}
