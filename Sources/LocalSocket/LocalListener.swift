// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A listening Unix socket and the file that names it.
///
/// The file is made with mode 0600 (never wider, not even for an instant) and removed when the
/// listener goes away, if it is still the one that this listener made.
final class LocalListener {
    let descriptor: SocketDescriptor
    private let path: String
    private let inode: ino_t

    /// Listens on `path`; removes a socket file that a dead process left there.
    ///
    /// - Throws: as ``LocalPoller/listen(path:)``.
    init(path: String) throws(LocalSocketError) {
        let address = try SocketAddress(path: path)
        try LocalListener.removeStaleFile(path)
        let descriptor = try SocketDescriptor.stream(isNonBlocking: true)
        let number = descriptor.rawValue
        // On Linux the mode of an unbound socket becomes the mode of the file that bind makes.
        guard fchmod(number, 0o600) == 0 else { throw .system(operation: "fchmod", errno: errno) }
        guard address.withPointer({ bind(number, $0, $1) }) == 0 else {
            throw .system(operation: "bind to '\(path)'", errno: errno)
        }
        guard Glibc.listen(number, 512) == 0 else {
            throw .system(operation: "listen on '\(path)'", errno: errno)
        }
        var status = stat()
        guard lstat(path, &status) == 0 else {
            throw .system(operation: "stat of '\(path)'", errno: errno)
        }
        inode = status.st_ino
        self.path = path
        self.descriptor = descriptor
    }

    deinit {
        var status = stat()
        if lstat(path, &status) == 0, status.st_ino == inode { unlink(path) }
    }

    private static func removeStaleFile(_ path: String) throws(LocalSocketError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
        do throws(LocalSocketError) {
            _ = try connectedSocket(to: path, isNonBlocking: true)
        } catch {
            switch error {
            case .system(_, ECONNREFUSED):
                unlink(path)
                return
            case .system(_, ENOENT): return
            // A full backlog (EAGAIN) means that somebody listens.
            default: throw .addressInUse(path: path)
            }
        }
        throw .addressInUse(path: path)
    }
}
