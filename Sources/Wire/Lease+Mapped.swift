// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

extension RandomID: Mapped {
    static var messageName: String { "RandomId" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__RandomId>) {
        busbar__v1__random_id__init(message)
    }

    static func read(_ message: Busbar__V1__RandomId) throws(WireError) -> RandomID {
        RandomID(high: message.high, low: message.low)
    }

    func write(to message: inout Busbar__V1__RandomId, _ builder: Builder) {
        message.high = high
        message.low = low
    }
}

extension LeaseOrder: Mapped {
    static var messageName: String { "LeaseOrder" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__LeaseOrder>) {
        busbar__v1__lease_order__init(message)
    }

    static func read(_ message: Busbar__V1__LeaseOrder) throws(WireError) -> LeaseOrder {
        LeaseOrder(epoch: message.epoch, sequence: message.sequence)
    }

    func write(to message: inout Busbar__V1__LeaseOrder, _ builder: Builder) {
        message.epoch = epoch
        message.sequence = sequence
    }
}

extension LeaseAck: Mapped {
    static var messageName: String { "LeaseAck" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__LeaseAck>) {
        busbar__v1__lease_ack__init(message)
    }

    static func read(_ message: Busbar__V1__LeaseAck) throws(WireError) -> LeaseAck {
        LeaseAck(
            order: try fields.message(message.order, "order"),
            epochID: try fields.message(message.epoch_id, "epoch_id"),
            cap: try fields.power(message.cap_mw, "cap_mw"),
            fallbackVersion: message.fallback_version)
    }

    func write(to message: inout Busbar__V1__LeaseAck, _ builder: Builder) {
        message.order = builder.make(order)
        message.epoch_id = builder.make(epochID)
        message.cap_mw = builder.power(cap)
        message.fallback_version = fallbackVersion
    }
}

extension LeaseRenewal: Mapped {
    static var messageName: String { "LeaseRenewal" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__LeaseRenewal>) {
        busbar__v1__lease_renewal__init(message)
    }

    static func read(_ message: Busbar__V1__LeaseRenewal) throws(WireError) -> LeaseRenewal {
        let hasAck = message.has_ack != 0
        let hasProof = message.has_proven_enforcer_ns != 0
        return LeaseRenewal(
            incarnation: try fields.message(message.incarnation, "incarnation"),
            nonce: message.nonce,
            ack: hasAck ? try fields.message(message.ack, "ack") : nil,
            fence: try fields.message(message.fence, "fence"),
            fenceEpochID: try fields.message(message.fence_epoch_id, "fence_epoch_id"),
            enforced: try fields.power(message.enforced_mw, "enforced_mw"),
            provenEnforcerNanoseconds: hasProof
                ? try fields.duration(message.proven_enforcer_ns, "proven_enforcer_ns") : nil,
            violations: message.violations)
    }

    func write(to message: inout Busbar__V1__LeaseRenewal, _ builder: Builder) {
        message.incarnation = builder.make(incarnation)
        message.nonce = nonce
        if let ack {
            message.has_ack = 1
            message.ack = builder.make(ack)
        }
        message.fence = builder.make(fence)
        message.fence_epoch_id = builder.make(fenceEpochID)
        message.enforced_mw = builder.power(enforced)
        if let provenEnforcerNanoseconds {
            message.has_proven_enforcer_ns = 1
            message.proven_enforcer_ns = builder.duration(provenEnforcerNanoseconds)
        }
        message.violations = violations
    }
}

/// The payload of a ``SignedGrant``: these bytes are signed, and verified before they are read.
extension LeaseGrant: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.agent }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> LeaseGrant {
        try Codec.decode(LeaseGrant.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension LeaseGrant: Mapped {
    static var messageName: String { "LeaseGrant" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__LeaseGrant>) {
        busbar__v1__lease_grant__init(message)
    }

    static func read(_ message: Busbar__V1__LeaseGrant) throws(WireError) -> LeaseGrant {
        LeaseGrant(
            node: try fields.name(message.node, "node"),
            incarnation: try fields.message(message.incarnation, "incarnation"),
            nonce: message.nonce,
            order: try fields.message(message.order, "order"),
            epochID: try fields.message(message.epoch_id, "epoch_id"),
            cap: try fields.power(message.cap_mw, "cap_mw"),
            leaseNanoseconds: try fields.duration(message.lease_ns, "lease_ns"),
            fallback: try fields.power(message.fallback_mw, "fallback_mw"),
            fallbackVersion: message.fallback_version,
            holdNanoseconds: try fields.duration(message.hold_ns, "hold_ns"))
    }

    func write(to message: inout Busbar__V1__LeaseGrant, _ builder: Builder) {
        message.node = builder.text(node)
        message.incarnation = builder.make(incarnation)
        message.nonce = nonce
        message.order = builder.make(order)
        message.epoch_id = builder.make(epochID)
        message.cap_mw = builder.power(cap)
        message.lease_ns = builder.duration(leaseNanoseconds)
        message.fallback_mw = builder.power(fallback)
        message.fallback_version = fallbackVersion
        message.hold_ns = builder.duration(holdNanoseconds)
    }
}
