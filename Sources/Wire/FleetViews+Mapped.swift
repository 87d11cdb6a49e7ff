// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension SiteView: Mapped {
    static var messageName: String { "SiteView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SiteView>) {
        busbar__v1__site_view__init(message)
    }

    static func read(_ message: Busbar__V1__SiteView) throws(WireError) -> SiteView {
        SiteView(
            name: try fields.name(message.name, "name"),
            draw: message.draw_known != 0
                ? try fields.power(message.draw_mw, "draw_mw") : nil,
            charged: try fields.power(message.charged_mw, "charged_mw"),
            limit: try fields.power(message.limit_mw, "limit_mw"),
            overhead: try fields.power(message.overhead_mw, "overhead_mw"),
            floors: try fields.power(message.floors_mw, "floors_mw"),
            nodeCount: message.nodes,
            liveNodeCount: message.nodes_live,
            gpuCount: message.gpus,
            heldGPUCount: message.gpus_held,
            runningJobCount: message.jobs_running,
            isCommissioning: message.commissioning != 0,
            epoch: message.epoch)
    }

    func write(to message: inout Busbar__V1__SiteView, _ builder: Builder) {
        message.name = builder.text(name)
        message.draw_mw = builder.power(draw ?? .zero)
        message.draw_known = draw == nil ? 0 : 1
        message.charged_mw = builder.power(charged)
        message.limit_mw = builder.power(limit)
        message.overhead_mw = builder.power(overhead)
        message.floors_mw = builder.power(floors)
        message.nodes = nodeCount
        message.nodes_live = liveNodeCount
        message.gpus = gpuCount
        message.gpus_held = heldGPUCount
        message.jobs_running = runningJobCount
        message.commissioning = isCommissioning ? 1 : 0
        message.epoch = epoch
    }
}

extension DomainView: Mapped {
    static var messageName: String { "DomainView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__DomainView>) {
        busbar__v1__domain_view__init(message)
    }

    static func read(_ message: Busbar__V1__DomainView) throws(WireError) -> DomainView {
        DomainView(
            name: try fields.path(message.name, "name"),
            level: try fields.text(message.level, "level"),
            site: try fields.name(message.site, "site"),
            parent: try fields.optionalText(message.parent, "parent"),
            tree: message.tree,
            limit: try fields.power(message.limit_mw, "limit_mw"),
            effectiveLimit: try fields.power(message.effective_limit_mw, "effective_limit_mw"),
            overhead: try fields.power(message.overhead_mw, "overhead_mw"),
            charged: try fields.power(message.charged_mw, "charged_mw"),
            floors: try fields.power(message.floors_mw, "floors_mw"),
            draw: message.draw_known != 0
                ? try fields.power(message.draw_mw, "draw_mw") : nil,
            isCommissioning: message.commissioning != 0,
            isBinding: message.binding != 0,
            peakCharged: try fields.power(message.peak_charged_mw, "peak_charged_mw"),
            nodeCount: message.nodes)
    }

    func write(to message: inout Busbar__V1__DomainView, _ builder: Builder) {
        message.name = builder.text(name)
        message.level = builder.text(level)
        message.site = builder.text(site)
        message.parent = builder.text(parent ?? "")
        message.tree = tree
        message.limit_mw = builder.power(limit)
        message.effective_limit_mw = builder.power(effectiveLimit)
        message.overhead_mw = builder.power(overhead)
        message.charged_mw = builder.power(charged)
        message.floors_mw = builder.power(floors)
        message.draw_mw = builder.power(draw ?? .zero)
        message.draw_known = draw == nil ? 0 : 1
        message.commissioning = isCommissioning ? 1 : 0
        message.binding = isBinding ? 1 : 0
        message.peak_charged_mw = builder.power(peakCharged)
        message.nodes = nodeCount
    }
}

extension NodeView: Mapped {
    static var messageName: String { "NodeView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__NodeView>) {
        busbar__v1__node_view__init(message)
    }

    static func read(_ message: Busbar__V1__NodeView) throws(WireError) -> NodeView {
        NodeView(
            name: try fields.name(message.name, "name"),
            site: try fields.name(message.site, "site"),
            type: try fields.text(message.type, "type"),
            model: try fields.text(message.model, "model"),
            gpuCount: message.gpus,
            state: try fields.word(message.state, "state"),
            enforcementClass: try fields.word(message.enforcement_class, "enforcement_class"),
            charge: try fields.power(message.charge_mw, "charge_mw"),
            cap: try fields.power(message.cap_mw, "cap_mw"),
            enforced: try fields.power(message.enforced_mw, "enforced_mw"),
            draw: message.draw_known != 0
                ? try fields.power(message.draw_mw, "draw_mw") : nil,
            fallback: try fields.power(message.fallback_mw, "fallback_mw"),
            freeGPUMilli: message.gpu_milli_free,
            freeCPUMilli: message.cpu_milli_free,
            freeMemoryMiB: message.memory_mib_free,
            leaseAgeMilliseconds: message.lease_age_ms,
            leaves: try fields.texts(
                message.n_leaves, message.leaves, "leaves", limit: OperatorBound.texts),
            mark: try fields.text(message.mark, "mark", limit: PlanBound.wordByteCount),
            violations: message.violations)
    }

    func write(to message: inout Busbar__V1__NodeView, _ builder: Builder) {
        message.name = builder.text(name)
        message.site = builder.text(site)
        message.type = builder.text(type)
        message.model = builder.text(model)
        message.gpus = gpuCount
        message.state = builder.text(state.rawValue)
        message.enforcement_class = builder.text(enforcementClass.rawValue)
        message.charge_mw = builder.power(charge)
        message.cap_mw = builder.power(cap)
        message.enforced_mw = builder.power(enforced)
        message.draw_mw = builder.power(draw ?? .zero)
        message.draw_known = draw == nil ? 0 : 1
        message.fallback_mw = builder.power(fallback)
        message.gpu_milli_free = freeGPUMilli
        message.cpu_milli_free = freeCPUMilli
        message.memory_mib_free = freeMemoryMiB
        message.lease_age_ms = leaseAgeMilliseconds
        message.n_leaves = leaves.count
        message.leaves = builder.texts(leaves)
        message.mark = builder.text(mark)
        message.violations = violations
    }
}

extension GPUView: Mapped {
    static var messageName: String { "GpuView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__GpuView>) {
        busbar__v1__gpu_view__init(message)
    }

    static func read(_ message: Busbar__V1__GpuView) throws(WireError) -> GPUView {
        GPUView(
            node: try fields.name(message.node, "node"),
            device: try fields.short(message.device, "device"),
            model: try fields.text(message.model, "model"),
            heldMilli: message.milli_held,
            jobs: try fields.column(
                message.n_jobs, message.jobs, "jobs", limit: OperatorBound.jobs
            ).map { JobID($0) },
            floor: try fields.power(message.floor_mw, "floor_mw"),
            full: try fields.power(message.full_mw, "full_mw"),
            capTarget: try fields.power(message.cap_target_mw, "cap_target_mw"),
            capEnforced: message.cap_enforced_known != 0
                ? try fields.power(message.cap_enforced_mw, "cap_enforced_mw") : nil,
            draw: message.draw_known != 0
                ? try fields.power(message.draw_mw, "draw_mw") : nil,
            levelPPM: message.level_ppm,
            boundBy: try fields.optionalText(message.bound_by, "bound_by"))
    }

    func write(to message: inout Busbar__V1__GpuView, _ builder: Builder) {
        message.node = builder.text(node)
        message.device = UInt32(device)
        message.model = builder.text(model)
        message.milli_held = heldMilli
        message.n_jobs = jobs.count
        message.jobs = builder.map(jobs) { $0.rawValue }
        message.floor_mw = builder.power(floor)
        message.full_mw = builder.power(full)
        message.cap_target_mw = builder.power(capTarget)
        message.cap_enforced_mw = builder.power(capEnforced ?? .zero)
        message.cap_enforced_known = capEnforced == nil ? 0 : 1
        message.draw_mw = builder.power(draw ?? .zero)
        message.draw_known = draw == nil ? 0 : 1
        message.level_ppm = levelPPM
        message.bound_by = builder.text(boundBy ?? "")
    }
}
