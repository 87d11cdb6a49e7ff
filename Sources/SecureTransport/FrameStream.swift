// SPDX-License-Identifier: Apache-2.0

package import NIOCore
internal import Synchronization

/// The frames of one connection as an asynchronous sequence, for clients that ask one thing after
/// another.
///
/// At most some dozens of frames wait to be consumed; then the connection is not read any more until
/// they are. The sequence ends when the peer or this side closed in order, and throws
/// ``CloseReason`` otherwise.
package struct FrameStream: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer

    typealias Producer = NIOThrowingAsyncSequenceProducer<
        ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark,
        ReadingDelegate
    >

    let frames: Producer

    package func makeAsyncIterator() -> Iterator { Iterator(base: frames.makeAsyncIterator()) }

    /// Iterates over the frames; one at a time.
    package struct Iterator: AsyncIteratorProtocol {
        var base: Producer.AsyncIterator

        /// Waits for the next frame; nil after the last.
        package mutating func next() async throws -> ByteBuffer? { try await base.next() }
    }

    /// Starts and stops reading as frames are consumed.
    struct ReadingDelegate: NIOAsyncSequenceProducerDelegate {
        let connection: SecureConnection

        func produceMore() { connection.setReading(true) }

        /// Nobody wants the frames any more.
        func didTerminate() { connection.close() }
    }
}

extension SecureDialer {
    /// Makes one attempt, and gives the frames as a sequence.
    ///
    /// The sequence must be iterated, once, or the connection closed.
    ///
    /// - Parameter endpoint: where.
    /// - Returns: the connection, to send with, and the frames that come.
    /// - Throws: ``CloseReason``.
    package func connect(
        to endpoint: Endpoint
    ) async throws(CloseReason) -> (connection: SecureConnection, frames: FrameStream) {
        let stream = Mutex<FrameStream?>(nil)
        let connection = try await connect(to: endpoint) { connection in
            let receiver = StreamReceiver(connection)
            stream.withLock { $0 = receiver.stream }
            return receiver
        }
        guard let frames = stream.withLock({ $0 }) else {
            preconditionFailure("a connection was opened without its receiver")
        }
        return (connection, frames)
    }
}

/// Puts the frames of a connection into a ``FrameStream``.
final class StreamReceiver: FrameReceiver {
    let stream: FrameStream
    private let source: FrameStream.Producer.Source
    private let connection: SecureConnection

    init(_ connection: SecureConnection) {
        self.connection = connection
        let made = FrameStream.Producer.makeSequence(
            backPressureStrategy: .init(lowWatermark: 8, highWatermark: 32),
            finishOnDeinit: false,
            delegate: FrameStream.ReadingDelegate(connection: connection))
        source = made.source
        stream = FrameStream(frames: made.sequence)
    }

    func received(_ frame: ByteBuffer) {
        if case .stopProducing = source.yield(frame) { connection.setReading(false) }
    }

    func closed(_ reason: CloseReason) {
        if reason.isOrderly {
            source.finish()
        } else {
            source.finish(reason)
        }
    }
}
