// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The versions of the protocol that this software speaks.
package enum ProtocolVersion {
    /// Sent in hellos and welcomes.
    package static let current: UInt32 = 1
}

/// What is fixed about one GPU, as its driver says.
package struct DeviceInventory: Hashable, Sendable {
    package var uuid: String
    package var model: String
    package var minimumCap: Milliwatts
    package var maximumCap: Milliwatts

    package init(uuid: String, model: String, minimumCap: Milliwatts, maximumCap: Milliwatts) {
        self.uuid = uuid
        self.model = model
        self.minimumCap = minimumCap
        self.maximumCap = maximumCap
    }
}

/// The first message of an agent's session.
package struct AgentHello: Hashable, Sendable {
    package var protocolVersion: UInt32
    package var softwareVersion: String
    /// Must equal the node in the certificate's identity.
    package var node: String
    /// Names this boot of the node; at most 64 bytes.
    package var bootID: [UInt8]
    /// At most ``TelemetryReport/maximumGPUCount``.
    package var devices: [DeviceInventory]
    /// The tasks that run on the node now.
    package var tasks: [TaskStatus]

    package init(
        protocolVersion: UInt32 = ProtocolVersion.current, softwareVersion: String, node: String,
        bootID: [UInt8], devices: [DeviceInventory], tasks: [TaskStatus]
    ) {
        self.protocolVersion = protocolVersion
        self.softwareVersion = softwareVersion
        self.node = node
        self.bootID = bootID
        self.devices = devices
        self.tasks = tasks
    }
}

/// The coordinator's answer to an ``AgentHello`` that it accepts.
package struct AgentWelcome: Hashable, Sendable {
    package var protocolVersion: UInt32
    package var reportIntervalMilliseconds: UInt64
    /// DER certificates, leaf first, of the key that signs grants.
    package var signerChain: [[UInt8]]

    package init(
        protocolVersion: UInt32 = ProtocolVersion.current, reportIntervalMilliseconds: UInt64,
        signerChain: [[UInt8]]
    ) {
        self.protocolVersion = protocolVersion
        self.reportIntervalMilliseconds = reportIntervalMilliseconds
        self.signerChain = signerChain
    }
}

/// A lease grant with the site leader's signature over it.
package struct SignedGrant: Hashable, Sendable {
    /// The bytes that are signed: an encoded ``LeaseGrant``; read it with `LeaseGrant.decode`,
    /// after the signature is verified over exactly these bytes.
    package var payload: [UInt8]
    /// ECDSA P-256 with SHA-256, DER.
    package var signature: [UInt8]

    package init(payload: [UInt8], signature: [UInt8]) {
        self.payload = payload
        self.signature = signature
    }
}

/// How a node shares its cap between its GPUs.
///
/// Shape: every column has one entry for each GPU of the node.
package struct PowerPlan: Hashable, Sendable {
    /// Grows with every change; an agent keeps the plan with the highest.
    package var revision: UInt64
    package var floorMilliwatts: [UInt32]
    package var fullMilliwatts: [UInt32]
    /// The cap at the level of the whole gang, for GPUs of gangs that span nodes; else the full.
    package var ceilingMilliwatts: [UInt32]
    package var priority: [Int32]
    /// Positive.
    package var weight: [UInt32]
    /// 0 for a lone GPU; GPUs with equal numbers share one level on this node.
    package var gang: [UInt32]

    package init(
        revision: UInt64, floorMilliwatts: [UInt32], fullMilliwatts: [UInt32],
        ceilingMilliwatts: [UInt32], priority: [Int32], weight: [UInt32], gang: [UInt32]
    ) {
        self.revision = revision
        self.floorMilliwatts = floorMilliwatts
        self.fullMilliwatts = fullMilliwatts
        self.ceilingMilliwatts = ceilingMilliwatts
        self.priority = priority
        self.weight = weight
        self.gang = gang
    }

    /// The number of GPUs planned for.
    package var gpuCount: Int { floorMilliwatts.count }
}

/// The name of one attempt of one task: a higher attempt replaces a lower one.
package struct TaskAttempt: Hashable, Sendable {
    package var job: JobID
    package var taskIndex: UInt32
    /// The fencing token.
    package var attempt: UInt64

    package init(job: JobID, taskIndex: UInt32, attempt: UInt64) {
        self.job = job
        self.taskIndex = taskIndex
        self.attempt = attempt
    }
}

/// An order to run a task.
package struct TaskStart: Hashable, Sendable {
    package var task: TaskAttempt
    package var jobName: String
    /// Positions in the node of the GPUs to run on; empty for a CPU-only task.
    package var devices: [UInt16]
    /// Thousandths of each GPU.
    package var gpuMilli: UInt16
    package var profile: DemandProfile
    /// Nil runs until stopped.
    package var durationNanoseconds: Int64?
    package var onLeaseEnd: LeaseEndPolicy

    package init(
        task: TaskAttempt, jobName: String, devices: [UInt16], gpuMilli: UInt16,
        profile: DemandProfile, durationNanoseconds: Int64?, onLeaseEnd: LeaseEndPolicy
    ) {
        self.task = task
        self.jobName = jobName
        self.devices = devices
        self.gpuMilli = gpuMilli
        self.profile = profile
        self.durationNanoseconds = durationNanoseconds
        self.onLeaseEnd = onLeaseEnd
    }
}

/// Where a task stands on its node.
package enum TaskState: UInt32, Hashable, Sendable, CaseIterable {
    case running = 1
    case finished = 2
    case failed = 3
    /// Stopped by order.
    case stopped = 4
}

/// What an agent says of a task.
package struct TaskStatus: Hashable, Sendable {
    package var task: TaskAttempt
    package var state: TaskState
    package var message: String

    package init(task: TaskAttempt, state: TaskState, message: String = "") {
        self.task = task
        self.state = state
        self.message = message
    }
}

/// Why a coordinator ends a session.
package enum RefusalCode: UInt32, Hashable, Sendable, CaseIterable {
    /// A reason that this version does not know.
    case unspecified = 0
    case protocolVersion = 1
    case unknownNode = 2
    /// The hello names another node than the certificate does.
    case wrongIdentity = 3
    /// The devices are not those of the topology.
    case inventory = 4
    case notLeader = 5
    /// A newer session of the same node took over.
    case replaced = 6
    case protocolViolation = 7
}

/// The last message of a session that the coordinator ends.
package struct SessionRefusal: Hashable, Sendable {
    package var code: RefusalCode
    package var message: String

    package init(code: RefusalCode, message: String) {
        self.code = code
        self.message = message
    }
}
