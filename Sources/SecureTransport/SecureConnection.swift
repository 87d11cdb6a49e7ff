// SPDX-License-Identifier: Apache-2.0

package import NIOCore
internal import Synchronization
package import TLSEngine

/// What a service does with the frames of one connection.
///
/// **Isolation:** every method is called on the connection's event loop, and must not block it. An
/// object belongs to one connection, so its state needs no lock.
package protocol FrameReceiver: AnyObject {
    /// Takes in a frame.
    ///
    /// The bytes lie in a buffer that is used again when nobody keeps it: decode at once, or copy
    /// what is to be kept for long.
    ///
    /// - Parameter frame: the payload, at least a byte.
    func received(_ frame: ByteBuffer)

    /// Learns that all frames that came in together have been taken in: the moment to act on them.
    func receivedAll()

    /// Learns that the connection is over; nothing follows.
    ///
    /// - Parameter reason: why.
    func closed(_ reason: CloseReason)
}

extension FrameReceiver {
    package func receivedAll() {}
}

/// A connection to a verified peer that carries frames both ways.
///
/// **Isolation:** any thread.
package final class SecureConnection: Sendable {
    private struct Outbox {
        var frames: [ByteBuffer] = []
        var byteCount = 0
        var isScheduled = false
        var isClosed = false
    }

    /// What only the event loop touches.
    struct Batch {
        /// True while frames that came in together are handed to the receiver.
        var isReceiving = false
    }

    /// Who is at the other end.
    package let peer: SpiffeIdentity
    /// What is spoken.
    package let applicationProtocol: ApplicationProtocol
    /// Seconds that the peer's certificate was still valid when the connection was made.
    package let peerSecondsToExpiry: Int64
    /// The peer's address and port, for logs.
    package let remoteAddress: String
    /// The loop that the receiver is called on.
    package let eventLoop: any EventLoop
    /// Ends with the connection: with why it ended.
    package let closed: EventLoopFuture<CloseReason>

    let batch: NIOLoopBoundBox<Batch>
    private let channel: any Channel
    private let limits: TransportLimits
    private let outbox = Mutex(Outbox())

    init(
        _ established: TLSEstablished, channel: any Channel, limits: TransportLimits,
        closed: EventLoopFuture<CloseReason>
    ) {
        peer = established.peer
        applicationProtocol = established.applicationProtocol
        peerSecondsToExpiry = established.peerSecondsToExpiry
        remoteAddress = addressText(of: channel)
        eventLoop = channel.eventLoop
        self.channel = channel
        self.limits = limits
        self.closed = closed
        batch = NIOLoopBoundBox(Batch(), eventLoop: channel.eventLoop)
    }

    /// Sends a frame, after those sent before it.
    ///
    /// Frames that are sent close together leave together. What the peer does not take waits here, up
    /// to ``TransportLimits/backlogByteCount``; the frame that does not fit any more ends the
    /// connection, as does one that is empty or longer than the protocol allows: frames are never
    /// dropped in silence.
    ///
    /// - Parameter payload: 1 byte to the protocol's limit.
    /// - Returns: false when the connection is over, or is by this.
    @discardableResult
    package func send(_ payload: ByteBuffer) -> Bool {
        enum Next { case nothing, drain, cut(CloseReason), closed }
        let limit = applicationProtocol.maximumFrameByteCount
        let next = outbox.withLock { box -> Next in
            if box.isClosed { return .closed }
            let byteCount = box.byteCount + FrameCodec.headerByteCount + payload.readableBytes
            guard (1...limit).contains(payload.readableBytes) else {
                box.isClosed = true
                return .cut(.unsendable(byteCount: payload.readableBytes, limit: limit))
            }
            guard byteCount <= limits.backlogByteCount else {
                box.isClosed = true
                return .cut(.backlogFull)
            }
            box.frames.append(payload)
            box.byteCount = byteCount
            if box.isScheduled { return .nothing }
            box.isScheduled = true
            return .drain
        }
        switch next {
        case .closed: return false
        case .nothing: return true
        case .cut(let reason):
            channel.pipeline.fireErrorCaught(reason)
            channel.close(promise: nil)
            return false
        case .drain:
            scheduleDrain()
            return true
        }
    }

    /// Sends a frame, after those sent before it; see ``send(_:)-(ByteBuffer)``.
    ///
    /// - Parameter payload: 1 byte to the protocol's limit.
    /// - Returns: false when the connection is over, or is by this.
    @discardableResult
    package func send(_ payload: [UInt8]) -> Bool { send(ByteBuffer(bytes: payload)) }

    /// Sends what waits and closes in order.
    package func close() { close(.closedHere) }

    /// Ends the connection because of what the peer sent, after what waits was sent.
    ///
    /// - Parameter reason: what was wrong, as a clause for the one log line that this makes.
    package func reject(_ reason: String) { close(.rejected(reason)) }

    /// Stops or goes on reading from the peer, who then feels it by flow control.
    ///
    /// While reading is stopped, the peer's silence is not held against it.
    ///
    /// - Parameter isReading: whether to read.
    package func setReading(_ isReading: Bool) {
        channel.setOption(.autoRead, value: isReading).whenFailure { _ in
            // The channel is closed, so there is nothing to read.
        }
    }

    // MARK: - The event loop's part

    /// Writes what waits, as far as the peer takes it.
    func drain() {
        if channel.isWritable { writeAll() }
    }

    private func writeAll() {
        eventLoop.preconditionInEventLoop()
        let frames = outbox.withLock { box -> [ByteBuffer] in
            defer {
                box.frames.removeAll(keepingCapacity: box.frames.count <= 16)
                box.byteCount = 0
                box.isScheduled = false
            }
            return box.frames
        }
        guard !frames.isEmpty else { return }
        for frame in frames { channel.write(frame, promise: nil) }
        channel.flush()
    }

    /// Takes no more frames to send.
    func stopSending() {
        outbox.withLock { box in
            box.isClosed = true
            box.frames = []
            box.byteCount = 0
        }
    }

    private func scheduleDrain() {
        guard eventLoop.inEventLoop else {
            eventLoop.execute { self.drain() }
            return
        }
        // Answers to frames that came together leave together, when the batch ends.
        if !batch.value.isReceiving { drain() }
    }

    private func close(_ reason: CloseReason) {
        eventLoop.execute {
            self.writeAll()
            self.stopSending()
            self.channel.pipeline.fireErrorCaught(reason)
            self.channel.close(promise: nil)
        }
    }
}

/// The peer's address in the form that logs show.
func addressText(of channel: any Channel) -> String {
    guard let address = channel.remoteAddress else { return "unknown" }
    guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
    return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
}
