// SPDX-License-Identifier: Apache-2.0

import ControlPlane
package import FleetModel

/// What an operator wants to know: what would become of this fleet and these jobs if that happened.
///
/// The fleet runs in a calm world until its jobs run, then the faults strike; whatever differs from the
/// moment before is noted, ten times a second.
package struct WhatIf: Sendable {
    package var topology: Topology
    package var jobs: [JobSpec]
    /// Times count from the moment at which the first fault may strike.
    package var faults: [WorldScriptEntry]
    /// How long the fleet is watched after that moment.
    package var watchedSeconds: Int64
    package var seed: UInt64

    package init(
        topology: Topology, jobs: [JobSpec], faults: [WorldScriptEntry], watchedSeconds: Int64,
        seed: UInt64 = 1
    ) {
        self.topology = topology
        self.jobs = jobs
        self.faults = faults
        self.watchedSeconds = watchedSeconds
        self.seed = seed
    }

    /// When the faults begin: by then everything leads, leases and runs.
    private static let settledSeconds: Int64 = 90
    /// Coordinators of each site.
    package static let coordinatorsPerSite = 2

    /// Runs it.
    package func run() -> WhatIfReport {
        var settings = SwarmSettings.calm
        settings.jobNanoseconds = 0
        settings.driftPPM = topology.lease.driftPPM
        let counts = topology.sites.map { _ in WhatIf.coordinatorsPerSite }
        var scenario = WorldScenario(
            topology: topology, coordinatorCounts: counts, settings: settings,
            roughSeconds: WhatIf.settledSeconds + watchedSeconds, calmSeconds: 0)
        scenario.script = faults.map {
            WorldScriptEntry($0.milliseconds + WhatIf.settledSeconds * 1000, $0.action)
        }
        var world = FleetWorld(scenario, seed: seed)
        for spec in jobs { world.wish(spec) }
        let watch = FleetWatch(topology: topology, from: WhatIf.settledSeconds * 1_000_000_000)
        world.watch = watch
        let report = world.run()
        return watch.report(world, violation: report.violation)
    }
}

/// What would happen.
///
/// All times are milliseconds after the faults may strike; nil for "not before the end".
package struct WhatIfReport: Hashable, Sendable {
    /// A time without a lease.
    package struct Fallback: Hashable, Sendable {
        package var node: NodeIndex
        package var from: Int64
        package var until: Int64?
    }

    /// Watts that stay charged to a node that is not heard of: nobody else can use them.
    package struct HeldWatts: Hashable, Sendable {
        package var node: NodeIndex
        package var watts: Milliwatts
        package var from: Int64
        package var until: Int64?
    }

    /// A time in which a site's ledger had no leader.
    package struct Leaderless: Hashable, Sendable {
        package var site: SiteIndex
        package var from: Int64
        package var until: Int64?
    }

    /// What became of a job.
    package struct Job: Hashable, Sendable {
        package var id: JobID
        package var name: String
        package var before: JobState
        package var after: JobState
        /// Nodes of it that were at their fallback for some time: there it ran slower than its floor.
        package var nodesAtFallback: [NodeIndex]
    }

    package var fallbacks: [Fallback] = []
    package var heldWatts: [HeldWatts] = []
    package var leaderless: [Leaderless] = []
    package var jobs: [Job] = []
    /// The most watts that silent nodes kept from the others at one moment.
    package var peakHeld = Milliwatts.zero
    package var violation: WorldViolation?
}

/// Notes what changes in a world from some time on.
final class FleetWatch {
    private let topology: Topology
    private let start: Int64
    private var result = WhatIfReport()
    private var openFallback: [Int?]
    private var openHeld: [Int?]
    private var openLeaderless: [Int?]
    private var before: [JobID: JobState] = [:]
    private var hasBegun = false

    init(topology: Topology, from start: Int64) {
        self.topology = topology
        self.start = start
        openFallback = topology.nodes.map { _ in nil }
        openHeld = openFallback
        openLeaderless = topology.sites.map { _ in nil }
    }

    func look(_ world: borrowing FleetWorld) {
        guard world.now >= start else { return }
        if !hasBegun {
            hasBegun = true
            for (id, job) in world.fleetStore.jobs { before[id] = job.state }
        }
        let time = (world.now - start) / 1_000_000
        for site in topology.sites.indices { look(at: site, world, time) }
        for node in topology.nodes.indices {
            let hasLease = world.nodes[node].holder?.hasLease == true
            if !hasLease, openFallback[node] == nil {
                openFallback[node] = result.fallbacks.count
                result.fallbacks.append(
                    WhatIfReport.Fallback(node: NodeIndex(node), from: time, until: nil))
            } else if hasLease, let open = openFallback[node] {
                result.fallbacks[open].until = time
                openFallback[node] = nil
            }
        }
    }

    private func look(at site: Int, _ world: borrowing FleetWorld, _ time: Int64) {
        let leader = world.coordinators.indices.first {
            world.coordinators[$0].site == site && world.coordinators[$0].grantor.leads
                && world.coordinators[$0].grantor.currentEpoch == world.stores[site].epoch
        }
        guard let leader else {
            if openLeaderless[site] == nil {
                openLeaderless[site] = result.leaderless.count
                result.leaderless.append(
                    WhatIfReport.Leaderless(site: SiteIndex(site), from: time, until: nil))
            }
            return
        }
        if let open = openLeaderless[site] {
            result.leaderless[open].until = time
            openLeaderless[site] = nil
        }
        let clocks = world.coordinators[leader].clock.reading(now: world.now)
        var held = Milliwatts.zero
        world.coordinators[leader].grantor.forEachNode(now: clocks) { node, view in
            let isHeld = view.state == .silent && view.charge > view.fallback
            if isHeld { held += view.charge - view.fallback }
            noteHeld(node, isHeld ? view.charge - view.fallback : nil, time)
        }
        result.peakHeld = max(result.peakHeld, held)
    }

    private func noteHeld(_ node: NodeIndex, _ watts: Milliwatts?, _ time: Int64) {
        if let open = openHeld[node.position] {
            if let watts, watts == result.heldWatts[open].watts { return }
            result.heldWatts[open].until = time
            openHeld[node.position] = nil
        }
        guard let watts else { return }
        openHeld[node.position] = result.heldWatts.count
        result.heldWatts.append(
            WhatIfReport.HeldWatts(node: node, watts: watts, from: time, until: nil))
    }

    /// What was noted; `world` is at its end.
    func report(_ world: borrowing FleetWorld, violation: WorldViolation?) -> WhatIfReport {
        var report = result
        report.violation = violation
        let fallen = Set(report.fallbacks.map(\.node))
        for id in world.fleetStore.jobs.keys.sorted() {
            guard let job = world.fleetStore.jobs[id] else { continue }
            let nodes = job.tasks.map(\.placement.node).filter { fallen.contains($0) }
            report.jobs.append(
                WhatIfReport.Job(
                    id: id, name: job.spec.name, before: before[id] ?? .queued,
                    after: job.state, nodesAtFallback: Array(Set(nodes)).sorted()))
        }
        return report
    }
}

extension FleetWorld {
    /// A client wants a job from the beginning.
    mutating func wish(_ spec: JobSpec) {
        jobs.submitted += 1
        jobs.wishes.append(
            JobTraffic.Wish(request: RandomID(high: 7, low: jobs.submitted), spec: spec))
    }

    /// Looks for the watcher, ten times a second.
    mutating func lookForWatch() {
        after(100_000_000, .look)
        watch?.look(self)
    }
}
