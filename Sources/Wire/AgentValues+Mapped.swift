// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// Limits on the lists of an agent's session.
enum AgentBound {
    /// GPUs of a node.
    static let devices = TelemetryReport.maximumGPUCount
    /// Tasks of a node at a time: sixteen for each GPU, and as many again without one.
    static let tasks = 2048
    /// Certificates of a signer's chain.
    static let certificates = 8
    /// Bytes of one DER certificate.
    static let certificateByteCount = 16_384
    /// Bytes of an encoded `LeaseGrant`.
    static let grantByteCount = 4096
    /// Bytes of a DER signature: two 33-byte integers of P-256 with their headers take 72.
    static let signatureByteCount = 256
    /// Bytes of a boot id.
    static let bootIDByteCount = 64
}

extension DeviceInventory: Mapped {
    static var messageName: String { "DeviceInventory" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__DeviceInventory>) {
        busbar__v1__device_inventory__init(message)
    }

    static func read(
        _ message: Busbar__V1__DeviceInventory
    ) throws(WireError) -> DeviceInventory {
        DeviceInventory(
            uuid: try fields.text(message.uuid, "uuid", limit: Name.maximumByteCount),
            model: try fields.text(message.model, "model", limit: Name.maximumByteCount),
            minimumCap: try fields.power(message.minimum_cap_mw, "minimum_cap_mw"),
            maximumCap: try fields.power(message.maximum_cap_mw, "maximum_cap_mw"))
    }

    func write(to message: inout Busbar__V1__DeviceInventory, _ builder: Builder) {
        message.uuid = builder.text(uuid)
        message.model = builder.text(model)
        message.minimum_cap_mw = builder.power(minimumCap)
        message.maximum_cap_mw = builder.power(maximumCap)
    }
}

extension AgentHello: Mapped {
    static var messageName: String { "AgentHello" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__AgentHello>) {
        busbar__v1__agent_hello__init(message)
    }

    static func read(_ message: Busbar__V1__AgentHello) throws(WireError) -> AgentHello {
        AgentHello(
            protocolVersion: message.protocol_version,
            softwareVersion: try fields.text(
                message.software_version, "software_version", limit: Name.maximumByteCount),
            node: try fields.name(message.node, "node"),
            bootID: try fields.bytes(
                message.boot_id, "boot_id", limit: AgentBound.bootIDByteCount),
            devices: try fields.list(
                message.n_devices, message.devices, "devices", limit: AgentBound.devices),
            tasks: try fields.list(
                message.n_tasks, message.tasks, "tasks", limit: AgentBound.tasks))
    }

    func write(to message: inout Busbar__V1__AgentHello, _ builder: Builder) {
        message.protocol_version = protocolVersion
        message.software_version = builder.text(softwareVersion)
        message.node = builder.text(node)
        message.boot_id = builder.bytes(bootID)
        message.n_devices = devices.count
        message.devices = builder.list(devices)
        message.n_tasks = tasks.count
        message.tasks = builder.list(tasks)
    }
}

extension AgentWelcome: Mapped {
    static var messageName: String { "AgentWelcome" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__AgentWelcome>) {
        busbar__v1__agent_welcome__init(message)
    }

    static func read(_ message: Busbar__V1__AgentWelcome) throws(WireError) -> AgentWelcome {
        AgentWelcome(
            protocolVersion: message.protocol_version,
            reportIntervalMilliseconds: message.report_interval_ms,
            signerChain: try fields.certificates(
                message.n_signer_chain, message.signer_chain, "signer_chain"))
    }

    func write(to message: inout Busbar__V1__AgentWelcome, _ builder: Builder) {
        message.protocol_version = protocolVersion
        message.report_interval_ms = reportIntervalMilliseconds
        message.n_signer_chain = signerChain.count
        message.signer_chain = builder.byteStrings(signerChain)
    }
}

extension FieldReader {
    /// A chain of DER certificates.
    func certificates(
        _ count: Int, _ pointer: UnsafeMutablePointer<ProtobufCBinaryData>?, _ field: String
    ) throws(WireError) -> [[UInt8]] {
        try map(count, pointer, field, limit: AgentBound.certificates) { data throws(WireError) in
            try bytes(data, field, limit: AgentBound.certificateByteCount)
        }
    }
}

extension SignedGrant: Mapped {
    static var messageName: String { "SignedGrant" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SignedGrant>) {
        busbar__v1__signed_grant__init(message)
    }

    static func read(_ message: Busbar__V1__SignedGrant) throws(WireError) -> SignedGrant {
        SignedGrant(
            payload: try fields.bytes(
                message.payload, "payload", limit: AgentBound.grantByteCount),
            signature: try fields.bytes(
                message.signature, "signature", limit: AgentBound.signatureByteCount))
    }

    func write(to message: inout Busbar__V1__SignedGrant, _ builder: Builder) {
        message.payload = builder.bytes(payload)
        message.signature = builder.bytes(signature)
    }
}

extension PowerPlan: Mapped {
    static var messageName: String { "PowerPlan" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PowerPlan>) {
        busbar__v1__power_plan__init(message)
    }

    static func read(_ message: Busbar__V1__PowerPlan) throws(WireError) -> PowerPlan {
        let floors = try fields.column(
            message.n_floor_mw, message.floor_mw, "floor_mw", limit: AgentBound.devices)
        let count = floors.count
        let weights = try fields.column(
            message.n_weight, message.weight, "weight", count: count)
        for weight in weights {
            _ = try fields.number(weight, "weight", in: 1...UInt32.max)
        }
        return PowerPlan(
            revision: message.revision,
            floorMilliwatts: floors,
            fullMilliwatts: try fields.column(
                message.n_full_mw, message.full_mw, "full_mw", count: count),
            ceilingMilliwatts: try fields.column(
                message.n_ceiling_mw, message.ceiling_mw, "ceiling_mw", count: count),
            priority: try fields.column(
                message.n_priority, message.priority, "priority", count: count),
            weight: weights,
            gang: try fields.column(message.n_gang, message.gang, "gang", count: count))
    }

    func write(to message: inout Busbar__V1__PowerPlan, _ builder: Builder) {
        message.revision = revision
        message.n_floor_mw = floorMilliwatts.count
        message.floor_mw = builder.column(floorMilliwatts)
        message.n_full_mw = fullMilliwatts.count
        message.full_mw = builder.column(fullMilliwatts)
        message.n_ceiling_mw = ceilingMilliwatts.count
        message.ceiling_mw = builder.column(ceilingMilliwatts)
        message.n_priority = priority.count
        message.priority = builder.column(priority)
        message.n_weight = weight.count
        message.weight = builder.column(weight)
        message.n_gang = gang.count
        message.gang = builder.column(gang)
    }
}

extension SessionRefusal: Mapped {
    static var messageName: String { "SessionRefusal" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SessionRefusal>) {
        busbar__v1__session_refusal__init(message)
    }

    static func read(_ message: Busbar__V1__SessionRefusal) throws(WireError) -> SessionRefusal {
        SessionRefusal(
            code: RefusalCode(rawValue: message.code.rawValue) ?? .unspecified,
            message: try fields.text(message.message, "message"))
    }

    func write(to message: inout Busbar__V1__SessionRefusal, _ builder: Builder) {
        message.code = Busbar__V1__RefusalCode(rawValue: code.rawValue)
        message.message = builder.text(self.message)
    }
}
