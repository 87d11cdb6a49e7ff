// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Wire

/// Why a Unix socket could not be used.
package enum LocalSocketError: Error, Hashable, Sendable {
    /// The path does not fit into a socket address (107 bytes); choose a shorter directory.
    case pathTooLong(path: String)
    /// Another live process listens on the path.
    case addressInUse(path: String)
    /// Something that is not a socket lies at the path; it is left alone.
    case notASocket(path: String)
    /// A system call failed with this `errno`.
    case system(operation: String, errno: Int32)
    /// The peer closed the connection.
    case closedByPeer
    /// The peer's bytes are no frames: a length above the limit.
    case badFrame(String)
    /// The peer does not read: more than the limit waits to be written to it.
    case peerTooSlow(queuedByteCount: Int)
    /// No answer came in time.
    case timedOut
}

extension LocalSocketError: CustomStringConvertible {
    /// One line for a log.
    package var description: String {
        switch self {
        case .pathTooLong(let path):
            "socket path '\(path)' is longer than \(SocketAddress.maximumPathByteCount) bytes"
        case .addressInUse(let path): "another process listens on '\(path)'"
        case .notASocket(let path): "'\(path)' exists and is not a socket"
        case .system(let operation, let code): "\(operation): \(describeErrno(code))"
        case .closedByPeer: "closed by the peer"
        case .badFrame(let reason): reason
        case .peerTooSlow(let queued): "the peer does not read; \(queued) bytes wait for it"
        case .timedOut: "timed out"
        }
    }
}

extension LocalSocketError {
    /// What the splitter of frames said.
    init(_ error: WireError) { self = .badFrame("\(error)") }
}

/// The text of an `errno`.
package func describeErrno(_ code: Int32) -> String {
    // strerror's static buffer is safe here: glibc keeps it per thread since 2.32.
    guard let text = strerror(code) else { return "errno \(code)" }
    return String(cString: text)
}
