// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Owns a file descriptor: closes it when it goes out of scope.
struct SocketDescriptor: ~Copyable {
    /// The number; valid for the life of the owner.
    let rawValue: Int32

    /// Takes over an open descriptor.
    init(owning rawValue: Int32) { self.rawValue = rawValue }

    /// Opens a Unix stream socket, closed on `exec`.
    ///
    /// - Parameter isNonBlocking: whether reads and writes return `EAGAIN` rather than wait.
    /// - Returns: the socket, not bound to anything.
    /// - Throws: ``LocalSocketError/system(operation:errno:)``.
    static func stream(isNonBlocking: Bool) throws(LocalSocketError) -> SocketDescriptor {
        var kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        if isNonBlocking { kind |= Int32(SOCK_NONBLOCK.rawValue) }
        let number = socket(AF_UNIX, kind, 0)
        guard number >= 0 else { throw .system(operation: "socket", errno: errno) }
        return SocketDescriptor(owning: number)
    }

    deinit { close(rawValue) }
}

/// Opens a stream socket and connects it to `path`.
///
/// - Parameters:
///   - path: where the server listens.
///   - isNonBlocking: the mode of the connected socket. The connect itself never waits for long: a
///     Unix socket connects at once or not at all.
/// - Returns: the connected socket.
/// - Throws: ``LocalSocketError/pathTooLong(path:)``, or ``LocalSocketError/system(operation:errno:)``,
///   with `ENOENT` or `ECONNREFUSED` where nobody listens.
func connectedSocket(to path: String, isNonBlocking: Bool) throws(LocalSocketError)
    -> SocketDescriptor
{
    let address = try SocketAddress(path: path)
    let descriptor = try SocketDescriptor.stream(isNonBlocking: isNonBlocking)
    while true {
        let number = descriptor.rawValue
        let result = address.withPointer { connect(number, $0, $1) }
        if result == 0 { return descriptor }
        let code = errno
        if code != EINTR { throw .system(operation: "connect to '\(path)'", errno: code) }
    }
}
