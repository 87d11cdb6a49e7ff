// SPDX-License-Identifier: Apache-2.0

/// Decides, inside the handshake, whether a verified identity may speak a protocol here.
///
/// A refusal ends the handshake with an alert, before a byte of application data is taken in.
package struct PeerPolicy: Sendable {
    /// Nil to let the peer in, or the reason of the refusal, as a clause.
    package typealias Decision = @Sendable (SpiffeIdentity, ApplicationProtocol) -> String?

    let decide: Decision

    /// Makes a policy.
    ///
    /// - Parameter decide: the decision; called on the thread of the connection, must not block.
    package init(_ decide: @escaping Decision) { self.decide = decide }

    /// What a coordinator's port asks: agents speak the agents' protocol, coordinators the peers',
    /// operators the operators'; nobody another's.
    package static let roleOfProtocol = PeerPolicy { identity, spoken in
        switch (spoken, identity.role) {
        case (.agent, .agent), (.peer, .coordinator), (.operator, .operator): nil
        default: "role \(identity.role.word) does not speak \(spoken.rawValue)"
        }
    }

    /// What a dialer asks: the other side is a coordinator, of this site if one is named.
    ///
    /// - Parameter site: the site it must speak for; nil for any, as operators ask.
    /// - Returns: the policy.
    package static func coordinator(of site: String?) -> PeerPolicy {
        PeerPolicy { identity, _ in
            guard case .coordinator(let own, _) = identity.role else {
                return "it is not a coordinator"
            }
            guard let site, !identity.isCoordinator(of: site) else { return nil }
            return "it speaks for site \(own), not for \(site)"
        }
    }
}
