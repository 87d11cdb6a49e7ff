// SPDX-License-Identifier: Apache-2.0

package import NIOCore
internal import NIOPosix
internal import Synchronization
package import TLSEngine

/// Tells the handlers after a ``TLSChannelHandler`` that both sides are verified; comes before the
/// first byte.
package struct TLSEstablished: Hashable, Sendable {
    /// Who is at the other end.
    package let peer: SpiffeIdentity
    /// What is spoken.
    package let applicationProtocol: ApplicationProtocol
    /// Seconds that the peer's certificate is still valid.
    package let peerSecondsToExpiry: Int64
}

/// Puts a ``TLSEngine`` between a socket and the handlers that want plaintext.
///
/// A fault is reported as an error, ``CloseReason``, once; the peer is sent the alert that says why,
/// and given a moment to read it before the socket is closed.
///
/// **Isolation:** the channel's event loop, as every handler.
package final class TLSChannelHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum Phase {
        case handshaking
        case open
        /// The last message is on its way; what still comes in is thrown away.
        case leaving
        case gone
    }

    private let engine: TLSEngine
    private let limits: TransportLimits
    private let wallClock: @Sendable () -> Int64
    private var phase = Phase.handshaking
    private var started = false
    private var deadline: Scheduled<Void>?
    private var writePromise: EventLoopPromise<Void>?

    /// Makes a handler.
    ///
    /// - Parameters:
    ///   - engine: a fresh engine, which the handler takes over.
    ///   - limits: how long handshake, records and farewell may take.
    ///   - wallClock: seconds since 1970, for the peer's certificate.
    package init(
        engine: TLSEngine, limits: TransportLimits, wallClock: @escaping @Sendable () -> Int64
    ) {
        self.engine = engine
        self.limits = limits
        self.wallClock = wallClock
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { start(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { cancelDeadline() }

    package func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard !started else { return }
        started = true
        setDeadline(limits.handshake, .handshakeTimedOut, context)
        engine.start()
        sendOutbound(context)
    }

    // MARK: - In

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard phase == .handshaking || phase == .open else { return }
        let ciphertext = unwrapInboundIn(data)
        var plaintext = Scratch.take()
        plaintext.clear()
        plaintext.reserveCapacity(TLSEngine.plaintextCapacity(for: ciphertext.readableBytes))
        plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: 0) { space in
            ciphertext.withUnsafeReadableBytes { engine.receive($0, into: space) }
        }
        if engine.outboundByteCount > 0 { sendOutbound(context) }
        if phase == .handshaking, engine.state != .handshaking { settle(context) }
        if phase == .open, plaintext.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(plaintext))
        }
        Scratch.giveBack(&plaintext)
        follow(context)
    }

    /// Announces the peer when the handshake is done.
    private func settle(_ context: ChannelHandlerContext) {
        if case .failed = engine.state { return }
        guard let peer = engine.peer, let spoken = engine.applicationProtocol else { return }
        cancelDeadline()
        phase = .open
        let established = TLSEstablished(
            peer: peer, applicationProtocol: spoken,
            peerSecondsToExpiry: engine.peerSecondsToExpiry(at: wallClock()) ?? 0)
        context.fireUserInboundEventTriggered(established)
    }

    /// Acts on where the engine stands after bytes were taken in.
    private func follow(_ context: ChannelHandlerContext) {
        guard phase == .handshaking || phase == .open else { return }
        switch engine.state {
        case .handshaking: break
        case .open: watchRecord(context)
        case .closed:
            context.fireErrorCaught(CloseReason.closedByPeer)
            leave(context, promise: nil)
        case .failed(let failure):
            context.fireErrorCaught(CloseReason.tls(failure))
            leave(context, promise: nil)
        }
    }

    /// Gives a record that has begun a time to end, which later bytes of the record do not move.
    private func watchRecord(_ context: ChannelHandlerContext) {
        if !engine.hasPartialRecord {
            cancelDeadline()
        } else if deadline == nil {
            setDeadline(limits.frame, .frameTimedOut, context)
        }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        cancelDeadline()
        if phase == .handshaking || phase == .open {
            engine.inputEnded()
            if case .failed(let failure) = engine.state {
                context.fireErrorCaught(CloseReason.tls(failure))
            }
        }
        phase = .gone
        writePromise?.fail(ChannelError.ioOnClosedChannel)
        writePromise = nil
        context.fireChannelInactive()
    }

    // MARK: - Out

    package func write(
        context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
    ) {
        guard phase == .open, engine.state == .open else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        unwrapOutboundIn(data).withUnsafeReadableBytes { engine.send($0) }
        if let first = writePromise {
            first.futureResult.cascade(to: promise)
        } else {
            writePromise = promise
        }
    }

    package func flush(context: ChannelHandlerContext) {
        sendOutbound(context)
        if case .failed = engine.state { follow(context) }
    }

    package func close(
        context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
    ) {
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        switch phase {
        case .open: leave(context, promise: promise)
        case .handshaking, .leaving, .gone: context.close(promise: promise)
        }
    }

    private func sendOutbound(_ context: ChannelHandlerContext) {
        guard engine.outboundByteCount > 0 else {
            context.flush()
            return
        }
        let promise = writePromise
        writePromise = nil
        context.writeAndFlush(wrapOutboundOut(takeOutbound(context)), promise: promise)
    }

    /// Sends the last message, closes this direction, and the socket when the peer has closed too or
    /// time is up: a socket closed with unread bytes in it would take the message back.
    private func leave(_ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?) {
        phase = .leaving
        cancelDeadline()
        engine.close()
        context.channel.closeFuture.cascade(to: promise)
        let loop = context.eventLoop.assumeIsolated()
        deadline = loop.scheduleTask(in: limits.farewell) { context.close(promise: nil) }
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: context.close(mode: .output, promise: nil)
            case .failure: context.close(promise: nil)
            }
        }
        // What was written and not flushed goes along, and its promise.
        if let waiting = writePromise { sent.futureResult.cascade(to: waiting) }
        writePromise = nil
        context.writeAndFlush(wrapOutboundOut(takeOutbound(context)), promise: sent)
    }

    private func takeOutbound(_ context: ChannelHandlerContext) -> ByteBuffer {
        var bytes = context.channel.allocator.buffer(capacity: engine.outboundByteCount)
        engine.takeOutbound { _ = bytes.writeBytes($0) }
        return bytes
    }

    // MARK: - Deadlines

    private func setDeadline(
        _ time: TimeAmount, _ reason: CloseReason, _ context: ChannelHandlerContext
    ) {
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in
            guard let self, self.phase == .handshaking || self.phase == .open else { return }
            self.deadline = nil
            context.fireErrorCaught(reason)
            self.leave(context, promise: nil)
        }
    }

    private func cancelDeadline() {
        deadline?.cancel()
        deadline = nil
    }
}

/// The buffer that a thread decrypts into, lent to one connection at a time.
///
/// A connection that keeps no part of it leaves it to be used again, so that reading costs no
/// allocation, and idle connections hold no buffers.
private enum Scratch {
    private final class Box: Sendable {
        let buffer = Mutex(ByteBuffer())
    }

    private static let box = ThreadSpecificVariable<Box>()

    static func take() -> ByteBuffer {
        guard let box = box.currentValue else { return ByteBuffer() }
        return box.buffer.withLock { buffer in
            defer { buffer = ByteBuffer() }
            return buffer
        }
    }

    static func giveBack(_ buffer: inout ByteBuffer) {
        let lent = buffer
        buffer = ByteBuffer()
        if let box = box.currentValue {
            box.buffer.withLock { $0 = lent }
        } else {
            let box = Box()
            box.buffer.withLock { $0 = lent }
            Self.box.currentValue = box
        }
    }
}
