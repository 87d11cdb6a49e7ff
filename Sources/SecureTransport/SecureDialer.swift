// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
internal import NIOPosix
internal import Synchronization
package import TLSEngine

/// Makes connections to coordinators.
package struct SecureDialer: Sendable {
    private let context: TLSContext
    private let spoken: ApplicationProtocol
    private let policy: PeerPolicy
    private let limits: TransportLimits
    private let group: any EventLoopGroup
    private let watch: CredentialsWatch

    /// Makes a dialer.
    ///
    /// - Parameters:
    ///   - context: the credentials; files that have changed are read before a connection is made.
    ///   - spoken: what to speak.
    ///   - policy: who the other side must be, say ``PeerPolicy/coordinator(of:)``.
    ///   - limits: how long the other side may take.
    ///   - group: the event loops for connections.
    ///   - logger: where it says that credentials were replaced, or could not be.
    package init(
        context: TLSContext, speaking spoken: ApplicationProtocol, policy: PeerPolicy,
        limits: TransportLimits = TransportLimits(), group: any EventLoopGroup,
        logger: Logger = Logger(label: "busbar.transport")
    ) {
        self.context = context
        self.spoken = spoken
        self.policy = policy
        self.limits = limits
        self.group = group
        watch = CredentialsWatch(context, every: .zero, logger: logger)
    }

    /// Makes one attempt.
    ///
    /// A peer that refuses this side's certificate says so a moment *after* the connection is made:
    /// the receiver, or ``SecureConnection/closed``, then tells the reason.
    ///
    /// - Parameters:
    ///   - endpoint: where.
    ///   - makeReceiver: makes what takes in the frames; called on the connection's loop.
    /// - Returns: the connection, to a verified peer.
    /// - Throws: ``CloseReason``.
    package func connect(
        to endpoint: Endpoint,
        makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
    ) async throws(CloseReason) -> SecureConnection {
        let (context, spoken, policy, limits) = (context, spoken, policy, limits)
        watch.connectionBegins()
        let attempts = Attempts()
        let bootstrap = ClientBootstrap(group: group)
            .connectTimeout(limits.handshake)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let engine = try TLSEngine(
                        context: context, side: .client(spoken), policy: policy)
                    // A host with several addresses is tried on several channels; the one that is
                    // connected is asked below.
                    let opened = try addHandlers(
                        to: channel, engine: engine, limits: limits, logger: nil,
                        makeReceiver: makeReceiver)
                    attempts.opened.withLock { $0[ObjectIdentifier(channel)] = opened }
                }
            }
        do {
            let channel = try await bootstrap.connect(host: endpoint.host, port: endpoint.port)
                .get()
            let opened = attempts.opened.withLock { $0[ObjectIdentifier(channel)] }
            guard let opened else {
                preconditionFailure("a channel was connected without its handlers")
            }
            return try await opened.get()
        } catch let reason as CloseReason {
            throw reason
        } catch {
            throw .lost(text(of: error))
        }
    }

    /// Keeps one connection at a time until the task is cancelled: dials, waits for its end, waits a
    /// little, dials the next endpoint.
    ///
    /// - Parameters:
    ///   - endpoints: where, in turns; at least one.
    ///   - backoff: the waits between attempts. They begin anew after a connection that held for
    ///     longer than the longest wait.
    ///   - ended: told of every failed attempt and ended connection, for a log line or a count.
    ///   - makeReceiver: makes what takes in the frames of one connection; called on its loop.
    package func keepConnected(
        to endpoints: [Endpoint], backoff: Backoff = Backoff(),
        ended: @escaping @Sendable (Endpoint, CloseReason) -> Void,
        makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
    ) async {
        precondition(!endpoints.isEmpty, "no endpoint to connect to")
        var backoff = backoff
        var generator = SystemRandomNumberGenerator()
        var turn = 0
        while !Task.isCancelled {
            let endpoint = endpoints[turn % endpoints.count]
            turn += 1
            let start = ContinuousClock.now
            ended(endpoint, await hold(endpoint, makeReceiver))
            if ContinuousClock.now - start > backoff.longest { backoff.reset() }
            do {
                try await Task.sleep(for: backoff.next(using: &generator))
            } catch {
                return
            }
        }
    }

    /// Holds one connection to its end, which the task's cancelling brings about.
    private func hold(
        _ endpoint: Endpoint,
        _ makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
    ) async -> CloseReason {
        do throws(CloseReason) {
            let connection = try await connect(to: endpoint, makeReceiver: makeReceiver)
            return await withTaskCancellationHandler {
                await connection.end()
            } onCancel: {
                connection.close()
            }
        } catch {
            return error
        }
    }
}

/// The channels on which a host's addresses are tried, each with the connection it may become.
private final class Attempts: Sendable {
    let opened = Mutex<[ObjectIdentifier: EventLoopFuture<SecureConnection>]>([:])
}

extension SecureConnection {
    /// Waits for the end of the connection.
    ///
    /// - Returns: why it ended.
    package func end() async -> CloseReason {
        do {
            return try await closed.get()
        } catch {
            return .lost("\(error)")
        }
    }
}
