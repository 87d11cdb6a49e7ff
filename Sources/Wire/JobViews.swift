// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// One job as operators see it.
package struct JobView: Hashable, Sendable {
    package var id: JobID
    package var name: String
    package var state: JobState
    package var priority: Int32
    package var taskCount: UInt32
    package var gpuCount: UInt32
    package var gpuMilli: UInt32
    /// Sum over the GPUs of the job.
    package var floor: Milliwatts
    /// Sum over the GPUs of the job.
    package var cap: Milliwatts
    package var levelPPM: UInt32
    package var reason: String
    package var submittedUnixMilliseconds: UInt64
    /// Compressed, such as `n[001-004]`.
    package var nodes: String
    package var submittedBy: String

    package init(
        id: JobID, name: String, state: JobState, priority: Int32, taskCount: UInt32,
        gpuCount: UInt32, gpuMilli: UInt32, floor: Milliwatts, cap: Milliwatts, levelPPM: UInt32,
        reason: String, submittedUnixMilliseconds: UInt64, nodes: String, submittedBy: String
    ) {
        self.id = id
        self.name = name
        self.state = state
        self.priority = priority
        self.taskCount = taskCount
        self.gpuCount = gpuCount
        self.gpuMilli = gpuMilli
        self.floor = floor
        self.cap = cap
        self.levelPPM = levelPPM
        self.reason = reason
        self.submittedUnixMilliseconds = submittedUnixMilliseconds
        self.nodes = nodes
        self.submittedBy = submittedBy
    }
}

/// One task of a job as operators see it.
package struct TaskView: Hashable, Sendable {
    package var index: UInt32
    package var node: String
    package var devices: [UInt16]
    package var state: String

    package init(
        index: UInt32, node: String, devices: [UInt16], state: String
    ) {
        self.index = index
        self.node = node
        self.devices = devices
        self.state = state
    }
}

/// One line of the audit log.
package struct EventView: Hashable, Sendable {
    package var revision: UInt64
    package var unixMilliseconds: UInt64
    package var actor: String
    package var kind: String
    package var subject: String
    package var message: String

    package init(
        revision: UInt64, unixMilliseconds: UInt64, actor: String, kind: String, subject: String,
        message: String
    ) {
        self.revision = revision
        self.unixMilliseconds = unixMilliseconds
        self.actor = actor
        self.kind = kind
        self.subject = subject
        self.message = message
    }
}

/// One reason why nodes were ruled out for a job.
package struct ReasonView: Hashable, Sendable {
    /// `model`, `selector`, `site`, `gpus`, `cpu`, `memory`, `silent`, `power`, ...
    package var kind: String
    /// Nodes that fell out for this reason first.
    package var nodeCount: UInt32
    package var message: String

    package init(
        kind: String, nodeCount: UInt32, message: String
    ) {
        self.kind = kind
        self.nodeCount = nodeCount
        self.message = message
    }
}

/// A domain that lacks the watts for a job.
package struct ShortfallView: Hashable, Sendable {
    package var domain: String
    package var headroom: Milliwatts
    package var needed: Milliwatts
    package var nodeCount: UInt32

    package init(
        domain: String, headroom: Milliwatts, needed: Milliwatts, nodeCount: UInt32
    ) {
        self.domain = domain
        self.headroom = headroom
        self.needed = needed
        self.nodeCount = nodeCount
    }
}

/// Why a job is not placed, or runs below full pace.
package struct JobExplanation: Hashable, Sendable {
    package var job: JobID
    package var state: JobState
    /// The most common reason first.
    package var reasons: [ReasonView]
    package var shortfalls: [ShortfallView]
    /// What would have to change, one sentence each.
    package var fitsIf: [String]
    /// For a placed job.
    package var levelPPM: UInt32
    /// For a placed job below full pace.
    package var boundBy: String?

    package init(
        job: JobID, state: JobState, reasons: [ReasonView], shortfalls: [ShortfallView],
        fitsIf: [String], levelPPM: UInt32, boundBy: String?
    ) {
        self.job = job
        self.state = state
        self.reasons = reasons
        self.shortfalls = shortfalls
        self.fitsIf = fitsIf
        self.levelPPM = levelPPM
        self.boundBy = boundBy
    }
}
