// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import TLSEngine

/// The last handler of a secure channel: hands frames to the receiver, watches silence and stalls,
/// and makes the one log line of a connection that ended otherwise than in order.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let limits: TransportLimits
    private let logger: Logger?
    private let makeReceiver: @Sendable (SecureConnection) -> any FrameReceiver
    /// Ends with the connection to the verified peer, or with the reason why there is none.
    let opened: EventLoopPromise<SecureConnection>
    private let closed: EventLoopPromise<CloseReason>

    private var connection: SecureConnection?
    private var receiver: (any FrameReceiver)?
    private var reason: CloseReason?
    private var remoteAddress = "unknown"
    private var lastFrame = NIODeadline.uptimeNanoseconds(0)
    private var silence: Scheduled<Void>?
    private var expiry: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    private var hasUnannouncedFrames = false
    private var isFinished = false

    /// Makes a handler; whoever does not add it to a pipeline must call ``finish()``.
    init(
        _ eventLoop: any EventLoop, limits: TransportLimits, logger: Logger?,
        makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver
    ) {
        self.limits = limits
        self.logger = logger
        self.makeReceiver = makeReceiver
        opened = eventLoop.makePromise()
        closed = eventLoop.makePromise()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        remoteAddress = addressText(of: context.channel)
    }

    func channelActive(context: ChannelHandlerContext) {
        remoteAddress = addressText(of: context.channel)
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let established = event as? TLSEstablished { open(established, context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func open(_ established: TLSEstablished, _ context: ChannelHandlerContext) {
        let connection = SecureConnection(
            established, channel: context.channel, limits: limits, closed: closed.futureResult)
        self.connection = connection
        lastFrame = context.eventLoop.now
        connection.batch.value.isReceiving = true
        receiver = makeReceiver(connection)
        opened.succeed(connection)
        // A certificate counts for as long as it says, also in a connection that began before.
        expiry = context.eventLoop.assumeIsolated().scheduleTask(
            in: .seconds(max(0, established.peerSecondsToExpiry) + 1)
        ) {
            self.cut(.tls(.certificate(.expired)), context)
        }
        if let time = limits.silence[established.applicationProtocol] {
            watchSilence(time, context)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard reason == nil, let connection else { return }
        connection.batch.value.isReceiving = true
        hasUnannouncedFrames = true
        receiver?.received(unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard let connection, connection.batch.value.isReceiving else { return }
        if hasUnannouncedFrames { lastFrame = context.eventLoop.now }
        announce()
        connection.batch.value.isReceiving = false
        connection.drain()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            stall?.cancel()
            stall = nil
            connection?.drain()
        } else if stall == nil {
            stall = context.eventLoop.assumeIsolated().scheduleTask(in: limits.stall) {
                self.cut(.stalled, context)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The first reason is the reason; what follows comes of it.
        guard reason == nil else { return }
        if let known = error as? CloseReason {
            reason = known
        } else {
            reason = .lost(text(of: error))
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { finish() }

    /// Tells the receiver that the batch is over, if there was one.
    private func announce() {
        guard hasUnannouncedFrames else { return }
        hasUnannouncedFrames = false
        receiver?.receivedAll()
    }

    private func cut(_ reason: CloseReason, _ context: ChannelHandlerContext) {
        guard self.reason == nil else { return }
        self.reason = reason
        context.close(promise: nil)
    }

    private func watchSilence(_ time: TimeAmount, _ context: ChannelHandlerContext) {
        let loop = context.eventLoop.assumeIsolated()
        silence = loop.scheduleTask(deadline: lastFrame + time) {
            let isReading = (try? context.channel.syncOptions?.getOption(.autoRead)) ?? true
            if !isReading { self.lastFrame = context.eventLoop.now }
            guard context.eventLoop.now >= self.lastFrame + time else {
                return self.watchSilence(time, context)
            }
            self.cut(.silent, context)
        }
    }

    /// Completes everything, once.
    func finish() {
        expiry?.cancel()
        silence?.cancel()
        stall?.cancel()
        let reason = reason ?? .lost("the socket was closed")
        self.reason = reason
        announce()
        connection?.stopSending()
        if let receiver {
            self.receiver = nil
            receiver.closed(reason)
        }
        guard !isFinished else { return }
        isFinished = true
        log(reason)
        opened.fail(reason)
        closed.succeed(reason)
    }

    private func log(_ reason: CloseReason) {
        guard let logger else { return }
        var metadata: Logger.Metadata = ["remote": "\(remoteAddress)", "reason": "\(reason)"]
        guard let connection else {
            logger.warning("connection refused", metadata: metadata)
            return
        }
        metadata["peer"] = "\(connection.peer)"
        if reason.isOrderly {
            logger.debug("connection closed", metadata: metadata)
        } else {
            logger.warning("connection cut", metadata: metadata)
        }
    }
}

/// What went wrong with a socket, in few words.
func text(of error: any Error) -> String {
    switch error {
    case let error as IOError: return String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError:
        if let first = error.connectionErrors.first { return text(of: first.error) }
        return (error.dnsAError ?? error.dnsAAAAError) == nil
            ? "no address to connect to" : "the host's name is not known"
    case ChannelError.connectTimeout: return "no answer in time"
    default: return "\(error)"
    }
}
