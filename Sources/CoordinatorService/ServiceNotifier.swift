// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Tells the supervisor how the service is: one datagram to `$NOTIFY_SOCKET` for each message.
///
/// Source: sd_notify(3). A path that starts with `@` lies in the abstract namespace.
///
/// Isolation: owned by one thread; the descriptor is closed with the value.
struct ServiceNotifier: ~Copyable {
    private let descriptor: Int32

    /// Connects to the supervisor; without one, or when it cannot be reached, messages go nowhere.
    init() {
        guard let text = getenv("NOTIFY_SOCKET"), text[0] != 0 else {
            descriptor = -1
            return
        }
        descriptor = ServiceNotifier.connect(to: String(cString: text))
    }

    deinit {
        if descriptor >= 0 { Glibc.close(descriptor) }
    }

    /// The service has started and serves.
    borrowing func ready() { send("READY=1") }

    /// The service is alive; sent at least once a second.
    borrowing func watchdog() { send("WATCHDOG=1") }

    /// The service is about to end.
    borrowing func stopping() { send("STOPPING=1") }

    private borrowing func send(_ message: String) {
        guard descriptor >= 0 else { return }
        // A full or closed socket is the supervisor's trouble; it must not hold this service up.
        var message = message
        message.withUTF8 { bytes in
            _ = Glibc.send(
                descriptor, bytes.baseAddress, bytes.count,
                Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        }
    }

    private static func connect(to path: String) -> Int32 {
        var address = sockaddr_un()
        var name = Array(path.utf8)
        let isAbstract = name.first == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard name.count < capacity else { return -1 }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let socket = Glibc.socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return -1 }
        let header = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
        let length = socklen_t(header + name.count + (isAbstract ? 0 : 1))
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, length)
            }
        }
        guard result == 0 else {
            Glibc.close(socket)
            return -1
        }
        return socket
    }
}
