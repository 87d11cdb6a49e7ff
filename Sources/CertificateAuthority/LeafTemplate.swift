// SPDX-License-Identifier: Apache-2.0

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
}
