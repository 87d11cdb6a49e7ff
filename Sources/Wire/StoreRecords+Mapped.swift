// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension TaskRecord: Mapped {
    static var messageName: String { "TaskRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__TaskRecord>) {
        busbar__v1__task_record__init(message)
    }

    static func read(_ message: Busbar__V1__TaskRecord) throws(WireError) -> TaskRecord {
        TaskRecord(
            placement: TaskPlacement(
                node: NodeIndex(rawValue: message.node),
                devices: try fields.devices(message.n_devices, message.devices, "devices")),
            state: try fields.text(message.state, "state", limit: PlanBound.wordByteCount))
    }

    func write(to message: inout Busbar__V1__TaskRecord, _ builder: Builder) {
        message.node = placement.node.rawValue
        message.n_devices = placement.devices.count
        message.devices = builder.map(placement.devices) { UInt32($0) }
        message.state = builder.text(state)
    }
}

extension FleetRecord: Mapped {
    static var messageName: String { "FleetRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__FleetRecord>) {
        busbar__v1__fleet_record__init(message)
    }

    static func read(_ message: Busbar__V1__FleetRecord) throws(WireError) -> FleetRecord {
        FleetRecord(
            nextJobID: message.next_job_id, topologyHash: message.topology_hash,
            jobsPlacedTotal: message.jobs_placed_total,
            jobsFinishedTotal: message.jobs_finished_total, nextEvent: message.next_event,
            allotments: try fields.powers(
                message.n_allotment_mw, message.allotment_mw, "allotment_mw",
                limit: PlanBound.sites))
    }

    func write(to message: inout Busbar__V1__FleetRecord, _ builder: Builder) {
        message.next_job_id = nextJobID
        message.topology_hash = topologyHash
        message.jobs_placed_total = jobsPlacedTotal
        message.jobs_finished_total = jobsFinishedTotal
        message.next_event = nextEvent
        message.n_allotment_mw = allotments.count
        message.allotment_mw = builder.powers(allotments)
    }
}

extension NodeRecord: Mapped {
    static var messageName: String { "NodeRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__NodeRecord>) {
        busbar__v1__node_record__init(message)
    }

    static func read(_ message: Busbar__V1__NodeRecord) throws(WireError) -> NodeRecord {
        NodeRecord(
            node: NodeIndex(rawValue: message.node),
            mark: try fields.word(message.mark, "mark"),
            actor: try fields.text(message.actor, "actor"),
            reason: try fields.text(message.reason, "reason"),
            unixMilliseconds: message.unix_ms)
    }

    func write(to message: inout Busbar__V1__NodeRecord, _ builder: Builder) {
        message.node = node.rawValue
        message.mark = builder.text(mark.rawValue)
        message.actor = builder.text(actor)
        message.reason = builder.text(reason)
        message.unix_ms = unixMilliseconds
    }
}

extension EventRecord: Mapped {
    static var messageName: String { "EventRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__EventRecord>) {
        busbar__v1__event_record__init(message)
    }

    static func read(_ message: Busbar__V1__EventRecord) throws(WireError) -> EventRecord {
        EventRecord(
            number: message.number,
            unixMilliseconds: message.unix_ms,
            actor: try fields.text(message.actor, "actor"),
            kind: try fields.text(message.kind, "kind"),
            subject: try fields.text(message.subject, "subject"),
            message: try fields.text(message.message, "message"))
    }

    func write(to message: inout Busbar__V1__EventRecord, _ builder: Builder) {
        message.number = number
        message.unix_ms = unixMilliseconds
        message.actor = builder.text(actor)
        message.kind = builder.text(kind)
        message.subject = builder.text(subject)
        message.message = builder.text(self.message)
    }
}

extension JobRecord: Mapped {
    static var messageName: String { "JobRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__JobRecord>) {
        busbar__v1__job_record__init(message)
    }

    static func read(_ message: Busbar__V1__JobRecord) throws(WireError) -> JobRecord {
        JobRecord(
            id: JobID(message.id),
            requestID: try fields.message(message.request_id, "request_id"),
            spec: try fields.message(message.spec, "spec"),
            state: try fields.word(message.state, "state"),
            submittedUnixMilliseconds: message.submitted_unix_ms,
            submittedBy: try fields.text(message.submitted_by, "submitted_by"),
            attempt: message.attempt,
            tasks: try fields.list(
                message.n_tasks, message.tasks, "tasks", limit: Int(OperatorBound.taskCount)),
            ledgerRevision: message.ledger_revision,
            message: try fields.text(message.message, "message"),
            startedUnixMilliseconds: message.started_unix_ms,
            preemptedBy: message.preempted_by == 0 ? nil : JobID(message.preempted_by),
            isRequeued: message.requeue != 0)
    }

    func write(to message: inout Busbar__V1__JobRecord, _ builder: Builder) {
        message.id = id.rawValue
        message.request_id = builder.make(requestID)
        message.spec = builder.make(spec)
        message.state = builder.text(state.rawValue)
        message.submitted_unix_ms = submittedUnixMilliseconds
        message.submitted_by = builder.text(submittedBy)
        message.attempt = attempt
        message.n_tasks = tasks.count
        message.tasks = builder.list(tasks)
        message.ledger_revision = ledgerRevision
        message.message = builder.text(self.message)
        message.started_unix_ms = startedUnixMilliseconds
        message.preempted_by = preemptedBy?.rawValue ?? 0
        message.requeue = isRequeued ? 1 : 0
    }
}
