// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Who a certificate speaks for: one agent, one coordinator or one operator of one fleet.
///
/// It is written as a SPIFFE ID, the only URI among the certificate's subject alternative names:
///
/// ```
/// spiffe://FLEET/agent/SITE/NODE
/// spiffe://FLEET/coordinator/SITE/NAME      SITE is ``everySite`` when it serves all of them
/// spiffe://FLEET/operator/NAME
/// ```
///
/// **Invariant:** every part obeys the rule for names, so that the text form is unambiguous: no
/// escapes, no empty segments, no query, no second spelling of one identity.
/// **Source:** SPIFFE-ID and X509-SVID, https://spiffe.io/docs/latest/spiffe-specs/. One thing is
/// wider here: fleet names may hold capital letters, and are compared byte by byte.
package struct SpiffeIdentity: Hashable, Sendable, CustomStringConvertible {
    /// What an identity may do, and where.
    package enum Role: Hashable, Sendable {
        /// The agent of one node: speaks for that node alone.
        case agent(site: String, node: String)
        /// A coordinator: speaks for its site, or for all of them.
        case coordinator(site: String, name: String)
        /// A person, or a program that acts for one.
        case `operator`(name: String)

        /// The word of the role in the URI and in logs.
        package var word: String {
            switch self {
            case .agent: "agent"
            case .coordinator: "coordinator"
            case .operator: "operator"
            }
        }
    }

    /// The reserved site name of a coordinator that serves every site of its fleet.
    package static let everySite = "fleet"

    /// The longest URI that is read: `spiffe://` and at most four names and words.
    package static let maximumByteCount = 512

    /// The fleet, which is the trust domain.
    package let fleet: String
    /// The role.
    package let role: Role

    /// Makes an identity.
    ///
    /// - Parameters:
    ///   - fleet: the fleet's name.
    ///   - role: the role, its names in it.
    /// - Throws: ``SpiffeIdentityError`` when a name breaks the rule for names.
    package init(fleet: String, role: Role) throws(SpiffeIdentityError) {
        try Self.check(fleet, "fleet")
        switch role {
        case .agent(let site, let node):
            try Self.check(site, "site")
            try Self.check(node, "node")
        case .coordinator(let site, let name):
            try Self.check(site, "site")
            try Self.check(name, "coordinator")
        case .operator(let name):
            try Self.check(name, "operator")
        }
        self.fleet = fleet
        self.role = role
    }

    /// Reads an identity from its URI.
    ///
    /// - Parameter uri: the text of the certificate's URI name.
    /// - Throws: ``SpiffeIdentityError`` with what is wrong with it.
    package init(uri: String) throws(SpiffeIdentityError) {
        let scheme = "spiffe://"
        guard uri.utf8.count <= Self.maximumByteCount else {
            throw SpiffeIdentityError(message: "URI is longer than \(Self.maximumByteCount) bytes")
        }
        guard uri.hasPrefix(scheme) else {
            throw SpiffeIdentityError(message: "URI does not start with \(scheme)")
        }
        let parts = uri.dropFirst(scheme.count)
            .split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        switch (parts.count, parts.dropFirst().first) {
        case (4, "agent"):
            try self.init(fleet: parts[0], role: .agent(site: parts[2], node: parts[3]))
        case (4, "coordinator"):
            try self.init(fleet: parts[0], role: .coordinator(site: parts[2], name: parts[3]))
        case (3, "operator"):
            try self.init(fleet: parts[0], role: .operator(name: parts[2]))
        default:
            throw SpiffeIdentityError(
                message: "path is not /agent/SITE/NODE, /coordinator/SITE/NAME or /operator/NAME")
        }
    }

    /// The URI; `init(uri:)` reads back the same identity.
    package var uri: String {
        switch role {
        case .agent(let site, let node): "spiffe://\(fleet)/agent/\(site)/\(node)"
        case .coordinator(let site, let name): "spiffe://\(fleet)/coordinator/\(site)/\(name)"
        case .operator(let name): "spiffe://\(fleet)/operator/\(name)"
        }
    }

    package var description: String { uri }

    /// Says whether this is a coordinator that may speak for a site: its own, or every site's.
    ///
    /// - Parameter site: the site that is asked about.
    /// - Returns: true for a coordinator of `site` or of ``everySite``.
    package func isCoordinator(of site: String) -> Bool {
        guard case .coordinator(let own, _) = role else { return false }
        return own == site || own == Self.everySite
    }

    private static func check(_ name: String, _ what: String) throws(SpiffeIdentityError) {
        guard let problem = Name.problem(in: name) else { return }
        throw SpiffeIdentityError(message: "\(what) name \(problem)")
    }
}

/// Why a text is not an identity.
package struct SpiffeIdentityError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong, as a clause for a log line that quotes nothing of the text itself.
    package var message: String

    /// Makes an error.
    ///
    /// - Parameter message: what is wrong and where.
    package init(message: String) { self.message = message }

    package var description: String { message }
}
