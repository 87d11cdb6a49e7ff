// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// One TLS connection without its socket: ciphertext in, plaintext out, and the other way round.
///
/// ```
///            start()                     chain, identity, policy agree
///   fresh ───────────► handshaking ────────────────────────────────────► open ──► closed
///                           │                                             │
///                           └───────────────► failed ◄────────────────────┘
/// ```
///
/// After every call the owner sends what ``takeOutbound(_:)`` has: handshake messages, records, and
/// the alert that tells the peer why a connection failed.
///
/// **Isolation:** one thread at a time, that of the connection.
/// **Ownership:** a class, because OpenSSL keeps its address; see `owner(of:)`.
package final class TLSEngine {
    /// Which end of the connection this is.
    package enum Side: Hashable, Sendable {
        /// The dialing end, with the one protocol that it wants to speak.
        case client(ApplicationProtocol)
        /// The accepting end, with the protocols that it speaks, best first.
        case server([ApplicationProtocol])
    }

    /// Where a connection stands.
    package enum State: Hashable, Sendable {
        /// The two sides are still making each other's acquaintance.
        case handshaking
        /// Both are verified; data flows.
        case open
        /// The peer has closed in order. This side may still send.
        case closed
        /// It failed, for good.
        case failed(TLSFailure)
    }

    /// The plaintext that fits the largest record.
    package static let maximumRecordByteCount = 16 * 1024

    /// Where the connection stands.
    package private(set) var state = State.handshaking
    /// The verified peer; nil until the handshake got that far.
    package private(set) var peer: SpiffeIdentity?

    private let ssl: OpaquePointer
    private let wire: UnsafeMutablePointer<CBusbarSSL_Wire>
    private let snapshot: Snapshot
    private let policy: PeerPolicy
    fileprivate let spoken: [ApplicationProtocol]
    private var problem: TLSFailure?

    /// Prepares a connection.
    ///
    /// - Parameters:
    ///   - context: the credentials.
    ///   - side: which end this is, and what it speaks.
    ///   - policy: who may be at the other end, beyond having a certificate of the same fleet.
    /// - Throws: ``TLSConfigurationError`` when OpenSSL is out of memory.
    package init(
        context: TLSContext, side: Side, policy: PeerPolicy
    ) throws(TLSConfigurationError) {
        snapshot = context.snapshot
        self.policy = policy
        guard let made = SSL_new(snapshot.pointer) else {
            throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
        }
        ssl = made
        wire = .allocate(capacity: 1)
        wire.initialize(to: CBusbarSSL_Wire())
        switch side {
        case .client(let only): spoken = [only]
        case .server(let several): spoken = several
        }
        var good = CBusbarSSL_attachWire(ssl, wire) == 1
        // Unretained: `deinit` frees the connection, so OpenSSL never holds the address for longer
        // than this object lives.
        good = good && CBusbarSSL_setOwner(ssl, Unmanaged.passUnretained(self).toOpaque()) == 1
        switch side {
        case .client:
            let offered = alpnList(spoken)
            // This one call reports success as 0.
            good = good && SSL_set_alpn_protos(ssl, offered, UInt32(offered.count)) == 0
            SSL_set_connect_state(ssl)
        case .server:
            SSL_set_accept_state(ssl)
        }
        guard good else {
            throw TLSConfigurationError(message: "OpenSSL: \(drainedError().text)")
        }
    }

    deinit {
        SSL_free(ssl)
        CBusbarSSL_releaseOutbound(wire)
        wire.deallocate()
    }

    /// Who this side showed itself to be.
    package var identity: SpiffeIdentity { snapshot.identity }

    /// The protocol that both sides agreed on; nil before the handshake settled it.
    package var applicationProtocol: ApplicationProtocol? {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &name, &count)
        guard let name else { return nil }
        let text = String(
            decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
        return ApplicationProtocol(rawValue: text)
    }

    /// Seconds until the peer's certificate expires; nil before it was shown.
    ///
    /// - Parameter unixSeconds: the wall clock.
    /// - Returns: the seconds, negative when it has expired meanwhile.
    package func peerSecondsToExpiry(at unixSeconds: Int64) -> Int64? {
        guard let leaf = SSL_get0_peer_certificate(ssl) else { return nil }
        return CBusbarSSL_secondsToExpiry(leaf, unixSeconds)
    }

    /// Begins the handshake: the client's first message is outbound afterwards.
    package func start() { shakeHands() }

    /// The space that ``receive(_:into:)`` needs for plaintext: all of it, and one record that came
    /// in earlier but for its last byte.
    ///
    /// - Parameter ciphertextByteCount: the bytes to be taken in.
    /// - Returns: the bytes of plaintext that there can be.
    package static func plaintextCapacity(for ciphertextByteCount: Int) -> Int {
        ciphertextByteCount + maximumRecordByteCount
    }

    /// Takes in all of `ciphertext`, goes on with the handshake, and writes what plaintext it holds.
    ///
    /// What came before a failure is delivered with it; ``state`` says how things stand after.
    ///
    /// - Parameters:
    ///   - ciphertext: bytes from the peer, in any pieces. Not kept.
    ///   - plaintext: at least ``plaintextCapacity(for:)`` bytes.
    /// - Returns: the bytes written to `plaintext`.
    package func receive(
        _ ciphertext: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(
            plaintext.count >= Self.plaintextCapacity(for: ciphertext.count),
            "\(plaintext.count) bytes do not hold the plaintext of \(ciphertext.count)")
        wire.pointee.inbound = ciphertext.baseAddress?.assumingMemoryBound(to: UInt8.self)
        wire.pointee.inboundCount = ciphertext.count
        defer {
            wire.pointee.inbound = nil
            wire.pointee.inboundCount = 0
        }
        if state == .handshaking { shakeHands() }
        var written = 0
        // Asking once more than there are bytes would cost as much as a small record.
        while state == .open, wire.pointee.inboundCount > 0 {
            written += decrypt(
                into: UnsafeMutableRawBufferPointer(rebasing: plaintext[written...]))
        }
        return written
    }

    /// Whether part of a record is in and the rest is awaited.
    package var hasPartialRecord: Bool { CBusbarSSL_hasPartialRecord(wire) == 1 }

    /// Learns that no more bytes will come: a failure, unless the peer had closed in order.
    package func inputEnded() {
        switch state {
        case .handshaking, .open: fail(.truncated)
        case .closed, .failed: break
        }
    }

    /// Encrypts a message; what it becomes is outbound afterwards.
    ///
    /// - Parameter plaintext: the bytes. Nothing happens when there are none.
    /// - Precondition: the connection is open, or closed by the peer alone.
    package func send(_ plaintext: UnsafeRawBufferPointer) {
        precondition(state == .open || state == .closed, "sending while \(state)")
        guard plaintext.count > 0 else { return }
        ERR_clear_error()
        var written = 0
        let good = SSL_write_ex(ssl, plaintext.baseAddress, plaintext.count, &written) == 1
        // The outbound side never blocks, so this is all or nothing.
        if !good { fail(failure(after: 0)) }
    }

    /// Tells the peer that this side sends no more; to be called once.
    package func close() {
        guard state == .open || state == .closed else { return }
        ERR_clear_error()
        SSL_shutdown(ssl)
        ERR_clear_error()
    }

    /// The number of bytes that wait to be sent.
    package var outboundByteCount: Int { wire.pointee.outboundCount }

    /// Hands over all bytes that wait to be sent, once, and frees their memory.
    ///
    /// - Parameter body: copies them; not called when there are none.
    package func takeOutbound(_ body: (UnsafeRawBufferPointer) -> Void) {
        guard wire.pointee.outboundCount > 0 else { return }
        body(
            UnsafeRawBufferPointer(start: wire.pointee.outbound, count: wire.pointee.outboundCount))
        CBusbarSSL_releaseOutbound(wire)
    }

    // MARK: - Steps

    private func shakeHands() {
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 {
            // The verifying call-back ran on both sides and left the peer; without one, or without
            // a common protocol, nothing was verified.
            guard peer != nil else { return fail(.noCertificate) }
            guard applicationProtocol != nil else { return fail(.noApplicationProtocol) }
            state = .open
            return
        }
        let error = SSL_get_error(ssl, result)
        if error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE { return }
        fail(failure(after: error))
    }

    private func decrypt(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        ERR_clear_error()
        var count = 0
        if SSL_read_ex(ssl, buffer.baseAddress, buffer.count, &count) == 1 { return count }
        switch SSL_get_error(ssl, 0) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: break
        case SSL_ERROR_ZERO_RETURN: state = .closed
        case let error: fail(failure(after: error))
        }
        return 0
    }

    private func fail(_ failure: TLSFailure) {
        ERR_clear_error()
        state = .failed(failure)
    }

    private func failure(after error: Int32) -> TLSFailure {
        let (library, reason, text) = drainedError()
        // What this side found itself says more than the alert that OpenSSL made of it.
        if let problem { return problem }
        guard library == ERR_LIB_SSL else { return .protocolViolation(text) }
        if reason >= SSL_AD_REASON_OFFSET {
            let alert = reason - SSL_AD_REASON_OFFSET
            return .alert(String(cString: SSL_alert_desc_string_long(alert)))
        }
        switch reason {
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return state == .handshaking ? .notTLS : .protocolViolation(text)
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW: return .unsupportedVersion
        case SSL_R_NO_APPLICATION_PROTOCOL: return .noApplicationProtocol
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return .noCertificate
        default: return .protocolViolation(text)
        }
    }

    // MARK: - Verdicts for OpenSSL's call-backs

    /// Judges a chain as far as it was verified: OpenSSL's `verdict`, then identity and policy.
    fileprivate func judge(_ verdict: Int32, _ verification: OpaquePointer) -> Bool {
        guard verdict == 1 else {
            problem = .certificate(
                certificateProblem(verifyError: X509_STORE_CTX_get_error(verification)))
            return false
        }
        guard X509_STORE_CTX_get_error_depth(verification) == 0 else { return true }
        do {
            peer = try admit(X509_STORE_CTX_get_current_cert(verification))
            return true
        } catch {
            problem = error
            X509_STORE_CTX_set_error(verification, X509_V_ERR_CERT_REJECTED)
            return false
        }
    }

    private func admit(_ leaf: OpaquePointer?) throws(TLSFailure) -> SpiffeIdentity {
        guard let leaf else { throw .noCertificate }
        guard let spoken = applicationProtocol else { throw .noApplicationProtocol }
        let shown: SpiffeIdentity
        do {
            shown = try readIdentity(ofCertificate: leaf)
        } catch {
            throw .certificate(error)
        }
        guard shown.fleet == identity.fleet else { throw .certificate(.wrongFleet(shown.fleet)) }
        if let refusal = policy.decide(shown, spoken) {
            throw .certificate(.notAllowed(shown, refusal))
        }
        return shown
    }
}

/// The engine of an OpenSSL connection.
private func owner(of ssl: OpaquePointer?) -> TLSEngine? {
    guard let ssl, let address = CBusbarSSL_owner(ssl) else { return nil }
    return Unmanaged<TLSEngine>.fromOpaque(address).takeUnretainedValue()
}

/// OpenSSL's question for every certificate of a chain, root first.
func verifyCertificate(_ verdict: Int32, _ verification: OpaquePointer?) -> Int32 {
    guard let verification,
        let engine = owner(of: CBusbarSSL_connection(verification))
    else { return 0 }
    return engine.judge(verdict, verification) ? 1 : 0
}

/// OpenSSL's question which of the client's protocols to speak.
func selectApplicationProtocol(
    _ ssl: OpaquePointer?, _ out: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ outCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?,
    _ offeredCount: UInt32, _ argument: UnsafeMutableRawPointer?
) -> Int32 {
    guard let engine = owner(of: ssl), let out, let outCount, let offered else {
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
    // This side's order counts; the answer must point into the client's list, which outlives the
    // call. OpenSSL has checked the form of that list, the bound is for the reader's peace.
    let theirs = UnsafeBufferPointer(start: offered, count: Int(offeredCount))
    for own in engine.spoken {
        var cursor = 0
        while cursor < theirs.count {
            let next = cursor + 1 + Int(theirs[cursor])
            guard next <= theirs.count else { return SSL_TLSEXT_ERR_ALERT_FATAL }
            if theirs[(cursor + 1)..<next].elementsEqual(own.rawValue.utf8) {
                out.pointee = offered + cursor + 1
                outCount.pointee = theirs[cursor]
                return SSL_TLSEXT_ERR_OK
            }
            cursor = next
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
