// SPDX-License-Identifier: Apache-2.0

/// What a task draws over time, as simulated hardware plays it and as planners assume it.
package enum DemandProfile: String, Hashable, Sendable, CaseIterable {
    /// Long phases at full power, a short dip at every iteration boundary, coherent over the gang.
    case training
    /// Prefill bursts over a flat decode.
    case inference
    /// Always at full power.
    case steady
}

/// What happens to a running attempt when its node's lease ends.
package enum LeaseEndPolicy: String, Hashable, Sendable, CaseIterable {
    case keep
    case kill
}

/// What an operator wants of a node.
package enum NodeMark: String, Hashable, Sendable, CaseIterable {
    /// Nothing: it takes jobs.
    case open
    /// It takes no new jobs; those on it stay.
    case cordoned
    /// It takes no new jobs, and those on it are moved away.
    case draining
}

/// Which other jobs may be stopped so that a job that fits nowhere can run.
package enum PreemptionPolicy: String, Hashable, Sendable, CaseIterable {
    /// None: the job waits.
    case never
    /// Jobs of a lower priority class; they go back into the queue.
    case lower
}

/// How the tasks of a gang are kept apart over the domains of one level of the primary tree.
package struct LevelSpread: Hashable, Sendable {
    /// The level's name, such as `rack`.
    package var level: String
    /// The most tasks in one domain of the level; nil for as evenly as the fleet allows, which never
    /// keeps a job from fitting.
    package var maximumTasks: UInt32?

    package init(level: String, maximumTasks: UInt32? = nil) {
        self.level = level
        self.maximumTasks = maximumTasks
    }
}

/// What one task of a job needs on its node.
package struct TaskRequest: Hashable, Sendable {
    /// 0 for a CPU-only task.
    package var gpuCount: UInt16
    /// Thousandths of each GPU: 1000 is the whole of it; less only with `gpuCount == 1`.
    package var gpuMilli: UInt16
    package var cpuMilli: UInt32
    package var memoryMiB: UInt32

    package init(gpuCount: UInt16, gpuMilli: UInt16, cpuMilli: UInt32, memoryMiB: UInt32) {
        self.gpuCount = gpuCount
        self.gpuMilli = gpuMilli
        self.cpuMilli = cpuMilli
        self.memoryMiB = memoryMiB
    }
}

/// A request to run: a gang of identical tasks, all of them or none.
package struct JobSpec: Hashable, Sendable {
    package var name: String
    /// Priority class: a higher number is more important.
    package var priority: Int32
    /// Weight inside the class, positive.
    package var weight: UInt32
    package var taskCount: UInt32
    package var task: TaskRequest
    /// Every task on a node of its own.
    package var isSpread: Bool
    /// Names of acceptable GPU models; empty accepts any.
    package var models: [String]
    /// Sites the job may run in; empty accepts any.
    package var sites: [String]
    /// Labels that a node must carry.
    package var selector: [String: String]
    /// The level of the primary tree within which the whole gang must lie (`rack`, `row`, ...), if any.
    package var requiredLevel: String?
    /// The level within one domain of which the gang should lie if it can.
    ///
    /// If it cannot, it takes as few of the level's domains as are found; it never keeps a job from
    /// fitting.
    package var preferredLevel: String?
    /// How far apart tasks must lie, if at all.
    package var levelSpread: LevelSpread?
    /// Floor pace as the cap per whole GPU; nil takes the model's default floor.
    package var floor: Milliwatts?
    /// The job runs at full pace or not at all: its floor is the model's highest cap, and `floor` is
    /// nil.
    package var isFullPace: Bool
    /// Whether less important jobs may be stopped for it.
    package var preemption: PreemptionPolicy
    package var profile: DemandProfile
    /// How long a simulated task runs; nil runs until cancelled.
    package var durationNanoseconds: Int64?
    package var onLeaseEnd: LeaseEndPolicy
    /// The reservation that the job may use, if any.
    package var reservation: String?

    package init(
        name: String, priority: Int32 = 0, weight: UInt32 = 1, taskCount: UInt32 = 1,
        task: TaskRequest, isSpread: Bool = false, models: [String] = [], sites: [String] = [],
        selector: [String: String] = [:], requiredLevel: String? = nil, floor: Milliwatts? = nil,
        profile: DemandProfile = .training, durationNanoseconds: Int64? = nil,
        onLeaseEnd: LeaseEndPolicy = .keep, preferredLevel: String? = nil,
        levelSpread: LevelSpread? = nil, isFullPace: Bool = false,
        preemption: PreemptionPolicy = .never, reservation: String? = nil
    ) {
        self.name = name
        self.priority = priority
        self.weight = weight
        self.taskCount = taskCount
        self.task = task
        self.isSpread = isSpread
        self.models = models
        self.sites = sites
        self.selector = selector
        self.requiredLevel = requiredLevel
        self.floor = floor
        self.profile = profile
        self.durationNanoseconds = durationNanoseconds
        self.onLeaseEnd = onLeaseEnd
        self.preferredLevel = preferredLevel
        self.levelSpread = levelSpread
        self.isFullPace = isFullPace
        self.preemption = preemption
        self.reservation = reservation
    }

    /// The cap per whole GPU that the job is promised on GPUs of a model.
    package func floor(on model: GPUModel) -> Milliwatts {
        isFullPace ? model.maximumCap : floor ?? model.defaultFloor
    }
}

/// Where a job stands.
package enum JobState: String, Hashable, Sendable, CaseIterable {
    /// Accepted, not placed: waiting for GPUs, watts or its turn.
    case queued
    /// Placed in the fleet store; its floors are not yet in the site's ledger.
    case pending
    /// Floors are reserved; tasks are being started.
    case starting
    case running
    /// Cancelled or preempted; waiting for its tasks to be confirmed stopped.
    case stopping
    case finished
    case failed
    case cancelled
}

/// The part of a job that one node runs.
package struct TaskPlacement: Hashable, Sendable {
    package var node: NodeIndex
    /// Positions in the node of the GPUs that the task holds.
    package var devices: [UInt16]

    package init(node: NodeIndex, devices: [UInt16]) {
        self.node = node
        self.devices = devices
    }
}
