// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Synchronization

/// Why a signed grant is refused.
package enum GrantProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// The signer's chain is refused.
    case chain(CertificateProblem)
    /// The signer is no coordinator of this site.
    case wrongSigner(SpiffeIdentity)
    /// The signature is not the signer's over this payload.
    case wrongSignature

    package var description: String {
        switch self {
        case .chain(let problem): "grant's signer: \(problem)"
        case .wrongSigner(let identity): "grant is signed by \(identity), not by this site's leader"
        case .wrongSignature: "grant's signature is wrong"
        }
    }
}

/// Verifies signed lease grants, for one site.
///
/// The last good chain is remembered, so that a grant costs one signature and no chain; its validity
/// is looked at every time, and it is verified again when the authorities were replaced.
///
/// **Isolation:** any thread; verifications follow one another.
package final class GrantVerifier: Sendable {
    private final class Signer {
        let chain: [[UInt8]]
        let verified: CertificateVerifier.Verified
        let key: OwnedKey
        /// The authorities that the chain was verified with.
        let generation: UInt64

        init(
            chain: [[UInt8]], verified: CertificateVerifier.Verified, key: consuming OwnedKey,
            generation: UInt64
        ) {
            self.generation = generation
            self.chain = chain
            self.verified = verified
            self.key = key
        }
    }

    private struct State: ~Copyable {
        var remembered: Signer?
    }

    private let verifier: CertificateVerifier
    private let site: String
    private let state = Mutex(State(remembered: nil))

    /// Makes a verifier.
    ///
    /// - Parameters:
    ///   - verifier: the verifier of chains, for the fleet.
    ///   - site: the site whose coordinators may sign; those of every site may as well.
    package init(verifier: CertificateVerifier, site: String) {
        self.verifier = verifier
        self.site = site
    }

    /// Verifies that a coordinator of the site signed a payload.
    ///
    /// - Parameters:
    ///   - payload: the packed grant, as it came.
    ///   - signature: the signature, DER.
    ///   - chain: the signer's certificates, DER, leaf first.
    ///   - unixSeconds: the wall clock, for the certificates' validity alone.
    /// - Returns: who signed.
    /// - Throws: ``GrantProblem``; the grant must then not be acted on.
    package func verify(
        payload: [UInt8], signature: [UInt8], chain: [[UInt8]], at unixSeconds: Int64
    ) throws(GrantProblem) -> SpiffeIdentity {
        let message = GrantSigner.context + payload
        let outcome = state.withLock { state -> Result<SpiffeIdentity, GrantProblem> in
            do throws(GrantProblem) {
                try remember(chain, at: unixSeconds, in: &state)
            } catch {
                return .failure(error)
            }
            guard let remembered = state.remembered,
                isSignature(signature, of: message, by: remembered.key)
            else { return .failure(.wrongSignature) }
            return .success(remembered.verified.identity)
        }
        return try outcome.get()
    }

    /// Makes sure that `chain` is the remembered one and valid now.
    private func remember(
        _ chain: [[UInt8]], at unixSeconds: Int64, in state: inout State
    ) throws(GrantProblem) {
        let generation = verifier.generation
        if let known = state.remembered, known.chain == chain, known.generation == generation,
            known.verified.validity.contains(unixSeconds)
        {
            return
        }
        let verified: CertificateVerifier.Verified
        do {
            verified = try verifier.verify(chain: chain, at: unixSeconds)
        } catch {
            throw .chain(error)
        }
        guard verified.identity.isCoordinator(of: site) else {
            throw .wrongSigner(verified.identity)
        }
        guard let leaf = OwnedCertificate(der: chain[0]), let key = X509_get_pubkey(leaf.pointer)
        else { throw .chain(.unreadable) }
        state.remembered = Signer(
            chain: chain, verified: verified, key: OwnedKey(owning: key),
            generation: generation)
    }
}

private func isSignature(
    _ signature: [UInt8], of message: [UInt8], by key: borrowing OwnedKey
) -> Bool {
    guard let digest = EVP_MD_CTX_new() else { return false }
    defer {
        EVP_MD_CTX_free(digest)
        ERR_clear_error()
    }
    return EVP_DigestVerifyInit(digest, nil, EVP_sha256(), nil, key.pointer) == 1
        && EVP_DigestVerify(digest, signature, signature.count, message, message.count) == 1
}
