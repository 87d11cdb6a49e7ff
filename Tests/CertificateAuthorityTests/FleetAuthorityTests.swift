// SPDX-License-Identifier: Apache-2.0

// Goal: a fleet's certificates say what they should, and its keys stay private.
// Method: files in a temporary directory; what they say is read back by another reader.

import CertificateAuthority
import Foundation
import TLSEngine
import Testing

@Suite struct FleetAuthorityTests {
    private let now = Int64(Date().timeIntervalSince1970)

    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "busbar-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? Int)
    }

    @Test("An authority is read back as it was made, and its key is private")
    func roundTrip() throws {
        try withDirectory { directory in
            let made = try FleetAuthority.create(
                fleet: "f", in: directory, validity: .days(10, from: now))
            let read = try FleetAuthority(loadingFrom: directory)
            #expect(read.fleet == "f")
            #expect(read.certificatePEM == made.certificatePEM)
            #expect(try mode(directory + "/ca.key") == 0o600)
            #expect(try mode(directory + "/ca.pem") == 0o644)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).count == 2)
            let summary = try CertificateSummary(path: directory + "/ca.pem")
            #expect(summary.isAuthority)
            #expect(summary.identity == nil)
            #expect(summary.uriNames == ["spiffe://f"])
        }
    }

    @Test("An authority is never replaced by accident")
    func exclusive() throws {
        try withDirectory { directory in
            let first = try FleetAuthority.create(
                fleet: "f", in: directory, validity: .days(10, from: now))
            #expect(throws: AuthorityError(message: "\(directory)/ca.key: File exists")) {
                try FleetAuthority.create(
                    fleet: "f", in: directory, validity: .days(10, from: now))
            }
            #expect(
                try FleetAuthority(loadingFrom: directory).certificatePEM == first.certificatePEM)
        }
    }

    @Test(
        "A certificate says who, for what, by whom and how long",
        arguments: [
            SpiffeIdentity.Role.agent(site: "a", node: "n1"),
            .coordinator(site: "a", name: "c1"), .operator(name: "admin"),
        ])
    func leaf(_ role: SpiffeIdentity.Role) throws {
        try withDirectory { directory in
            let authority = try FleetAuthority.create(
                fleet: "f", in: directory, validity: .days(10, from: now))
            let identity = try SpiffeIdentity(fleet: "f", role: role)
            let (leaf, key) = (directory + "/deep/er/x.pem", directory + "/deep/er/x.key")
            try authority.issue(
                identity, validity: .days(5, from: now), certificatePath: leaf, keyPath: key)
            let summary = try CertificateSummary(path: leaf)
            #expect(summary.identity == identity)
            #expect(summary.uriNames == [identity.uri])
            #expect(summary.isAuthority == false)
            #expect(summary.issuer.contains("f authority"))
            #expect(summary.validity == .days(5, from: now))
            #expect(summary.serial.count >= 30)
            #expect(try mode(key) == 0o600)
            // OpenSSL, which was not involved, finds the same identity, key and authority.
            let credentials = try TLSCredentials(
                files: TLSCredentials.Files(
                    certificate: leaf, key: key, authority: directory + "/ca.pem"))
            #expect(try TLSContext(credentials).identity == identity)
        }
    }

    @Test("A leaf is never good for longer than its authority")
    func cut() throws {
        let authority = try FleetAuthority(fleet: "f", validity: .days(10, from: now))
        let issued = try authority.issue(
            SpiffeIdentity(fleet: "f", role: .operator(name: "admin")),
            validity: .days(1000, from: now))
        let summary = try CertificateSummary(pem: issued.certificatePEM)
        #expect(summary.validity == .days(10, from: now))
    }

    @Test("An identity of another fleet, and a name that is none, are refused")
    func refused() throws {
        let authority = try FleetAuthority(fleet: "f", validity: .days(10, from: now))
        #expect(throws: AuthorityError(message: "spiffe://g/operator/a is not of fleet f")) {
            try authority.issue(
                SpiffeIdentity(fleet: "g", role: .operator(name: "a")),
                validity: .days(1, from: now))
        }
        #expect(throws: AuthorityError.self) {
            try FleetAuthority(fleet: "a/b", validity: .days(10, from: now))
        }
    }

    @Test("Directories without an authority, and files that do not fit, are named")
    func broken() throws {
        try withDirectory { directory in
            #expect(throws: AuthorityError.self) { try FleetAuthority(loadingFrom: directory) }
            let authority = try FleetAuthority.create(
                fleet: "f", in: directory, validity: .days(10, from: now))
            let leaf = try authority.issue(
                SpiffeIdentity(fleet: "f", role: .operator(name: "a")),
                validity: .days(1, from: now))
            try leaf.keyPEM.write(
                toFile: directory + "/ca.key", atomically: true, encoding: .utf8)
            #expect(
                throws: AuthorityError(
                    message: "\(directory)/ca.key: not the key of \(directory)/ca.pem")
            ) { try FleetAuthority(loadingFrom: directory) }
            try "rubbish".write(
                toFile: directory + "/ca.pem", atomically: true, encoding: .utf8)
            #expect(
                throws: AuthorityError(
                    message: "\(directory)/ca.pem: not a certificate in PEM form")
            ) { try FleetAuthority(loadingFrom: directory) }
        }
    }

    @Test("Serial numbers and keys are never the same")
    func unique() throws {
        let authority = try FleetAuthority(fleet: "f", validity: .days(10, from: now))
        var serials: Set<String> = []
        var keys: Set<String> = []
        for _ in 0..<20 {
            let issued = try authority.issue(
                SpiffeIdentity(fleet: "f", role: .operator(name: "a")),
                validity: .days(1, from: now))
            serials.insert(try CertificateSummary(pem: issued.certificatePEM).serial)
            keys.insert(issued.keyPEM)
        }
        #expect(serials.count == 20)
        #expect(keys.count == 20)
    }

    @Test("A large fleet's certificates are made in seconds", .timeLimit(.minutes(1)))
    func many() throws {
        try withDirectory { directory in
            let authority = try FleetAuthority.create(
                fleet: "f", in: directory, validity: .days(10, from: now))
            let start = ContinuousClock.now
            for number in 0..<130 {
                let node = "n\(number)"
                try authority.issue(
                    SpiffeIdentity(fleet: "f", role: .agent(site: "a", node: node)),
                    validity: .days(1, from: now),
                    certificatePath: "\(directory)/agents/\(node).pem",
                    keyPath: "\(directory)/agents/\(node).key")
            }
            // A tenth of a fleet, unoptimized; the bound leaves room for a busy machine.
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }
}
