// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// One request on the socket of the simulated hardware.
package struct HardwareRequest: Hashable, Sendable {
    /// What is asked for.
    package enum Body: Hashable, Sendable {
        case readInventory
        case readCaps
        case writeCap(device: UInt16, capMilliwatts: UInt32)
        case readSensors
        case setDemand(device: UInt16, DeviceDemand)
        /// A driver reload: every device goes to its default cap.
        case resetDriver
        /// The counters of the whole fleet; the node is not looked at.
        case readSummary
        case resetSummary
        /// A request of a newer peer that this version does not know: answer with an error.
        case unknown
    }

    /// The reply carries the same number.
    package var id: UInt64
    /// The node meant; empty where the whole fleet is.
    package var node: String
    package var body: Body

    package init(id: UInt64, node: String, body: Body) {
        self.id = id
        self.node = node
        self.body = body
    }
}

extension HardwareRequest: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.large }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> HardwareRequest {
        try Codec.decode(HardwareRequest.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension HardwareRequest: Mapped {
    static var messageName: String { "HardwareRequest" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__HardwareRequest>) {
        busbar__v1__hardware_request__init(message)
    }

    static func read(
        _ message: Busbar__V1__HardwareRequest
    ) throws(WireError) -> HardwareRequest {
        HardwareRequest(
            id: message.id, node: try fields.optionalName(message.node, "node") ?? "",
            body: try body(of: message))
    }

    private static func body(of message: Busbar__V1__HardwareRequest) throws(WireError) -> Body {
        switch message.body_case {
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_INVENTORY: .readInventory
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_CAPS: .readCaps
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_WRITE_CAP:
            .writeCap(
                device: try fields.device(message.write_cap.pointee.device, "write_cap.device"),
                capMilliwatts: message.write_cap.pointee.cap_mw)
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_SENSORS: .readSensors
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_SET_DEMAND:
            try setDemand(message.set_demand.pointee)
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_RESET_DRIVER: .resetDriver
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_SUMMARY: .readSummary
        case BUSBAR__V1__HARDWARE_REQUEST__BODY_RESET_SUMMARY: .resetSummary
        default: .unknown
        }
    }

    private static func setDemand(_ message: Busbar__V1__SetDemand) throws(WireError) -> Body {
        let raw = message.profile.rawValue
        let utilization = try fields.number(
            message.utilization_ppm, "set_demand.utilization_ppm", in: 0...1_000_000)
        return .setDemand(
            device: try fields.device(message.device, "set_demand.device"),
            DeviceDemand(
                profile: raw == 0 ? nil : try fields.value(raw, "set_demand.profile"),
                utilizationPPM: utilization, phaseSeed: message.phase_seed))
    }

    func write(to message: inout Busbar__V1__HardwareRequest, _ builder: Builder) {
        message.id = id
        message.node = builder.text(node)
        switch body {
        case .readInventory:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_INVENTORY
            message.read_inventory = builder.message(busbar__v1__read_inventory__init) { _ in }
        case .readCaps:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_CAPS
            message.read_caps = builder.message(busbar__v1__read_caps__init) { _ in }
        case .writeCap(let device, let cap):
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_WRITE_CAP
            message.write_cap = builder.message(busbar__v1__write_cap__init) {
                $0.device = UInt32(device)
                $0.cap_mw = cap
            }
        case .readSensors:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_SENSORS
            message.read_sensors = builder.message(busbar__v1__read_sensors__init) { _ in }
        case .setDemand(let device, let demand):
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_SET_DEMAND
            message.set_demand = builder.message(busbar__v1__set_demand__init) {
                $0.device = UInt32(device)
                $0.profile = Busbar__V1__DemandProfile(rawValue: demand.profile?.wireValue ?? 0)
                $0.utilization_ppm = demand.utilizationPPM
                $0.phase_seed = demand.phaseSeed
            }
        case .resetDriver:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_RESET_DRIVER
            message.reset_driver = builder.message(busbar__v1__reset_driver__init) { _ in }
        case .readSummary:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_READ_SUMMARY
            message.read_summary = builder.message(busbar__v1__read_summary__init) { _ in }
        case .resetSummary:
            message.body_case = BUSBAR__V1__HARDWARE_REQUEST__BODY_RESET_SUMMARY
            message.reset_summary = builder.message(busbar__v1__reset_summary__init) { _ in }
        case .unknown: break
        }
    }
}

extension FieldReader {
    /// The position of a GPU in its node.
    fileprivate func device(_ value: UInt32, _ field: String) throws(WireError) -> UInt16 {
        UInt16(try number(value, field, in: 0...UInt32(AgentBound.devices - 1)))
    }
}
