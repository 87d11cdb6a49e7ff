// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// A node: its hardware, its stored record, and the enforcer when it runs.
struct SimulatedNode {
    let number: Int
    let isSupervised: Bool
    var hardware: SimulatedHardware
    var clock: SimulatedClock
    /// What the enforcer keeps in storage; only a power cycle leaves it without its boot.
    var record: LeaseRecord?
    var boot = 0
    var isPowered = true
    /// The site leader does not know yet that the node is powered on again.
    var isPowerOnUntold = false
    var holder: LeaseHolder?
    /// Counts starts and deaths of the enforcer: events of earlier ones are void.
    var generation = 0
    /// A step is being carried out.
    var isBusy = false
    var lastKill: Int64 = -10_000_000_000
    var startedAt: Int64 = 0
    var resetAt: Int64?
    var expiries = 0

    init(
        number: Int, isSupervised: Bool, hardware: SimulatedHardware, clock: SimulatedClock
    ) {
        self.number = number
        self.isSupervised = isSupervised
        self.hardware = hardware
        self.clock = clock
    }
}

extension LeaseWorld {
    mutating func startEnforcer(_ node: Int, boot: Int) {
        guard nodes[node].isPowered, nodes[node].boot == boot, nodes[node].holder == nil else {
            return
        }
        let range = CapRange(minimum: LeaseScenario.units(1), maximum: LeaseScenario.units(5))
        let configuration = LeaseHolder.Configuration(
            node: topology.nodes[node].name,
            bootID: RandomID(high: UInt64(node) + 1, low: UInt64(boot) + 1),
            fallback: LeaseScenario.units(2),
            devices: Array(repeating: range, count: LeaseScenario.devicesPerNode),
            settleNanoseconds: scenario.lease.settleNanoseconds, driftPPM: scenario.lease.driftPPM)
        nodes[node].generation += 1
        nodes[node].isBusy = false
        nodes[node].holder = LeaseHolder(
            configuration: configuration,
            incarnation: RandomID(high: generator.next() | 1, low: generator.next()),
            record: nodes[node].record,
            provenEnforcerNanoseconds: nodes[node].isSupervised ? 500_000_000 : nil,
            now: nodes[node].clock.reading(now: now), rules: scenario.rules)
        tell("n\(node) enforcer starts")
        nodes[node].startedAt = now
        driveEnforcer(node)
    }

    /// Asks the holder for its next step, unless one is under way.
    mutating func driveEnforcer(_ node: Int) {
        guard nodes[node].holder != nil, !nodes[node].isBusy else { return }
        let clocks = nodes[node].clock.reading(now: now)
        guard let step = nodes[node].holder?.nextStep(now: clocks) else { return }
        nodes[node].holder?.checkInvariants()
        let generation = nodes[node].generation
        if case .wait(let nanoseconds) = step {
            let late = generator.uniform(0...20_000_000)
            after(
                nodes[node].clock.realTime(for: nanoseconds) + late,
                .enforcerWakes(node, generation: generation))
            if nodes[node].holder?.takeAcknowledgement() == true { sendRenewals(node) }
            return
        }
        nodes[node].isBusy = true
        after(
            generator.uniform(1_000_000...12_000_000),
            .stepDone(node, generation: generation, step))
    }

    /// Carries a step out and answers it; the process may be killed just before or just after.
    mutating func finish(_ step: LeaseHolder.Step, on node: Int) {
        let fate = generator.index(below: 2_000_000)
        if fate < scenario.killsPerMillionSteps, kill(node) { return }
        let clocks = nodes[node].clock.reading(now: now)
        var reading: [Milliwatts] = []
        switch step {
        case .readCaps: reading = nodes[node].hardware.limits
        case .setCap(let device, let cap): writeHardware(node, device: device, cap: cap)
        case .storeRecord(let record): nodes[node].record = record
        case .wait: break
        }
        if fate >= 2_000_000 - scenario.killsPerMillionSteps, kill(node) { return }
        nodes[node].isBusy = false
        let wasFirst = nodes[node].holder?.isStarting ?? false
        switch step {
        case .readCaps: nodes[node].holder?.capsRead(reading, now: clocks)
        case .setCap(let device, _):
            let readBack = nodes[node].hardware.limits[device]
            nodes[node].holder?.capWritten(device: device, readBack: readBack, now: clocks)
        case .storeRecord: nodes[node].holder?.recordStored(now: clocks)
        case .wait: break
        }
        if wasFirst, nodes[node].holder?.hasLease == true { report.resumes += 1 }
        driveEnforcer(node)
    }

    private mutating func writeHardware(_ node: Int, device: Int, cap: Milliwatts) {
        let old = nodes[node].hardware.limits[device]
        nodes[node].hardware.set(device, cap, now: now)
        report.hardwareWrites += 1
        let folded = UInt64(cap.rawValue) &+ UInt64(node * 64 + device) &* 1_000_003 &+ UInt64(now)
        report.stateHash = (report.stateHash ^ folded) &* 0x0000_0100_0000_01B3
        tell("n\(node).\(device) \(old) -> \(cap)")
        check()
    }

    /// Ends the enforcer; a supervisor starts it again, on class S nodes within σ.
    mutating func kill(_ node: Int) -> Bool {
        guard nodes[node].holder != nil, now - nodes[node].lastKill > 4_000_000_000 else {
            return false
        }
        report.kills += 1
        nodes[node].lastKill = now
        end(node)
        let down =
            nodes[node].isSupervised
            ? generator.uniform(50_000_000...350_000_000)
            : generator.uniform(200_000_000...30_000_000_000)
        tell("n\(node) enforcer killed for \(down / 1_000_000) ms")
        after(down, .enforcerStarts(node, boot: nodes[node].boot))
        return true
    }

    mutating func end(_ node: Int) {
        if let holder = nodes[node].holder {
            nodes[node].expiries += Int(holder.counts.leaseExpiries)
            report.grantsAccepted += Int(holder.counts.grantsAccepted)
        }
        nodes[node].holder = nil
        nodes[node].generation += 1
        nodes[node].isBusy = false
    }

    // MARK: Power cycles

    mutating func powerOff(_ node: Int) {
        report.reboots += 1
        tell("n\(node) powered off")
        end(node)
        nodes[node].boot += 1
        nodes[node].isPowered = false
        nodes[node].hardware.powerOff()
        after(
            generator.uniform(1_000_000_000...6_000_000_000),
            .powerOn(node, boot: nodes[node].boot))
    }

    mutating func powerOn(_ node: Int, boot: Int) {
        guard nodes[node].boot == boot else { return }
        nodes[node].isPowered = true
        nodes[node].isPowerOnUntold = true
        for device in 0..<LeaseScenario.devicesPerNode {
            writeHardware(node, device: device, cap: LeaseScenario.units(5))
        }
        after(
            generator.uniform(1_000_000_000...15_000_000_000), .enforcerStarts(node, boot: boot))
        after(generator.uniform(100_000_000...2_000_000_000), .powerOnTold(node, boot: boot))
    }

    /// Tells whoever leads, until the ledger has it.
    mutating func tellPowerOn(_ node: Int, boot: Int) {
        guard nodes[node].boot == boot else { return }
        let isStored = store.entry(node, \.proof).map { $0 != .rebooting } ?? false
        guard !isStored else {
            nodes[node].isPowerOnUntold = false
            return
        }
        for coordinator in coordinators.indices {
            coordinators[coordinator].grantor.powerOnConfirmed(NodeIndex(node))
        }
        after(1_000_000_000, .powerOnTold(node, boot: boot))
    }

    // MARK: Driver resets

    /// Every device goes to its default cap; the enforcer has a second to notice, then to lower.
    mutating func resetDriver(_ node: Int) {
        guard nodes[node].isPowered else { return }
        report.resets += 1
        tell("n\(node) driver reset")
        nodes[node].resetAt = now
        for device in 0..<LeaseScenario.devicesPerNode {
            nodes[node].hardware.set(device, LeaseScenario.units(5), now: now)
        }
    }

    /// True while the caps of a reset may still be in force, which the ledger does not cover.
    ///
    /// G6 bounds that time; an enforcer that is down has its second after its start.
    func isRecovering(_ node: Int) -> Bool {
        guard let resetAt = nodes[node].resetAt else { return false }
        guard nodes[node].holder != nil else { return true }
        let longest = 1_300_000_000 + 2 * scenario.lease.settleNanoseconds
        return now < max(resetAt, nodes[node].startedAt) + longest
    }

    // MARK: The agent, which only relays

    mutating func agentWakes(_ node: Int) {
        after(generator.uniform(400_000_000...1_000_000_000), .agentWakes(node))
        guard !isPaused(.node(node)), nodes[node].holder != nil else { return }
        if generator.chance(350_000) { wishShares(node) }
        sendRenewals(node)
        driveEnforcer(node)
    }

    private mutating func sendRenewals(_ node: Int) {
        let first = generator.index(below: LeaseWorld.coordinatorCount)
        let count = generator.chance(333_333) ? LeaseWorld.coordinatorCount : 1
        for step in 0..<count {
            let clocks = nodes[node].clock.reading(now: now)
            guard let renewal = nodes[node].holder?.renewalRequested(now: clocks) else { return }
            send(
                .renewal(renewal, node: node), from: .node(node),
                to: .coordinator((first + step) % LeaseWorld.coordinatorCount))
        }
    }

    /// Asks for another split of the cap in force.
    private mutating func wishShares(_ node: Int) {
        let clocks = nodes[node].clock.reading(now: now)
        guard let status = nodes[node].holder?.status(now: clocks) else { return }
        let cap = Int(status.cap.rawValue / LeaseScenario.units(1).rawValue)
        let first = max(1, min(5, generator.index(below: max(1, cap)) + 1))
        let second = max(1, min(5, cap - first))
        _ = nodes[node].holder?.sharesRequested(
            [LeaseScenario.units(first), LeaseScenario.units(second)], now: clocks)
    }

    mutating func agentReceives(_ message: Message, _ node: Int) {
        guard case .grant(let grant) = message, !nodes[node].isBusy else {
            if case .grant = message, nodes[node].holder != nil {
                after(5_000_000, .delivery(message, to: .node(node)))
            }
            return
        }
        let clocks = nodes[node].clock.reading(now: now)
        guard let outcome = nodes[node].holder?.grantReceived(grant, now: clocks) else { return }
        tell("n\(node) grant \(grant.order) \(grant.cap): \(outcome)")
        driveEnforcer(node)
    }
}
