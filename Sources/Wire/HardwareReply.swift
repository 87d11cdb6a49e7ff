// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// The answer to one ``HardwareRequest``.
package struct HardwareReply: Hashable, Sendable {
    /// What is answered.
    package enum Body: Hashable, Sendable {
        /// Carried out; there is nothing to say.
        case done
        case inventory(HardwareInventory)
        case caps(HardwareCaps)
        case sensors(HardwareSensors)
        case summary(HardwareSummary)
        /// Not carried out, and why; never empty.
        case failed(String)
    }

    /// The number of the request.
    package var id: UInt64
    package var body: Body

    package init(id: UInt64, body: Body) {
        self.id = id
        self.body = body
    }
}

extension HardwareReply: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.large }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> HardwareReply {
        try Codec.decode(HardwareReply.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension HardwareReply: Mapped {
    static var messageName: String { "HardwareReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareReply>) {
        busbar__v1__hardware_reply__init(message)
    }

    static func read(_ message: Busbar__V1__HardwareReply) throws(WireError) -> HardwareReply {
        let problem = try fields.text(message.error, "error")
        guard problem.isEmpty else { return HardwareReply(id: message.id, body: .failed(problem)) }
        return HardwareReply(id: message.id, body: try body(of: message))
    }

    private static func body(of message: Busbar__V1__HardwareReply) throws(WireError) -> Body {
        switch message.body_case {
        case BUSBAR__V1__HARDWARE_REPLY__BODY_INVENTORY:
            .inventory(try fields.message(message.inventory, "inventory"))
        case BUSBAR__V1__HARDWARE_REPLY__BODY_CAPS:
            .caps(try fields.message(message.caps, "caps"))
        case BUSBAR__V1__HARDWARE_REPLY__BODY_SENSORS:
            .sensors(try fields.message(message.sensors, "sensors"))
        case BUSBAR__V1__HARDWARE_REPLY__BODY_SUMMARY:
            .summary(try fields.message(message.summary, "summary"))
        default: .done
        }
    }

    func write(to message: inout Busbar__V1__HardwareReply, _ builder: Builder) {
        message.id = id
        switch body {
        case .done: break
        case .inventory(let inventory):
            message.body_case = BUSBAR__V1__HARDWARE_REPLY__BODY_INVENTORY
            message.inventory = builder.make(inventory)
        case .caps(let caps):
            message.body_case = BUSBAR__V1__HARDWARE_REPLY__BODY_CAPS
            message.caps = builder.make(caps)
        case .sensors(let sensors):
            message.body_case = BUSBAR__V1__HARDWARE_REPLY__BODY_SENSORS
            message.sensors = builder.make(sensors)
        case .summary(let summary):
            message.body_case = BUSBAR__V1__HARDWARE_REPLY__BODY_SUMMARY
            message.summary = builder.make(summary)
        case .failed(let problem):
            message.error = builder.text(problem.isEmpty ? "failed" : problem)
        }
    }
}

extension HardwareInventory: Mapped {
    static var messageName: String { "HardwareInventory" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareInventory>) {
        busbar__v1__hardware_inventory__init(message)
    }

    static func read(
        _ message: Busbar__V1__HardwareInventory
    ) throws(WireError) -> HardwareInventory {
        HardwareInventory(
            devices: try fields.list(
                message.n_devices, message.devices, "devices", limit: AgentBound.devices),
            bootID: try fields.bytes(
                message.boot_id, "boot_id", limit: AgentBound.bootIDByteCount),
            settleNanoseconds: try fields.duration(message.settle_ns, "settle_ns"))
    }

    func write(to message: inout Busbar__V1__HardwareInventory, _ builder: Builder) {
        message.n_devices = devices.count
        message.devices = builder.list(devices)
        message.boot_id = builder.bytes(bootID)
        message.settle_ns = builder.duration(settleNanoseconds)
    }
}

extension HardwareCaps: Mapped {
    static var messageName: String { "HardwareCaps" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareCaps>) {
        busbar__v1__hardware_caps__init(message)
    }

    static func read(_ message: Busbar__V1__HardwareCaps) throws(WireError) -> HardwareCaps {
        let requested = try fields.column(
            message.n_requested_mw, message.requested_mw, "requested_mw",
            limit: AgentBound.devices)
        return HardwareCaps(
            requestedMilliwatts: requested,
            enforcedMilliwatts: try fields.column(
                message.n_enforced_mw, message.enforced_mw, "enforced_mw", count: requested.count))
    }

    func write(to message: inout Busbar__V1__HardwareCaps, _ builder: Builder) {
        message.n_requested_mw = requestedMilliwatts.count
        message.requested_mw = builder.column(requestedMilliwatts)
        message.n_enforced_mw = enforcedMilliwatts.count
        message.enforced_mw = builder.column(enforcedMilliwatts)
    }
}

extension HardwareSensors: Mapped {
    static var messageName: String { "HardwareSensors" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareSensors>) {
        busbar__v1__hardware_sensors__init(message)
    }

    static func read(_ message: Busbar__V1__HardwareSensors) throws(WireError) -> HardwareSensors {
        let draw = try fields.column(
            message.n_draw_mw, message.draw_mw, "draw_mw", limit: AgentBound.devices)
        let count = draw.count
        return HardwareSensors(
            drawMilliwatts: draw,
            temperatureMillidegrees: try fields.column(
                message.n_temperature_mc, message.temperature_mc, "temperature_mc", count: count),
            utilizationPPM: try fields.column(
                message.n_utilization_ppm, message.utilization_ppm, "utilization_ppm",
                count: count),
            requestedMilliwatts: try fields.column(
                message.n_requested_mw, message.requested_mw, "requested_mw", count: count),
            enforcedMilliwatts: try fields.column(
                message.n_enforced_mw, message.enforced_mw, "enforced_mw", count: count))
    }

    func write(to message: inout Busbar__V1__HardwareSensors, _ builder: Builder) {
        message.n_draw_mw = drawMilliwatts.count
        message.draw_mw = builder.column(drawMilliwatts)
        message.n_temperature_mc = temperatureMillidegrees.count
        message.temperature_mc = builder.column(temperatureMillidegrees)
        message.n_utilization_ppm = utilizationPPM.count
        message.utilization_ppm = builder.column(utilizationPPM)
        message.n_requested_mw = requestedMilliwatts.count
        message.requested_mw = builder.column(requestedMilliwatts)
        message.n_enforced_mw = enforcedMilliwatts.count
        message.enforced_mw = builder.column(enforcedMilliwatts)
    }
}

extension HardwareSummary: Mapped {
    static var messageName: String { "HardwareSummary" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareSummary>) {
        busbar__v1__hardware_summary__init(message)
    }

    static func read(_ message: Busbar__V1__HardwareSummary) throws(WireError) -> HardwareSummary {
        let enforced = try fields.powers(
            message.n_domain_enforced_mw, message.domain_enforced_mw, "domain_enforced_mw",
            limit: PlanBound.domains)
        let count = enforced.count
        let armed = try fields.column(
            message.n_domain_armed, message.domain_armed, "domain_armed", count: count)
        return HardwareSummary(
            capChanges: message.cap_changes,
            overBudgetInstants: message.over_budget_instants,
            domainEnforced: enforced,
            domainPeakEnforced: try fields.powers(
                message.n_domain_peak_enforced_mw, message.domain_peak_enforced_mw,
                "domain_peak_enforced_mw", count: count),
            domainOverBudgetInstants: try fields.column(
                message.n_domain_over_budget_instants, message.domain_over_budget_instants,
                "domain_over_budget_instants", count: count),
            domainDraw: try fields.powers(
                message.n_domain_draw_mw, message.domain_draw_mw, "domain_draw_mw", count: count),
            domainArmed: armed.map { $0 != 0 },
            firstViolations: try fields.texts(
                message.n_first_violations, message.first_violations, "first_violations",
                limit: maximumViolationCount))
    }

    func write(to message: inout Busbar__V1__HardwareSummary, _ builder: Builder) {
        message.cap_changes = capChanges
        message.over_budget_instants = overBudgetInstants
        message.n_domain_enforced_mw = domainEnforced.count
        message.domain_enforced_mw = builder.powers(domainEnforced)
        message.n_domain_peak_enforced_mw = domainPeakEnforced.count
        message.domain_peak_enforced_mw = builder.powers(domainPeakEnforced)
        message.n_domain_over_budget_instants = domainOverBudgetInstants.count
        message.domain_over_budget_instants = builder.column(domainOverBudgetInstants)
        message.n_domain_draw_mw = domainDraw.count
        message.domain_draw_mw = builder.powers(domainDraw)
        message.n_domain_armed = domainArmed.count
        message.domain_armed = builder.map(domainArmed) { $0 ? 1 : 0 }
        message.n_first_violations = firstViolations.count
        message.first_violations = builder.texts(firstViolations)
    }
}
