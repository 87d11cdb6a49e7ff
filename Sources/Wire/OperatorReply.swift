// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// Why a request was not answered.
package enum OperatorErrorCode: UInt32, Hashable, Sendable, CaseIterable {
    /// A reason that this version does not know.
    case unspecified = 0
    /// The request makes no sense; sending it again is of no use.
    case invalid = 1
    /// The request makes sense and was turned down.
    case refused = 2
    case notFound = 3
    /// The client's identity may not ask for this.
    case permission = 4
    /// Nobody can answer now: no leader, or the store is gone. Try again.
    case unavailable = 5
    /// The deadline passed; a write may or may not have happened. Sending it again is safe.
    case timeout = 6
    case overloaded = 7
}

/// The answer to a request that failed.
package struct OperatorError: Error, Hashable, Sendable {
    package var code: OperatorErrorCode
    /// One sentence for people.
    package var message: String
    /// What to do about it; may be empty.
    package var hint: String

    package init(code: OperatorErrorCode, message: String, hint: String = "") {
        self.code = code
        self.message = message
        self.hint = hint
    }
}

/// One reply to an ``OperatorRequest``.
package struct OperatorReply: Hashable, Sendable {
    /// What is answered.
    package enum Body: Hashable, Sendable {
        case error(OperatorError)
        case status(FleetStatus)
        case sites([SiteView])
        case domains([DomainView])
        case nodes([NodeView])
        case gpus([GPUView])
        case jobs([JobView])
        case events([EventView])
        case job(JobDetail)
        case explanation(JobExplanation)
        case submitted(SubmitReply)
        case cancelled(CancelReply)
        case marked(MarkReply)
        case reservation(ReservationView)
        case reservations([ReservationView])
        case version(VersionReply)
        case node(NodeDetail)
        case domain(DomainDetail)
        /// Nothing to say (a stopped watch), or a reply of a newer server that this version does
        /// not know.
        case none
    }

    /// The number of the request.
    package var id: UInt64
    /// Set on the last reply to a request; a page of a long list, or of a watch, has it clear.
    package var isLast: Bool
    package var body: Body

    package init(id: UInt64, isLast: Bool = true, body: Body) {
        self.id = id
        self.isLast = isLast
        self.body = body
    }
}

extension OperatorReply: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.large }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> OperatorReply {
        try Codec.decode(OperatorReply.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension OperatorError: Mapped {
    static var messageName: String { "OperatorError" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__OperatorError>) {
        busbar__v1__operator_error__init(message)
    }

    static func read(_ message: Busbar__V1__OperatorError) throws(WireError) -> OperatorError {
        OperatorError(
            code: OperatorErrorCode(rawValue: message.code.rawValue) ?? .unspecified,
            message: try fields.text(message.message, "message"),
            hint: try fields.text(message.hint, "hint"))
    }

    func write(to message: inout Busbar__V1__OperatorError, _ builder: Builder) {
        message.code = Busbar__V1__OperatorErrorCode(rawValue: code.rawValue)
        message.message = builder.text(self.message)
        message.hint = builder.text(hint)
    }
}
