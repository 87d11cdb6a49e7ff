// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// One task of a placed job, as the fleet store keeps it.
package struct TaskRecord: Hashable, Sendable {
    package var placement: TaskPlacement
    /// The name of the task's phase; the job life cycle knows the phases.
    package var state: String

    package init(placement: TaskPlacement, state: String) {
        self.placement = placement
        self.state = state
    }
}

/// A job as the fleet store keeps it: record `job/ID`.
package struct JobRecord: Hashable, Sendable {
    package var id: JobID
    /// The client's id of the submit.
    package var requestID: RandomID
    package var spec: JobSpec
    package var state: JobState
    package var submittedUnixMilliseconds: UInt64
    package var submittedBy: String
    /// Fencing token of the running attempt; 0 before the first placement.
    package var attempt: UInt64
    package var tasks: [TaskRecord]
    /// The ledger revision at which the floors were reserved.
    package var ledgerRevision: UInt64
    package var message: String
    /// When the running attempt began; 0 while none runs.
    package var startedUnixMilliseconds: UInt64
    /// The job for which this one was stopped last, if any.
    package var preemptedBy: JobID?
    /// True when it goes back into the queue once it has stopped.
    package var isRequeued: Bool

    package init(
        id: JobID, requestID: RandomID, spec: JobSpec, state: JobState,
        submittedUnixMilliseconds: UInt64, submittedBy: String, attempt: UInt64,
        tasks: [TaskRecord], ledgerRevision: UInt64, message: String,
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

/// What an operator wants of a node, as the fleet store keeps it: record `node/POSITION`.
package struct NodeRecord: Hashable, Sendable {
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

/// What the fleet store keeps of the fleet itself: record `fleet`.
package struct FleetRecord: Hashable, Sendable {
    package var nextJobID: UInt64
    /// Names the topology that node positions in other records refer to.
    package var topologyHash: UInt64
    package var jobsPlacedTotal: UInt64
    package var jobsFinishedTotal: UInt64
    package var nextEvent: UInt64
    /// One entry for each site, in the topology's order.
    package var allotments: [Milliwatts]

    package init(
        nextJobID: UInt64, topologyHash: UInt64, jobsPlacedTotal: UInt64,
        jobsFinishedTotal: UInt64, nextEvent: UInt64, allotments: [Milliwatts]
    ) {
        self.nextJobID = nextJobID
        self.topologyHash = topologyHash
        self.jobsPlacedTotal = jobsPlacedTotal
        self.jobsFinishedTotal = jobsFinishedTotal
        self.nextEvent = nextEvent
        self.allotments = allotments
    }
}

/// One line of the audit log: record `event/NUMBER`.
package struct EventRecord: Hashable, Sendable {
    package var number: UInt64
    package var unixMilliseconds: UInt64
    package var actor: String
    package var kind: String
    package var subject: String
    package var message: String

    package init(
        number: UInt64, unixMilliseconds: UInt64, actor: String, kind: String, subject: String,
        message: String
    ) {
        self.number = number
        self.unixMilliseconds = unixMilliseconds
        self.actor = actor
        self.kind = kind
        self.subject = subject
        self.message = message
    }
}
