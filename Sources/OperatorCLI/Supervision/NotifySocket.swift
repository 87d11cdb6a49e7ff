// SPDX-License-Identifier: Apache-2.0

internal import CProcess
internal import Glibc

/// The receiving end of the readiness and watchdog protocol of systemd (`sd_notify`).
///
/// The kernel vouches for who sent a datagram, so one child cannot speak for another.
struct NotifySocket: Sendable {
    /// What a child says of itself.
    struct Message: Hashable, Sendable {
        var sender: Int32
        var isReady = false
        var isAlive = false
    }

    let path: String
    let descriptor: Int32

    /// Opens the socket at `path`, in place of whatever a process that died left there.
    init(path: String) throws(CommandFailure) {
        guard var address = UnixAddress(path: path) else {
            throw CommandFailure(
                .usage, "the path \(path) is too long for a socket",
                hint: "choose a state directory with a shorter path")
        }
        unlink(path)
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw NotifySocket.failure(path) }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &one, size) == 0,
            address.withPointer({ bind(descriptor, $0, $1) }) == 0
        else {
            let failure = NotifySocket.failure(path)
            close(descriptor)
            throw failure
        }
        self.path = path
        self.descriptor = descriptor
    }

    /// Closes the socket and removes its file.
    ///
    /// - Precondition: the last use of this value and of its copies.
    func remove() {
        close(descriptor)
        unlink(path)
    }

    /// The next message that waits, or nil.
    func receive() -> Message? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var sender: pid_t = 0
        let count = buffer.withUnsafeMutableBytes {
            CProcess_receive(descriptor, $0.baseAddress, $0.count, &sender)
        }
        guard count >= 0 else { return nil }
        return NotifySocket.parse(buffer[..<count], sender: sender)
    }

    /// Reads the lines of a datagram; those that mean nothing here are skipped.
    static func parse(_ bytes: ArraySlice<UInt8>, sender: Int32) -> Message {
        var message = Message(sender: sender)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            if line.elementsEqual("READY=1".utf8) { message.isReady = true }
            if line.elementsEqual("WATCHDOG=1".utf8) { message.isAlive = true }
        }
        return message
    }

    private static func failure(_ path: String) -> CommandFailure {
        CommandFailure(.unavailable, "cannot open the socket \(path): \(systemError(errno))")
    }
}

/// A socket address in the file system.
struct UnixAddress {
    private var address = sockaddr_un()

    /// Nil when the path does not fit an address (107 bytes).
    init?(path: String) {
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !bytes.isEmpty, bytes.count < capacity else { return nil }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    }

    /// Calls `body` with the address as the socket calls take it.
    mutating func withPointer<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// What the system says of an error number.
func systemError(_ number: Int32) -> String { String(cString: strerror(number)) }

/// CLOCK_MONOTONIC in nanoseconds: for pauses and time-outs of this process only.
package func steadyNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
