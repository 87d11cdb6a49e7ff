// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
internal import NIOPosix
internal import Synchronization
package import TLSEngine

/// A port that verified peers connect to.
///
/// Every connection that is refused or cut makes one log line, a warning with the remote address and
/// the reason. When more connections are made than ``Configuration`` allows, those that have been
/// shaking hands for longest are closed first: a crowd of silent peers cannot keep the others out.
package final class SecureListener: Sendable {
    /// How a listener is set up.
    package struct Configuration: Sendable {
        /// Where to listen.
        package var endpoint: Endpoint
        /// What is spoken, best first.
        package var protocols: [ApplicationProtocol]
        /// Who may speak it.
        package var policy = PeerPolicy.roleOfProtocol
        /// How long peers may take.
        package var limits = TransportLimits()
        /// The most connections, verified or not.
        package var maximumConnectionCount = 32_768
        /// The most connections that are not verified yet.
        package var maximumHandshakeCount = 4_096
        /// The time between two looks for new credentials.
        package var credentialsPause = TimeAmount.seconds(5)

        /// Sets up a listener.
        ///
        /// - Parameters:
        ///   - endpoint: where to listen; port 0 for any free one.
        ///   - protocols: what is spoken, best first.
        package init(endpoint: Endpoint, protocols: [ApplicationProtocol]) {
            self.endpoint = endpoint
            self.protocols = protocols
        }
    }

    /// The port that is listened on.
    package let port: Int

    private let channel: any Channel
    private let doorkeeper: Doorkeeper

    private init(_ channel: any Channel, _ doorkeeper: Doorkeeper) {
        self.channel = channel
        self.doorkeeper = doorkeeper
        port = channel.localAddress?.port ?? 0
    }

    /// Opens a port.
    ///
    /// - Parameters:
    ///   - configuration: where, what and for whom.
    ///   - context: the credentials; files that have changed are read when a connection is made.
    ///   - group: the event loops for connections.
    ///   - logger: where the lines about refused and cut connections go.
    ///   - makeReceiver: makes what takes in the frames of one connection; called on its loop.
    /// - Returns: the open port.
    /// - Throws: the socket's error, when the port cannot be had.
    package static func open(
        _ configuration: Configuration, context: TLSContext, group: any EventLoopGroup,
        logger: Logger,
        makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
    ) async throws -> SecureListener {
        let doorkeeper = Doorkeeper(
            maximumHandshakeCount: configuration.maximumHandshakeCount,
            maximumConnectionCount: configuration.maximumConnectionCount)
        let watch = CredentialsWatch(
            context, every: configuration.credentialsPause, logger: logger)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Many peers may come at once, after a restart: take them in by the handful.
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    watch.connectionBegins()
                    let engine = try TLSEngine(
                        context: context, side: .server(configuration.protocols),
                        policy: configuration.policy)
                    let opened = try addHandlers(
                        to: channel, engine: engine, limits: configuration.limits,
                        logger: logger, makeReceiver: makeReceiver)
                    doorkeeper.admit(channel, opened)
                }
            }
        let channel = try await bootstrap.bind(
            host: configuration.endpoint.host, port: configuration.endpoint.port
        ).get()
        return SecureListener(channel, doorkeeper)
    }

    /// The number of connections now: with verified peers, and still shaking hands.
    package var connectionCounts: (verified: Int, handshaking: Int) { doorkeeper.counts }

    /// Closes the port and then, in order, every connection; returns when all are gone.
    package func close() async {
        do {
            try await channel.close()
        } catch {
            // It was closed already, which is what is wanted.
        }
        await doorkeeper.closeAll()
    }
}

/// Adds the handlers of a secure channel, for either end.
///
/// - Returns: the connection, once its peer is verified; fails with ``CloseReason`` when it is not.
func addHandlers(
    to channel: any Channel, engine: TLSEngine, limits: TransportLimits, logger: Logger?,
    makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
) throws -> EventLoopFuture<SecureConnection> {
    let last = ConnectionHandler(
        channel.eventLoop, limits: limits, logger: logger, makeReceiver: makeReceiver)
    do {
        try channel.pipeline.syncOperations.addHandlers([
            TLSChannelHandler(engine: engine, limits: limits, wallClock: unixSeconds),
            // No frame is taken in before the handshake says which protocol, and so which limit.
            FrameCodec(limit: 0, timeout: limits.frame),
            last,
        ])
    } catch {
        // The channel is closed already; the handler will not learn of it from the pipeline.
        last.finish()
        throw error
    }
    return last.opened.futureResult
}
