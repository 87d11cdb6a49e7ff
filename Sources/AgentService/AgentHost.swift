// SPDX-License-Identifier: Apache-2.0

internal import Devices
internal import FleetModel
internal import LocalSocket
internal import Logging
internal import NIOCore
internal import SecureTransport
internal import Wire

/// The shell of one process's agents: their sessions, the enforcer's socket, the devices, the time.
///
/// **Isolation:** one event loop; every method checks or is private.
// Sendable by confinement: all mutable state is touched on `loop` alone, which every entry point
// checks; other threads only hop onto it.
final class AgentHost: @unchecked Sendable, EnforcerLinkDelegate {
    /// One hosted node.
    private struct Hosted {
        var agent: NodeAgent
        var connection: SecureConnection?
    }

    let loop: any EventLoop
    private let shareInterval: TimeAmount
    private let worker: DeviceWorker
    private let logger = Logger(label: "busbar.agent")
    private let notifier: ServiceNotifierBox
    private var nodes: [Hosted]
    private var positions: [String: Int] = [:]
    private var link: EnforcerLink?
    private var directives: [NodeAgent.Directive] = []
    private var loads: [DeviceCommand] = []
    private var arena = WireArena()
    private var bytes: [UInt8] = []
    private var areDevicesKnown = false
    private var isSampling = false
    private var isStopped = false
    private var lastBeat = NIODeadline.now()
    private var lastEndLogged: NIODeadline?
    private var unloggedEnds = 0
    private let ready: EventLoopPromise<Void>

    /// Agents that have not begun.
    init(
        agents: [NodeAgent], shareInterval: TimeAmount, devices: sending any DeviceBackend,
        loop: any EventLoop
    ) {
        self.loop = loop
        self.shareInterval = shareInterval
        worker = DeviceWorker(devices: devices)
        notifier = ServiceNotifierBox()
        nodes = agents.map { Hosted(agent: $0) }
        for (position, agent) in agents.enumerated() { positions[agent.name] = position }
        ready = loop.makePromise()
    }

    /// Ends when the devices of every node are known: sessions can begin.
    var whenReady: EventLoopFuture<Void> { ready.futureResult }

    /// Begins: looks for the devices, dials the enforcer, starts the share loop.
    func start(enforcer path: String) {
        loop.preconditionInEventLoop()
        let link = EnforcerLink(path: path, loop: loop, delegate: self)
        self.link = link
        link.start()
        loop.scheduleRepeatedTask(initialDelay: .zero, delay: shareInterval) { _ in self.turn() }
    }

    /// Says goodbye on every session, and ends.
    func stop() {
        loop.preconditionInEventLoop()
        isStopped = true
        notifier.value.stopping()
        for hosted in nodes {
            guard let connection = hosted.connection else { continue }
            send(.goodbye(reason: "the agent stops"), on: connection)
            connection.close()
        }
        link?.stop()
        worker.stop()
    }

    // MARK: - The share loop

    private func turn() {
        guard !isStopped else { return }
        beat()
        guard !isSampling else { return }
        guard areDevicesKnown else {
            findDevices()
            // Leases and reports go on: the reports say that the values are unknown.
            return takeTurn([:], now: monotonic())
        }
        let now = monotonic()
        let wanting = nodes.indices.filter { nodes[$0].agent.wantsSample(now: now) }
        guard !wanting.isEmpty else { return takeTurn([:], now: now) }
        isSampling = true
        let commands = wanting.map { DeviceCommand.readSensors(node: nodes[$0].agent.name) }
        worker.perform(commands, on: loop).assumeIsolated().whenComplete { result in
            self.isSampling = false
            switch result {
            case .success(let answers):
                var samples: [Int: HardwareSensors] = [:]
                for (position, answer) in zip(wanting, answers) {
                    if case .sensors(let sensors) = answer { samples[position] = sensors }
                }
                self.takeTurn(samples, now: now)
            case .failure(let error):
                self.lostDevices(error)
                self.takeTurn([:], now: now)
            }
        }
    }

    /// Gives every node its turn.
    ///
    /// `now` is when it was decided who is sampled: a node whose report fell due since then has no
    /// sample yet, and would report that it knows nothing.
    private func takeTurn(_ samples: [Int: HardwareSensors], now: Int64) {
        for position in nodes.indices {
            nodes[position].agent.turn(samples[position], now: now, into: &directives)
            carryOut(position)
        }
        settle()
    }

    private func beat() {
        let now = NIODeadline.now()
        guard now - lastBeat >= .seconds(1) else { return }
        lastBeat = now
        notifier.value.watchdog()
    }

    // MARK: - Devices

    private func findDevices() {
        isSampling = true
        let names = nodes.map(\.agent.name)
        worker.inventories(of: names, on: loop).assumeIsolated().whenComplete { result in
            self.isSampling = false
            switch result {
            case .success(let inventories): self.found(inventories)
            // The turn after this one tries again.
            case .failure(let error): self.logger.debug("\(error)")
            }
        }
    }

    private func found(_ inventories: [HardwareInventory]) {
        areDevicesKnown = true
        for (position, inventory) in zip(nodes.indices, inventories) {
            nodes[position].agent.devicesFound(inventory, into: &directives)
            carryOut(position)
        }
        settle()
        ready.succeed()
    }

    /// The driver does not answer: what it plays may be gone, so it is told again when it is back.
    private func lostDevices(_ error: any Error) {
        guard areDevicesKnown else { return }
        areDevicesKnown = false
        logger.warning("\(error)")
    }

    // MARK: - Sessions

    /// Takes a new connection of a node; returns who takes its frames.
    func sessionOpened(node: String, _ connection: SecureConnection) -> any FrameReceiver {
        loop.preconditionInEventLoop()
        guard let position = positions[node] else {
            preconditionFailure("a session was opened for node \(node), which is not hosted")
        }
        nodes[position].connection?.close()
        nodes[position].connection = connection
        nodes[position].agent.sessionOpened(into: &directives)
        carryOut(position)
        settle()
        return CoordinatorSession(host: self, position: position, connection: connection)
    }

    /// Says in the log what became of a reload of certificates that have changed.
    func certificatesReloaded(node: String, problem: String?) {
        if let problem {
            logger.error("node \(node): the new certificate is not used: \(problem)")
        } else {
            logger.info("node \(node): a new certificate is used from the next session on")
        }
    }

    /// Says in the log how a session ended or failed to begin.
    ///
    /// One line in five seconds, with the number of those left out: when a coordinator goes away,
    /// every hosted node loses its session and dials again and again.
    func sessionEnded(node: String, _ reason: CloseReason) {
        guard !isStopped else { return }
        let now = NIODeadline.now()
        guard lastEndLogged.map({ now - $0 >= .seconds(5) }) ?? true else {
            unloggedEnds += 1
            return
        }
        let others = unloggedEnds > 0 ? "; \(unloggedEnds) more before" : ""
        logger.info("node \(node): no session: \(reason)\(others)")
        lastEndLogged = now
        unloggedEnds = 0
    }

    fileprivate func received(_ message: AgentMessage, position: Int) {
        nodes[position].agent.received(message, now: monotonic(), into: &directives)
        carryOut(position)
    }

    fileprivate func closed(_ connection: SecureConnection, position: Int) {
        guard nodes[position].connection === connection else { return }
        nodes[position].connection = nil
        nodes[position].agent.sessionClosed()
    }

    /// The decoder's memory, reused for every frame.
    fileprivate func decode(_ frame: ByteBuffer) throws(WireError) -> AgentMessage {
        try frame.withUnsafeReadableBytes { bytes throws(WireError) in
            try AgentMessage.decode(bytes.bytes, arena: &arena)
        }
    }

    private func send(_ message: AgentMessage, on connection: SecureConnection) {
        bytes.removeAll(keepingCapacity: true)
        message.encode(into: &bytes, arena: &arena)
        connection.send(bytes)
    }

    // MARK: - Enforcer

    func enforcerConnected() {
        let now = monotonic()
        for position in nodes.indices {
            nodes[position].agent.enforcerConnected(now: now, into: &directives)
            carryOut(position)
        }
        settle()
    }

    func enforcerLost() {
        guard !isStopped else { return }
        logger.warning("the enforcer is gone; dialing it again")
        for position in nodes.indices { nodes[position].agent.enforcerLost() }
    }

    func enforcerSaid(_ message: EnforcerMessage) {
        guard let position = positions[message.node] else { return }
        nodes[position].agent.received(message.body, now: monotonic(), into: &directives)
        carryOut(position)
        settle()
    }

    // MARK: - Directives

    private func carryOut(_ position: Int) {
        let name = nodes[position].agent.name
        for directive in directives {
            switch directive {
            case .tell(let message):
                if let connection = nodes[position].connection { send(message, on: connection) }
            case .ask(let body): link?.send(EnforcerMessage(node: name, body: body))
            case .play(let device, let demand):
                loads.append(.setDemand(node: name, device: device, demand))
            case .endSession(let reason):
                logger.warning("node \(name): ending the session: \(reason)")
                nodes[position].connection?.close()
            case .log(let text): logger.info("node \(name): \(text)")
            }
        }
        directives.removeAll(keepingCapacity: true)
    }

    /// After the directives of several nodes: sends what is queued.
    fileprivate func settle() {
        link?.flush()
        guard !loads.isEmpty else { return }
        let commands = loads
        loads.removeAll(keepingCapacity: true)
        worker.perform(commands, on: loop).assumeIsolated().whenFailure { self.lostDevices($0) }
    }

    /// Tells the supervisor that the agents serve.
    func tellReady() {
        loop.preconditionInEventLoop()
        notifier.value.ready()
    }

    private func monotonic() -> Int64 { Int64(NIODeadline.now().uptimeNanoseconds) }
}

/// Takes the frames of one session.
private final class CoordinatorSession: FrameReceiver {
    private let host: AgentHost
    private let position: Int
    private let connection: SecureConnection

    init(host: AgentHost, position: Int, connection: SecureConnection) {
        self.host = host
        self.position = position
        self.connection = connection
    }

    func received(_ frame: ByteBuffer) {
        do throws(WireError) {
            host.received(try host.decode(frame), position: position)
        } catch {
            connection.reject("\(error)")
        }
    }

    func receivedAll() { host.settle() }

    func closed(_ reason: CloseReason) { host.closed(connection, position: position) }
}

/// Keeps the notifier, which cannot be copied, in a class.
private final class ServiceNotifierBox {
    let value = ServiceNotifier()
}
