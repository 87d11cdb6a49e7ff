// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// TCP ports on this machine's loopback address.
enum LocalPorts {
    static let host = "127.0.0.1"

    /// Where free ports are looked for: below those that the kernel gives to outgoing connections,
    /// one of which could take a port between our look and the coordinator's start.
    private static let range: ClosedRange<UInt16> = 20_000...32_000
    private static let attemptLimit = 100

    /// The port to use: the wanted one when it is free, or any free one for 0.
    ///
    /// A coordinator that is restarted must come back at the port that agents know, so that 0 is
    /// resolved here, once.
    ///
    /// - Parameters:
    ///   - wanted: 0 to 65535.
    ///   - option: the option that sets it, for the hint.
    ///   - taken: ports that are not to be chosen for 0.
    /// - Returns: a port that was free a moment ago.
    /// - Throws: `CommandFailure` when it is in use.
    static func resolve(
        _ wanted: UInt16, option: String, except taken: Set<UInt16> = []
    ) throws(CommandFailure) -> UInt16 {
        if wanted != 0 { return try bound(wanted, option: option) }
        for _ in 0..<attemptLimit {
            let port = UInt16.random(in: range)
            if !taken.contains(port), let free = try? bound(port, option: option) { return free }
        }
        return try bound(0, option: option)
    }

    /// Takes a port for a moment, to see that it can be had.
    private static func bound(
        _ wanted: UInt16, option: String
    ) throws(CommandFailure) -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw CommandFailure(.unavailable, "cannot open a socket: \(systemError(errno))")
        }
        defer { close(descriptor) }
        var one: Int32 = 1
        setsockopt(
            descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = wanted.bigEndian
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard isBound else {
            throw CommandFailure(
                .refused, "port \(wanted) cannot be used: \(systemError(errno))",
                hint: "choose another with \(option), or 0 for any free one")
        }
        return UInt16(bigEndian: address.sin_port)
    }
}
