// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Synchronization

/// The credentials of a process, ready for handshakes; can be replaced while connections live.
///
/// TLS 1.3 alone, both sides verified, X25519 or P-256, no tickets, no resumption, no early data: a
/// certificate is looked at in every connection.
///
/// **Isolation:** any thread. Connections keep the credentials that they began with.
package final class TLSContext: Sendable {
    private struct State: ~Copyable {
        var snapshot: Snapshot
        var followed: FollowedFiles
    }

    private let state: Mutex<State>
    private let files: TLSCredentials.Files?

    /// Makes a context of credentials in memory.
    ///
    /// - Parameter credentials: what to show and whom to trust.
    /// - Throws: ``TLSConfigurationError`` when chain, key and authorities do not make a whole.
    package init(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
        files = nil
        state = Mutex(
            State(snapshot: try Snapshot(credentials), followed: FollowedFiles(inUse: nil)))
    }

    /// Makes a context of PEM files, which ``reloadIfChanged()`` watches.
    ///
    /// - Parameter files: the files.
    /// - Throws: ``TLSConfigurationError`` when one cannot be read or they do not make a whole.
    package init(files: TLSCredentials.Files) throws(TLSConfigurationError) {
        self.files = files
        // The stamp is taken first: a change during the read is seen by the next check.
        let stamp = files.stamp
        let snapshot = try Snapshot(TLSCredentials(files: files))
        state = Mutex(State(snapshot: snapshot, followed: FollowedFiles(inUse: stamp)))
    }

    /// Who this side is, by its own certificate.
    package var identity: SpiffeIdentity { snapshot.identity }

    /// Seconds until this side's own certificate expires; negative when it has.
    ///
    /// - Parameter unixSeconds: the wall clock.
    /// - Returns: the seconds.
    package func secondsToExpiry(at unixSeconds: Int64) -> Int64 {
        snapshot.secondsToExpiry(at: unixSeconds)
    }

    /// Replaces the credentials for the connections that begin from now on.
    ///
    /// - Parameter credentials: the new ones, of the same identity.
    /// - Throws: ``TLSConfigurationError`` when they are no whole or of another identity; the old
    ///   ones then stay.
    package func reload(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
        try replace(with: try Snapshot(credentials), stamp: nil)
    }

    /// Reads the files again if one of them was changed; true when new credentials are in use.
    ///
    /// - Throws: ``TLSConfigurationError`` when they cannot be used, once until a file changes again;
    ///   the old ones stay.
    package func reloadIfChanged() throws(TLSConfigurationError) -> Bool {
        guard let files else { return false }
        let stamp = files.stamp
        guard state.withLock({ $0.followed.isNews(stamp) }) else { return false }
        do throws(TLSConfigurationError) {
            try replace(with: try Snapshot(TLSCredentials(files: files)), stamp: stamp)
            return true
        } catch {
            state.withLock { $0.followed.refuse(stamp) }
            throw error
        }
    }

    /// The credentials in use now.
    var snapshot: Snapshot { state.withLock { $0.snapshot } }

    private func replace(
        with new: Snapshot, stamp: FileStamp?
    ) throws(TLSConfigurationError) {
        let same = state.withLock { state in
            guard state.snapshot.identity == new.identity else { return false }
            state.snapshot = new
            state.followed.use(stamp)
            return true
        }
        guard same else {
            throw TLSConfigurationError(
                message: "the new certificate is of another identity: \(new.identity)")
        }
    }
}

/// One set of credentials inside OpenSSL.
///
/// `@unchecked Sendable`: the one stored pointer is an `SSL_CTX` that nobody changes after `init`;
/// OpenSSL counts references to it atomically, and makes connections from it under its own lock, so
/// several threads may use it at once (SSL_CTX_new(3), openssl-threads(7)).
final class Snapshot: @unchecked Sendable {
    let pointer: OpaquePointer
    let identity: SpiffeIdentity

    init(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
        guard let leaf = OwnedCertificate(der: credentials.chain[0]) else {
            throw TLSConfigurationError(message: "the certificate cannot be read")
        }
        do {
            identity = try readIdentity(ofCertificate: leaf.pointer)
        } catch {
            throw TLSConfigurationError(message: "this side's own \(error)")
        }
        guard let context = SSL_CTX_new(TLS_method()) else {
            throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
        }
        pointer = context
        // From here on `deinit` frees the context, also when this initializer throws.
        try restrict()
        try present(leaf, credentials)
        let store = try OwnedStore(authorities: credentials.authorities)
        SSL_CTX_set1_cert_store(context, store.pointer)
    }

    deinit { SSL_CTX_free(pointer) }

    func secondsToExpiry(at unixSeconds: Int64) -> Int64 {
        guard let leaf = SSL_CTX_get0_certificate(pointer) else { return Int64.min }
        return CBusbarSSL_secondsToExpiry(leaf, unixSeconds)
    }

    private func restrict() throws(TLSConfigurationError) {
        let good =
            CBusbarSSL_requireTLS13(pointer) == 1
            && SSL_CTX_set_ciphersuites(
                pointer,
                "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1
            && CBusbarSSL_setGroups(pointer, "X25519:P-256") == 1
            && CBusbarSSL_setSignatureAlgorithms(
                pointer, "ECDSA+SHA256:ECDSA+SHA384:ed25519") == 1
            && SSL_CTX_set_num_tickets(pointer, 0) == 1
        guard good else {
            throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
        }
        CBusbarSSL_disableResumption(pointer)
        // Four certificates of a kilobyte each, and room: a chain is read before it is verified.
        CBusbarSSL_setMaximumChainByteCount(pointer, 16 * 1024)
        SSL_CTX_set_verify(
            pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verifyCertificate)
        SSL_CTX_set_verify_depth(pointer, 3)
        SSL_CTX_set_alpn_select_cb(pointer, selectApplicationProtocol, nil)
    }

    private func present(
        _ leaf: borrowing OwnedCertificate, _ credentials: TLSCredentials
    ) throws(TLSConfigurationError) {
        guard SSL_CTX_use_certificate(pointer, leaf.pointer) == 1 else {
            throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
        }
        for der in credentials.chain.dropFirst() {
            guard let intermediate = OwnedCertificate(der: der),
                CBusbarSSL_addChainCertificate(pointer, intermediate.pointer) == 1
            else {
                throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
            }
        }
        guard let key = OwnedKey(pem: credentials.keyPEM) else {
            throw TLSConfigurationError(message: "the key file holds no private key in PEM form")
        }
        guard SSL_CTX_use_PrivateKey(pointer, key.pointer) == 1,
            SSL_CTX_check_private_key(pointer) == 1
        else {
            ERR_clear_error()
            throw TLSConfigurationError(message: "the key does not belong to the certificate")
        }
    }
}
