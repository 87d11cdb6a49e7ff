// SPDX-License-Identifier: Apache-2.0

// Goal: every identity has one spelling, and nothing else is an identity.
// Method: a table of good and bad URIs.

import TLSEngine
import Testing

@Suite struct SpiffeIdentityTests {
    @Test(
        "An identity reads back from its URI",
        arguments: [
            SpiffeIdentity.Role.agent(site: "berlin-1", node: "n001"),
            .coordinator(site: SpiffeIdentity.everySite, name: "c.1"),
            .operator(name: "Admin_2"),
        ])
    func roundTrip(_ role: SpiffeIdentity.Role) throws {
        let identity = try SpiffeIdentity(fleet: "quickstart", role: role)
        #expect(try SpiffeIdentity(uri: identity.uri) == identity)
        #expect(identity.uri.hasPrefix("spiffe://quickstart/\(role.word)/"))
    }

    @Test(
        "What is not exactly an identity is refused",
        arguments: [
            "", "spiffe:", "spiffe://", "spiffe:///agent/a/n", "SPIFFE://f/agent/a/n",
            "https://f/agent/a/n", "spiffe://f", "spiffe://f/", "spiffe://f/agent",
            "spiffe://f/agent/a", "spiffe://f/agent/a/", "spiffe://f/agent//n",
            "spiffe://f/agent/a/n/", "spiffe://f/agent/a/n/x", "spiffe://f/operator/a/b",
            "spiffe://f/operator/", "spiffe://f/root/a", "spiffe://f/Agent/a/n",
            "spiffe://f/agent/a/../n", "spiffe://f/agent/../n", "spiffe://f/agent/a/n%2Fx",
            "spiffe://f/agent/a/n?x=1", "spiffe://f/agent/a/n#x", "spiffe://u@f/agent/a/n",
            "spiffe://f:80/agent/a/n", "spiffe://f/agent/a/n ", "spiffe://f/agent/a/n\n",
            "spiffe://f/agent/a/n\0", "spiffe://f/agent/ä/n",
        ])
    func refused(_ uri: String) {
        #expect(throws: SpiffeIdentityError.self) { try SpiffeIdentity(uri: uri) }
    }

    @Test("Names that are too long are refused before they are looked at")
    func tooLong() {
        let name = String(repeating: "n", count: 129)
        #expect(throws: SpiffeIdentityError.self) {
            try SpiffeIdentity(fleet: "f", role: .operator(name: name))
        }
        #expect(throws: SpiffeIdentityError(message: "URI is longer than 512 bytes")) {
            try SpiffeIdentity(uri: "spiffe://f/agent/a/" + String(repeating: "n", count: 512))
        }
    }

    @Test("A coordinator speaks for its site, or for every site")
    func sites() throws {
        let own = try SpiffeIdentity(uri: "spiffe://f/coordinator/a/c1")
        let every = try SpiffeIdentity(uri: "spiffe://f/coordinator/fleet/c1")
        let agent = try SpiffeIdentity(uri: "spiffe://f/agent/a/n1")
        #expect(own.isCoordinator(of: "a"))
        #expect(!own.isCoordinator(of: "b"))
        #expect(every.isCoordinator(of: "a"))
        #expect(every.isCoordinator(of: "b"))
        #expect(!agent.isCoordinator(of: "a"))
    }
}
