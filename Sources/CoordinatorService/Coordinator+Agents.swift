// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Logging
internal import NIOCore
internal import SecureTransport
internal import TLSEngine
internal import Wire

// Connections, and the sessions of agents.
extension Coordinator {
    /// Takes in a verified connection.
    ///
    /// - Returns: the number under which its frames come.
    func connectionOpened(_ connection: SecureConnection) -> UInt64 {
        let number = nextSession
        nextSession += 1
        switch connection.peer.role {
        case .agent(let site, let name):
            guard let node = nodeByName[name],
                topology.sites[topology.nodes[node.position].site.position].name == site
            else {
                refuse(
                    connection, .unknownNode,
                    "node '\(name)' of site '\(site)' is not in the topology")
                break
            }
            agents[number] = AgentSession(number: number, connection: connection, node: node)
        case .operator(let name):
            operators[number] = OperatorSession(
                number: number, connection: connection, operatorName: name)
        case .coordinator:
            connection.reject("coordinators have nothing to say here")
        }
        return number
    }

    /// Takes in a frame.
    func frameReceived(_ frame: ByteBuffer, on number: UInt64) {
        guard !isEnding else { return }
        if let session = agents[number] {
            agentFrame(frame, session)
        } else if let session = operators[number] {
            operatorFrame(frame, session)
        }
    }

    /// Lets go of a connection that is over.
    func connectionClosed(_ number: UInt64, reason: CloseReason) {
        if let session = agents.removeValue(forKey: number) {
            guard session.isOpen, sessionOfNode[session.node.position] == number else { return }
            sessionOfNode[session.node.position] = nil
            let site = runtime(of: session.node)
            site.grantor.sessionEnded(session.node)
            site.loop.nodeLost(session.node)
        } else if operators.removeValue(forKey: number) != nil {
            waiting.removeAll { $0.session == number }
        }
    }

    // MARK: - Agents

    private func agentFrame(_ frame: ByteBuffer, _ session: AgentSession) {
        do {
            let received = try frame.withUnsafeReadableBytes { bytes in
                try AgentMessage.decode(bytes.bytes, report: &reportScratch, arena: &arena)
            }
            switch received {
            case .report: reportReceived(session)
            case .message(let message): messageReceived(message, session)
            }
        } catch {
            violation(session, "\(error)")
        }
    }

    private func reportReceived(_ session: AgentSession) {
        guard session.isOpen else { return violation(session, "a report before the hello") }
        counts.reports += 1
        let isTaken = runtime(of: session.node).loop.reportReceived(
            reportScratch, from: session.node, now: SystemClock.monotonicNanoseconds())
        if !isTaken { violation(session, "a report of \(reportScratch.gpuCount) GPUs") }
    }

    private func messageReceived(_ message: AgentMessage, _ session: AgentSession) {
        switch message {
        case .hello(let hello):
            helloReceived(hello, session)
        case .renewal(let renewal):
            guard session.isOpen else { return violation(session, "a renewal before the hello") }
            renewalReceived(renewal, session)
        case .taskStatus(let status):
            guard session.isOpen else { return violation(session, "a task before the hello") }
            leader.taskReported(
                TaskObservation(status), by: session.node, now: SystemClock.unixMilliseconds(),
                into: &directives)
        case .goodbye(let reason):
            log.info(
                "agent says goodbye",
                metadata: [
                    "node": "\(topology.nodes[session.node.position].name)", "reason": "\(reason)",
                ])
            session.connection.close()
        case .unknown:
            break
        case .report, .welcome, .grant, .powerPlan, .taskStart, .taskStop, .refusal:
            violation(session, "a message that only a coordinator sends")
        }
    }

    private func helloReceived(_ hello: AgentHello, _ session: AgentSession) {
        let node = session.node
        if session.isOpen { return violation(session, "a second hello") }
        if let (code, reason) = problem(in: hello, node: node) {
            agents[session.number] = nil
            return refuse(session.connection, code, reason)
        }
        if let old = sessionOfNode[node.position], let replaced = agents.removeValue(forKey: old) {
            refuse(replaced.connection, .replaced, "a newer session of the node took over")
        }
        session.isOpen = true
        sessionOfNode[node.position] = session.number
        send(welcome, to: session)
        leader.nodeConnected(
            node, tasks: hello.tasks.map { TaskObservation($0) },
            now: SystemClock.unixMilliseconds(), into: &directives)
        let site = runtime(of: node)
        if let local = site.loop.local(node) { sendPlan(local, site: site) }
    }

    /// The terms of a session; sent again when they change.
    private var welcome: AgentMessage {
        .welcome(
            AgentWelcome(
                reportIntervalMilliseconds: options.reportIntervalMilliseconds,
                signerChain: signer.chain))
    }

    /// Looks whether the certificate or the key that grants are signed with was replaced.
    ///
    /// Every open session is told the new chain before the first grant that needs it: frames of one
    /// session keep their order, and an enforcer verifies each grant with the chain that came with it.
    /// What cannot be used changes nothing. Connections look for their own credentials as they begin.
    func reloadCredentials() {
        do throws(TLSConfigurationError) {
            guard try signer.reloadIfChanged() else { return }
        } catch {
            log.error(
                "the new certificate and key are not used for grants",
                metadata: ["reason": "\(error)"])
            return
        }
        for session in agents.values where session.isOpen { send(welcome, to: session) }
        log.info(
            "grants are signed with a new certificate", metadata: ["identity": "\(signer.identity)"]
        )
    }

    /// What is wrong with a hello, if anything.
    private func problem(in hello: AgentHello, node: NodeIndex) -> (RefusalCode, String)? {
        let name = topology.nodes[node.position].name
        if hello.protocolVersion != ProtocolVersion.current {
            return (
                .protocolVersion,
                "protocol version \(hello.protocolVersion); this is \(ProtocolVersion.current)"
            )
        }
        if hello.node != name {
            return (.wrongIdentity, "the hello says '\(hello.node)', the certificate '\(name)'")
        }
        let type = topology.type(of: node)
        if hello.devices.count != Int(type.gpuCount) {
            return (
                .inventory, "\(hello.devices.count) GPUs; the topology has \(type.gpuCount)"
            )
        }
        let model = topology.model(of: node)
        for (position, device) in hello.devices.enumerated() {
            if device.model != model.name {
                return (.inventory, "GPU \(position) is a '\(device.model)', not '\(model.name)'")
            }
            // The ledger's bound on an unproven node rests on the model's maximum.
            if device.maximumCap > model.maximumCap {
                return (
                    .inventory,
                    "GPU \(position) can draw \(device.maximumCap), above the model's "
                        + "\(model.maximumCap)"
                )
            }
        }
        return nil
    }

    private func renewalReceived(_ renewal: LeaseRenewal, _ session: AgentSession) {
        noteViolations(renewal, of: session.node)
        let site = runtime(of: session.node)
        let outcome = site.grantor.renewalReceived(
            renewal, from: session.node, now: SystemClock.reading())
        switch outcome {
        case .queued:
            break
        case .notLeading, .unknownNode:
            agents[session.number] = nil
            sessionOfNode[session.node.position] = nil
            refuse(session.connection, .notLeader, "this coordinator does not lead the site")
        case .superseded(let epoch):
            fail(
                CoordinatorError(
                    "node '\(topology.nodes[session.node.position].name)' obeys epoch \(epoch) of "
                        + "site '\(site.name)', this coordinator leads \(site.leadership.epoch)",
                    hint: "another coordinator leads the site, or its store is an older copy"))
        case .storeRolledBack(let fence):
            fail(
                CoordinatorError(
                    "node '\(topology.nodes[session.node.position].name)' has seen order "
                        + "\(fence.epoch)/\(fence.sequence), which the store of site '\(site.name)' "
                        + "has not",
                    hint: "the store is an older copy: put the newest one back"))
        }
    }

    /// The peer has broken the protocol: the connection ends, with one log line.
    private func violation(_ session: AgentSession, _ what: String) {
        counts.protocolViolations += 1
        let number = session.number
        if let refusal = encode(
            .refusal(SessionRefusal(code: .protocolViolation, message: what)))
        {
            session.connection.send(refusal)
        }
        session.connection.reject("protocol violation: \(what)")
        connectionClosed(number, reason: .rejected(what))
    }

    private func refuse(_ connection: SecureConnection, _ code: RefusalCode, _ reason: String) {
        if let refusal = encode(.refusal(SessionRefusal(code: code, message: reason))) {
            connection.send(refusal)
        }
        connection.reject(reason)
    }

    // MARK: - To agents

    /// Sends a message to an agent.
    func send(_ message: AgentMessage, to session: AgentSession) {
        guard let bytes = encode(message) else { return }
        session.connection.send(bytes)
    }

    /// The bytes of a message; nil, with a log line, when it does not fit a frame.
    private func encode(_ message: AgentMessage) -> ByteBuffer? {
        encodeBuffer.removeAll(keepingCapacity: true)
        message.encode(into: &encodeBuffer, arena: &arena)
        guard encodeBuffer.count <= FrameLimit.agent else {
            log.error(
                "a message to an agent is too long", metadata: ["bytes": "\(encodeBuffer.count)"])
            return nil
        }
        return ByteBuffer(bytes: encodeBuffer)
    }

    /// Sends a local node of a site its plan, when it has a session and does not have the plan yet.
    func sendPlan(_ local: Int, site: SiteRuntime) {
        let node = site.loop.nodes[local]
        let revision = site.loop.planRevision[local]
        guard revision > 0, let number = sessionOfNode[node.position],
            let session = agents[number], session.sentPlan != revision
        else { return }
        let plan = site.loop.plans[local]
        session.sentPlan = revision
        counts.plansSent += 1
        send(
            .powerPlan(
                PowerPlan(
                    revision: revision, floorMilliwatts: plan.floorMilliwatts,
                    fullMilliwatts: plan.fullMilliwatts, ceilingMilliwatts: plan.ceilingMilliwatts,
                    priority: plan.priority, weight: plan.weight, gang: plan.gang)),
            to: session)
    }

    /// Sends what the fleet leader has ordered; an order for a node without a session is dropped, and
    /// given again when the node connects.
    func sendDirectives() {
        for directive in directives {
            switch directive {
            case .start(let job, let task, let attempt, let node):
                guard let session = session(of: node), let record = leader.job(job) else {
                    continue
                }
                send(.taskStart(taskStart(record, task: task, attempt: attempt)), to: session)
            case .stop(let job, let task, let attempt, let node):
                guard let session = session(of: node) else { continue }
                send(
                    .taskStop(TaskAttempt(job: job, taskIndex: task, attempt: attempt)),
                    to: session)
            }
        }
        directives.removeAll(keepingCapacity: true)
    }

    private func session(of node: NodeIndex) -> AgentSession? {
        sessionOfNode[node.position].flatMap { agents[$0] }
    }

    private func taskStart(_ job: FleetJob, task: UInt32, attempt: UInt64) -> TaskStart {
        TaskStart(
            task: TaskAttempt(job: job.id, taskIndex: task, attempt: attempt),
            jobName: job.spec.name, devices: job.tasks[Int(task)].placement.devices,
            gpuMilli: job.spec.task.gpuMilli, profile: job.spec.profile,
            durationNanoseconds: job.spec.durationNanoseconds, onLeaseEnd: job.spec.onLeaseEnd)
    }
}

extension TaskObservation {
    /// What an agent has said of a task.
    init(_ status: TaskStatus) {
        let phase: TaskPhase =
            switch status.state {
            case .running: .running
            case .finished: .finished
            case .failed: .failed
            case .stopped: .stopped
            }
        self.init(
            job: status.task.job, task: status.task.taskIndex, attempt: status.task.attempt,
            phase: phase, message: status.message)
    }
}
