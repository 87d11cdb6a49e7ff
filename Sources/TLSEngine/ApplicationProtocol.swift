// SPDX-License-Identifier: Apache-2.0

/// What is spoken inside a TLS connection; settled by ALPN in the handshake.
package enum ApplicationProtocol: String, Hashable, Sendable, CaseIterable {
    /// An agent's session with its site's leader.
    case agent = "busbar-agent/1"
    /// Coordinators among themselves.
    case peer = "busbar-peer/1"
    /// Operators' requests.
    case `operator` = "busbar-operator/1"

    /// The longest frame that is taken in, in bytes, its 4-byte length not counted.
    ///
    /// Agents run on hosts of tenants, so they get little; coordinators and operators exchange whole
    /// views of a fleet.
    package var maximumFrameByteCount: Int {
        switch self {
        case .agent: 64 * 1024
        case .peer, .operator: 1024 * 1024
        }
    }
}

/// A list of protocols in the form of the ALPN extension: each name after its length.
func alpnList(_ protocols: [ApplicationProtocol]) -> [UInt8] {
    protocols.flatMap { [UInt8($0.rawValue.utf8.count)] + Array($0.rawValue.utf8) }
}
