// SPDX-License-Identifier: Apache-2.0

package import NIOCore
internal import TLSEngine

/// Cuts a stream of bytes into frames, and puts frames into one.
///
/// ```
///  0               4               4 + length
///  ├───────────────┼──────────────────┤
///  │ length, big-  │ payload          │
///  │ endian UInt32 │ 1...limit bytes  │
///  └───────────────┴──────────────────┘
/// ```
///
/// The length is judged before a byte is allocated for it; memory grows as bytes arrive. A frame must
/// end within a time from its first byte. A fault is reported as an error, ``CloseReason``, and the
/// channel closed.
///
/// Works on any stream channel: inside TLS, or alone on a Unix socket. Frames written are gathered
/// until the flush, so that many small ones make one write.
package final class FrameCodec: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// The bytes of the length.
    package static let headerByteCount = 4

    private var limit: Int
    private let timeout: TimeAmount
    /// The beginning of a frame, header included; empty between frames.
    private var partial = ByteBuffer()
    private var deadline: Scheduled<Void>?
    private var outgoing = ByteBuffer()
    private var outgoingPromise: EventLoopPromise<Void>?
    private var failed = false

    /// Makes a codec.
    ///
    /// - Parameters:
    ///   - limit: the longest payload, in bytes, either way. ``TLSEstablished`` replaces it by the
    ///     protocol's.
    ///   - timeout: from a frame's first byte to its last.
    package init(limit: Int, timeout: TimeAmount) {
        self.limit = limit
        self.timeout = timeout
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let established = event as? TLSEstablished {
            limit = established.applicationProtocol.maximumFrameByteCount
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: - In

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        while !failed, bytes.readableBytes > 0 {
            if partial.readableBytes == 0, let frame = wholeFrame(&bytes, context) {
                context.fireChannelRead(wrapInboundOut(frame))
            } else if !failed {
                gather(&bytes, context)
            }
        }
        watch(context)
    }

    package func handlerRemoved(context: ChannelHandlerContext) { release() }

    package func channelInactive(context: ChannelHandlerContext) {
        release()
        context.fireChannelInactive()
    }

    /// Takes a frame that lies whole in `bytes`, without copying it; nil when it does not.
    private func wholeFrame(
        _ bytes: inout ByteBuffer, _ context: ChannelHandlerContext
    ) -> ByteBuffer? {
        guard let length = payloadByteCount(of: bytes, context),
            bytes.readableBytes >= Self.headerByteCount + length
        else { return nil }
        bytes.moveReaderIndex(forwardBy: Self.headerByteCount)
        return bytes.readSlice(length: length)
    }

    /// Moves bytes into the partial frame, up to its end, and passes it on when it is whole.
    private func gather(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        if partial.readableBytes < Self.headerByteCount {
            take(Self.headerByteCount - partial.readableBytes, from: &bytes)
        }
        guard let length = payloadByteCount(of: partial, context) else { return }
        take(Self.headerByteCount + length - partial.readableBytes, from: &bytes)
        guard partial.readableBytes == Self.headerByteCount + length else { return }
        var frame = partial
        partial = ByteBuffer()
        frame.moveReaderIndex(forwardBy: Self.headerByteCount)
        deadline?.cancel()
        deadline = nil
        context.fireChannelRead(wrapInboundOut(frame))
    }

    private func take(_ count: Int, from bytes: inout ByteBuffer) {
        guard var piece = bytes.readSlice(length: min(count, bytes.readableBytes)) else { return }
        partial.writeBuffer(&piece)
    }

    /// The length of the frame that `bytes` begin with; nil when it is not yet known or refused.
    private func payloadByteCount(
        of bytes: ByteBuffer, _ context: ChannelHandlerContext
    ) -> Int? {
        guard let announced = bytes.getInteger(at: bytes.readerIndex, as: UInt32.self) else {
            return nil
        }
        let length = Int(announced)
        guard length > 0 else {
            fail(.frameEmpty, context)
            return nil
        }
        guard length <= limit else {
            fail(.frameTooLong(byteCount: length, limit: limit), context)
            return nil
        }
        return length
    }

    /// Starts the deadline of a frame that has begun, which later bytes of it do not move.
    private func watch(_ context: ChannelHandlerContext) {
        guard !failed, partial.readableBytes > 0, deadline == nil else { return }
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in
            self?.fail(.frameTimedOut, context)
        }
    }

    private func fail(_ reason: CloseReason, _ context: ChannelHandlerContext) {
        guard !failed else { return }
        failed = true
        release()
        context.fireErrorCaught(reason)
        context.close(promise: nil)
    }

    private func release() {
        deadline?.cancel()
        deadline = nil
        partial = ByteBuffer()
    }

    // MARK: - Out

    package func write(
        context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
    ) {
        var payload = unwrapOutboundIn(data)
        guard (1...limit).contains(payload.readableBytes) else {
            let reason =
                payload.readableBytes == 0
                ? CloseReason.frameEmpty
                : CloseReason.frameTooLong(byteCount: payload.readableBytes, limit: limit)
            promise?.fail(reason)
            return
        }
        outgoing.reserveCapacity(
            minimumWritableBytes: Self.headerByteCount + payload.readableBytes)
        outgoing.writeInteger(UInt32(payload.readableBytes))
        outgoing.writeBuffer(&payload)
        if let first = outgoingPromise {
            first.futureResult.cascade(to: promise)
        } else {
            outgoingPromise = promise
        }
    }

    package func flush(context: ChannelHandlerContext) {
        if outgoing.readableBytes > 0 {
            let bytes = outgoing
            let promise = outgoingPromise
            outgoing = ByteBuffer()
            outgoingPromise = nil
            context.write(wrapOutboundOut(bytes), promise: promise)
        }
        context.flush()
    }
}
