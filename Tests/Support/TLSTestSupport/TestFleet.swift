// SPDX-License-Identifier: Apache-2.0

package import CertificateAuthority
internal import Glibc
package import TLSEngine

/// The wall clock, in seconds since 1970.
package func wallClock() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec)
}

/// When the tests began; their certificates refer to it, for OpenSSL asks the system's clock.
package let now = wallClock()

/// Makes credentials for tests.
package struct TestFleet: Sendable {
    /// Who signs them.
    package let authority: FleetAuthority

    /// Makes a fleet with an authority of its own.
    package init(_ fleet: String = "f") throws {
        authority = try FleetAuthority(fleet: fleet, validity: .days(365, from: now))
    }

    /// Makes credentials of a role; `change` may spoil them.
    package func credentials(
        _ role: SpiffeIdentity.Role, validity: Validity = .days(1, from: now),
        trusting other: TestFleet? = nil, _ change: (inout LeafTemplate) -> Void = { _ in }
    ) throws -> TLSCredentials {
        let (chain, key) = try pem(role, validity: validity, change)
        let trusted = other ?? self
        return try TLSCredentials(
            chainPEM: chain, keyPEM: key,
            authorityPEM: Array(trusted.authority.certificatePEM.utf8))
    }

    /// Makes a certificate and key of a role; `change` may spoil them.
    package func pem(
        _ role: SpiffeIdentity.Role, validity: Validity = .days(1, from: now),
        _ change: (inout LeafTemplate) -> Void = { _ in }
    ) throws -> (chain: [UInt8], key: [UInt8]) {
        var template = LeafTemplate(try SpiffeIdentity(fleet: authority.fleet, role: role))
        change(&template)
        let issued = try authority.issue(template, validity: validity)
        return (Array(issued.certificatePEM.utf8), Array(issued.keyPEM.utf8))
    }
}

extension SpiffeIdentity.Role {
    /// A coordinator of site a.
    package static let coordinatorA = SpiffeIdentity.Role.coordinator(site: "a", name: "c1")
    /// An agent of site a.
    package static let agentA1 = SpiffeIdentity.Role.agent(site: "a", node: "n1")
}

/// A small reproducible generator (SplitMix64).
package struct Generator: RandomNumberGenerator {
    private var state: UInt64

    /// Starts a sequence.
    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
