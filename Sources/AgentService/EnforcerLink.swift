// SPDX-License-Identifier: Apache-2.0

internal import NIOCore
internal import NIOPosix
internal import SecureTransport
internal import Wire

/// What happens on the socket to the enforcer; called on the event loop.
protocol EnforcerLinkDelegate: AnyObject {
    func enforcerConnected()
    func enforcerLost()
    func enforcerSaid(_ message: EnforcerMessage)
}

/// The connection to the enforcer's Unix socket; one for all nodes of the process.
///
/// When it is lost it is dialed again: at once, then after 50 ms, 100 ms and so on up to a second.
///
/// **Isolation:** one event loop.
final class EnforcerLink {
    private static let longestWaitMilliseconds: Int64 = 1000

    private let path: String
    private let loop: any EventLoop
    private weak var delegate: (any EnforcerLinkDelegate)?
    private var channel: (any Channel)?
    private var waitMilliseconds: Int64 = 0
    private var isStopped = false
    private var arena = WireArena(limit: ArenaLimit.large)
    private var bytes: [UInt8] = []

    /// Names the socket; ``start()`` dials it.
    init(path: String, loop: any EventLoop, delegate: any EnforcerLinkDelegate) {
        self.path = path
        self.loop = loop
        self.delegate = delegate
    }

    /// True while the connection is there.
    var isConnected: Bool { channel != nil }

    /// Dials, and dials again whenever the connection is lost.
    func start() {
        loop.preconditionInEventLoop()
        guard !isStopped else { return }
        let handler = NIOLoopBound(EnforcerLinkHandler(link: self), eventLoop: loop)
        let opened = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let codec = FrameCodec(limit: FrameLimit.large, timeout: .seconds(5))
                    try channel.pipeline.syncOperations.addHandlers(codec, handler.value)
                }
            }
            .connect(unixDomainSocketPath: path)
        opened.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel): self.connected(channel)
            // Nobody listens yet, or no more: the wait and the next attempt are the answer.
            case .failure: self.scheduleStart()
            }
        }
    }

    /// Closes the connection and dials no more.
    func stop() {
        isStopped = true
        channel?.close(promise: nil)
    }

    /// Queues a message; nothing happens while the connection is not there.
    func send(_ message: EnforcerMessage) {
        guard let channel else { return }
        bytes.removeAll(keepingCapacity: true)
        message.encode(into: &bytes, arena: &arena)
        channel.write(ByteBuffer(bytes: bytes), promise: nil)
    }

    /// Sends what is queued.
    func flush() { channel?.flush() }

    private func connected(_ channel: any Channel) {
        guard channel.isActive else {
            scheduleStart()
            return
        }
        self.channel = channel
        waitMilliseconds = 0
        delegate?.enforcerConnected()
    }

    fileprivate func lost(_ lostChannel: any Channel) {
        guard channel === lostChannel else { return }
        channel = nil
        delegate?.enforcerLost()
        scheduleStart()
    }

    fileprivate func received(_ frame: ByteBuffer) {
        do throws(WireError) {
            let message = try frame.withUnsafeReadableBytes { bytes throws(WireError) in
                try EnforcerMessage.decode(bytes.bytes, arena: &arena)
            }
            delegate?.enforcerSaid(message)
        } catch {
            // An enforcer of another make: nothing it says can be used.
            channel?.close(promise: nil)
        }
    }

    private func scheduleStart() {
        guard !isStopped else { return }
        let wait = waitMilliseconds
        waitMilliseconds = min(max(2 * wait, 50), EnforcerLink.longestWaitMilliseconds)
        loop.assumeIsolated().scheduleTask(in: .milliseconds(wait)) { self.start() }
    }
}

/// Hands frames and the end of the channel to the link.
private final class EnforcerLinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: EnforcerLink

    init(link: EnforcerLink) { self.link = link }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        link.received(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) { link.lost(context.channel) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whatever it is, the connection begins anew: channelInactive follows.
        context.close(promise: nil)
    }
}
