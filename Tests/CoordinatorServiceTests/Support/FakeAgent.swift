// SPDX-License-Identifier: Apache-2.0

import FleetModel
import NIOCore
import SecureTransport
import Synchronization
import TLSEngine
import Wire

/// An agent with a holder that obeys at once.
///
/// Every grant is taken as enforced and acknowledged with the next renewal. Runs tasks until they are
/// stopped, and remembers what it was told.
final class FakeAgent: FrameReceiver, Sendable {
    struct State: Sendable {
        var welcomes = 0
        /// The chain that the last welcome named.
        var chain: [[UInt8]] = []
        /// Every grant as it was signed, with the chain that was known when it came.
        var deliveries: [GrantDelivery] = []
        var grants: [LeaseGrant] = []
        var plans: [PowerPlan] = []
        var starts: [TaskStart] = []
        var stops: [TaskAttempt] = []
        var running: [TaskAttempt] = []
        var refusal: SessionRefusal?
        var closed: CloseReason?
        var nonce: UInt64 = 0
        var isObedient = true
        var reports: UInt64 = 0
        var violations: UInt64 = 0
        /// Which life of its enforcer speaks.
        var life: UInt64 = 1
    }

    let node: String
    private let incarnation: UInt64
    private let state = Mutex(State())
    private let connection: SecureConnection

    private init(node: String, connection: SecureConnection) {
        self.node = node
        self.connection = connection
        // One process a node and test: the name is random enough for an incarnation.
        incarnation = UInt64(truncatingIfNeeded: node.hashValue) | 1
    }

    /// What it has been told so far.
    var seen: State { state.withLock { $0 } }

    /// Connects without saying anything.
    static func dial(
        node: String, files: TLSCredentials.Files, port: Int, group: any EventLoopGroup
    ) async throws -> FakeAgent {
        let dialer = SecureDialer(
            context: try TLSContext(files: files), speaking: .agent,
            policy: .coordinator(of: nil), group: group)
        let made = Mutex<FakeAgent?>(nil)
        _ = try await dialer.connect(to: Endpoint(host: "127.0.0.1", port: port)) { connection in
            let agent = FakeAgent(node: node, connection: connection)
            made.withLock { $0 = agent }
            return agent
        }
        guard let agent = made.withLock({ $0 }) else { throw CloseReason.lost("no receiver") }
        return agent
    }

    /// Connects, says hello and asks for a lease.
    static func connect(
        node: String, files: TLSCredentials.Files, port: Int, group: any EventLoopGroup,
        running: [TaskAttempt] = []
    ) async throws -> FakeAgent {
        let agent = try await dial(node: node, files: files, port: port, group: group)
        agent.hello(running: running)
        agent.renew()
        return agent
    }

    /// Says hello.
    func hello(as name: String? = nil, running: [TaskAttempt] = [], gpuCount: Int = 4) {
        state.withLock { $0.running = running }
        let device = DeviceInventory(
            uuid: "gpu", model: "H100-SXM", minimumCap: .watts(200), maximumCap: .watts(700))
        send(
            .hello(
                AgentHello(
                    softwareVersion: "test", node: name ?? node, bootID: [1, 2, 3],
                    devices: Array(repeating: device, count: gpuCount),
                    tasks: running.map { TaskStatus(task: $0, state: .running) })))
    }

    /// Sends a renewal that acknowledges the last grant, when there is one and the holder obeys.
    func renew() {
        let renewal = state.withLock { state -> LeaseRenewal in
            state.nonce += 1
            let last = state.grants.last
            let ack = last.map {
                LeaseAck(
                    order: $0.order, epochID: $0.epochID, cap: $0.cap,
                    fallbackVersion: $0.fallbackVersion)
            }
            return LeaseRenewal(
                incarnation: RandomID(high: state.life, low: incarnation), nonce: state.nonce,
                ack: state.isObedient ? ack : nil,
                fence: last?.order ?? .zero, fenceEpochID: last?.epochID ?? .none,
                enforced: last?.cap ?? .watts(1200), provenEnforcerNanoseconds: 1_000_000_000,
                violations: state.violations)
        }
        send(.renewal(renewal))
    }

    /// Says with a renewal how many caps its enforcer has found raised, in which of its lives.
    func find(violations: UInt64, life: UInt64 = 1) {
        state.withLock {
            $0.violations = violations
            $0.life = life
        }
        renew()
    }

    /// Sends a report in which every GPU draws `watts` under a cap of 700 W.
    func report(watts: UInt32, gpuCount: Int = 4) {
        var report = TelemetryReport(gpuCount: gpuCount)
        report.sequence = state.withLock { state in
            state.reports += 1
            return state.reports
        }
        for device in 0..<gpuCount {
            report.drawMilliwatts[device] = watts * 1000
            report.drawValidity[device] = true
            report.enforcedCapMilliwatts[device] = 700_000
            report.enforcedCapValidity[device] = true
        }
        send(.report(report))
    }

    /// Says how a task stands.
    func say(_ task: TaskAttempt, _ phase: TaskState) {
        send(.taskStatus(TaskStatus(task: task, state: phase)))
    }

    func send(_ message: AgentMessage) { connection.send(message.encoded()) }
    func send(_ bytes: [UInt8]) { connection.send(bytes) }

    func close() async {
        connection.close()
        do {
            _ = try await connection.closed.get()
        } catch {
            preconditionFailure("a connection's end is never a failure: \(error)")
        }
    }

    // MARK: - FrameReceiver

    func received(_ frame: ByteBuffer) {
        do {
            take(try AgentMessage.decode(Array(frame.readableBytesView)))
        } catch {
            connection.reject("\(error)")
        }
    }

    func closed(_ reason: CloseReason) { state.withLock { $0.closed = reason } }

    private func take(_ message: AgentMessage) {
        switch message {
        case .welcome(let welcome):
            state.withLock {
                $0.welcomes += 1
                $0.chain = welcome.signerChain
            }
        case .grant(let signed):
            guard let grant = try? LeaseGrant.decode(signed.payload) else { return }
            state.withLock {
                $0.grants.append(grant)
                $0.deliveries.append(GrantDelivery(grant: signed, signerChain: $0.chain))
            }
            renew()
        case .powerPlan(let plan):
            state.withLock { $0.plans.append(plan) }
        case .taskStart(let start):
            state.withLock {
                $0.starts.append(start)
                if !$0.running.contains(start.task) { $0.running.append(start.task) }
            }
            say(start.task, .running)
        case .taskStop(let task):
            let wasRunning = state.withLock { state in
                state.stops.append(task)
                let before = state.running.count
                state.running.removeAll { $0 == task }
                return state.running.count < before
            }
            if wasRunning { say(task, .stopped) }
        case .refusal(let refusal):
            state.withLock { $0.refusal = refusal }
        case .hello, .report, .renewal, .taskStatus, .goodbye, .unknown:
            break
        }
    }
}
