// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import NIOCore
internal import Synchronization

/// Counts a listener's connections, and makes room when there are too many.
///
/// **Isolation:** any thread: connections live on several event loops.
final class Doorkeeper: Sendable {
    private struct State {
        var next: UInt64 = 0
        /// Every open channel by its number.
        var channels: [UInt64: any Channel] = [:]
        /// The numbers of those that are not verified, oldest first; some may be gone already.
        var queue: [UInt64] = []
        var queueStart = 0
        var handshaking: Set<UInt64> = []
    }

    private let maximumHandshakeCount: Int
    private let maximumConnectionCount: Int
    private let state = Mutex(State())

    init(maximumHandshakeCount: Int, maximumConnectionCount: Int) {
        self.maximumHandshakeCount = maximumHandshakeCount
        self.maximumConnectionCount = maximumConnectionCount
    }

    var counts: (verified: Int, handshaking: Int) {
        state.withLock { ($0.channels.count - $0.handshaking.count, $0.handshaking.count) }
    }

    /// Counts a new channel until it closes, and as shaking hands until it is verified.
    func admit(_ channel: any Channel, _ verified: EventLoopFuture<SecureConnection>) {
        let (number, leaving) = state.withLock { state -> (UInt64, (any Channel)?) in
            let number = state.next
            state.next += 1
            state.channels[number] = channel
            state.handshaking.insert(number)
            state.queue.append(number)
            let crowded =
                state.handshaking.count > maximumHandshakeCount
                || state.channels.count > maximumConnectionCount
            return (number, crowded ? Self.oldest(&state) : nil)
        }
        verified.whenComplete { _ in self.settle(number) }
        channel.closeFuture.whenComplete { _ in self.leave(number) }
        if let leaving {
            leaving.pipeline.fireErrorCaught(CloseReason.crowdedOut)
            leaving.close(promise: nil)
        }
    }

    /// Closes every connection in order; returns when all are gone.
    func closeAll() async {
        let channels = state.withLock { Array($0.channels.values) }
        for channel in channels {
            channel.pipeline.fireErrorCaught(CloseReason.closedHere)
            channel.close(promise: nil)
        }
        for channel in channels {
            do {
                try await channel.closeFuture.get()
            } catch {
                // Closed all the same; the connection's own log line tells of trouble.
            }
        }
    }

    /// Takes the channel that has been shaking hands for longest out of the queue.
    private static func oldest(_ state: inout State) -> (any Channel)? {
        while state.queueStart < state.queue.count {
            let number = state.queue[state.queueStart]
            state.queueStart += 1
            compact(&state)
            if state.handshaking.contains(number) { return state.channels[number] }
        }
        return nil
    }

    private func settle(_ number: UInt64) {
        state.withLock { state in
            state.handshaking.remove(number)
            while state.queueStart < state.queue.count,
                !state.handshaking.contains(state.queue[state.queueStart])
            {
                state.queueStart += 1
            }
            Self.compact(&state)
        }
    }

    private func leave(_ number: UInt64) {
        state.withLock { state in
            state.channels[number] = nil
            state.handshaking.remove(number)
        }
    }

    /// Gives back the queue's used part when it is the larger one, so that both together cost O(1).
    private static func compact(_ state: inout State) {
        guard state.queueStart > 64, state.queueStart * 2 > state.queue.count else { return }
        state.queue.removeFirst(state.queueStart)
        state.queueStart = 0
    }
}

/// The wall clock, in seconds since 1970.
@Sendable
func unixSeconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec)
}
