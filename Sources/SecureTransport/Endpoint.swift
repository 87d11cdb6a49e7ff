// SPDX-License-Identifier: Apache-2.0

/// Where a port is: a host's name or address, and the port's number.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// The host's name, or its IPv4 or IPv6 address, without brackets.
    package var host: String
    /// The port; 0 asks for any free one where one listens.
    package var port: Int

    /// Names an endpoint.
    ///
    /// - Parameters:
    ///   - host: name or address.
    ///   - port: 0 to 65535.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST:PORT` or `[ADDRESS]:PORT`; nil for anything else.
    ///
    /// - Parameter text: the text.
    package init?(text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count),
            digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let port = Int(digits), port <= 65535
        else { return nil }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
