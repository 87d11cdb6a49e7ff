// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import TLSEngine

/// What a certificate says, apart from its time.
///
/// `issue` with an identity fills it in as a fleet needs it; whoever changes it makes certificates
/// that no member accepts, to see that none does.
package struct LeafTemplate: Hashable, Sendable {
    /// The name that people see.
    package var commonName: String
    /// The URIs among the names; exactly one in a good certificate.
    package var uriNames: [String]
    /// The names of hosts among the names; for servers that are not of the fleet.
    package var hostNames: [String] = []
    /// The IPv4 and IPv6 addresses among the names, in network byte order.
    package var addresses: [[UInt8]] = []
    /// Whether it is good for accepting connections.
    package var isServer: Bool
    /// Whether it is good for dialing.
    package var isClient: Bool
    /// Whether it may sign others.
    package var isAuthority = false

    /// Fills in a template.
    ///
    /// - Parameter identity: whom the certificate is for.
    package init(_ identity: SpiffeIdentity) {
        uriNames = [identity.uri]
        isClient = true
        switch identity.role {
        case .agent(_, let node):
            commonName = node
            isServer = false
        case .coordinator(_, let name):
            commonName = name
            isServer = true
        case .operator(let name):
            commonName = name
            isServer = false
        }
    }

    /// Fills in a template for a member of an etcd cluster.
    ///
    /// It is good for both ends of a connection, because members dial each other; it has no URI, so no
    /// member of the fleet takes it for one of its own.
    ///
    /// - Parameters:
    ///   - name: what people call the member.
    ///   - hosts: where it is reached: names, and addresses as text.
    package init(storeMember name: String, hosts: [String]) {
        commonName = name
        uriNames = []
        isServer = true
        isClient = true
        for host in hosts {
            if let address = Self.address(host) {
                addresses.append(address)
            } else {
                hostNames.append(host)
            }
        }
    }

    /// The bytes of an address; nil for a name.
    private static func address(_ text: String) -> [UInt8]? {
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: count)
            if inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }
}
