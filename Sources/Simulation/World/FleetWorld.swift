// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel

/// A seeded fleet of several sites in virtual time, in which the production state machines run: the
/// lease holder of every node, the grantor and the power loop of every site, the fleet leader over all.
///
/// ```
///  fleet store ◄──► coordinators (one leads the fleet) ──── sessions ────► agents, tasks
///                        │ plans, floors held ▲                              │
///  site stores ◄──► coordinators (one leads each site) ◄── renewals, grants ─┴─ enforcers ─► GPUs
/// ```
///
/// The world is the shell around those values: it carries their messages over a bad network, keeps
/// their records in bad stores, and ends, stops and restarts their processes at any step. After every
/// step that changes hardware, a ledger or a limit it checks what ``WorldViolation/Kind`` lists. The same
/// scenario and seed give the same run, to the bit.
package struct FleetWorld {
    let scenario: WorldScenario
    let topology: Topology
    var generator: SeededGenerator
    var agenda = Agenda<Event>()
    /// Real time, in nanoseconds.
    var now: Int64 = 0
    /// Party numbers: site stores, then the fleet store, coordinators, nodes.
    let parties: Parties
    var stores: [SimulatedStore]
    var storeStates: [StoreState]
    var fleetStore: SimulatedFleetStore
    var coordinators: [CoordinatorSeat] = []
    var nodes: [WorldNode] = []
    /// How often each link is cut, by sender and receiver.
    var cuts: [UInt8]
    /// Until when each party is stopped.
    var pausedUntil: [Int64]
    var truth: PowerTruth
    /// Nodes whose caps may have settled by then.
    var settling = Agenda<Int32>()
    /// The limits that operators want, by domain.
    var wantedLimits: [Milliwatts]
    /// Faults no longer strike, and what failed is being mended.
    var isCalm = false
    var jobs = JobTraffic()
    var sessionCount: UInt64 = 0
    /// Somebody has asked for a power cycle: ledgers are to be looked at.
    var hasAskedForReboot = false
    /// Nodes that stay broken in the liveness phase.
    var isLeftBroken: [Bool]
    let meterWatches: [MeterWatch]
    /// A copy of a site's store, to be put back.
    var storeCopy: SimulatedStore?
    var brokenStore: Int?
    /// Fresh grantors and loops, by site, to start a coordinator from.
    let freshGrantors: [SiteGrantor]
    let freshLoops: [SitePowerLoop]
    package internal(set) var report = WorldReport()
    /// Somebody who notes what changes; nil for nobody.
    var watch: FleetWatch?
    /// The story of a run, for people; kept only when asked for.
    package var story: Story?

    /// Who talks to whom, as dense numbers.
    struct Parties {
        let siteCount: Int
        let coordinatorCount: Int
        let nodeCount: Int
        var fleetStore: Int { siteCount }
        var count: Int { siteCount + 1 + coordinatorCount + nodeCount }
        func store(_ site: Int) -> Int { site }
        func coordinator(_ number: Int) -> Int { siteCount + 1 + number }
        func node(_ number: Int) -> Int { siteCount + 1 + coordinatorCount + number }

        enum Kind {
            case siteStore(Int)
            case fleetStore
            case coordinator(Int)
            case node(Int)
        }

        func kind(_ party: Int) -> Kind {
            if party < siteCount { return .siteStore(party) }
            if party == siteCount { return .fleetStore }
            let rest = party - siteCount - 1
            return rest < coordinatorCount ? .coordinator(rest) : .node(rest - coordinatorCount)
        }
    }

    enum Event {
        case delivery(Message, from: Int32, to: Int32)
        case tick(Int32, life: Int32)
        case watch(Int32, life: Int32)
        case writeTimeout(Int32, epoch: UInt64, sequence: UInt64)
        case fleetTimeout(Int32, epoch: UInt64, number: UInt64)
        case coordinatorStarts(Int32, life: Int32)
        case enforcerWakes(Int32, generation: Int32)
        case stepDone(Int32, generation: Int32, LeaseHolder.Step)
        case agentWakes(Int32)
        case agentStarts(Int32)
        case enforcerStarts(Int32, boot: Int32)
        case powerOn(Int32, boot: Int32)
        case powerOnTold(Int32, boot: Int32)
        case linkRestored(Int32, Int32)
        case limitRestored(Int32)
        case recoveryDue(Int32)
        case fault
        case meters
        case look
        case assumptionBreaks
        case clockDrifts(Int32)
        case jobArrives
        case taskEnds(Int32, session: UInt64, RunningTask)
        case scripted(WorldScriptEntry.Action)
        case calm
    }

    /// A world at time zero.
    package init(_ scenario: WorldScenario, seed: UInt64) {
        self.scenario = scenario
        let topology = scenario.topology
        self.topology = topology
        generator = SeededGenerator(seed: seed)
        let siteCount = topology.sites.count
        parties = Parties(
            siteCount: siteCount, coordinatorCount: scenario.coordinatorCounts.reduce(0, +),
            nodeCount: topology.nodes.count)
        cuts = Array(repeating: 0, count: parties.count * parties.count)
        pausedUntil = Array(repeating: 0, count: parties.count)
        truth = PowerTruth(topology: topology, resetsPerDomain: scenario.resetsPerDomain)
        wantedLimits = topology.domains.map(\.limit)
        isLeftBroken = Array(repeating: false, count: topology.nodes.count)
        jobs.reservedFloors = topology.nodes.map { _ in .zero }
        jobs.isProven = topology.nodes.map { _ in false }
        jobs.recordedMilli = Array(repeating: 0, count: topology.gpuCount)
        freshGrantors = (0..<siteCount).map {
            SiteGrantor(topology: topology, site: SiteIndex($0), rules: scenario.rules)
        }
        freshLoops = (0..<siteCount).map { SitePowerLoop(topology: topology, site: SiteIndex($0)) }
        meterWatches = freshGrantors.map { grantor in
            MeterWatch(
                mostPlausible: grantor.domains.map { domain in
                    grantor.nodes.reduce(topology.domains[domain.position].overhead) {
                        $0 + topology.uncapped($1)
                    }
                })
        }
        let isRunning = !scenario.settings.startsUncommissioned
        stores = freshGrantors.map {
            SimulatedStore(
                ledger: isRunning
                    ? FleetWorld.runningLedger($0, topology) : LedgerSnapshot())
        }
        storeStates = Array(repeating: StoreState(), count: siteCount + 1)
        fleetStore = SimulatedFleetStore()
        for (site, count) in scenario.coordinatorCounts.enumerated() {
            for _ in 0..<count {
                coordinators.append(
                    CoordinatorSeat(
                        site: site, grantor: freshGrantors[site], loop: freshLoops[site],
                        clock: FleetWorld.clock(scenario, &generator)))
            }
        }
        for node in topology.nodes.indices {
            nodes.append(
                WorldNode(
                    number: node, topology: topology, isRunning: isRunning,
                    clock: FleetWorld.clock(scenario, &generator)))
            truth.setEnforced(node, nodes[node].hardware.enforced(now: 0).rawValue)
        }
        for site in stores.indices { adoptLedger(of: site) }
    }

    private static func clock(
        _ scenario: WorldScenario, _ generator: inout SeededGenerator
    ) -> SimulatedClock {
        let excess = scenario.settings.driftExcessPPM
        return SimulatedClock(
            driftPPM: scenario.settings.driftPPM * excess / 1_000_000,
            slewPPM: excess > 1_000_000 ? 0 : scenario.settings.slewPPM, generator: &generator)
    }

    /// The ledger of a site that has been running: everything is proven and at its fallback.
    private static func runningLedger(
        _ grantor: SiteGrantor, _ topology: Topology
    ) -> LedgerSnapshot {
        var shards: [LedgerShard] = []
        for (position, node) in grantor.nodes.enumerated() {
            if position % LedgerShard.nodeCount == 0 {
                shards.append(LedgerShard(firstNode: UInt32(position)))
            }
            let type = topology.type(of: node)
            let last = shards.count - 1
            shards[last].charge.append(type.fallback)
            shards[last].unleased.append(type.fallback)
            shards[last].fallback.append(type.fallback)
            shards[last].fallbackVersion.append(1)
            shards[last].proof.append(.proven)
            shards[last].isSupervised.append(type.enforcementClass == .supervised)
            shards[last].floors.append(.zero)
        }
        let site = SiteRecord(
            epochID: RandomID(high: 1, low: 1), epoch: 1, heartbeat: 1,
            leaseNanoseconds: topology.lease.leaseNanoseconds,
            hasLeftCommissioning: grantor.domains.map { _ in true },
            effectiveLimit: grantor.domains.map { topology.domains[$0.position].limit },
            firstStartUnixMilliseconds: 0, commissionedUnixMilliseconds: 0)
        return LedgerSnapshot(site: site, shards: shards)
    }
}

/// What happened in a run, line by line.
package final class Story {
    package fileprivate(set) var lines: [String] = []

    package init() {}
}

// MARK: - Running

extension FleetWorld {
    /// Runs both phases to their end, or to the first violation.
    package mutating func run() -> WorldReport {
        begin()
        let second: Int64 = 1_000_000_000
        var last = (scenario.roughSeconds + scenario.calmSeconds) * second
        if scenario.broken != nil { last += FleetWorld.detectionNanoseconds }
        while let time = agenda.nextTime, time <= last {
            guard let (_, event) = agenda.next() else { break }
            now = time
            handle(event)
            report.eventCount += 1
            if let violation = report.violation, isOver(after: violation) { break }
        }
        if report.violation == nil {
            now = last
            if scenario.calmSeconds > 0 { checkConvergence() }
            if !truth.recount() { note(.checker, "the running sums are not the columns'") }
        }
        judgeDetection()
        for node in nodes.indices { countHolder(node) }
        for coordinator in coordinators.indices { countGrantor(coordinator) }
        report.virtualNanoseconds = now
        return report
    }

    private mutating func begin() {
        for node in nodes.indices {
            agenda.add(
                .enforcerStarts(Int32(node), boot: 0), at: generator.uniform(0...1_000_000_000))
            agenda.add(.agentWakes(Int32(node)), at: generator.uniform(0...1_500_000_000))
        }
        for coordinator in coordinators.indices {
            let life = coordinators[coordinator].life
            agenda.add(
                .tick(Int32(coordinator), life: life), at: generator.uniform(0...500_000_000))
            agenda.add(
                .watch(Int32(coordinator), life: life), at: generator.uniform(0...1_000_000_000))
        }
        for host in 0..<(coordinators.count + nodes.count) {
            agenda.add(.clockDrifts(Int32(host)), at: generator.uniform(0...30_000_000_000))
        }
        let settings = scenario.settings
        if settings.faultNanoseconds > 0 { agenda.add(.fault, at: 5_000_000_000) }
        if watch != nil { agenda.add(.look, at: 100_000_000) }
        if scenario.broken != nil || scenario.readsMeters {
            agenda.add(.meters, at: 1_000_000_000)
        }
        if scenario.broken != nil {
            agenda.add(.assumptionBreaks, at: generator.uniform(20_000_000_000...60_000_000_000))
        }
        if settings.jobNanoseconds > 0 { agenda.add(.jobArrives, at: 3_000_000_000) }
        for entry in scenario.script {
            agenda.add(.scripted(entry.action), at: entry.milliseconds * 1_000_000)
        }
        if scenario.calmSeconds > 0 {
            agenda.add(.calm, at: scenario.roughSeconds * 1_000_000_000)
        }
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .delivery(let message, let from, let to): deliver(message, from: from, to: to)
        case .tick(let coordinator, let life): tick(Int(coordinator), life: life)
        case .watch(let coordinator, let life): watch(Int(coordinator), life: life)
        case .writeTimeout(let coordinator, let epoch, let sequence):
            writeTimedOut(Int(coordinator), epoch: epoch, sequence: sequence)
        case .fleetTimeout(let coordinator, let epoch, let number):
            fleetTimedOut(Int(coordinator), epoch: epoch, number: number)
        case .coordinatorStarts(let coordinator, let life):
            startCoordinator(Int(coordinator), life: life)
        case .enforcerWakes(let node, let generation):
            wakeEnforcer(Int(node), generation: generation)
        case .stepDone(let node, let generation, let step):
            if nodes[Int(node)].generation == generation { finish(step, on: Int(node)) }
        case .agentWakes(let node): agentWakes(Int(node))
        case .agentStarts(let node): nodes[Int(node)].isAgentDown = false
        case .enforcerStarts(let node, let boot): startEnforcer(Int(node), boot: boot)
        case .powerOn(let node, let boot): powerOn(Int(node), boot: boot)
        case .powerOnTold(let node, let boot): tellPowerOn(Int(node), boot: boot)
        case .linkRestored(let from, let to):
            let link = Int(from) * parties.count + Int(to)
            if cuts[link] > 0 { cuts[link] -= 1 }
        case .limitRestored(let domain): restoreLimit(Int(domain))
        case .recoveryDue(let node): reviewRecovery(Int(node))
        case .fault: strike()
        case .meters: readMeters()
        case .look: lookForWatch()
        case .assumptionBreaks: breakAssumption()
        case .clockDrifts(let host): driftClock(Int(host))
        case .jobArrives: jobArrives()
        case .taskEnds(let node, let session, let task):
            taskEnds(Int(node), session: session, task)
        case .scripted(let action): act(action)
        case .calm: calmDown()
        }
    }

    /// Adds an event after a delay.
    mutating func after(_ delay: Int64, _ event: consuming Event) {
        agenda.add(event, at: now + delay)
    }

    /// Adds to the story, if one is kept.
    @inline(__always)
    func tell(_ line: @autoclosure () -> String) {
        guard let story else { return }
        let milliseconds = now / 1_000_000
        let fraction = String(1000 + milliseconds % 1000).dropFirst()
        story.lines.append("\(milliseconds / 1000).\(fraction) s  \(line())")
    }

    /// Folds something that happened into the hash of the run.
    @inline(__always)
    mutating func fold(_ value: UInt64) {
        report.stateHash =
            (report.stateHash ^ (value &+ UInt64(bitPattern: now))) &* 0x0000_0100_0000_01B3
    }
}
