// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

/// The state machine that takes jobs from their submission to their end, over two kinds of store.
///
/// ```
///            submit                 floors in              all tasks
///   ────────► queued ──► pending ──► starting ──────────► running ──► finished
///    placed      │  place   │ every   │ task start to       │  │ a task fails
///    at once ────┼─────────►│ ledger  │ every node          │  ▼
///                │          │         └─ cancel, preempt ► stopping ──► cancelled, failed,
///                │          │            or drain                      or queued again
///                └── cancel ┴───────────────────────────────────────► cancelled
/// ```
///
/// The leader does no I/O. Its inputs change memory and mark records; the shell writes the marked
/// records with ``takeBatch()``, and says with ``batchCommitted(into:)`` that they are durable. Only
/// then do things happen that others can see: replies to operators, orders to nodes, the release of
/// GPUs and watts. Each step is idempotent, so that a crash between any two of them is repaired by
/// ``init(topology:jobs:events:counters:limits:)`` and ``nodeConnected(_:tasks:now:into:)``:
///
/// * `pending` is durable before the job's floors are asked for in a ledger (``floorsSnapshot(of:)``).
/// * The floors are durable in every ledger in use before `starting` is written.
/// * `starting` is durable before a node is told to start a task.
/// * An end is confirmed by every node, then durable, before the floors are let go.
///
/// A job that is preempted or drained stops in the same way and is then queued again; what it held is
/// let go once that is durable. The job for which others are stopped waits in the queue meanwhile; jobs
/// that are less important do not take its room. Who stops for whom is in the records of those that
/// stop, so that a restart goes on where the last leader was.
///
/// A node that is silent confirms nothing: its jobs keep their GPUs and floors until it speaks.
///
/// Isolation: a plain value, to be owned by one serial executor.
package struct FleetLeader: Sendable {
    package let topology: Topology
    /// How much history is kept.
    package let limits: FleetHistoryLimits
    /// Where jobs can be placed; the shell keeps its view of nodes and budgets current.
    package var engine: PlacementEngine
    package internal(set) var held: HeldFloors
    package internal(set) var counters: FleetCounters
    /// The newest events, in order of number.
    package internal(set) var events: [FleetEvent]

    var jobs: [JobID: JobEntry] = [:]
    var requests: [RandomID: JobID] = [:]
    /// Jobs that have not ended, in order of id.
    var active: [JobID] = []
    /// Ended jobs that history keeps, oldest end first.
    var ended: [JobID] = []
    /// Queued jobs in the order in which they are tried: priority first, then age.
    var queue: [JobID] = []

    /// Jobs whose records are to be written, in the order in which they changed first.
    var dirtyJobs: [JobID] = []
    var forgottenJobs: [JobID] = []
    var newEvents: [FleetEvent] = []
    var isCountersDirty = false
    var inFlight: FleetBatch?

    /// Per site: placements whose floors are not yet known to be in its ledger.
    var awaitingFloors: [[FloorsRequest]]
    var placementCount: UInt64 = 0
    /// Per site: counts the jobs that were ever listed to wait for its ledger.
    package internal(set) var floorRequests: [UInt64]
    var queuePass = QueuePass()
    /// Queued jobs for which others are being stopped, or have been.
    var claims: [JobID] = []
    /// By node: what operators and the ledgers say of it.
    var nodes: [NodeEntry]
    /// What the engine keeps for jobs of a name.
    var book = ReservationBook()
    var reservationEntries: [String: ReservationEntry] = [:]
    /// Names of reservations that are to be written or removed.
    var dirtyReservations: [String] = []
    /// Nodes whose marks are to be written.
    var dirtyMarks: [NodeIndex] = []
    package internal(set) var heldMilliTotal: UInt64 = 0
    package internal(set) var runningCount = 0

    /// A job and what is known of it beyond its record.
    struct JobEntry: Sendable {
        var job: FleetJob
        /// The state of the last record known to be in the store; nil before the first.
        var durableState: JobState?
        /// Counts the changes of `job`.
        var change: UInt64 = 0
        /// The newest change that is known to be in the store.
        var durableChange: UInt64 = 0
        /// True while the job is listed to be written.
        var isDirty = false
        /// Sites whose ledgers do not yet hold the floors.
        var sitesAwaited: [SiteIndex] = []
        /// Numbers the placement that waits for its floors.
        var placement: UInt64 = 0
        /// What it holds until its return to the queue is durable.
        var returned: [FleetTask]?
        /// When it was placed, in Unix milliseconds; 0 for before this leader.
        var placedAt: UInt64 = 0
        /// Why the last attempt to place it failed.
        var refusal: PlacementRefusal?
    }

    /// Takes over from the store's records; everything that is placed is held again.
    ///
    /// - Parameters:
    ///   - topology: the one that the records were made for; the shell compares its fingerprint.
    ///   - records: every job record, in any order.
    ///   - marks: every node mark.
    ///   - reservations: every reservation.
    ///   - events: every event record, in order of number.
    ///   - counters: as stored last.
    ///   - limits: how much history to keep.
    /// - Throws: ``FleetRestoreError`` when two records contradict each other or the topology. The
    ///   coordinator must not go on then: what is placed where is not known.
    package init(
        topology: Topology, jobs records: [FleetJob] = [], marks: [FleetNodeMark] = [],
        reservations: [FleetReservation] = [], events: [FleetEvent] = [],
        counters: FleetCounters = FleetCounters(), limits: FleetHistoryLimits = .standard
    ) throws(FleetRestoreError) {
        self.topology = topology
        self.limits = limits
        self.counters = counters
        self.events = events
        engine = PlacementEngine(topology: topology)
        held = HeldFloors(topology: topology)
        awaitingFloors = Array(repeating: [], count: topology.sites.count)
        floorRequests = Array(repeating: 0, count: topology.sites.count)
        nodes = topology.nodes.indices.map { NodeEntry(NodeIndex($0)) }
        for job in records.sorted(by: { $0.id < $1.id }) { try restore(job) }
        restoreReservations(reservations)
        restoreClaims()
        for mark in marks where mark.node.position < nodes.count {
            nodes[mark.node.position].mark = mark
            setCondition(mark.node, nil)
        }
        queuePass.isWanted = !queue.isEmpty
    }

    /// Brings one record back into memory.
    private mutating func restore(_ job: FleetJob) throws(FleetRestoreError) {
        guard requests.updateValue(job.id, forKey: job.requestID) == nil else {
            throw FleetRestoreError(job: job.id, reason: "another job has its request id")
        }
        jobs[job.id] = JobEntry(job: job, durableState: job.state)
        counters.nextJobID = max(counters.nextJobID, job.id.rawValue + 1)
        if job.state.hasEnded {
            ended.append(job.id)
            return
        }
        active.append(job.id)
        guard job.state.isPlaced else { return enqueue(job.id) }
        do {
            try engine.restore(job.id, job.spec, job.tasks.map(\.placement))
        } catch {
            throw FleetRestoreError(job: job.id, reason: "\(error)")
        }
        noteHeld(job)
        if job.state == .pending { awaitFloors(of: job.id) }
        if job.state == .running { runningCount += 1 }
    }

    // MARK: - Views

    /// The job with an id, ended or not.
    package func job(_ id: JobID) -> FleetJob? { jobs[id]?.job }

    /// The job that a request made, if it has been accepted.
    package func job(ofRequest request: RandomID) -> JobID? { requests[request] }

    /// Why a queued job was not placed when it was last tried.
    package func refusal(of id: JobID) -> PlacementRefusal? { jobs[id]?.refusal }

    /// Jobs that have not ended, in order of id.
    package var activeJobs: [JobID] { active }

    /// Ended jobs that are still remembered, in order of their end.
    package var endedJobs: [JobID] { ended }

    /// The number of jobs that wait to be placed.
    package var queuedCount: Int { queue.count }

    /// The place of a queued job in the order in which jobs are tried, from 1.
    package func queuePosition(of id: JobID) -> Int? {
        queue.firstIndex(of: id).map { $0 + 1 }
    }

    // MARK: - Changing a job

    /// Changes a job in memory and marks its record to be written.
    mutating func update(_ id: JobID, _ change: (inout FleetJob) -> Void) {
        guard jobs[id] != nil else { preconditionFailure("update of the unknown job \(id)") }
        change(&jobs[id]!.job)
        markDirty(id)
    }

    /// Lists a job to be written.
    mutating func markDirty(_ id: JobID) {
        jobs[id]!.change += 1
        guard !jobs[id]!.isDirty else { return }
        jobs[id]!.isDirty = true
        dirtyJobs.append(id)
    }

    /// Writes an event into the audit log.
    package mutating func record(
        _ kind: FleetEventKind, subject: String, message: String, actor: String,
        now unixMilliseconds: UInt64
    ) {
        let event = FleetEvent(
            number: counters.nextEventNumber, unixMilliseconds: unixMilliseconds, actor: actor,
            kind: kind, subject: subject, message: message)
        counters.nextEventNumber += 1
        isCountersDirty = true
        newEvents.append(event)
        events.append(event)
    }

    /// Holds the GPUs, CPUs and watts of a placed job.
    mutating func holdResources(of job: FleetJob) {
        do {
            try hold(job)
        } catch {
            preconditionFailure("\(job.id) cannot hold what was found free for it: \(error)")
        }
        noteHeld(job)
    }

    /// Counts in what a job holds, beside the engine.
    private mutating func noteHeld(_ job: FleetJob) {
        held.hold(job.id, spec: job.spec, tasks: job.tasks)
        heldMilliTotal += FleetLeader.milli(of: job.spec, job.tasks)
    }

    /// Lets go of everything that a job holds, and lets queued jobs try again.
    mutating func releaseResources(of job: FleetJob, tasks: [FleetTask]) {
        book.release(job.id, in: &engine)
        held.release(job.id, spec: job.spec, tasks: tasks)
        heldMilliTotal -= FleetLeader.milli(of: job.spec, tasks)
        capacityChanged()
    }

    /// Thousandths of GPUs that a job with these tasks holds.
    static func milli(of spec: JobSpec, _ tasks: [FleetTask]) -> UInt64 {
        let devices = tasks.reduce(0) { $0 + $1.placement.devices.count }
        return UInt64(devices) * UInt64(spec.task.gpuMilli)
    }

    /// The sites in which a job has tasks, in order.
    func sites(of job: FleetJob) -> [SiteIndex] {
        var sites: [SiteIndex] = []
        for task in job.tasks {
            let site = topology.nodes[task.placement.node.position].site
            if !sites.contains(site) { sites.append(site) }
        }
        return sites.sorted()
    }
}

/// How much history a fleet leader keeps in memory and in its store.
package struct FleetHistoryLimits: Hashable, Sendable {
    /// The most events of the audit log.
    package var eventCount: Int
    /// The most ended jobs.
    package var endedJobCount: Int
    /// The most jobs that may wait; further submits are refused.
    package var queuedJobCount: Int

    package init(eventCount: Int, endedJobCount: Int, queuedJobCount: Int) {
        self.eventCount = eventCount
        self.endedJobCount = endedJobCount
        self.queuedJobCount = queuedJobCount
    }

    /// 10,000 events, 20,000 ended jobs, 100,000 waiting ones.
    package static let standard = FleetHistoryLimits(
        eventCount: 10_000, endedJobCount: 20_000, queuedJobCount: 100_000)
}

/// Why the records of a fleet store cannot be taken over.
package struct FleetRestoreError: Error, Hashable, Sendable, CustomStringConvertible {
    package var job: JobID
    package var reason: String

    package var description: String { "record of \(job): \(reason)" }
}
