// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A `sockaddr_un` for a path, or for an abstract name that starts with `@`.
struct SocketAddress {
    /// The longest path: `sun_path` less its terminating zero.
    static let maximumPathByteCount = 107

    private var storage: sockaddr_un
    private var byteCount: socklen_t

    /// Makes the address.
    ///
    /// - Parameter path: a path in the file system, or `@name` in the abstract name space.
    /// - Throws: ``LocalSocketError/pathTooLong(path:)``.
    init(path: String) throws(LocalSocketError) {
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= SocketAddress.maximumPathByteCount else {
            throw .pathTooLong(path: path)
        }
        storage = sockaddr_un()
        storage.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &storage.sun_path) { target in
            target.copyBytes(from: bytes)
            if bytes[0] == UInt8(ascii: "@") { target[0] = 0 }
        }
        let headerByteCount =
            MemoryLayout<sockaddr_un>.size - SocketAddress.maximumPathByteCount - 1
        let isAbstract = bytes[0] == UInt8(ascii: "@")
        // An abstract name ends where the length says; a path ends with a zero.
        byteCount = socklen_t(headerByteCount + bytes.count + (isAbstract ? 0 : 1))
    }

    /// Calls `body` with the address as the system calls want it.
    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var copy = storage
        return withUnsafePointer(to: &copy) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, byteCount) }
        }
    }
}
