// SPDX-License-Identifier: Apache-2.0

// Goal: nobody gets in who should not, and both sides learn why.
// Method: one wrong certificate or habit at a time, against a right one, in memory.

import CertificateAuthority
import TLSEngine
import TLSTestSupport
import Testing

@Suite struct RefusalTests {
    /// Shakes hands and expects the server to refuse the client.
    private func expectServer(
        _ fleet: TestFleet, toRefuse look: Stranger.Look, with expected: TLSFailure
    ) throws {
        let server = try TLSEngine(
            context: try TLSContext(try fleet.credentials(.coordinatorA)),
            side: .server([.agent, .peer, .operator]), policy: .roleOfProtocol)
        var pair = Pair(client: Stranger(look), server: server)
        pair.exchange()
        #expect(server.state == .failed(expected))
        #expect(server.peer == nil)
        #expect(pair.client.failure != nil, "the client is not told")
    }

    private func expectServer(
        _ fleet: TestFleet, toRefuse certificate: (chain: [UInt8], key: [UInt8]),
        with expected: CertificateProblem
    ) throws {
        try expectServer(
            fleet, toRefuse: Stranger.Look(certificate: certificate), with: .certificate(expected))
    }

    /// Shakes hands and expects the client to refuse the server, before it shows its own certificate.
    private func expectClient(
        _ fleet: TestFleet, toRefuse server: TLSCredentials, with expected: CertificateProblem
    ) throws {
        var pair = try Pair(client: try fleet.credentials(.agentA1), server: server)
        pair.exchange()
        #expect(pair.client.state == .failed(.certificate(expected)))
        #expect(pair.server.peer == nil)
        guard case .failed(.alert) = pair.server.state else {
            Issue.record("the server is not told: \(pair.server.state)")
            return
        }
    }

    @Test("An ordinary client of the same build is let in, so the refusals below mean something")
    func admitted() throws {
        let fleet = try TestFleet()
        let server = try TLSEngine(
            context: try TLSContext(try fleet.credentials(.coordinatorA)),
            side: .server([.agent]), policy: .roleOfProtocol)
        var pair = Pair(
            client: Stranger(Stranger.Look(certificate: try fleet.pem(.agentA1))), server: server)
        pair.exchange()
        #expect(server.state == .open)
        #expect(pair.client.isOpen)
        #expect(pair.client.failure == nil)
    }

    @Test("A member of another authority is refused, though it calls itself one of us")
    func wrongAuthority() throws {
        let fleet = try TestFleet()
        let impostor = try TestFleet()
        try expectServer(fleet, toRefuse: impostor.pem(.agentA1), with: .unknownAuthority)
        try expectClient(
            fleet, toRefuse: impostor.credentials(.coordinatorA, trusting: fleet),
            with: .unknownAuthority)
    }

    @Test("A certificate is refused before its first second and after its last")
    func validity() throws {
        let fleet = try TestFleet()
        let past = Validity(start: now - 200, end: now - 100)
        let future = Validity(start: now + 1000, end: now + 2000)
        try expectServer(fleet, toRefuse: fleet.pem(.agentA1, validity: past), with: .expired)
        try expectServer(fleet, toRefuse: fleet.pem(.agentA1, validity: future), with: .notYetValid)
        try expectClient(
            fleet, toRefuse: fleet.credentials(.coordinatorA, validity: past), with: .expired)
        try expectClient(
            fleet, toRefuse: fleet.credentials(.coordinatorA, validity: future), with: .notYetValid)
    }

    @Test(
        "A certificate must have exactly one URI name, an identity of this fleet",
        arguments: [
            (["spiffe://f/agent/a/n1", "spiffe://f/operator/eve"], "2 URI names instead of one"),
            ([], "no URI name"),
            (["https://example.com/agent/a/n1"], "URI does not start with spiffe://"),
            (["spiffe://f/agent/a"], "path is not /agent/SITE/NODE"),
        ])
    func names(_ uris: [String], _ reason: String) throws {
        let fleet = try TestFleet()
        let server = try TLSEngine(
            context: try TLSContext(try fleet.credentials(.coordinatorA)),
            side: .server([.agent]), policy: .roleOfProtocol)
        let certificate = try fleet.pem(.agentA1) { $0.uriNames = uris }
        var pair = Pair(
            client: Stranger(Stranger.Look(certificate: certificate)), server: server)
        pair.exchange()
        guard case .failed(.certificate(.identity(let text))) = server.state else {
            Issue.record("\(server.state)")
            return
        }
        #expect(text.hasPrefix(reason))
        #expect(server.peer == nil)
        #expect(pair.client.failure != nil)
    }

    @Test("A certificate of another fleet is refused, though the same authority signed it")
    func wrongFleet() throws {
        let fleet = try TestFleet()
        try expectServer(
            fleet, toRefuse: fleet.pem(.agentA1) { $0.uriNames = ["spiffe://g/agent/a/n1"] },
            with: .wrongFleet("g"))
    }

    @Test("An authority's certificate does not speak for anybody")
    func authorityAsLeaf() throws {
        let fleet = try TestFleet()
        try expectServer(
            fleet, toRefuse: fleet.pem(.agentA1) { $0.isAuthority = true }, with: .wrongPurpose)
    }

    @Test("A certificate for dialing does not accept, nor one for accepting dial")
    func wrongUsage() throws {
        let fleet = try TestFleet()
        try expectClient(
            fleet, toRefuse: fleet.credentials(.coordinatorA) { $0.isServer = false },
            with: .wrongPurpose)
        try expectServer(
            fleet,
            toRefuse: fleet.pem(.agentA1) {
                $0.isServer = true
                $0.isClient = false
            }, with: .wrongPurpose)
    }

    @Test(
        "Every role speaks its own protocol alone", arguments: ApplicationProtocol.allCases,
        [SpiffeIdentity.Role.agentA1, .coordinatorA, .operator(name: "admin")])
    func roles(_ spoken: ApplicationProtocol, _ role: SpiffeIdentity.Role) throws {
        let fleet = try TestFleet()
        var pair = try Pair(
            client: try fleet.credentials(role), server: try fleet.credentials(.coordinatorA),
            speaking: spoken)
        pair.exchange()
        switch (spoken, role) {
        case (.agent, .agent), (.peer, .coordinator), (.operator, .operator):
            #expect(pair.server.state == .open)
        default:
            let identity = try SpiffeIdentity(fleet: "f", role: role)
            let text = "role \(role.word) does not speak \(spoken.rawValue)"
            #expect(pair.server.state == .failed(.certificate(.notAllowed(identity, text))))
            guard case .failed(.alert) = pair.client.state else {
                Issue.record("the client is not told: \(pair.client.state)")
                return
            }
        }
    }

    @Test("A dialer accepts a coordinator of its site or of every site, and nobody else")
    func otherSite() throws {
        let fleet = try TestFleet()
        let elsewhere = SpiffeIdentity.Role.coordinator(site: "b", name: "c1")
        try expectClient(
            fleet, toRefuse: fleet.credentials(elsewhere),
            with: .notAllowed(
                try SpiffeIdentity(fleet: "f", role: elsewhere), "it speaks for site b, not for a"))
        let everywhere = SpiffeIdentity.Role.coordinator(
            site: SpiffeIdentity.everySite, name: "c1")
        var pair = try Pair(
            client: try fleet.credentials(.agentA1), server: try fleet.credentials(everywhere))
        pair.exchange()
        #expect(pair.client.state == .open)
    }

    @Test("A dialer refuses an operator or an agent that accepts connections")
    func notACoordinator() throws {
        let fleet = try TestFleet()
        let role = SpiffeIdentity.Role.operator(name: "eve")
        try expectClient(
            fleet, toRefuse: fleet.credentials(role) { $0.isServer = true },
            with: .notAllowed(
                try SpiffeIdentity(fleet: "f", role: role), "it is not a coordinator"))
    }

    @Test("Without a protocol in common there is no connection")
    func noProtocolInCommon() throws {
        let fleet = try TestFleet()
        var pair = try Pair(
            client: try fleet.credentials(.agentA1), server: try fleet.credentials(.coordinatorA),
            understanding: [.peer])
        pair.exchange()
        #expect(pair.server.state == .failed(.noApplicationProtocol))
        #expect(pair.client.state == .failed(.alert("no application protocol")))
    }

    @Test("A client that shows no certificate is refused")
    func noCertificate() throws {
        try expectServer(
            try TestFleet(), toRefuse: Stranger.Look(certificate: nil), with: .noCertificate)
    }

    @Test("A client of TLS 1.2 is refused")
    func oldVersion() throws {
        let fleet = try TestFleet()
        var look = Stranger.Look(certificate: try fleet.pem(.agentA1))
        look.isOld = true
        try expectServer(fleet, toRefuse: look, with: .unsupportedVersion)
    }

    @Test("A client that names no protocol, or an unknown one, is refused", arguments: [nil, "h2"])
    func unknownProtocol(_ name: String?) throws {
        let fleet = try TestFleet()
        var look = Stranger.Look(certificate: try fleet.pem(.agentA1))
        look.applicationProtocol = name
        try expectServer(fleet, toRefuse: look, with: .noApplicationProtocol)
    }
}
