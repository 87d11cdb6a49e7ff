// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Where one task of a placed job stands, as far as its node has confirmed it.
package enum TaskPhase: String, Hashable, Sendable, CaseIterable {
    /// The node has not yet confirmed that it runs.
    case placed
    case running
    case finished
    case failed
    case stopped

    /// True once the node has confirmed that the task no longer runs.
    package var hasEnded: Bool { self == .finished || self == .failed || self == .stopped }
}

/// One task of a placed job.
package struct FleetTask: Hashable, Sendable {
    package var placement: TaskPlacement
    package var phase: TaskPhase

    package init(placement: TaskPlacement, phase: TaskPhase = .placed) {
        self.placement = placement
        self.phase = phase
    }
}

extension JobState {
    /// True for a state that a job never leaves.
    package var hasEnded: Bool { self == .finished || self == .failed || self == .cancelled }

    /// True while the job holds GPUs, CPUs and watts.
    package var isPlaced: Bool {
        self == .pending || self == .starting || self == .running || self == .stopping
    }
}

/// A job as the fleet store keeps it: everything that must outlive the coordinator.
package struct FleetJob: Hashable, Sendable {
    package var id: JobID
    /// Made by the client; the same id is the same submit.
    package var requestID: RandomID
    package var spec: JobSpec
    package var state: JobState
    package var submittedUnixMilliseconds: UInt64
    /// Name of the operator who submitted it.
    package var submittedBy: String
    /// Fencing token of the running attempt; 0 before the first placement.
    package var attempt: UInt64
    /// Empty while queued; afterwards one entry for each task.
    package var tasks: [FleetTask]
    /// The highest ledger revision, over the sites in use, at which the floors were reserved.
    package var ledgerRevision: UInt64
    /// Why the job is where it is, for people: the refusal, the failure, who cancelled it.
    package var message: String
    /// When the running attempt began; 0 while none runs.
    package var startedUnixMilliseconds: UInt64
    /// The job for which this one was stopped last, until it is placed again.
    package var preemptedBy: JobID?
    /// While it stops: it goes back into the queue afterwards.
    package var isRequeued: Bool

    package init(
        id: JobID, requestID: RandomID, spec: JobSpec, state: JobState,
        submittedUnixMilliseconds: UInt64, submittedBy: String, attempt: UInt64 = 0,
        tasks: [FleetTask] = [], ledgerRevision: UInt64 = 0, message: String = "",
        startedUnixMilliseconds: UInt64 = 0, preemptedBy: JobID? = nil, isRequeued: Bool = false
    ) {
        self.id = id
        self.requestID = requestID
        self.spec = spec
        self.state = state
        self.submittedUnixMilliseconds = submittedUnixMilliseconds
        self.submittedBy = submittedBy
        self.attempt = attempt
        self.tasks = tasks
        self.ledgerRevision = ledgerRevision
        self.message = message
        self.startedUnixMilliseconds = startedUnixMilliseconds
        self.preemptedBy = preemptedBy
        self.isRequeued = isRequeued
    }
}

/// What an operator wants of a node, as the fleet store keeps it.
package struct FleetNodeMark: Hashable, Sendable {
    package var node: NodeIndex
    package var mark: NodeMark
    /// The operator's name.
    package var actor: String
    package var reason: String
    package var unixMilliseconds: UInt64

    package init(
        node: NodeIndex, mark: NodeMark, actor: String, reason: String, unixMilliseconds: UInt64
    ) {
        self.node = node
        self.mark = mark
        self.actor = actor
        self.reason = reason
        self.unixMilliseconds = unixMilliseconds
    }
}

/// A reservation as the fleet store keeps it.
package struct FleetReservation: Hashable, Sendable {
    package var name: String
    /// What it keeps, as if it were a job.
    package var spec: JobSpec
    package var expiresUnixMilliseconds: UInt64
    /// The operator's name.
    package var actor: String
    /// Where its room is.
    package var placement: [TaskPlacement]

    package init(
        name: String, spec: JobSpec, expiresUnixMilliseconds: UInt64, actor: String,
        placement: [TaskPlacement]
    ) {
        self.name = name
        self.spec = spec
        self.expiresUnixMilliseconds = expiresUnixMilliseconds
        self.actor = actor
        self.placement = placement
    }
}

/// One line of the audit log.
package struct FleetEvent: Hashable, Sendable {
    /// Counts events; never used again.
    package var number: UInt64
    package var unixMilliseconds: UInt64
    /// Who caused it: an operator's name, a node's name, or `coordinator`.
    package var actor: String
    package var kind: FleetEventKind
    /// What it is about: `j42`, a node, a domain, a site.
    package var subject: String
    package var message: String

    package init(
        number: UInt64, unixMilliseconds: UInt64, actor: String, kind: FleetEventKind,
        subject: String, message: String
    ) {
        self.number = number
        self.unixMilliseconds = unixMilliseconds
        self.actor = actor
        self.kind = kind
        self.subject = subject
        self.message = message
    }
}

/// What happened, in the audit log.
package enum FleetEventKind: String, Hashable, Sendable, CaseIterable {
    case coordinatorStarted = "coordinator-started"
    case jobSubmitted = "job-submitted"
    case jobPlaced = "job-placed"
    case jobReturned = "job-returned"
    case jobRunning = "job-running"
    case jobStopping = "job-stopping"
    case jobPreempted = "job-preempted"
    case jobDrained = "job-drained"
    case jobFinished = "job-finished"
    case jobFailed = "job-failed"
    case jobCancelled = "job-cancelled"
    case taskRestarted = "task-restarted"
    case nodeLive = "node-live"
    case nodeSilent = "node-silent"
    case nodeProven = "node-proven"
    case nodeCordoned = "node-cordoned"
    case nodeDraining = "node-draining"
    case nodeUncordoned = "node-uncordoned"
    case reservationMade = "reservation-made"
    case reservationEnded = "reservation-ended"
    case domainCommissioned = "domain-commissioned"
    case leaseEnded = "lease-ended"
    /// An enforcer found caps above what it had set: another hand writes, or a driver was reloaded.
    case capViolation = "cap-violation"
    case anomaly
}

/// Counters of the fleet that outlive the coordinator.
package struct FleetCounters: Hashable, Sendable {
    package var nextJobID: UInt64
    package var nextEventNumber: UInt64
    package var jobsPlacedTotal: UInt64
    package var jobsFinishedTotal: UInt64

    package init(
        nextJobID: UInt64 = 1, nextEventNumber: UInt64 = 1, jobsPlacedTotal: UInt64 = 0,
        jobsFinishedTotal: UInt64 = 0
    ) {
        self.nextJobID = nextJobID
        self.nextEventNumber = nextEventNumber
        self.jobsPlacedTotal = jobsPlacedTotal
        self.jobsFinishedTotal = jobsFinishedTotal
    }
}

/// What is to be written to the fleet store in one atomic batch.
package struct FleetBatch: Hashable, Sendable {
    /// The most job records of one batch.
    package static let maximumJobCount = 50
    /// The most events of one batch.
    package static let maximumEventCount = 50
    /// The most job records that one batch removes.
    package static let maximumForgottenCount = 15
    /// The most node marks of one batch.
    package static let maximumMarkCount = 8
    /// The most reservations of one batch, put and removed.
    package static let maximumReservationCount = 2

    /// Job records to put, those that have waited longest first.
    package var jobs: [FleetJob]
    /// Job records that history no longer keeps.
    package var forgottenJobs: [JobID]
    /// Node marks to put; one that is open again is removed.
    package var marks: [FleetNodeMark]
    /// Reservations to put.
    package var reservations: [FleetReservation]
    /// Names of reservations to remove.
    package var endedReservations: [String]
    /// Events to put, in order.
    package var events: [FleetEvent]
    package var counters: FleetCounters
    /// The change of each of `jobs` that becomes durable with this batch.
    var changes: [UInt64]
    /// The change of each of `marks`.
    var markChanges: [UInt64]
    /// The reservations that are put or removed, and the change of each.
    var reservationNames: [String]
    var reservationChanges: [UInt64]
}

/// An order to a node, carried out once it is durable in the fleet store.
package enum FleetDirective: Hashable, Sendable {
    /// Start the task; a node that already runs it under this attempt does nothing.
    case start(job: JobID, task: UInt32, attempt: UInt64, node: NodeIndex)
    /// Stop the task if it runs, say that it has stopped, and forget it.
    case stop(job: JobID, task: UInt32, attempt: UInt64, node: NodeIndex)
}

/// What a node says about one task.
package struct TaskObservation: Hashable, Sendable {
    package var job: JobID
    package var task: UInt32
    package var attempt: UInt64
    /// `running`, `finished`, `failed` or `stopped`; never `placed`.
    package var phase: TaskPhase
    package var message: String

    package init(job: JobID, task: UInt32, attempt: UInt64, phase: TaskPhase, message: String) {
        self.job = job
        self.task = task
        self.attempt = attempt
        self.phase = phase
        self.message = message
    }
}
