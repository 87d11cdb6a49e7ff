// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

/// One frame of the session between an agent and the site leader.
package enum AgentMessage: Hashable, Sendable {
    // From the agent.
    case hello(AgentHello)
    case report(TelemetryReport)
    case renewal(LeaseRenewal)
    case taskStatus(TaskStatus)
    case goodbye(reason: String)
    // From the coordinator.
    case welcome(AgentWelcome)
    case grant(SignedGrant)
    case powerPlan(PowerPlan)
    case taskStart(TaskStart)
    case taskStop(TaskAttempt)
    case refusal(SessionRefusal)
    /// A message of a newer peer that this version does not know: ignore it.
    case unknown
}

extension AgentMessage: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.agent }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> AgentMessage {
        try Codec.decode(AgentMessage.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

// MARK: - Reports without allocation

extension AgentMessage {
    /// What ``decode(_:report:arena:)`` found.
    package enum Received: Hashable, Sendable {
        /// Use the report in the caller's buffer.
        case report
        /// Any other message.
        case message(AgentMessage)
    }

    /// Reads a message, a report into the caller's buffer.
    ///
    /// Takes nothing from malloc for a report when `report` held one of at least as many GPUs
    /// before and nobody else holds its columns. When this throws, the content of `report` is
    /// unspecified.
    ///
    /// - Throws: what is wrong with the message; the sender is at fault.
    package static func decode(
        _ bytes: RawSpan, report: inout TelemetryReport, arena: inout WireArena
    ) throws(WireError) -> Received {
        let handle = arena.handle
        let limit = arena.limit
        defer { CBusbar_arena_reset(handle) }
        return try bytes.withUnsafeBytes { buffer throws(WireError) in
            let envelope = try Codec.unpack(AgentMessage.self, buffer, handle, limit: limit)
            guard envelope.pointee.body_case == BUSBAR__V1__AGENT_ENVELOPE__BODY_REPORT,
                let message = envelope.pointee.report
            else { return .message(try AgentMessage.read(envelope.pointee)) }
            try report.update(from: message.pointee)
            return .report
        }
    }
}

extension AgentMessage: Mapped {
    static var messageName: String { "AgentEnvelope" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__AgentEnvelope>) {
        busbar__v1__agent_envelope__init(message)
    }

    static func read(_ message: Busbar__V1__AgentEnvelope) throws(WireError) -> AgentMessage {
        switch message.body_case {
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_HELLO:
            .hello(try fields.message(message.hello, "hello"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_REPORT:
            .report(try fields.message(message.report, "report"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_RENEWAL:
            .renewal(try fields.message(message.renewal, "renewal"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_STATUS:
            .taskStatus(try fields.message(message.task_status, "task_status"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_GOODBYE:
            .goodbye(reason: try fields.text(message.goodbye.pointee.reason, "goodbye.reason"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_WELCOME:
            .welcome(try fields.message(message.welcome, "welcome"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_GRANT:
            .grant(try fields.message(message.grant, "grant"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_POWER_PLAN:
            .powerPlan(try fields.message(message.power_plan, "power_plan"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_START:
            .taskStart(try fields.message(message.task_start, "task_start"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_STOP:
            .taskStop(try fields.message(message.task_stop, "task_stop"))
        case BUSBAR__V1__AGENT_ENVELOPE__BODY_REFUSAL:
            .refusal(try fields.message(message.refusal, "refusal"))
        default: .unknown
        }
    }

    func write(to message: inout Busbar__V1__AgentEnvelope, _ builder: Builder) {
        switch self {
        case .hello(let hello):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_HELLO
            message.hello = builder.make(hello)
        case .report(let report):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_REPORT
            message.report = builder.make(report)
        case .renewal(let renewal):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_RENEWAL
            message.renewal = builder.make(renewal)
        case .taskStatus(let status):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_STATUS
            message.task_status = builder.make(status)
        case .goodbye(let reason):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_GOODBYE
            message.goodbye = builder.message(busbar__v1__agent_goodbye__init) {
                $0.reason = builder.text(reason)
            }
        case .welcome(let welcome):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_WELCOME
            message.welcome = builder.make(welcome)
        case .grant(let grant):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_GRANT
            message.grant = builder.make(grant)
        case .powerPlan(let plan):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_POWER_PLAN
            message.power_plan = builder.make(plan)
        case .taskStart(let start):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_START
            message.task_start = builder.make(start)
        case .taskStop(let task):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_TASK_STOP
            message.task_stop = builder.make(task)
        case .refusal(let refusal):
            message.body_case = BUSBAR__V1__AGENT_ENVELOPE__BODY_REFUSAL
            message.refusal = builder.make(refusal)
        case .unknown: break
        }
    }
}
