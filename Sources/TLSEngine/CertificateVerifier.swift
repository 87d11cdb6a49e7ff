// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Synchronization

/// Verifies a certificate chain that came some other way than by a handshake.
///
/// The enforcer uses it: a lease grant reaches it through the agent, which it does not trust, with
/// the chain of the coordinator that signed.
///
/// **Isolation:** any thread; verifications follow one another.
package final class CertificateVerifier: Sendable {
    private struct State: ~Copyable {
        var store: OwnedStore
        var followed: FollowedFiles
        /// Counts the replacements of the authorities.
        var generation: UInt64 = 0

        func verify(
            _ chain: [[UInt8]], at unixSeconds: Int64
        ) -> Result<Verified, CertificateProblem> {
            guard let leaf = OwnedCertificate(der: chain[0]),
                let others = OwnedStack(der: chain.dropFirst())
            else { return .failure(.unreadable) }
            let error = verifyError(store, leaf, others, unixSeconds)
            guard error == X509_V_OK else {
                return .failure(certificateProblem(verifyError: error))
            }
            do {
                let identity = try readIdentity(ofCertificate: leaf.pointer)
                let validity = others.validity(with: leaf, at: unixSeconds)
                return .success(Verified(identity: identity, validity: validity))
            } catch {
                return .failure(error)
            }
        }
    }

    /// A chain that was found good.
    package struct Verified: Hashable, Sendable {
        /// Who the leaf speaks for.
        package let identity: SpiffeIdentity
        /// The wall-clock seconds within which every certificate of the chain is valid.
        package let validity: ClosedRange<Int64>
    }

    private let state: Mutex<State>
    private let fleet: String
    private let path: String?

    /// Makes a verifier.
    ///
    /// - Parameters:
    ///   - authorities: the authorities that are trusted, DER.
    ///   - fleet: the fleet that identities must belong to.
    /// - Throws: ``TLSConfigurationError`` when there is no authority or one cannot be read.
    package init(authorities: [[UInt8]], fleet: String) throws(TLSConfigurationError) {
        state = Mutex(
            State(
                store: try OwnedStore(authorities: authorities),
                followed: FollowedFiles(inUse: nil)))
        self.fleet = fleet
        path = nil
    }

    /// Makes a verifier that trusts the authorities of a PEM file, which ``reloadIfChanged()``
    /// watches.
    ///
    /// - Parameters:
    ///   - authorityPath: the file.
    ///   - fleet: the fleet that identities must belong to.
    /// - Throws: ``TLSConfigurationError`` when it cannot be read or holds no authority.
    package init(authorityPath: String, fleet: String) throws(TLSConfigurationError) {
        // The stamp is taken first: a change during the read is seen by the next look.
        let stamp = FileStamp([authorityPath])
        let store = try OwnedStore(authorities: try readCertificates(path: authorityPath))
        state = Mutex(State(store: store, followed: FollowedFiles(inUse: stamp)))
        self.fleet = fleet
        path = authorityPath
    }

    /// Reads the file again if it was changed; true when other authorities are trusted now.
    ///
    /// - Throws: ``TLSConfigurationError`` when it cannot be used, once until it changes again; the
    ///   authorities of before stay.
    package func reloadIfChanged() throws(TLSConfigurationError) -> Bool {
        guard let path else { return false }
        let stamp = FileStamp([path])
        return try state.withLock { state throws(TLSConfigurationError) in
            guard state.followed.isNews(stamp) else { return false }
            do throws(TLSConfigurationError) {
                state.store = try OwnedStore(authorities: try readCertificates(path: path))
                state.followed.use(stamp)
                state.generation += 1
                return true
            } catch {
                state.followed.refuse(stamp)
                throw error
            }
        }
    }

    /// Counts how often the authorities were replaced: a verdict counts only with the authorities
    /// that it was found with.
    var generation: UInt64 { state.withLock { $0.generation } }

    /// Verifies a chain: signatures up to a trusted authority, validity, purpose, identity, fleet.
    ///
    /// - Parameters:
    ///   - chain: DER, leaf first, at most four certificates of 4 KiB.
    ///   - unixSeconds: the wall clock.
    /// - Returns: the identity of the leaf, and how long the verdict holds.
    /// - Throws: ``CertificateProblem``.
    package func verify(
        chain: [[UInt8]], at unixSeconds: Int64
    ) throws(CertificateProblem) -> Verified {
        guard (1...4).contains(chain.count), chain.allSatisfy({ $0.count <= 4096 }) else {
            throw .unreadable
        }
        let outcome = state.withLock { $0.verify(chain, at: unixSeconds) }
        let verified = try outcome.get()
        guard verified.identity.fleet == fleet else { throw .wrongFleet(verified.identity.fleet) }
        return verified
    }
}

/// Verifies one chain; X509_V_OK or the error.
private func verifyError(
    _ store: borrowing OwnedStore, _ leaf: borrowing OwnedCertificate,
    _ others: borrowing OwnedStack, _ unixSeconds: Int64
) -> Int32 {
    guard let verification = X509_STORE_CTX_new() else { return X509_V_ERR_OUT_OF_MEM }
    defer {
        X509_STORE_CTX_free(verification)
        ERR_clear_error()
    }
    guard X509_STORE_CTX_init(verification, store.pointer, leaf.pointer, others.pointer) == 1,
        // Those who sign grants also accept connections, so this is the purpose that they have.
        X509_STORE_CTX_set_purpose(verification, X509_PURPOSE_SSL_SERVER) == 1
    else { return X509_V_ERR_OUT_OF_MEM }
    X509_STORE_CTX_set_time(verification, 0, time_t(unixSeconds))
    if X509_verify_cert(verification) == 1 { return X509_V_OK }
    let error = X509_STORE_CTX_get_error(verification)
    // A failed call that left no verdict is still a failure.
    return error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error
}

/// The certificates of a chain above its leaf.
private struct OwnedStack: ~Copyable {
    let pointer: OpaquePointer

    init?(der certificates: some Sequence<[UInt8]>) {
        guard let stack = CBusbarSSL_newStack() else { return nil }
        for der in certificates {
            guard let certificate = OwnedCertificate(der: der),
                CBusbarSSL_push(stack, certificate.pointer) == 1
            else {
                CBusbarSSL_freeStack(stack)
                return nil
            }
        }
        pointer = stack
    }

    deinit { CBusbarSSL_freeStack(pointer) }

    /// The time within which `leaf` and all of these are valid; it holds `now` after verification.
    func validity(with leaf: borrowing OwnedCertificate, at now: Int64) -> ClosedRange<Int64> {
        var start = CBusbarSSL_secondsToStart(leaf.pointer, now)
        var end = CBusbarSSL_secondsToExpiry(leaf.pointer, now)
        for index in 0..<CBusbarSSL_count(pointer) {
            guard let certificate = CBusbarSSL_at(pointer, index) else { continue }
            start = max(start, CBusbarSSL_secondsToStart(certificate, now))
            end = min(end, CBusbarSSL_secondsToExpiry(certificate, now))
        }
        return now + min(start, 0)...now + max(end, 0)
    }
}
