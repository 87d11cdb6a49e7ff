// SPDX-License-Identifier: Apache-2.0

internal import Devices
internal import FleetModel
internal import LocalSocket
internal import NIOCore
internal import NIOPosix
internal import SecureTransport
internal import TLSEngine
internal import Wire

/// What an agent process is told on its command line.
package struct AgentOptions: Hashable, Sendable {
    /// Which nodes a process speaks for.
    package enum Hosting: Hashable, Sendable {
        case node(String)
        /// Every node of a site, each with its own identity and session: for simulated fleets.
        case site(String)
    }

    /// The compiled plan of the fleet.
    package var plan: String
    package var hosting: Hosting
    /// The socket of the simulated hardware.
    package var hardware: String
    /// The enforcer's socket.
    package var enforcer: String
    /// Where the coordinators are, in the order in which to try them: `HOST:PORT`, with commas.
    package var coordinators: String
    /// The directory with `NODE.pem` and `NODE.key`.
    package var pki: String
    /// The authorities of the fleet, PEM.
    package var authority: String
    package var shareIntervalMilliseconds: Int64
    package var reportIntervalMilliseconds: Int64

    package init(
        plan: String, hosting: Hosting, hardware: String, enforcer: String,
        coordinators: String, pki: String, authority: String,
        shareIntervalMilliseconds: Int64 = 100, reportIntervalMilliseconds: Int64 = 1000
    ) {
        self.plan = plan
        self.hosting = hosting
        self.hardware = hardware
        self.enforcer = enforcer
        self.coordinators = coordinators
        self.pki = pki
        self.authority = authority
        self.shareIntervalMilliseconds = shareIntervalMilliseconds
        self.reportIntervalMilliseconds = reportIntervalMilliseconds
    }
}

/// What keeps an agent from starting; one line for its last words.
package struct AgentStartError: Error, CustomStringConvertible {
    package var description: String
}

/// The agent as a process: one event loop, a thread for the devices, a session for each node.
package final class AgentProgram: Sendable {
    /// The version that agents tell coordinators.
    package static let version = "0.2.0"

    private let host: AgentHost
    private let group: MultiThreadedEventLoopGroup
    private let life: Task<Void, Never>

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Parameter options: the command line.
    /// - Throws: ``AgentStartError``.
    package static func run(_ options: AgentOptions) throws(AgentStartError) {
        let signals = TerminationSignals()
        let program = try AgentProgram(options)
        signals.wait()
        program.stop()
    }

    /// Begins; returns at once.
    ///
    /// - Parameter options: the command line.
    /// - Throws: ``AgentStartError`` when the plan or a certificate cannot be used.
    package init(_ options: AgentOptions) throws(AgentStartError) {
        let topology: Topology
        do throws(PlanFileError) {
            topology = try FleetPlan.read(path: options.plan).topology
        } catch {
            throw AgentStartError(description: "\(error)")
        }
        let nodes = try topology.hosted(options.hosting).map { node throws(AgentStartError) in
            try AgentProgram.identified(node, topology, options)
        }
        let endpoints = try AgentProgram.endpoints(options.coordinators)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let host = AgentHost(
            agents: nodes.map { node, _ in
                NodeAgent(
                    name: node.name, softwareVersion: AgentProgram.version,
                    reportNanoseconds: options.reportIntervalMilliseconds * 1_000_000,
                    holdNanoseconds: topology.lease.holdNanoseconds)
            },
            shareInterval: .milliseconds(options.shareIntervalMilliseconds),
            devices: SimulatedDevices(path: options.hardware, timeoutNanoseconds: 2_000_000_000),
            loop: group.next())
        self.group = group
        self.host = host
        life = Task { await AgentProgram.live(host, nodes, options.enforcer, endpoints, group) }
    }

    /// Says goodbye on every session and ends; returns when all is closed.
    package func stop() {
        let stopped: EventLoopFuture<Void> = host.loop.submit { self.host.stop() }
        do {
            // The goodbyes come first: a cancelled session is closed without one.
            try stopped.wait()
            life.cancel()
            // A moment for the goodbyes to leave.
            try host.loop.scheduleTask(in: .milliseconds(50)) {}.futureResult.wait()
            try group.syncShutdownGracefully()
        } catch {
            // The loop is gone already; so is all that it held.
        }
    }

    /// Begins, and keeps a session for every node until the task is cancelled.
    private static func live(
        _ host: AgentHost, _ nodes: [(node: Node, context: TLSContext)], _ enforcer: String,
        _ endpoints: [Endpoint], _ group: any EventLoopGroup
    ) async {
        host.loop.execute { host.start(enforcer: enforcer) }
        do {
            try await host.whenReady.get()
        } catch {
            // The loop was shut down: the process ends.
            return
        }
        host.loop.execute { host.tellReady() }
        await withTaskGroup(of: Void.self) { sessions in
            sessions.addTask { await reloadCertificates(nodes, host) }
            for (position, entry) in nodes.enumerated() {
                let name = entry.node.name
                let dialer = SecureDialer(
                    context: entry.context, speaking: .agent,
                    policy: .coordinator(of: entry.context.site), group: group)
                sessions.addTask {
                    // Handshakes of many hosted nodes come one after another, 2 ms apart.
                    try? await Task.sleep(for: .milliseconds(2 * position))
                    await dialer.keepConnected(
                        to: endpoints,
                        ended: { _, reason in
                            host.loop.execute { host.sessionEnded(node: name, reason) }
                        },
                        makeReceiver: { host.sessionOpened(node: name, $0) })
                }
            }
        }
    }

    /// Looks once a minute whether certificates were replaced; they count from the next session on.
    private static func reloadCertificates(
        _ nodes: [(node: Node, context: TLSContext)], _ host: AgentHost
    ) async {
        while true {
            do {
                try await Task.sleep(for: .seconds(60))
            } catch {
                return
            }
            for (node, context) in nodes {
                do throws(TLSConfigurationError) {
                    guard try context.reloadIfChanged() else { continue }
                    host.certificatesReloaded(node: node.name, problem: nil)
                } catch {
                    host.certificatesReloaded(node: node.name, problem: "\(error)")
                }
            }
        }
    }

    private static func identified(
        _ node: Node, _ topology: Topology, _ options: AgentOptions
    ) throws(AgentStartError) -> (node: Node, context: TLSContext) {
        let context: TLSContext
        do throws(TLSConfigurationError) {
            context = try TLSContext(
                files: TLSCredentials.Files(
                    certificate: "\(options.pki)/\(node.name).pem",
                    key: "\(options.pki)/\(node.name).key", authority: options.authority))
        } catch {
            throw AgentStartError(description: "node '\(node.name)': \(error)")
        }
        let site = topology.sites[node.site.position].name
        guard context.identity.role == .agent(site: site, node: node.name) else {
            throw AgentStartError(
                description: "\(context.identity) is not agent '\(node.name)' of site '\(site)'")
        }
        return (node, context)
    }

    private static func endpoints(_ text: String) throws(AgentStartError) -> [Endpoint] {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let endpoints = parts.compactMap { Endpoint(text: String($0)) }
        guard endpoints.count == parts.count else {
            throw AgentStartError(description: "'\(text)' is not HOST:PORT, several with commas")
        }
        return endpoints
    }
}

extension TLSContext {
    /// The site of an agent's identity.
    fileprivate var site: String? {
        guard case .agent(let site, _) = identity.role else { return nil }
        return site
    }
}

extension Topology {
    /// The nodes that a process speaks for.
    fileprivate func hosted(_ hosting: AgentOptions.Hosting) throws(AgentStartError) -> [Node] {
        switch hosting {
        case .node(let name):
            guard let node = nodes.first(where: { $0.name == name }) else {
                throw AgentStartError(description: "the plan has no node '\(name)'")
            }
            return [node]
        case .site(let name):
            guard let site = sites.firstIndex(where: { $0.name == name }) else {
                throw AgentStartError(description: "the plan has no site '\(name)'")
            }
            return nodes.filter { $0.site.position == site }
        }
    }
}
