// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Glibc
package import Logging
package import NIOCore
internal import SecureTransport
internal import StoreAccess
internal import TLSEngine
internal import Wire

extension Coordinator {
    /// The ports that a coordinator listens on.
    package struct Ports: Hashable, Sendable {
        package var protocolPort: Int
        package var httpPort: Int
    }

    /// Opens the stores, leads, takes over, and makes a coordinator that is ready to serve.
    ///
    /// - Parameters:
    ///   - options: files and addresses.
    ///   - eventLoop: what the coordinator and all its connections run on.
    ///   - log: where it logs.
    /// - Returns: the coordinator; call ``serve()`` next.
    /// - Throws: ``CoordinatorError``.
    package static func open(
        _ options: CoordinatorOptions, on eventLoop: any EventLoop, log: Logger
    ) async throws(CoordinatorError) -> Coordinator {
        guard options.httpAddress.isLoopback else {
            throw CoordinatorError(
                "HTTP is served without TLS, so not on \(options.httpAddress.host)",
                hint: "use a loopback address such as 127.0.0.1")
        }
        let topology = try loadTopology(options.topologyPath)
        let (context, signer) = try loadCredentials(options, fleet: topology.fleetName)
        for location in [options.fleetStore, options.siteStore] {
            if case .sqlite(let folder) = location.kind { try makeDirectory(folder) }
        }
        let standby = Standby(isShared: options.isAnyStoreShared, log: log)
        defer { standby.end() }
        let opener = StoreOpener(
            options: options, topology: topology, candidate: "\(context.identity)", log: log)
        let fleet = try await opener.openFleet()
        var sites: [SiteRuntime] = []
        for index in topology.sites.indices {
            sites.append(try await opener.openSite(SiteIndex(index)))
        }
        let parts = CoordinatorParts(
            topology: topology, context: context, signer: signer, fleetStore: fleet.store,
            fleetLeadership: fleet.leadership, fleetRecordVersion: fleet.recordVersion,
            leader: fleet.leader, sites: sites)
        return Coordinator(parts, options: options, eventLoop: eventLoop, log: log)
    }

    private static func loadTopology(_ path: String) throws(CoordinatorError) -> Topology {
        do {
            return try FleetFile.load(path).topology
        } catch {
            throw CoordinatorError("\(error)")
        }
    }

    private static func loadCredentials(
        _ options: CoordinatorOptions, fleet: String
    ) throws(CoordinatorError) -> (TLSContext, GrantSigner) {
        let files = TLSCredentials.Files(
            certificate: options.certificatePath, key: options.keyPath,
            authority: options.authorityPath)
        do {
            let context = try TLSContext(files: files)
            let signer = try GrantSigner(files: files)
            guard context.identity.fleet == fleet else {
                throw CoordinatorError(
                    "the certificate is for fleet '\(context.identity.fleet)', the topology for "
                        + "'\(fleet)'")
            }
            guard case .coordinator(SpiffeIdentity.everySite, _) = context.identity.role else {
                throw CoordinatorError(
                    "\(context.identity) may not serve every site of the fleet",
                    hint: "issue a coordinator's certificate for '\(SpiffeIdentity.everySite)'")
            }
            return (context, signer)
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("\(error)")
        }
    }

    private static func makeDirectory(_ path: String) throws(CoordinatorError) {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        throw CoordinatorError(
            "the store directory '\(path)' cannot be made: \(String(cString: strerror(errno)))")
    }
}

// MARK: - Serving

extension Coordinator {
    /// Listens, starts the timers, and says that the service is ready.
    ///
    /// - Returns: the ports that are listened on.
    /// - Throws: ``CoordinatorError`` when a port cannot be had.
    @discardableResult
    package func serve() async throws(CoordinatorError) -> Ports {
        leader.record(
            .coordinatorStarted, subject: "coordinator",
            message: "epoch \(fleetLeadership.epoch)", actor: "coordinator",
            now: SystemClock.unixMilliseconds())
        observeSites()
        leader.continueDrains(now: SystemClock.unixMilliseconds())
        do {
            let content = HTTPContent(
                health: { self.assumeIsolated { $0.health() } },
                metrics: { self.assumeIsolated { $0.metricsPage() } })
            let http = try await HTTPEndpoint.start(
                at: options.httpAddress, on: eventLoop, content: content)
            httpChannel = http
            let opened = try await SecureListener.open(
                listenerConfiguration(), context: context, group: eventLoop, logger: log,
                makeReceiver: { connection in
                    Receiver(
                        coordinator: self,
                        session: self.assumeIsolated { $0.connectionOpened(connection) })
                })
            listener = opened
            let ports = Ports(
                protocolPort: opened.port, httpPort: http.localAddress?.port ?? 0)
            try writeReadyFile(ports)
            startBeat()
            watchLeadership()
            notifier.ready()
            log.info(
                "the coordinator serves",
                metadata: [
                    "fleet": "\(topology.fleetName)", "nodes": "\(topology.nodes.count)",
                    "port": "\(ports.protocolPort)", "http_port": "\(ports.httpPort)",
                    "epoch": "\(fleetLeadership.epoch)",
                ])
            return ports
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("cannot listen: \(error)")
        }
    }

    /// Serves until it is stopped or has to give up.
    ///
    /// - Throws: ``CoordinatorError`` when it cannot go on: start it again.
    package func run() async throws(CoordinatorError) {
        let reason: CoordinatorError?
        do {
            reason = try await ended.futureResult.get()
        } catch {
            reason = CoordinatorError("\(error)")
        }
        await shutDown()
        if let reason { throw reason }
    }

    /// Asks the coordinator to end in order.
    package func stop() {
        guard !isEnding else { return }
        isEnding = true
        log.info("the coordinator ends")
        ended.succeed(nil)
    }

    private func shutDown() async {
        notifier.stopping()
        beat?.cancel()
        await listener?.close()
        do {
            try await httpChannel?.close()
        } catch {
            log.debug("HTTP was closed before", metadata: ["reason": "\(error)"])
        }
        await fleetStore.close()
        for site in sites { await site.store.close() }
    }

    private func listenerConfiguration() -> SecureListener.Configuration {
        var configuration = SecureListener.Configuration(
            endpoint: options.listenAddress, protocols: [.agent, .operator])
        // Agents report once a second; one that says nothing for this long is gone.
        configuration.limits.silence[.agent] = .seconds(15)
        return configuration
    }

    /// Writes the ports where a supervisor looks for them, whole or not at all.
    private func writeReadyFile(_ ports: Ports) throws(CoordinatorError) {
        guard let path = options.readyFilePath else { return }
        let text = "{\"port\":\(ports.protocolPort),\"http_port\":\(ports.httpPort)}\n"
        let temporary = path + ".tmp"
        let file = Glibc.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            throw CoordinatorError("cannot write '\(temporary)': errno \(errno)")
        }
        let count = text.utf8.count
        let written = text.withCString { Glibc.write(file, $0, count) }
        Glibc.close(file)
        guard written == count, Glibc.rename(temporary, path) == 0 else {
            throw CoordinatorError("cannot write '\(path)': errno \(errno)")
        }
    }
}

extension Endpoint {
    /// True for an address that only this machine can reach.
    var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
}

/// Hands the frames of one connection to the coordinator, on the loop that both run on.
private final class Receiver: FrameReceiver {
    private let coordinator: Coordinator
    private let session: UInt64

    init(coordinator: Coordinator, session: UInt64) {
        self.coordinator = coordinator
        self.session = session
    }

    func received(_ frame: ByteBuffer) {
        let session = session
        coordinator.assumeIsolated { $0.frameReceived(frame, on: session) }
    }

    func receivedAll() {
        coordinator.assumeIsolated { $0.pump() }
    }

    func closed(_ reason: CloseReason) {
        let session = session
        coordinator.assumeIsolated { $0.connectionClosed(session, reason: reason) }
    }
}
