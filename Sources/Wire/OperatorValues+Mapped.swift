// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension JobDetail: Mapped {
    static var messageName: String { "JobDetail" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__JobDetail>) {
        busbar__v1__job_detail__init(message)
    }

    static func read(_ message: Busbar__V1__JobDetail) throws(WireError) -> JobDetail {
        JobDetail(
            job: try fields.message(message.job, "job"),
            spec: try fields.message(message.spec, "spec"),
            tasks: try fields.list(
                message.n_tasks, message.tasks, "tasks", limit: OperatorBound.elements),
            events: try fields.list(
                message.n_events, message.events, "events", limit: OperatorBound.elements),
            boundBy: try fields.optionalText(message.bound_by, "bound_by"))
    }

    func write(to message: inout Busbar__V1__JobDetail, _ builder: Builder) {
        message.job = builder.make(job)
        message.spec = builder.make(spec)
        message.n_tasks = tasks.count
        message.tasks = builder.list(tasks)
        message.n_events = events.count
        message.events = builder.list(events)
        message.bound_by = builder.text(boundBy ?? "")
    }
}

extension NodeDetail: Mapped {
    static var messageName: String { "NodeDetail" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__NodeDetail>) {
        busbar__v1__node_detail__init(message)
    }

    static func read(_ message: Busbar__V1__NodeDetail) throws(WireError) -> NodeDetail {
        NodeDetail(
            node: try fields.message(message.node, "node"),
            gpus: try fields.list(
                message.n_gpus, message.gpus, "gpus", limit: OperatorBound.elements),
            domains: try fields.list(
                message.n_domains, message.domains, "domains", limit: OperatorBound.elements),
            jobs: try fields.column(
                message.n_jobs, message.jobs, "jobs", limit: OperatorBound.jobs
            ).map { JobID($0) })
    }

    func write(to message: inout Busbar__V1__NodeDetail, _ builder: Builder) {
        message.node = builder.make(node)
        message.n_gpus = gpus.count
        message.gpus = builder.list(gpus)
        message.n_domains = domains.count
        message.domains = builder.list(domains)
        message.n_jobs = jobs.count
        message.jobs = builder.map(jobs) { $0.rawValue }
    }
}

extension DomainDetail: Mapped {
    static var messageName: String { "DomainDetail" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__DomainDetail>) {
        busbar__v1__domain_detail__init(message)
    }

    static func read(_ message: Busbar__V1__DomainDetail) throws(WireError) -> DomainDetail {
        DomainDetail(
            domain: try fields.message(message.domain, "domain"),
            children: try fields.list(
                message.n_children, message.children, "children", limit: OperatorBound.elements),
            nodes: try fields.list(
                message.n_nodes, message.nodes, "nodes", limit: OperatorBound.elements))
    }

    func write(to message: inout Busbar__V1__DomainDetail, _ builder: Builder) {
        message.domain = builder.make(domain)
        message.n_children = children.count
        message.children = builder.list(children)
        message.n_nodes = nodes.count
        message.nodes = builder.list(nodes)
    }
}

extension SubmitReply: Mapped {
    static var messageName: String { "SubmitReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SubmitReply>) {
        busbar__v1__submit_reply__init(message)
    }

    static func read(_ message: Busbar__V1__SubmitReply) throws(WireError) -> SubmitReply {
        SubmitReply(
            job: JobID(message.job_id),
            state: try fields.word(message.state, "state"),
            explanation: message.explanation == nil
                ? nil : try fields.message(message.explanation, "explanation"),
            tasks: try fields.list(
                message.n_tasks, message.tasks, "tasks", limit: OperatorBound.elements))
    }

    func write(to message: inout Busbar__V1__SubmitReply, _ builder: Builder) {
        message.job_id = job.rawValue
        message.state = builder.text(state.rawValue)
        message.explanation = explanation.map { builder.make($0) }
        message.n_tasks = tasks.count
        message.tasks = builder.list(tasks)
    }
}

extension CancelReply: Mapped {
    static var messageName: String { "CancelReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__CancelReply>) {
        busbar__v1__cancel_reply__init(message)
    }

    static func read(_ message: Busbar__V1__CancelReply) throws(WireError) -> CancelReply {
        CancelReply(
            job: JobID(message.job_id),
            state: try fields.word(message.state, "state"))
    }

    func write(to message: inout Busbar__V1__CancelReply, _ builder: Builder) {
        message.job_id = job.rawValue
        message.state = builder.text(state.rawValue)
    }
}

extension MarkReply: Mapped {
    static var messageName: String { "MarkReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__MarkReply>) {
        busbar__v1__mark_reply__init(message)
    }

    static func read(_ message: Busbar__V1__MarkReply) throws(WireError) -> MarkReply {
        MarkReply(
            node: try fields.name(message.node, "node"),
            mark: try fields.word(message.mark, "mark"),
            jobs: try fields.column(
                message.n_jobs, message.jobs, "jobs", limit: OperatorBound.jobs
            ).map { JobID($0) })
    }

    func write(to message: inout Busbar__V1__MarkReply, _ builder: Builder) {
        message.node = builder.text(node)
        message.mark = builder.text(mark.rawValue)
        message.n_jobs = jobs.count
        message.jobs = builder.map(jobs) { $0.rawValue }
    }
}

extension FleetStatus: Mapped {
    static var messageName: String { "StatusReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__StatusReply>) {
        busbar__v1__status_reply__init(message)
    }

    static func read(_ message: Busbar__V1__StatusReply) throws(WireError) -> FleetStatus {
        FleetStatus(
            fleet: try fields.name(message.fleet, "fleet"),
            sites: try fields.list(
                message.n_sites, message.sites, "sites", limit: OperatorBound.elements),
            gpuCount: message.gpus,
            heldGPUMilli: message.gpus_held_milli,
            runningJobCount: message.jobs_running,
            queuedJobCount: message.jobs_queued,
            placedJobTotal: message.jobs_placed_total,
            finishedJobTotal: message.jobs_finished_total,
            peakCommittedPPB: message.peak_committed_ppb,
            leaseExpiries: message.lease_expiries,
            nodeCount: message.nodes,
            liveNodeCount: message.nodes_live,
            provenNodeCount: message.nodes_proven,
            isCommissioning: message.commissioning != 0,
            commissioningMilliseconds: message.commissioning_ms,
            fleetEpoch: message.fleet_epoch,
            uptimeMilliseconds: message.uptime_ms,
            reportTotal: message.reports_total,
            bindingDomainCount: message.binding_domains,
            provenClassCount: message.classes_proven)
    }

    func write(to message: inout Busbar__V1__StatusReply, _ builder: Builder) {
        message.fleet = builder.text(fleet)
        message.n_sites = sites.count
        message.sites = builder.list(sites)
        message.gpus = gpuCount
        message.gpus_held_milli = heldGPUMilli
        message.jobs_running = runningJobCount
        message.jobs_queued = queuedJobCount
        message.jobs_placed_total = placedJobTotal
        message.jobs_finished_total = finishedJobTotal
        message.peak_committed_ppb = peakCommittedPPB
        message.lease_expiries = leaseExpiries
        message.nodes = nodeCount
        message.nodes_live = liveNodeCount
        message.nodes_proven = provenNodeCount
        message.commissioning = isCommissioning ? 1 : 0
        message.commissioning_ms = commissioningMilliseconds
        message.fleet_epoch = fleetEpoch
        message.uptime_ms = uptimeMilliseconds
        message.reports_total = reportTotal
        message.binding_domains = bindingDomainCount
        message.classes_proven = provenClassCount
    }
}

extension VersionReply: Mapped {
    static var messageName: String { "VersionReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__VersionReply>) {
        busbar__v1__version_reply__init(message)
    }

    static func read(_ message: Busbar__V1__VersionReply) throws(WireError) -> VersionReply {
        VersionReply(
            version: try fields.text(message.version, "version"),
            protocolVersion: message.protocol_version)
    }

    func write(to message: inout Busbar__V1__VersionReply, _ builder: Builder) {
        message.version = builder.text(version)
        message.protocol_version = protocolVersion
    }
}
