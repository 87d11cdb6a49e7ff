// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel

/// Two sites of two racks of two nodes with four GPUs each, for tests.
///
/// Every GPU has a floor of 200 W and a highest cap of 700 W; a node's fallback is 800 W. A rack
/// carries 4 kW of caps unless a test says otherwise.
enum SmallFleet {
    static func topology(rackBudget: Milliwatts = .watts(4000)) -> Topology {
        let model = GPUModel(
            name: "T700", vendor: .nvidia, idle: .watts(60), minimumCap: .watts(100),
            maximumCap: .watts(700), defaultFloor: .watts(200), memoryMiB: 81_920,
            isEstimate: true, source: "made up for tests")
        let type = NodeType(
            name: "t4", model: ModelIndex(0), gpuCount: 4, cpuMilli: 64_000, memoryMiB: 512_000,
            fallback: .watts(800), enforcementClass: .supervised, bootState: .fallback,
            settleNanoseconds: 200_000_000)
        var domains: [PowerDomain] = []
        var sites: [Site] = []
        var nodes: [Node] = []
        for (siteNumber, siteName) in ["east", "west"].enumerated() {
            let site = SiteIndex(siteNumber)
            let root = DomainIndex(domains.count)
            let limit = rackBudget + rackBudget
            domains.append(
                PowerDomain(
                    name: siteName, level: "site", site: site, parent: nil, tree: 0, limit: limit,
                    overhead: .zero))
            sites.append(Site(name: siteName, root: root, allotment: limit))
            for rack in 1...2 {
                let leaf = DomainIndex(domains.count)
                domains.append(
                    PowerDomain(
                        name: "\(siteName)/r\(rack)", level: "rack", site: site, parent: root,
                        tree: 0, limit: rackBudget, overhead: .zero))
                for number in 1...2 {
                    nodes.append(
                        Node(
                            name: "\(siteName)-r\(rack)n\(number)", site: site, type: 0,
                            leaves: [leaf], firstGPU: GPUIndex(nodes.count * 4)))
                }
            }
        }
        return Topology(
            fleetName: "small", sites: sites, domains: domains, gpuModels: [model],
            nodeTypes: [type], nodes: nodes, lease: LeaseParameters())
    }

    /// A job of `tasks` tasks with `gpus` whole GPUs each.
    static func spec(
        _ name: String = "job", tasks: UInt32 = 1, gpus: UInt16 = 4, milli: UInt16 = 1000,
        priority: Int32 = 0, spread: Bool = false, preemption: PreemptionPolicy = .never
    ) -> JobSpec {
        JobSpec(
            name: name, priority: priority, taskCount: tasks,
            task: TaskRequest(gpuCount: gpus, gpuMilli: milli, cpuMilli: 1000, memoryMiB: 1024),
            isSpread: spread, preemption: preemption)
    }

    static func request(_ number: UInt64) -> RandomID { RandomID(high: 7, low: number) }
}

/// A fleet leader with the store and the ledgers that it would have, both always at hand.
struct LeaderHarness {
    var leader: FleetLeader
    /// What the store holds.
    var stored: [JobID: FleetJob] = [:]
    var storedMarks: [NodeIndex: FleetNodeMark] = [:]
    var storedReservations: [String: FleetReservation] = [:]
    var storedEvents: [FleetEvent] = []
    var storedCounters = FleetCounters()
    var directives: [FleetDirective] = []
    var now: UInt64 = 1_000_000

    init(_ topology: Topology = SmallFleet.topology()) throws {
        leader = try FleetLeader(topology: topology)
        for node in topology.nodes.indices { makeEligible(NodeIndex(node)) }
    }

    mutating func makeEligible(_ node: NodeIndex) {
        leader.setCondition(node, nil)
    }

    mutating func submit(
        _ spec: JobSpec, request: UInt64, nowOrNever: Bool = false
    ) -> FleetLeader.OnSubmit {
        leader.submit(
            spec, request: SmallFleet.request(request), actor: "admin", nowOrNever: nowOrNever,
            now: now)
    }

    /// Submits a job that must be accepted.
    mutating func accept(_ spec: JobSpec, request: UInt64) -> JobID {
        guard case .accepted(let id) = submit(spec, request: request) else {
            preconditionFailure("job \(spec.name) was not accepted")
        }
        return id
    }

    /// Writes one batch; false when there is nothing to write.
    @discardableResult
    mutating func commitOnce() -> Bool {
        guard let batch = leader.takeBatch() else { return false }
        for job in batch.jobs { stored[job.id] = job }
        for id in batch.forgottenJobs { stored[id] = nil }
        for mark in batch.marks { storedMarks[mark.node] = mark.mark == .open ? nil : mark }
        for reservation in batch.reservations {
            storedReservations[reservation.name] = reservation
        }
        for name in batch.endedReservations { storedReservations[name] = nil }
        storedEvents += batch.events
        storedCounters = batch.counters
        leader.batchCommitted(into: &directives)
        return true
    }

    mutating func commit() { while commitOnce() {} }

    /// Writes every site's ledger with whatever floors are asked for.
    mutating func reserveFloors() {
        for site in leader.topology.sites.indices {
            let snapshot = leader.floorsSnapshot(of: SiteIndex(site))
            leader.floorsCommitted(snapshot, revision: 1) { _, _ in true }
        }
    }

    /// Takes a job to the point where its tasks have been ordered to start.
    mutating func start() {
        commit()
        reserveFloors()
        commit()
    }

    mutating func report(_ job: JobID, task: UInt32, _ phase: TaskPhase, message: String = "") {
        let record = leader.job(job)!
        leader.taskReported(
            TaskObservation(
                job: job, task: task, attempt: record.attempt, phase: phase, message: message),
            by: record.tasks[Int(task)].placement.node, now: now, into: &directives)
    }

    /// Reports every task of a job.
    mutating func reportAll(_ job: JobID, _ phase: TaskPhase) {
        for task in leader.job(job)!.tasks.indices { report(job, task: UInt32(task), phase) }
    }

    /// A leader made from what the store holds, as after a crash.
    func restarted() throws -> LeaderHarness {
        var copy = self
        copy.leader = try FleetLeader(
            topology: leader.topology, jobs: stored.values.map { $0 },
            marks: storedMarks.values.map { $0 },
            reservations: storedReservations.values.map { $0 }, events: storedEvents,
            counters: storedCounters)
        copy.leader.continueDrains(now: now)
        for node in leader.topology.nodes.indices { copy.makeEligible(NodeIndex(node)) }
        copy.directives = []
        return copy
    }

    /// Connects a node that lists some tasks.
    mutating func connect(_ node: NodeIndex, tasks: [TaskObservation] = []) {
        leader.nodeConnected(node, tasks: tasks, now: now, into: &directives)
    }

    /// Takes the directives so far.
    mutating func take() -> [FleetDirective] {
        defer { directives = [] }
        return directives
    }
}
