// SPDX-License-Identifier: Apache-2.0

// Goal: a grant counts only when a coordinator of the node's own site signed exactly these bytes.
// Method: one right grant, and one wrong thing at a time.

import CertificateAuthority
import Foundation
import TLSEngine
import TLSTestSupport
import Testing

@Suite struct GrantTests {
    private let payload: [UInt8] = Array("node n1: 4000 W".utf8)

    private func verifier(_ fleet: TestFleet, site: String = "a") throws -> GrantVerifier {
        let authorities = try fleet.credentials(.agentA1).authorities
        return GrantVerifier(
            verifier: try CertificateVerifier(authorities: authorities, fleet: "f"), site: site)
    }

    @Test("A grant of the site's coordinator is accepted, again and again")
    func accepted() throws {
        let fleet = try TestFleet()
        let signer = try GrantSigner(try fleet.credentials(.coordinatorA))
        let verifier = try verifier(fleet)
        for number in 0..<3 {
            let grant = payload + [UInt8(number)]
            let signature = try signer.sign(grant)
            let identity = try verifier.verify(
                payload: grant, signature: signature, chain: signer.chain, at: now)
            #expect(identity == signer.identity)
        }
    }

    @Test("A changed payload, signature or purpose is refused")
    func changed() throws {
        let fleet = try TestFleet()
        let signer = try GrantSigner(try fleet.credentials(.coordinatorA))
        let verifier = try verifier(fleet)
        let signature = try signer.sign(payload)
        func expectRefused(_ payload: [UInt8], _ signature: [UInt8]) {
            #expect(throws: GrantProblem.wrongSignature) {
                try verifier.verify(
                    payload: payload, signature: signature, chain: signer.chain, at: now)
            }
        }
        var altered = payload
        altered[0] ^= 1
        expectRefused(altered, signature)
        expectRefused(payload + [0], signature)
        expectRefused([], signature)
        expectRefused(payload, [])
        expectRefused(payload, Array(signature.dropLast()))
        expectRefused(payload, Array(repeating: 0xff, count: 4096))
        // The purpose is part of what is signed, not of the payload.
        expectRefused(GrantSigner.context + payload, signature)
    }

    @Test("Another's signature is refused under this chain")
    func anotherKey() throws {
        let fleet = try TestFleet()
        let right = try GrantSigner(try fleet.credentials(.coordinatorA))
        let other = try GrantSigner(
            try fleet.credentials(.coordinator(site: "a", name: "c2")))
        let verifier = try verifier(fleet)
        let signature = try other.sign(payload)
        #expect(throws: GrantProblem.wrongSignature) {
            try verifier.verify(
                payload: payload, signature: signature, chain: right.chain, at: now)
        }
        // A remembered chain does not stand in the way of its successor.
        #expect(
            try verifier.verify(
                payload: payload, signature: signature, chain: other.chain, at: now)
                == other.identity)
    }

    @Test("A coordinator of another site is refused, one of every site accepted")
    func sites() throws {
        let fleet = try TestFleet()
        let signer = try GrantSigner(try fleet.credentials(.coordinatorA))
        let signature = try signer.sign(payload)
        let elsewhere = try verifier(fleet, site: "b")
        #expect(throws: GrantProblem.wrongSigner(signer.identity)) {
            try elsewhere.verify(
                payload: payload, signature: signature, chain: signer.chain, at: now)
        }
        let every = try GrantSigner(
            try fleet.credentials(.coordinator(site: SpiffeIdentity.everySite, name: "c")))
        let sealed = try every.sign(payload)
        #expect(
            try elsewhere.verify(payload: payload, signature: sealed, chain: every.chain, at: now)
                == every.identity)
    }

    @Test("An agent's key makes no signer, and its chain no signature")
    func agents() throws {
        let fleet = try TestFleet()
        let agent = try fleet.credentials(.agentA1)
        #expect(throws: TLSConfigurationError.self) { try GrantSigner(agent) }
        let signature = try GrantSigner(try fleet.credentials(.coordinatorA)).sign(payload)
        let verifier = try verifier(fleet)
        #expect(throws: GrantProblem.chain(.wrongPurpose)) {
            try verifier.verify(
                payload: payload, signature: signature, chain: agent.chain, at: now)
        }
    }

    @Test("A chain counts within its time, also when it is remembered")
    func time() throws {
        let fleet = try TestFleet()
        let signer = try GrantSigner(
            try fleet.credentials(
                .coordinatorA, validity: Validity(start: now - 100, end: now + 100)))
        let signature = try signer.sign(payload)
        let verifier = try verifier(fleet)
        func verify(at second: Int64) throws {
            _ = try verifier.verify(
                payload: payload, signature: signature, chain: signer.chain, at: second)
        }
        #expect(throws: GrantProblem.chain(.notYetValid)) { try verify(at: now - 101) }
        try verify(at: now)
        try verify(at: now + 99)
        #expect(throws: GrantProblem.chain(.expired)) { try verify(at: now + 101) }
        #expect(throws: GrantProblem.chain(.notYetValid)) { try verify(at: now - 101) }
        try verify(at: now)
    }

    @Test("Another authority's chain, another fleet's, and rubbish are refused")
    func chains() throws {
        let fleet = try TestFleet()
        let verifier = try verifier(fleet)
        let foreign = try GrantSigner(try TestFleet().credentials(.coordinatorA))
        let signature = try foreign.sign(payload)
        let good = try fleet.credentials(.coordinatorA).chain[0]
        let cases: [([[UInt8]], CertificateProblem)] = [
            (foreign.chain, .unknownAuthority), ([], .unreadable), ([[]], .unreadable),
            ([[1, 2, 3]], .unreadable), ([good + [0]], .unreadable),
            (Array(repeating: good, count: 5), .unreadable),
            ([Array(repeating: 0x30, count: 5000)], .unreadable),
            (
                try fleet.credentials(.coordinatorA) {
                    $0.uriNames = ["spiffe://g/coordinator/a/c1"]
                }.chain, .wrongFleet("g")
            ),
        ]
        for (chain, problem) in cases {
            #expect(throws: GrantProblem.chain(problem)) {
                try verifier.verify(
                    payload: payload, signature: signature, chain: chain, at: now)
            }
        }
    }

    // MARK: - Replacement while grants are signed and verified

    private func withDirectory(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "busbar-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func files(_ directory: String) -> TLSCredentials.Files {
        TLSCredentials.Files(
            certificate: directory + "/c.pem", key: directory + "/c.key",
            authority: directory + "/ca.pem")
    }

    private func issue(
        _ fleet: TestFleet, _ directory: String, name: String = "c1", trusting: [TestFleet]
    ) throws {
        try fleet.authority.issue(
            SpiffeIdentity(fleet: "f", role: .coordinator(site: "a", name: name)),
            validity: .days(1, from: now), certificatePath: directory + "/c.pem",
            keyPath: directory + "/c.key")
        try write(trusting.map(\.authority.certificatePEM).joined(), directory + "/ca.pem")
    }

    private func write(_ text: String, _ path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test(
        "A new certificate and key sign the next grant; half of them, or bad ones, change nothing")
    func signerReload() throws {
        try withDirectory { directory in
            let fleet = try TestFleet()
            try issue(fleet, directory, trusting: [fleet])
            let signer = try GrantSigner(files: files(directory))
            let verifier = try verifier(fleet)
            func check(_ chain: [[UInt8]]) throws {
                #expect(signer.chain == chain)
                _ = try verifier.verify(
                    payload: payload, signature: try signer.sign(payload), chain: chain, at: now)
            }
            let first = signer.chain
            #expect(try signer.reloadIfChanged() == false)
            // The certificate alone is there already, its key not yet.
            let oldKey = try String(contentsOfFile: directory + "/c.key", encoding: .utf8)
            try issue(fleet, directory, trusting: [fleet])
            let newKey = try String(contentsOfFile: directory + "/c.key", encoding: .utf8)
            try write(oldKey, directory + "/c.key")
            #expect(
                throws: TLSConfigurationError(
                    message: "the key does not belong to the certificate")
            ) { try signer.reloadIfChanged() }
            #expect(try signer.reloadIfChanged() == false, "named once")
            try check(first)
            try write(newKey, directory + "/c.key")
            #expect(try signer.reloadIfChanged())
            #expect(signer.chain != first)
            try check(signer.chain)
            let second = signer.chain
            // The same once more is no news for anybody.
            try write(newKey, directory + "/c.key")
            #expect(try signer.reloadIfChanged() == false)
            try issue(fleet, directory, name: "c2", trusting: [fleet])
            #expect(throws: TLSConfigurationError.self) { try signer.reloadIfChanged() }
            try check(second)
        }
    }

    @Test("Authorities are replaced while grants come; one that is taken away counts no more")
    func authorityReload() throws {
        try withDirectory { directory in
            let (old, new) = (try TestFleet(), try TestFleet())
            let path = directory + "/ca.pem"
            try write(old.authority.certificatePEM, path)
            let authorities = try CertificateVerifier(authorityPath: path, fleet: "f")
            let verifier = GrantVerifier(verifier: authorities, site: "a")
            let signers = try [old, new].map { try GrantSigner(try $0.credentials(.coordinatorA)) }
            func isAccepted(_ signer: GrantSigner) throws -> Bool {
                let signature = try signer.sign(payload)
                do throws(GrantProblem) {
                    _ = try verifier.verify(
                        payload: payload, signature: signature, chain: signer.chain, at: now)
                    return true
                } catch {
                    if case .chain = error { return false }
                    throw error
                }
            }
            #expect(try signers.map(isAccepted) == [true, false])
            #expect(try authorities.reloadIfChanged() == false)
            try write(old.authority.certificatePEM + new.authority.certificatePEM, path)
            #expect(try authorities.reloadIfChanged())
            #expect(try signers.map(isAccepted) == [true, true])
            for bad in ["nothing", ""] {
                try write(bad, path)
                #expect(throws: TLSConfigurationError.self) { try authorities.reloadIfChanged() }
                #expect(try authorities.reloadIfChanged() == false, "named once")
                #expect(try signers.map(isAccepted) == [true, true])
            }
            // The old signer's chain is the remembered one, and still must be verified anew.
            #expect(try isAccepted(signers[0]))
            try write(new.authority.certificatePEM, path)
            #expect(try authorities.reloadIfChanged())
            #expect(try signers.map(isAccepted) == [false, true])
        }
    }
}
