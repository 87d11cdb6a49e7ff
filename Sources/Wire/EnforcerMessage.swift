// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

/// A grant on its way to the enforcer, with the certificates that its signature is checked by.
package struct GrantDelivery: Hashable, Sendable {
    package var grant: SignedGrant
    /// DER certificates, leaf first.
    package var signerChain: [[UInt8]]

    package init(grant: SignedGrant, signerChain: [[UInt8]]) {
        self.grant = grant
        self.signerChain = signerChain
    }
}

/// An enforcer's answer to a ``GrantDelivery``.
package struct GrantVerdict: Hashable, Sendable {
    package var outcome: GrantOutcome
    package var order: LeaseOrder

    package init(outcome: GrantOutcome, order: LeaseOrder) {
        self.outcome = outcome
        self.order = order
    }
}

/// What an enforcer says of itself: after every change, and once a second.
///
/// Shape: both columns have one entry for each GPU of the node.
package struct EnforcerStatus: Hashable, Sendable {
    package var isAtFallback: Bool
    /// The node's cap in force.
    package var cap: Milliwatts
    package var order: LeaseOrder
    /// Time left until the deadline; 0 without a lease.
    package var remainingNanoseconds: Int64
    package var requestedCapMilliwatts: [UInt32]
    package var enforcedCapMilliwatts: [UInt32]
    package var leaseExpiries: UInt64
    /// Caps found above what was set, and corrected.
    package var violations: UInt64

    package init(
        isAtFallback: Bool, cap: Milliwatts, order: LeaseOrder, remainingNanoseconds: Int64,
        requestedCapMilliwatts: [UInt32], enforcedCapMilliwatts: [UInt32], leaseExpiries: UInt64,
        violations: UInt64
    ) {
        self.isAtFallback = isAtFallback
        self.cap = cap
        self.order = order
        self.remainingNanoseconds = remainingNanoseconds
        self.requestedCapMilliwatts = requestedCapMilliwatts
        self.enforcedCapMilliwatts = enforcedCapMilliwatts
        self.leaseExpiries = leaseExpiries
        self.violations = violations
    }
}

/// One frame of the local socket between an agent and its enforcer.
package struct EnforcerMessage: Hashable, Sendable {
    /// What a frame says.
    package enum Body: Hashable, Sendable {
        // From the agent.
        /// Asks for a renewal now, and again whenever an acknowledgement becomes ready.
        case renewalRequest
        case grantDelivery(GrantDelivery)
        /// How the node's cap is to be shared: the cap of each GPU in milliwatts.
        case shareRequest(capMilliwatts: [UInt32])
        // From the enforcer.
        case renewal(LeaseRenewal)
        case grantVerdict(GrantVerdict)
        case status(EnforcerStatus)
        case refusal(String)
        /// A message of a newer peer that this version does not know: ignore it.
        case unknown
    }

    /// The node meant: one enforcer process may serve several simulated nodes.
    package var node: String
    package var body: Body

    package init(node: String, body: Body) {
        self.node = node
        self.body = body
    }
}

extension EnforcerMessage: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.large }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> EnforcerMessage {
        try Codec.decode(EnforcerMessage.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension EnforcerMessage: Mapped {
    static var messageName: String { "EnforcerEnvelope" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__EnforcerEnvelope>) {
        busbar__v1__enforcer_envelope__init(message)
    }

    static func read(
        _ message: Busbar__V1__EnforcerEnvelope
    ) throws(WireError) -> EnforcerMessage {
        EnforcerMessage(node: try fields.name(message.node, "node"), body: try body(of: message))
    }

    private static func body(
        of message: Busbar__V1__EnforcerEnvelope
    ) throws(WireError) -> Body {
        switch message.body_case {
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_RENEWAL_REQUEST: .renewalRequest
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_GRANT_DELIVERY:
            .grantDelivery(try fields.message(message.grant_delivery, "grant_delivery"))
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_SHARE_REQUEST:
            .shareRequest(
                capMilliwatts: try fields.column(
                    message.share_request.pointee.n_cap_mw, message.share_request.pointee.cap_mw,
                    "share_request.cap_mw", limit: AgentBound.devices))
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_RENEWAL:
            .renewal(try fields.message(message.renewal, "renewal"))
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_GRANT_VERDICT:
            .grantVerdict(try fields.message(message.grant_verdict, "grant_verdict"))
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_STATUS:
            .status(try fields.message(message.status, "status"))
        case BUSBAR__V1__ENFORCER_ENVELOPE__BODY_REFUSAL:
            .refusal(try fields.text(message.refusal.pointee.message, "refusal.message"))
        default: .unknown
        }
    }

    func write(to message: inout Busbar__V1__EnforcerEnvelope, _ builder: Builder) {
        message.node = builder.text(node)
        switch body {
        case .renewalRequest:
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_RENEWAL_REQUEST
            message.renewal_request = builder.message(busbar__v1__renewal_request__init) { _ in }
        case .grantDelivery(let delivery):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_GRANT_DELIVERY
            message.grant_delivery = builder.make(delivery)
        case .shareRequest(let caps):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_SHARE_REQUEST
            message.share_request = builder.message(busbar__v1__share_request__init) {
                $0.n_cap_mw = caps.count
                $0.cap_mw = builder.column(caps)
            }
        case .renewal(let renewal):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_RENEWAL
            message.renewal = builder.make(renewal)
        case .grantVerdict(let verdict):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_GRANT_VERDICT
            message.grant_verdict = builder.make(verdict)
        case .status(let status):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_STATUS
            message.status = builder.make(status)
        case .refusal(let reason):
            message.body_case = BUSBAR__V1__ENFORCER_ENVELOPE__BODY_REFUSAL
            message.refusal = builder.message(busbar__v1__enforcer_refusal__init) {
                $0.message = builder.text(reason)
            }
        case .unknown: break
        }
    }
}

extension GrantOutcome: WireEnum {
    init?(wireValue: UInt32) {
        // The numbers start at 1: 0 is the unset value.
        guard let raw = UInt8(exactly: wireValue), raw > 0 else { return nil }
        self.init(rawValue: raw - 1)
    }

    var wireValue: UInt32 { UInt32(rawValue) + 1 }
}

extension GrantDelivery: Mapped {
    static var messageName: String { "GrantDelivery" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__GrantDelivery>) {
        busbar__v1__grant_delivery__init(message)
    }

    static func read(_ message: Busbar__V1__GrantDelivery) throws(WireError) -> GrantDelivery {
        GrantDelivery(
            grant: try fields.message(message.grant, "grant"),
            signerChain: try fields.certificates(
                message.n_signer_chain, message.signer_chain, "signer_chain"))
    }

    func write(to message: inout Busbar__V1__GrantDelivery, _ builder: Builder) {
        message.grant = builder.make(grant)
        message.n_signer_chain = signerChain.count
        message.signer_chain = builder.byteStrings(signerChain)
    }
}

extension GrantVerdict: Mapped {
    static var messageName: String { "GrantVerdict" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__GrantVerdict>) {
        busbar__v1__grant_verdict__init(message)
    }

    static func read(_ message: Busbar__V1__GrantVerdict) throws(WireError) -> GrantVerdict {
        GrantVerdict(
            outcome: try fields.value(message.outcome.rawValue, "outcome"),
            order: try fields.message(message.order, "order"))
    }

    func write(to message: inout Busbar__V1__GrantVerdict, _ builder: Builder) {
        message.outcome = Busbar__V1__GrantOutcome(rawValue: outcome.wireValue)
        message.order = builder.make(order)
    }
}

extension EnforcerStatus: Mapped {
    static var messageName: String { "EnforcerStatus" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__EnforcerStatus>) {
        busbar__v1__enforcer_status__init(message)
    }

    static func read(_ message: Busbar__V1__EnforcerStatus) throws(WireError) -> EnforcerStatus {
        let requested = try fields.column(
            message.n_requested_cap_mw, message.requested_cap_mw, "requested_cap_mw",
            limit: AgentBound.devices)
        return EnforcerStatus(
            isAtFallback: message.at_fallback != 0,
            cap: try fields.power(message.cap_mw, "cap_mw"),
            order: try fields.message(message.order, "order"),
            remainingNanoseconds: try fields.duration(message.remaining_ns, "remaining_ns"),
            requestedCapMilliwatts: requested,
            enforcedCapMilliwatts: try fields.column(
                message.n_enforced_cap_mw, message.enforced_cap_mw, "enforced_cap_mw",
                count: requested.count),
            leaseExpiries: message.lease_expiries,
            violations: message.violations)
    }

    func write(to message: inout Busbar__V1__EnforcerStatus, _ builder: Builder) {
        message.at_fallback = isAtFallback ? 1 : 0
        message.cap_mw = builder.power(cap)
        message.order = builder.make(order)
        message.remaining_ns = builder.duration(remainingNanoseconds)
        message.n_requested_cap_mw = requestedCapMilliwatts.count
        message.requested_cap_mw = builder.column(requestedCapMilliwatts)
        message.n_enforced_cap_mw = enforcedCapMilliwatts.count
        message.enforced_cap_mw = builder.column(enforcedCapMilliwatts)
        message.lease_expiries = leaseExpiries
        message.violations = violations
    }
}
