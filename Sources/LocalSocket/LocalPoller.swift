// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Wire

/// Names a connection of one ``LocalPoller``; never used again after the connection has closed.
package struct ConnectionID: Hashable, Sendable {
    package var rawValue: UInt64

    /// Wraps a number; only tests make their own.
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// What happened to a connection, in the order in which it happened.
package enum LocalEvent: Sendable {
    /// A client connected to the listening socket.
    case opened(ConnectionID)
    /// A whole frame arrived; its payload.
    case frame(ConnectionID, [UInt8])
    /// The connection is gone, and why; nothing more comes from it. Not sent for connections that
    /// ``LocalPoller/close(_:)`` ended.
    case closed(ConnectionID, LocalSocketError)
    /// A watched descriptor can be read.
    case readable(descriptor: Int32)
}

/// One thread's loop over Unix sockets: a listener, its connections, and connections of its own.
///
/// Frames are bounded before anything is kept, output is bounded per connection (a peer that does not
/// read is cut off), the number of connections is bounded (more are closed at once). Output is
/// gathered and written once per turn of the loop.
///
/// Isolation: one thread; the type is not Sendable.
package final class LocalPoller {
    /// The bounds of one poller.
    package struct Limits: Sendable {
        package var frameByteCount: Int
        package var outputByteCount: Int
        package var connectionCount: Int

        /// 1 MiB frames, 16 MiB of unread output, 1,024 connections.
        package init(
            frameByteCount: Int = 1 << 20, outputByteCount: Int = 16 << 20,
            connectionCount: Int = 1024
        ) {
            self.frameByteCount = frameByteCount
            self.outputByteCount = outputByteCount
            self.connectionCount = connectionCount
        }
    }

    private final class Connection {
        let id: ConnectionID
        let descriptor: SocketDescriptor
        var input: FrameSplitter
        var output: [UInt8] = []
        var outputStart = 0
        /// A frame did not fit into the bound: the stream has a hole and must end.
        var hasOverflowed = false

        init(id: ConnectionID, descriptor: consuming SocketDescriptor, frameLimit: Int) {
            self.id = id
            self.descriptor = descriptor
            input = FrameSplitter(limit: frameLimit)
        }

        var queuedByteCount: Int { output.count - outputStart }
    }

    private let limits: Limits
    private var listener: LocalListener?
    private var connections: [Connection] = []
    private var watched: [Int32] = []
    private var nextID: UInt64 = 1
    private var pollEntries: [pollfd] = []
    private var readBuffer = [UInt8](repeating: 0, count: 65_536)

    /// A poller that listens on nothing yet.
    package init(limits: Limits = Limits()) { self.limits = limits }

    /// The number of open connections.
    package var connectionCount: Int { connections.count }

    /// Listens on `path`, mode 0600; a stale socket file there is removed first.
    ///
    /// - Throws: ``LocalSocketError/addressInUse(path:)`` when a live process listens there,
    ///   ``LocalSocketError/notASocket(path:)``, or what the system calls said.
    package func listen(path: String) throws(LocalSocketError) {
        listener = try LocalListener(path: path)
    }

    /// Stops listening and removes the socket file.
    package func stopListening() { listener = nil }

    /// Connects to a server.
    ///
    /// - Throws: ``LocalSocketError/system(operation:errno:)`` with `ENOENT` or `ECONNREFUSED` where
    ///   nobody listens; try again later.
    package func connect(path: String) throws(LocalSocketError) -> ConnectionID {
        let descriptor = try connectedSocket(to: path, isNonBlocking: true)
        return add(descriptor)
    }

    /// Reports when `descriptor` can be read (a signalfd, say); the caller owns it and reads it.
    package func watch(descriptor: Int32) { watched.append(descriptor) }

    /// Queues one frame; it leaves at the latest in the next ``wait(timeoutNanoseconds:into:)``.
    ///
    /// - Returns: false when the connection is gone, or when more would wait for its peer than the
    ///   bound allows: the next wait ends it and reports it, for frames are never left out.
    @discardableResult
    package func send(_ payload: [UInt8], to id: ConnectionID) -> Bool {
        guard let connection = connection(id) else { return false }
        let byteCount = connection.queuedByteCount + FrameHeader.byteCount + payload.count
        guard byteCount <= limits.outputByteCount else {
            connection.hasOverflowed = true
            return false
        }
        FrameHeader.append(length: payload.count, to: &connection.output)
        connection.output.append(contentsOf: payload)
        return true
    }

    /// Closes a connection at once; what is queued for it is dropped.
    package func close(_ id: ConnectionID) { connections.removeAll { $0.id == id } }

    /// Writes what is queued, waits for something to happen, and reports it.
    ///
    /// - Parameters:
    ///   - timeoutNanoseconds: how long to wait at most; rounded up to a millisecond, so a timer that
    ///     was due at its end is due when this returns. Zero looks without waiting.
    ///   - events: emptied, then filled.
    package func wait(timeoutNanoseconds: Int64, into events: inout [LocalEvent]) {
        events.removeAll(keepingCapacity: true)
        flush(into: &events)
        fillPollEntries()
        let milliseconds = events.isEmpty ? (max(0, timeoutNanoseconds) + 999_999) / 1_000_000 : 0
        let count = poll(
            &pollEntries, nfds_t(pollEntries.count), Int32(min(milliseconds, 60_000)))
        guard count > 0 else { return }
        dispatch(into: &events)
    }

    // MARK: - One turn

    private func fillPollEntries() {
        pollEntries.removeAll(keepingCapacity: true)
        for descriptor in watched {
            pollEntries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        }
        for connection in connections {
            var interest = Int16(POLLIN)
            if connection.queuedByteCount > 0 { interest |= Int16(POLLOUT) }
            pollEntries.append(
                pollfd(fd: connection.descriptor.rawValue, events: interest, revents: 0))
        }
        if let listener {
            pollEntries.append(
                pollfd(fd: listener.descriptor.rawValue, events: Int16(POLLIN), revents: 0))
        }
    }

    private func dispatch(into events: inout [LocalEvent]) {
        let open = connections
        for (position, descriptor) in watched.enumerated()
        where pollEntries[position].revents != 0 {
            events.append(.readable(descriptor: descriptor))
        }
        for (position, connection) in open.enumerated() {
            let happened = pollEntries[watched.count + position].revents
            if happened & ~Int16(POLLOUT) != 0 { read(connection, into: &events) }
        }
        if listener != nil, pollEntries[watched.count + open.count].revents != 0 {
            acceptAll(into: &events)
        }
    }

    private func acceptAll(into events: inout [LocalEvent]) {
        guard let listener else { return }
        while true {
            let number = accept(listener.descriptor.rawValue, nil, nil)
            // EAGAIN: all taken. ECONNABORTED and the rest: that client is gone, or the process is
            // out of descriptors; the next turn tries again.
            guard number >= 0 else { return }
            let descriptor = SocketDescriptor(owning: number)
            if connections.count >= limits.connectionCount { continue }
            guard fcntl(number, F_SETFL, O_NONBLOCK) == 0, fcntl(number, F_SETFD, FD_CLOEXEC) == 0
            else { continue }
            events.append(.opened(add(descriptor)))
        }
    }

    private func read(_ connection: Connection, into events: inout [LocalEvent]) {
        // A bounded number of reads per turn, so that one busy peer does not starve the others.
        for _ in 0..<16 {
            let count = readBuffer.withUnsafeMutableBytes {
                recv(connection.descriptor.rawValue, $0.baseAddress, $0.count, 0)
            }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                if code == EAGAIN { return }
                end(connection, .system(operation: "recv", errno: code), into: &events)
                return
            }
            if count == 0 {
                end(connection, .closedByPeer, into: &events)
                return
            }
            readBuffer.withUnsafeBytes {
                connection.input.append(UnsafeRawBufferPointer(rebasing: $0[0..<count]))
            }
            guard takeFrames(connection, into: &events) else { return }
            if count < readBuffer.count { return }
        }
    }

    private func takeFrames(_ connection: Connection, into events: inout [LocalEvent]) -> Bool {
        do throws(WireError) {
            while let payload = try connection.input.next() {
                events.append(.frame(connection.id, payload))
            }
            return true
        } catch {
            end(connection, LocalSocketError(error), into: &events)
            return false
        }
    }

    private func flush(into events: inout [LocalEvent]) {
        for connection in connections {
            if connection.hasOverflowed {
                let queued = connection.queuedByteCount
                end(connection, .peerTooSlow(queuedByteCount: queued), into: &events)
            } else if connection.queuedByteCount > 0 {
                write(connection, into: &events)
            }
        }
    }

    private func write(_ connection: Connection, into events: inout [LocalEvent]) {
        while connection.queuedByteCount > 0 {
            let count = connection.output.withUnsafeBytes { bytes in
                Glibc.send(
                    connection.descriptor.rawValue,
                    bytes.baseAddress.map { $0 + connection.outputStart },
                    connection.queuedByteCount, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                connection.outputStart += count
                continue
            }
            let code = errno
            if code == EINTR { continue }
            if code != EAGAIN {
                end(connection, .system(operation: "send", errno: code), into: &events)
                return
            }
            return
        }
        connection.output.removeAll(keepingCapacity: connection.output.count <= 1 << 20)
        connection.outputStart = 0
    }

    // MARK: - Connections

    private func add(_ descriptor: consuming SocketDescriptor) -> ConnectionID {
        let id = ConnectionID(rawValue: nextID)
        nextID += 1
        connections.append(
            Connection(id: id, descriptor: descriptor, frameLimit: limits.frameByteCount))
        return id
    }

    private func connection(_ id: ConnectionID) -> Connection? {
        connections.first { $0.id == id }
    }

    private func end(
        _ connection: Connection, _ reason: LocalSocketError, into events: inout [LocalEvent]
    ) {
        connections.removeAll { $0 === connection }
        events.append(.closed(connection.id, reason))
    }
}
