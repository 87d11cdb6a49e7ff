// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Wire

/// A blocking, framed connection to a Unix socket, with a time limit on every wait.
///
/// After any error the connection is of no use: drop it and connect again.
///
/// Isolation: one thread; the type is not Sendable.
package final class LocalClient {
    private let descriptor: SocketDescriptor
    private var input: FrameSplitter
    private var output: [UInt8] = []
    private var readBuffer: [UInt8]

    /// Connects.
    ///
    /// - Parameters:
    ///   - path: where the server listens.
    ///   - timeoutNanoseconds: how long one send or one receive may wait.
    ///   - frameLimit: the longest payload accepted from the server, in bytes.
    /// - Throws: ``LocalSocketError``; with `ENOENT` or `ECONNREFUSED` where nobody listens.
    package init(
        path: String, timeoutNanoseconds: Int64 = 2_000_000_000, frameLimit: Int = 1 << 20
    ) throws(LocalSocketError) {
        let descriptor = try connectedSocket(to: path, isNonBlocking: false)
        input = FrameSplitter(limit: frameLimit)
        readBuffer = [UInt8](repeating: 0, count: 16_384)
        var limit = timeval(
            tv_sec: Int(timeoutNanoseconds / 1_000_000_000),
            tv_usec: Int(timeoutNanoseconds % 1_000_000_000 / 1000))
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            let size = socklen_t(MemoryLayout<timeval>.size)
            guard setsockopt(descriptor.rawValue, SOL_SOCKET, option, &limit, size) == 0 else {
                throw .system(operation: "setsockopt", errno: errno)
            }
        }
        self.descriptor = descriptor
    }

    /// Adds a frame to what the next ``flush()`` sends: several requests leave in one write.
    package func enqueue(_ payload: [UInt8]) {
        FrameHeader.append(length: payload.count, to: &output)
        output.append(contentsOf: payload)
    }

    /// Sends all that is queued.
    ///
    /// - Throws: ``LocalSocketError/timedOut``, or what the system call said.
    package func flush() throws(LocalSocketError) {
        var start = 0
        while start < output.count {
            let count = output.withUnsafeBytes { bytes in
                Glibc.send(
                    descriptor.rawValue, bytes.baseAddress.map { $0 + start }, bytes.count - start,
                    Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw code == EAGAIN ? .timedOut : .system(operation: "send", errno: code)
            }
            start += count
        }
        output.removeAll(keepingCapacity: true)
    }

    /// Sends one frame.
    ///
    /// - Throws: as ``flush()``.
    package func send(_ payload: [UInt8]) throws(LocalSocketError) {
        enqueue(payload)
        try flush()
    }

    /// Waits for one frame and returns its payload.
    ///
    /// - Throws: ``LocalSocketError/timedOut``, ``LocalSocketError/closedByPeer``,
    ///   ``LocalSocketError/badFrame(_:)``, or what the system call said.
    package func receive() throws(LocalSocketError) -> [UInt8] {
        while true {
            if let payload = try nextFrame() { return payload }
            let count = readBuffer.withUnsafeMutableBytes {
                recv(descriptor.rawValue, $0.baseAddress, $0.count, 0)
            }
            if count == 0 { throw .closedByPeer }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw code == EAGAIN ? .timedOut : .system(operation: "recv", errno: code)
            }
            readBuffer.withUnsafeBytes {
                input.append(UnsafeRawBufferPointer(rebasing: $0[0..<count]))
            }
        }
    }

    private func nextFrame() throws(LocalSocketError) -> [UInt8]? {
        do throws(WireError) {
            return try input.next()
        } catch {
            throw LocalSocketError(error)
        }
    }
}
