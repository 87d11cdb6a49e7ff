// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

/// A request to keep what a job would hold for the jobs of a name.
package struct MakeReservation: Hashable, Sendable {
    package var name: String
    /// What to keep.
    package var spec: JobSpec
    /// From when the coordinator takes the request.
    package var durationMilliseconds: UInt64

    package init(name: String, spec: JobSpec, durationMilliseconds: UInt64) {
        self.name = name
        self.spec = spec
        self.durationMilliseconds = durationMilliseconds
    }
}

/// One reservation as operators see it.
package struct ReservationView: Hashable, Sendable {
    package var name: String
    package var spec: JobSpec
    package var expiresUnixMilliseconds: UInt64
    package var madeBy: String
    /// What it was made for.
    package var gpuCount: UInt32
    /// Those of them that no job uses now.
    package var keptGPUCount: UInt32
    /// Compressed, such as `n[001-004]`.
    package var nodes: String

    package init(
        name: String, spec: JobSpec, expiresUnixMilliseconds: UInt64, madeBy: String,
        gpuCount: UInt32, keptGPUCount: UInt32, nodes: String
    ) {
        self.name = name
        self.spec = spec
        self.expiresUnixMilliseconds = expiresUnixMilliseconds
        self.madeBy = madeBy
        self.gpuCount = gpuCount
        self.keptGPUCount = keptGPUCount
        self.nodes = nodes
    }
}

/// A reservation as the fleet store keeps it: record `reservation/NAME`.
package struct ReservationRecord: Hashable, Sendable {
    package var name: String
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

extension ReservationRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> ReservationRecord {
        try Codec.decode(ReservationRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension MakeReservation: Mapped {
    static var messageName: String { "MakeReservation" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__MakeReservation>) {
        busbar__v1__make_reservation__init(message)
    }

    static func read(_ message: Busbar__V1__MakeReservation) throws(WireError) -> MakeReservation {
        MakeReservation(
            name: try fields.name(message.name, "name"),
            spec: try fields.message(message.spec, "spec"),
            durationMilliseconds: message.duration_ms)
    }

    func write(to message: inout Busbar__V1__MakeReservation, _ builder: Builder) {
        message.name = builder.text(name)
        message.spec = builder.make(spec)
        message.duration_ms = durationMilliseconds
    }
}

extension ReservationView: Mapped {
    static var messageName: String { "ReservationView" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__ReservationView>) {
        busbar__v1__reservation_view__init(message)
    }

    static func read(_ message: Busbar__V1__ReservationView) throws(WireError) -> ReservationView {
        ReservationView(
            name: try fields.name(message.name, "name"),
            spec: try fields.message(message.spec, "spec"),
            expiresUnixMilliseconds: message.expires_unix_ms,
            madeBy: try fields.text(message.made_by, "made_by"),
            gpuCount: message.gpus, keptGPUCount: message.gpus_kept,
            nodes: try fields.text(message.nodes, "nodes"))
    }

    func write(to message: inout Busbar__V1__ReservationView, _ builder: Builder) {
        message.name = builder.text(name)
        message.spec = builder.make(spec)
        message.expires_unix_ms = expiresUnixMilliseconds
        message.made_by = builder.text(madeBy)
        message.gpus = gpuCount
        message.gpus_kept = keptGPUCount
        message.nodes = builder.text(nodes)
    }
}

extension ReservationRecord: Mapped {
    static var messageName: String { "ReservationRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__ReservationRecord>) {
        busbar__v1__reservation_record__init(message)
    }

    static func read(_ message: Busbar__V1__ReservationRecord) throws(WireError)
        -> ReservationRecord
    {
        let tasks: [TaskRecord] = try fields.list(
            message.n_tasks, message.tasks, "tasks", limit: Int(OperatorBound.taskCount))
        return ReservationRecord(
            name: try fields.name(message.name, "name"),
            spec: try fields.message(message.spec, "spec"),
            expiresUnixMilliseconds: message.expires_unix_ms,
            actor: try fields.text(message.actor, "actor"), placement: tasks.map(\.placement))
    }

    func write(to message: inout Busbar__V1__ReservationRecord, _ builder: Builder) {
        message.name = builder.text(name)
        message.spec = builder.make(spec)
        message.expires_unix_ms = expiresUnixMilliseconds
        message.actor = builder.text(actor)
        message.n_tasks = placement.count
        message.tasks = builder.list(placement.map { TaskRecord(placement: $0, state: "") })
    }
}
