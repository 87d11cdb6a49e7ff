// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension JobView: Mapped {
    static var messageName: String { "JobView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__JobView>) {
        busbar__v1__job_view__init(message)
    }

    static func read(_ message: Busbar__V1__JobView) throws(WireError) -> JobView {
        JobView(
            id: JobID(message.id),
            name: try fields.text(message.name, "name"),
            state: try fields.word(message.state, "state"),
            priority: message.priority,
            taskCount: message.tasks,
            gpuCount: message.gpus,
            gpuMilli: message.gpu_milli,
            floor: try fields.power(message.floor_mw, "floor_mw"),
            cap: try fields.power(message.cap_mw, "cap_mw"),
            levelPPM: message.level_ppm,
            reason: try fields.text(message.reason, "reason"),
            submittedUnixMilliseconds: message.submitted_unix_ms,
            nodes: try fields.text(message.nodes, "nodes"),
            submittedBy: try fields.text(message.submitted_by, "submitted_by"))
    }

    func write(to message: inout Busbar__V1__JobView, _ builder: Builder) {
        message.id = id.rawValue
        message.name = builder.text(name)
        message.state = builder.text(state.rawValue)
        message.priority = priority
        message.tasks = taskCount
        message.gpus = gpuCount
        message.gpu_milli = gpuMilli
        message.floor_mw = builder.power(floor)
        message.cap_mw = builder.power(cap)
        message.level_ppm = levelPPM
        message.reason = builder.text(reason)
        message.submitted_unix_ms = submittedUnixMilliseconds
        message.nodes = builder.text(nodes)
        message.submitted_by = builder.text(submittedBy)
    }
}

extension TaskView: Mapped {
    static var messageName: String { "TaskView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TaskView>) {
        busbar__v1__task_view__init(message)
    }

    static func read(_ message: Busbar__V1__TaskView) throws(WireError) -> TaskView {
        TaskView(
            index: message.index,
            node: try fields.name(message.node, "node"),
            devices: try fields.devices(
                message.n_devices, message.devices, "devices"),
            state: try fields.text(message.state, "state"))
    }

    func write(to message: inout Busbar__V1__TaskView, _ builder: Builder) {
        message.index = index
        message.node = builder.text(node)
        message.n_devices = devices.count
        message.devices = builder.map(devices) { UInt32($0) }
        message.state = builder.text(state)
    }
}

extension EventView: Mapped {
    static var messageName: String { "EventView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__EventView>) {
        busbar__v1__event_view__init(message)
    }

    static func read(_ message: Busbar__V1__EventView) throws(WireError) -> EventView {
        EventView(
            revision: message.revision,
            unixMilliseconds: message.unix_ms,
            actor: try fields.text(message.actor, "actor"),
            kind: try fields.text(message.kind, "kind"),
            subject: try fields.text(message.subject, "subject"),
            message: try fields.text(message.message, "message"))
    }

    func write(to message: inout Busbar__V1__EventView, _ builder: Builder) {
        message.revision = revision
        message.unix_ms = unixMilliseconds
        message.actor = builder.text(actor)
        message.kind = builder.text(kind)
        message.subject = builder.text(subject)
        message.message = builder.text(self.message)
    }
}

extension ReasonView: Mapped {
    static var messageName: String { "Reason" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__Reason>) {
        busbar__v1__reason__init(message)
    }

    static func read(_ message: Busbar__V1__Reason) throws(WireError) -> ReasonView {
        ReasonView(
            kind: try fields.text(message.kind, "kind"),
            nodeCount: message.nodes,
            message: try fields.text(message.message, "message"))
    }

    func write(to message: inout Busbar__V1__Reason, _ builder: Builder) {
        message.kind = builder.text(kind)
        message.nodes = nodeCount
        message.message = builder.text(self.message)
    }
}

extension ShortfallView: Mapped {
    static var messageName: String { "PowerShortfall" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PowerShortfall>) {
        busbar__v1__power_shortfall__init(message)
    }

    static func read(_ message: Busbar__V1__PowerShortfall) throws(WireError) -> ShortfallView {
        ShortfallView(
            domain: try fields.path(message.domain, "domain"),
            headroom: try fields.power(message.headroom_mw, "headroom_mw"),
            needed: try fields.power(message.needed_mw, "needed_mw"),
            nodeCount: message.nodes)
    }

    func write(to message: inout Busbar__V1__PowerShortfall, _ builder: Builder) {
        message.domain = builder.text(domain)
        message.headroom_mw = builder.power(headroom)
        message.needed_mw = builder.power(needed)
        message.nodes = nodeCount
    }
}

extension JobExplanation: Mapped {
    static var messageName: String { "JobExplanation" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__JobExplanation>) {
        busbar__v1__job_explanation__init(message)
    }

    static func read(_ message: Busbar__V1__JobExplanation) throws(WireError) -> JobExplanation {
        JobExplanation(
            job: JobID(message.job_id),
            state: try fields.word(message.state, "state"),
            reasons: try fields.list(
                message.n_reasons, message.reasons, "reasons", limit: OperatorBound.elements),
            shortfalls: try fields.list(
                message.n_shortfalls, message.shortfalls, "shortfalls",
                limit: OperatorBound.elements),
            fitsIf: try fields.texts(
                message.n_fits_if, message.fits_if, "fits_if", limit: OperatorBound.texts),
            levelPPM: message.level_ppm,
            boundBy: try fields.optionalText(message.bound_by, "bound_by"))
    }

    func write(to message: inout Busbar__V1__JobExplanation, _ builder: Builder) {
        message.job_id = job.rawValue
        message.state = builder.text(state.rawValue)
        message.n_reasons = reasons.count
        message.reasons = builder.list(reasons)
        message.n_shortfalls = shortfalls.count
        message.shortfalls = builder.list(shortfalls)
        message.n_fits_if = fitsIf.count
        message.fits_if = builder.texts(fitsIf)
        message.level_ppm = levelPPM
        message.bound_by = builder.text(boundBy ?? "")
    }
}
