// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Everything about one job.
package struct JobDetail: Hashable, Sendable {
    package var job: JobView
    package var spec: JobSpec
    package var tasks: [TaskView]
    package var events: [EventView]
    package var boundBy: String?

    package init(
        job: JobView, spec: JobSpec, tasks: [TaskView], events: [EventView], boundBy: String?
    ) {
        self.job = job
        self.spec = spec
        self.tasks = tasks
        self.events = events
        self.boundBy = boundBy
    }
}

/// Everything about one node.
package struct NodeDetail: Hashable, Sendable {
    package var node: NodeView
    package var gpus: [GPUView]
    /// Every domain that carries it, leaf first, tree after tree.
    package var domains: [DomainView]
    package var jobs: [JobID]

    package init(
        node: NodeView, gpus: [GPUView], domains: [DomainView], jobs: [JobID]
    ) {
        self.node = node
        self.gpus = gpus
        self.domains = domains
        self.jobs = jobs
    }
}

/// Everything about one domain.
package struct DomainDetail: Hashable, Sendable {
    package var domain: DomainView
    package var children: [DomainView]
    /// The nodes that hang from it directly.
    package var nodes: [NodeView]

    package init(
        domain: DomainView, children: [DomainView], nodes: [NodeView]
    ) {
        self.domain = domain
        self.children = children
        self.nodes = nodes
    }
}

/// What became of a submit.
package struct SubmitReply: Hashable, Sendable {
    package var job: JobID
    package var state: JobState
    /// For a job that was not placed.
    package var explanation: JobExplanation?
    package var tasks: [TaskView]

    package init(
        job: JobID, state: JobState, explanation: JobExplanation?, tasks: [TaskView]
    ) {
        self.job = job
        self.state = state
        self.explanation = explanation
        self.tasks = tasks
    }
}

/// What became of a cancel.
package struct CancelReply: Hashable, Sendable {
    package var job: JobID
    package var state: JobState

    package init(
        job: JobID, state: JobState
    ) {
        self.job = job
        self.state = state
    }
}

/// What a marked node still has to do.
package struct MarkReply: Hashable, Sendable {
    package var node: String
    package var mark: NodeMark
    /// The jobs that are still on it.
    package var jobs: [JobID]

    package init(node: String, mark: NodeMark, jobs: [JobID]) {
        self.node = node
        self.mark = mark
        self.jobs = jobs
    }
}

/// The fleet in numbers.
package struct FleetStatus: Hashable, Sendable {
    package var fleet: String
    package var sites: [SiteView]
    package var gpuCount: UInt64
    package var heldGPUMilli: UInt64
    package var runningJobCount: UInt64
    package var queuedJobCount: UInt64
    package var placedJobTotal: UInt64
    package var finishedJobTotal: UInt64
    /// The highest charges over effective limit less overhead, over domains and time.
    package var peakCommittedPPB: UInt64
    package var leaseExpiries: UInt64
    package var nodeCount: UInt64
    package var liveNodeCount: UInt64
    package var provenNodeCount: UInt64
    package var isCommissioning: Bool
    /// From the first start of the store; 0 while it lasts.
    package var commissioningMilliseconds: UInt64
    package var fleetEpoch: UInt64
    package var uptimeMilliseconds: UInt64
    package var reportTotal: UInt64
    package var bindingDomainCount: UInt64
    package var provenClassCount: UInt64

    package init(
        fleet: String, sites: [SiteView], gpuCount: UInt64, heldGPUMilli: UInt64,
        runningJobCount: UInt64, queuedJobCount: UInt64, placedJobTotal: UInt64,
        finishedJobTotal: UInt64, peakCommittedPPB: UInt64, leaseExpiries: UInt64,
        nodeCount: UInt64, liveNodeCount: UInt64, provenNodeCount: UInt64, isCommissioning: Bool,
        commissioningMilliseconds: UInt64, fleetEpoch: UInt64, uptimeMilliseconds: UInt64,
        reportTotal: UInt64, bindingDomainCount: UInt64, provenClassCount: UInt64
    ) {
        self.fleet = fleet
        self.sites = sites
        self.gpuCount = gpuCount
        self.heldGPUMilli = heldGPUMilli
        self.runningJobCount = runningJobCount
        self.queuedJobCount = queuedJobCount
        self.placedJobTotal = placedJobTotal
        self.finishedJobTotal = finishedJobTotal
        self.peakCommittedPPB = peakCommittedPPB
        self.leaseExpiries = leaseExpiries
        self.nodeCount = nodeCount
        self.liveNodeCount = liveNodeCount
        self.provenNodeCount = provenNodeCount
        self.isCommissioning = isCommissioning
        self.commissioningMilliseconds = commissioningMilliseconds
        self.fleetEpoch = fleetEpoch
        self.uptimeMilliseconds = uptimeMilliseconds
        self.reportTotal = reportTotal
        self.bindingDomainCount = bindingDomainCount
        self.provenClassCount = provenClassCount
    }
}

/// The software that answers.
package struct VersionReply: Hashable, Sendable {
    package var version: String
    package var protocolVersion: UInt32

    package init(
        version: String, protocolVersion: UInt32
    ) {
        self.version = version
        self.protocolVersion = protocolVersion
    }
}
