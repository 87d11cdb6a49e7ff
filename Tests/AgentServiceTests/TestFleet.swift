// SPDX-License-Identifier: Apache-2.0

import CertificateAuthority
import Devices
import EnforcerService
import FleetModel
import Glibc
import Logging
import NIOCore
import NIOPosix
import SecureTransport
import Synchronization
import TLSEngine
import Testing
import Wire

@testable import AgentService

/// A loop on a thread of its own that can be stopped, as a process can be killed.
final class StoppableThread: Sendable {
    private let isOver = Atomic(false)
    private let hasEnded = Atomic(false)
    private let body: @Sendable (_ isOver: () -> Bool) -> Void

    init(_ body: @escaping @Sendable (_ isOver: () -> Bool) -> Void) {
        self.body = body
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument {
                    Unmanaged<StoppableThread>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, argument)
        precondition(code == 0, "no thread: \(code)")
        pthread_detach(thread)
    }

    private func run() {
        body { self.isOver.load(ordering: .acquiring) }
        hasEnded.store(true, ordering: .releasing)
    }

    /// Ends the loop; returns when it has ended.
    func stop() async throws {
        isOver.store(true, ordering: .releasing)
        try await eventually("a thread ends") { self.hasEnded.load(ordering: .acquiring) }
    }
}

/// Waits until something is true, a minute at most: a machine that builds at the same time is slow.
func eventually(_ what: String, _ isTrue: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
        if try await isTrue() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("did not happen: \(what)")
    throw CancellationError()
}

/// One node of two GPUs: hardware, enforcer and agent as threads of this process, and a coordinator
/// that grants what the test says.
///
/// Every one of them can be stopped and started.
final class TestFleet {
    let directory: String
    let coordinator: TestCoordinator
    private let topology: Topology
    private var hardware: StoppableThread?
    private var enforcer: StoppableThread?
    private var agent: AgentProgram?

    init() async throws {
        var template = Array("/tmp/busbar-agent-XXXXXX".utf8CString)
        directory = String(cString: try #require(mkdtemp(&template)))
        topology = TestFleet.topology()
        try TestFleet.write(FleetPlan(topology: topology).encoded(), to: directory + "/plan")
        let now = SystemLeaseClock().unixSeconds()
        let validity = Validity.days(1, from: now)
        let authority = try FleetAuthority.create(
            fleet: "small", in: directory, validity: validity)
        try authority.issue(
            SpiffeIdentity(fleet: "small", role: .agent(site: "s", node: "n1")), validity: validity,
            certificatePath: directory + "/n1.pem", keyPath: directory + "/n1.key")
        try authority.issue(
            SpiffeIdentity(fleet: "small", role: .coordinator(site: "fleet", name: "c1")),
            validity: validity, certificatePath: directory + "/c1.pem",
            keyPath: directory + "/c1.key")
        coordinator = try TestCoordinator(directory: directory)
        try await coordinator.start()
    }

    /// Everything that runs is stopped; the directory goes away.
    func tearDown() async throws {
        stopAgent()
        try await stopEnforcer()
        try await stopHardware()
        try await coordinator.stop()
        for name in [
            "plan", "ca.pem", "ca.key", "n1.pem", "n1.key", "c1.pem", "c1.key",
            "records/n1.lease", "records/n1.fallback", "records/node-n1.lock",
        ] {
            unlink("\(directory)/\(name)")
        }
        rmdir(directory + "/records")
        rmdir(directory)
    }

    func startHardware() {
        let (plan, socket) = (directory + "/plan", directory + "/hardware.sock")
        hardware = StoppableThread { isOver in
            do {
                try HardwareServer.serve(planPath: plan, socketPath: socket, until: isOver)
            } catch {
                Issue.record("hardware: \(error)")
            }
        }
    }

    func startEnforcer() {
        let options = EnforcerOptions(
            plan: directory + "/plan", hosting: .node("n1"),
            hardware: directory + "/hardware.sock", socket: directory + "/enforcer.sock",
            records: directory + "/records", authority: directory + "/ca.pem")
        enforcer = StoppableThread { isOver in
            do {
                try EnforcerProgram.serve(options, until: isOver)
            } catch {
                Issue.record("enforcer: \(error)")
            }
        }
    }

    func startAgent() throws {
        agent = try AgentProgram(
            AgentOptions(
                plan: directory + "/plan", hosting: .node("n1"),
                hardware: directory + "/hardware.sock", enforcer: directory + "/enforcer.sock",
                coordinators: "127.0.0.1:\(coordinator.port)", pki: directory,
                authority: directory + "/ca.pem", shareIntervalMilliseconds: 20,
                reportIntervalMilliseconds: 100))
    }

    func stopHardware() async throws {
        try await hardware?.stop()
        hardware = nil
    }

    func stopEnforcer() async throws {
        try await enforcer?.stop()
        enforcer = nil
    }

    func stopAgent() {
        agent?.stop()
        agent = nil
    }

    /// What the hardware enforces, in watts.
    func enforcedWatts() throws -> UInt32 {
        let devices = SimulatedDevices(
            path: directory + "/hardware.sock", timeoutNanoseconds: 20_000_000_000)
        guard case .caps(let caps) = try devices.perform([.readCaps(node: "n1")])[0] else {
            return 0
        }
        return caps.enforcedMilliwatts.reduce(0, +) / 1000
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try #require(fopen(path, "w"))
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        fclose(file)
    }

    /// 100 W idle, 200 to 700 W; falls back to 800 W, boots uncapped; a lease of 20 s.
    private static func topology() -> Topology {
        let site = SiteIndex(rawValue: 0)
        let root = DomainIndex(rawValue: 0)
        var lease = LeaseParameters()
        lease.holdNanoseconds = 300_000_000
        return Topology(
            fleetName: "small", sites: [Site(name: "s", root: root, allotment: .watts(1400))],
            domains: [
                PowerDomain(
                    name: "s", level: "site", site: site, parent: nil, tree: 0,
                    limit: .watts(1400), overhead: .zero)
            ],
            gpuModels: [
                GPUModel(
                    name: "T700", vendor: .nvidia, idle: .watts(100), minimumCap: .watts(200),
                    maximumCap: .watts(700), defaultFloor: .watts(350), memoryMiB: 80 << 10,
                    isEstimate: true, source: "made up for tests")
            ],
            nodeTypes: [
                NodeType(
                    name: "pair", model: ModelIndex(rawValue: 0), gpuCount: 2, cpuMilli: 64_000,
                    memoryMiB: 512 << 10, fallback: .watts(800),
                    enforcementClass: .unsupervised, bootState: .default,
                    settleNanoseconds: 20_000_000)
            ],
            nodes: [
                Node(name: "n1", site: site, type: 0, leaves: [root], firstGPU: GPUIndex(0))
            ], lease: lease)
    }
}

/// A coordinator that answers every renewal with the cap that the test has set.
final class TestCoordinator: Sendable {
    /// What it has heard so far, and what it says.
    struct State {
        var cap: Milliwatts = .watts(1000)
        var sequence: UInt64 = 0
        var hellos: [AgentHello] = []
        var reports: [TelemetryReport] = []
        var renewals: [LeaseRenewal] = []
        var statuses: [TaskStatus] = []
        var goodbyes = 0
        var connection: SecureConnection?
        var port = 0
    }

    let state = Mutex(State())
    private let signer: GrantSigner
    private let context: TLSContext
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let listener = Mutex<SecureListener?>(nil)

    init(directory: String) throws {
        let files = TLSCredentials.Files(
            certificate: directory + "/c1.pem", key: directory + "/c1.key",
            authority: directory + "/ca.pem")
        context = try TLSContext(files: files)
        signer = try GrantSigner(TLSCredentials(files: files))
    }

    var port: Int { state.withLock { $0.port } }

    /// Listens; the second time on the same port as the first.
    func start() async throws {
        let configuration = SecureListener.Configuration(
            endpoint: Endpoint(host: "127.0.0.1", port: port), protocols: [.agent])
        var logger = Logger(label: "test.coordinator")
        logger.logLevel = .critical
        let opened = try await SecureListener.open(
            configuration, context: context, group: group, logger: logger
        ) { connection in
            self.state.withLock { $0.connection = connection }
            return Session(self, connection)
        }
        state.withLock { $0.port = opened.port }
        listener.withLock { $0 = opened }
    }

    /// Closes the port and every session.
    func close() async {
        let open = listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        await open?.close()
        state.withLock { $0.connection = nil }
    }

    func stop() async throws {
        await close()
        try await group.shutdownGracefully()
    }

    /// Sends a message on the newest session.
    func send(_ message: AgentMessage) {
        _ = state.withLock { $0.connection }?.send(message.encoded())
    }

    fileprivate func heard(_ message: AgentMessage, on connection: SecureConnection) throws {
        switch message {
        case .hello(let hello):
            state.withLock { $0.hellos.append(hello) }
            let welcome = AgentWelcome(reportIntervalMilliseconds: 100, signerChain: signer.chain)
            connection.send(AgentMessage.welcome(welcome).encoded())
        case .report(let report): state.withLock { $0.reports.append(report) }
        case .taskStatus(let status): state.withLock { $0.statuses.append(status) }
        case .goodbye: state.withLock { $0.goodbyes += 1 }
        case .renewal(let renewal): try answer(renewal, on: connection)
        default: Issue.record("an agent does not say \(message)")
        }
    }

    /// Answers in 50 ms, unless a fresher renewal has come by then, as a site leader does.
    private func answer(_ renewal: LeaseRenewal, on connection: SecureConnection) throws {
        state.withLock { $0.renewals.append(renewal) }
        connection.eventLoop.scheduleTask(in: .milliseconds(50)) {
            guard self.state.withLock({ $0.renewals.last == renewal }) else { return }
            try self.grant(renewal, on: connection)
        }
    }

    private func grant(_ renewal: LeaseRenewal, on connection: SecureConnection) throws {
        let grant = state.withLock { state in
            state.sequence += 1
            return LeaseGrant(
                node: "n1", incarnation: renewal.incarnation, nonce: renewal.nonce,
                order: LeaseOrder(epoch: 1, sequence: state.sequence),
                epochID: RandomID(high: 1, low: 1), cap: state.cap,
                leaseNanoseconds: 20_000_000_000, fallback: .watts(800), fallbackVersion: 1,
                holdNanoseconds: 300_000_000)
        }
        let payload = grant.encoded()
        let signed = SignedGrant(payload: payload, signature: try signer.sign(payload))
        connection.send(AgentMessage.grant(signed).encoded())
    }

    private final class Session: FrameReceiver {
        private let coordinator: TestCoordinator
        private let connection: SecureConnection

        init(_ coordinator: TestCoordinator, _ connection: SecureConnection) {
            self.coordinator = coordinator
            self.connection = connection
        }

        func received(_ frame: ByteBuffer) {
            do {
                let message = try frame.withUnsafeReadableBytes { try AgentMessage.decode($0) }
                try coordinator.heard(message, on: connection)
            } catch {
                Issue.record("the agent sent what cannot be used: \(error)")
            }
        }

        func closed(_ reason: CloseReason) {}
    }
}
