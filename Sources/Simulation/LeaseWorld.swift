// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// A seeded world in which the production lease state machines run: virtual time, a network that
/// loses, repeats, delays and reorders, rival coordinators, drifting clocks, killed enforcers.
///
/// After every change of a cap, of the ledger or of a limit it checks that no domain's hardware may be
/// enforcing more than its proven budget. The same scenario and seed give the same run.
///
/// Modelled: G1-G6 and G8 with a process that can be killed between any two steps, several devices,
/// records and resumption, class U, take-overs, lost store links, pauses, varying drift, slewed
/// clocks, several shards, stale reads, commissioning, floors, changing fallbacks and limits, reboots,
/// driver resets. Not modelled: class B, several sites, moving allotments.
package struct LeaseWorld {
    /// Who a message is from or for.
    package enum Party: Hashable, Sendable {
        case coordinator(Int)
        case node(Int)
        case store

        /// A dense number, for tables.
        var number: Int {
            switch self {
            case .store: 0
            case .coordinator(let number): 1 + number
            case .node(let number): 1 + LeaseWorld.coordinatorCount + number
            }
        }
    }

    enum Message {
        case renewal(LeaseRenewal, node: Int)
        case grant(LeaseGrant)
        case raiseEpoch(coordinator: Int, token: Int)
        case epochRaised(token: Int, epoch: UInt64)
        case readLedger(coordinator: Int, token: Int)
        case ledgerRead(token: Int, LedgerSnapshot, SimulatedStore.Versions)
        case write(coordinator: Int, LedgerWrite, epoch: UInt64, SimulatedStore.Versions)
        case written(sequence: UInt64, epoch: UInt64, SimulatedStore.Outcome)
    }

    enum Event {
        case delivery(Message, to: Party)
        case tick(Int)
        case writeTimeout(coordinator: Int, epoch: UInt64, sequence: UInt64)
        case takeOver(Int)
        case enforcerWakes(Int, generation: Int)
        case stepDone(Int, generation: Int, LeaseHolder.Step)
        case agentWakes(Int)
        case enforcerStarts(Int, boot: Int)
        case powerOn(Int, boot: Int)
        case powerOnTold(Int, boot: Int)
        case linkRestored(Int, Int)
        case disturbance
        case clockDrifts(Int)
        case scripted(LeaseScenario.Action)
    }

    static let coordinatorCount = 2
    static let partyCount = 1 + coordinatorCount + LeaseScenario.nodeCount

    let scenario: LeaseScenario
    let topology: Topology
    var generator: SeededGenerator
    var events = EventQueue<Event>()
    var now: Int64 = 0
    var store: SimulatedStore
    var coordinators: [SimulatedCoordinator] = []
    var nodes: [SimulatedNode] = []
    /// How often each link is cut, by sender and receiver.
    var cuts = [Int](repeating: 0, count: partyCount * partyCount)
    /// Until when each party is stopped.
    var pausedUntil = [Int64](repeating: 0, count: partyCount)
    /// A copy of the store that somebody made.
    var backup: SimulatedStore?
    /// The coordinators are told to distrust the store.
    var isStoreDistrusted = false
    package internal(set) var report = LeaseRunReport()
    /// The end of the story of a run, for people; kept only when asked for.
    package var trace: [String]?

    /// A world at time zero.
    package init(_ scenario: LeaseScenario, seed: UInt64) {
        self.scenario = scenario
        topology = scenario.topology
        generator = SeededGenerator(seed: seed)
        store = SimulatedStore(ledger: LeaseWorld.firstLedger(scenario, topology))
        for _ in 0..<LeaseWorld.coordinatorCount {
            coordinators.append(
                SimulatedCoordinator(
                    grantor: SiteGrantor(
                        topology: topology, site: SiteIndex(0),
                        nodesPerShard: LeaseScenario.nodesPerShard, rules: scenario.rules),
                    clock: LeaseWorld.clock(scenario, &generator)))
        }
        let startsUncapped = scenario.features.contains(.commissioning)
        for node in 0..<LeaseScenario.nodeCount {
            let limit = LeaseScenario.units(startsUncapped ? 5 : 1)
            nodes.append(
                SimulatedNode(
                    number: node, isSupervised: node < LeaseScenario.nodeCount - 1,
                    hardware: SimulatedHardware(
                        limits: Array(repeating: limit, count: LeaseScenario.devicesPerNode),
                        settleNanoseconds: scenario.lease.settleNanoseconds),
                    clock: LeaseWorld.clock(scenario, &generator)))
        }
    }

    private static func clock(
        _ scenario: LeaseScenario, _ generator: inout SeededGenerator
    ) -> SimulatedClock {
        SimulatedClock(
            driftPPM: scenario.lease.driftPPM, slewPPM: scenario.slewPPM, generator: &generator)
    }

    /// Without commissioning the site has been running: everything is proven and at its fallback.
    private static func firstLedger(
        _ scenario: LeaseScenario, _ topology: Topology
    ) -> LedgerSnapshot {
        guard !scenario.features.contains(.commissioning) else { return LedgerSnapshot() }
        var shards: [LedgerShard] = []
        for node in 0..<LeaseScenario.nodeCount {
            if node % LeaseScenario.nodesPerShard == 0 {
                shards.append(LedgerShard(firstNode: UInt32(node)))
            }
            let last = shards.count - 1
            shards[last].charge.append(LeaseScenario.units(2))
            shards[last].unleased.append(LeaseScenario.units(2))
            shards[last].fallback.append(LeaseScenario.units(2))
            shards[last].fallbackVersion.append(1)
            shards[last].proof.append(.proven)
            shards[last].isSupervised.append(node < LeaseScenario.nodeCount - 1)
            shards[last].floors.append(.zero)
        }
        let site = SiteRecord(
            epochID: RandomID(high: 1, low: 1), epoch: 1, heartbeat: 1,
            leaseNanoseconds: scenario.lease.leaseNanoseconds,
            hasLeftCommissioning: topology.domains.map { _ in true },
            effectiveLimit: topology.domains.map { $0.limit }, firstStartUnixMilliseconds: 0,
            commissionedUnixMilliseconds: 0)
        return LedgerSnapshot(site: site, shards: shards)
    }

    /// Runs to the scenario's end, or to the first violation of `kind` (of any, when nil).
    package mutating func run(until kind: LeaseViolation.Kind? = nil) -> LeaseRunReport {
        begin()
        let last = scenario.seconds * 1_000_000_000
        while let (time, event) = events.next(), time <= last {
            now = time
            handle(event)
            if kind.map({ report.violation($0) != nil }) ?? !report.violations.isEmpty { break }
        }
        report.isCommissioned =
            store.ledger.site.map { !$0.hasLeftCommissioning.contains(false) } ?? false
        for node in nodes.indices { end(node) }
        report.expiries = nodes.reduce(0) { $0 + $1.expiries }
        report.reclaimsByTime = coordinators.reduce(0) {
            $0 + Int($1.grantor.counts.reclaimsByTime)
        }
        return report
    }

    private mutating func begin() {
        events.add(.takeOver(0), at: 0)
        for node in nodes.indices {
            events.add(.enforcerStarts(node, boot: 0), at: generator.uniform(0...1_000_000_000))
            events.add(.agentWakes(node), at: generator.uniform(0...1_000_000_000))
        }
        for coordinator in coordinators.indices {
            events.add(.tick(coordinator), at: 100_000_000)
        }
        for host in 0..<LeaseWorld.partyCount {
            events.add(.clockDrifts(host), at: generator.uniform(0...30_000_000_000))
        }
        if scenario.disturbanceNanoseconds > 0 { events.add(.disturbance, at: 5_000_000_000) }
        for entry in scenario.script {
            events.add(.scripted(entry.action), at: entry.milliseconds * 1_000_000)
        }
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .delivery(let message, let party): deliver(message, to: party)
        case .tick(let coordinator): tick(coordinator)
        case .writeTimeout(let coordinator, let epoch, let sequence):
            writeTimedOut(coordinator, epoch: epoch, sequence: sequence)
        case .takeOver(let coordinator): takeOver(coordinator)
        case .enforcerWakes(let node, let generation):
            if nodes[node].generation == generation { driveEnforcer(node) }
        case .stepDone(let node, let generation, let step):
            if nodes[node].generation == generation { finish(step, on: node) }
        case .agentWakes(let node): agentWakes(node)
        case .enforcerStarts(let node, let boot): startEnforcer(node, boot: boot)
        case .powerOn(let node, let boot): powerOn(node, boot: boot)
        case .powerOnTold(let node, let boot): tellPowerOn(node, boot: boot)
        case .linkRestored(let from, let to): cuts[from * LeaseWorld.partyCount + to] -= 1
        case .disturbance: disturb()
        case .clockDrifts(let host): driftClock(host)
        case .scripted(let action): act(action)
        }
    }

    /// Adds an event after a delay.
    mutating func after(_ delay: Int64, _ event: Event) { events.add(event, at: now + delay) }

    mutating func tell(_ line: @autoclosure () -> String) {
        guard trace != nil else { return }
        let tenths = now / 1_000_000
        trace?.append("\(tenths / 1000).\(tenths % 1000) \(line())")
    }
}

// MARK: - The network

extension LeaseWorld {
    /// Sends over a link that loses, repeats, delays and reorders.
    mutating func send(_ message: Message, from: Party, to: Party) {
        let isCut = cuts[from.number * LeaseWorld.partyCount + to.number] > 0
        if isCut { return }
        if scenario.isNetworkCalm {
            after(generator.uniform(1_000_000...50_000_000), .delivery(message, to: to))
            return
        }
        if generator.chance(10_000) { return }
        for _ in 0..<(generator.chance(scenario.repeatsPerMillionMessages) ? 2 : 1) {
            after(networkDelay(), .delivery(message, to: to))
        }
    }

    /// Mostly 1 to 50 ms; in one of twelve cases up to 1 s, for strays up to 25 s.
    private mutating func networkDelay() -> Int64 {
        if generator.chance(scenario.strayPerMillionMessages) {
            return generator.uniform(1_000_000_000...25_000_000_000)
        }
        if generator.chance(85_000) { return generator.uniform(50_000_000...1_000_000_000) }
        return generator.uniform(1_000_000...50_000_000)
    }

    private mutating func deliver(_ message: Message, to party: Party) {
        let pause = pausedUntil[party.number]
        if now < pause {
            events.add(.delivery(message, to: party), at: pause + 1)
            return
        }
        switch party {
        case .store: storeReceives(message)
        case .coordinator(let coordinator): coordinatorReceives(message, coordinator)
        case .node(let node): agentReceives(message, node)
        }
    }

    func isPaused(_ party: Party) -> Bool { now < pausedUntil[party.number] }

    private mutating func storeReceives(_ message: Message) {
        switch message {
        case .raiseEpoch(let coordinator, let token):
            let epoch = store.raiseEpoch()
            send(
                .epochRaised(token: token, epoch: epoch), from: .store,
                to: .coordinator(coordinator))
        case .readLedger(let coordinator, let token):
            let isStale = generator.chance(scenario.staleReadsPerMillion)
            let read = isStale ? store.stale : (store.ledger, store.versions)
            send(
                .ledgerRead(token: token, read.0, read.1), from: .store,
                to: .coordinator(coordinator))
        case .write(let coordinator, let write, let epoch, let versions):
            let outcome = store.commit(write, epoch: epoch, expecting: versions)
            check()
            send(
                .written(sequence: write.sequence, epoch: epoch, outcome), from: .store,
                to: .coordinator(coordinator))
        case .renewal, .grant, .epochRaised, .ledgerRead, .written: break
        }
    }
}
