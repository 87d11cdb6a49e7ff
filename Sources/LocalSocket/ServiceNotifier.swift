// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Tells the supervisor how this process is, in the way of `sd_notify(3)`.
///
/// Silent where `NOTIFY_SOCKET` is not set. Sending never blocks and never fails the caller: a
/// supervisor that does not listen is no reason for a service to stop.
package struct ServiceNotifier: ~Copyable {
    private let descriptor: Int32
    private let address: SocketAddress?

    /// Takes the supervisor's address from the environment.
    package init() {
        let path = getenv("NOTIFY_SOCKET").map { String(cString: $0) } ?? ""
        self.init(path: path)
    }

    /// Takes the supervisor's address, `@name` for an abstract one; empty for none.
    package init(path: String) {
        do throws(LocalSocketError) {
            address = try SocketAddress(path: path)
        } catch {
            // No supervisor, or an address that no socket can have.
            address = nil
            descriptor = -1
            return
        }
        let kind = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        descriptor = socket(AF_UNIX, kind | Int32(SOCK_NONBLOCK.rawValue), 0)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The service serves now.
    package borrowing func ready() { send("READY=1") }

    /// The service's loop still turns.
    package borrowing func watchdog() { send("WATCHDOG=1") }

    /// The service is on its way down by its own will.
    package borrowing func stopping() { send("STOPPING=1") }

    private borrowing func send(_ text: String) {
        guard let address, descriptor >= 0 else { return }
        let bytes = Array(text.utf8)
        let number = descriptor
        _ = address.withPointer {
            sendto(number, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, $1)
        }
    }
}
