// SPDX-License-Identifier: Apache-2.0

// Goal: credentials are a whole or are refused with the reason, and can be replaced while running.
// Method: files in a temporary directory.

import CertificateAuthority
import Foundation
import TLSEngine
import TLSTestSupport
import Testing

@Suite struct TLSContextTests {
    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "busbar-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func issue(_ fleet: TestFleet, _ directory: String, _ node: String = "n1") throws {
        try fleet.authority.issue(
            SpiffeIdentity(fleet: "f", role: .agent(site: "a", node: node)),
            validity: .days(1, from: now), certificatePath: directory + "/leaf.pem",
            keyPath: directory + "/leaf.key")
        try fleet.authority.certificatePEM.write(
            toFile: directory + "/ca.pem", atomically: true, encoding: .utf8)
    }

    private func files(_ directory: String) -> TLSCredentials.Files {
        TLSCredentials.Files(
            certificate: directory + "/leaf.pem", key: directory + "/leaf.key",
            authority: directory + "/ca.pem")
    }

    @Test("New files are used from the next connection on, unchanged ones are not read again")
    func reload() throws {
        try withDirectory { directory in
            let fleet = try TestFleet()
            try issue(fleet, directory)
            let context = try TLSContext(files: files(directory))
            #expect(context.identity.uri == "spiffe://f/agent/a/n1")
            #expect((86_000...86_400).contains(context.secondsToExpiry(at: now)))
            #expect(try context.reloadIfChanged() == false)
            try issue(fleet, directory)
            #expect(try context.reloadIfChanged())
            #expect(try context.reloadIfChanged() == false)
            let server = try TLSEngine(
                context: try TLSContext(try fleet.credentials(.coordinatorA)),
                side: .server([.agent]), policy: .roleOfProtocol)
            var pair = Pair(
                client: try TLSEngine(
                    context: context, side: .client(.agent), policy: .coordinator(of: "a")),
                server: server)
            pair.exchange()
            #expect(server.state == .open)
        }
    }

    @Test("Files that do not fit, or are of another identity, leave the old ones in use")
    func badReload() throws {
        try withDirectory { directory in
            let fleet = try TestFleet()
            try issue(fleet, directory)
            let context = try TLSContext(files: files(directory))
            try "no key".write(
                toFile: directory + "/leaf.key", atomically: true, encoding: .utf8)
            #expect(
                throws: TLSConfigurationError(
                    message: "the key file holds no private key in PEM form")
            ) { try context.reloadIfChanged() }
            #expect(try context.reloadIfChanged() == false, "what was refused is named once")
            try issue(fleet, directory, "n2")
            #expect(throws: TLSConfigurationError.self) { try context.reloadIfChanged() }
            #expect(context.identity.uri == "spiffe://f/agent/a/n1")
            try issue(fleet, directory)
            #expect(try context.reloadIfChanged())
        }
    }

    @Test("Missing files, foreign keys and empty texts are named")
    func faults() throws {
        let fleet = try TestFleet()
        let (chain, key) = try fleet.pem(.agentA1)
        let (_, otherKey) = try fleet.pem(.agentA1)
        let authority = Array(fleet.authority.certificatePEM.utf8)
        #expect(throws: TLSConfigurationError(message: "/nowhere/x.pem: No such file or directory"))
        {
            try TLSCredentials(
                files: TLSCredentials.Files(
                    certificate: "/nowhere/x.pem", key: "/nowhere/x.key", authority: "/nowhere/ca"))
        }
        #expect(throws: TLSConfigurationError(message: "the authority file holds no certificate")) {
            try TLSCredentials(chainPEM: chain, keyPEM: key, authorityPEM: [])
        }
        #expect(
            throws: TLSConfigurationError(message: "the key does not belong to the certificate")
        ) {
            try TLSContext(
                try TLSCredentials(chainPEM: chain, keyPEM: otherKey, authorityPEM: authority))
        }
        #expect(throws: TLSConfigurationError.self) {
            try TLSContext(
                try TLSCredentials(chainPEM: authority, keyPEM: key, authorityPEM: authority))
        }
    }

    @Test("Two authorities are trusted while one replaces the other")
    func twoAuthorities() throws {
        let old = try TestFleet()
        let new = try TestFleet()
        let (chain, key) = try old.pem(.coordinatorA)
        let both = Array((old.authority.certificatePEM + new.authority.certificatePEM).utf8)
        let server = try TLSContext(
            try TLSCredentials(chainPEM: chain, keyPEM: key, authorityPEM: both))
        for fleet in [old, new] {
            var pair = Pair(
                client: try TLSEngine(
                    context: try TLSContext(try fleet.credentials(.agentA1, trusting: old)),
                    side: .client(.agent), policy: .coordinator(of: "a")),
                server: try TLSEngine(
                    context: server, side: .server([.agent]), policy: .roleOfProtocol))
            pair.exchange()
            #expect(pair.server.state == .open)
        }
    }
}
