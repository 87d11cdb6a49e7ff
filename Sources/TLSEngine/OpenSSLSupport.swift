// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// An X.509 certificate of OpenSSL; owns one reference.
struct OwnedCertificate: ~Copyable {
    let pointer: OpaquePointer

    /// Takes over a reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    /// Reads one DER certificate with nothing after it; nil when it is none.
    init?(der: [UInt8]) {
        let certificate = der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
            guard let start = bytes.baseAddress else { return nil }
            var cursor: UnsafePointer<UInt8>? = start
            guard let read = d2i_X509(nil, &cursor, bytes.count) else { return nil }
            guard cursor == start + bytes.count else {
                X509_free(read)
                return nil
            }
            return read
        }
        ERR_clear_error()
        guard let certificate else { return nil }
        pointer = certificate
    }

    deinit { X509_free(pointer) }

    /// The certificate in DER.
    var der: [UInt8] {
        let count = i2d_X509(pointer, nil)
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        bytes.withUnsafeMutableBufferPointer { buffer in
            var cursor = buffer.baseAddress
            i2d_X509(pointer, &cursor)
        }
        return bytes
    }
}

/// A key of OpenSSL; owns one reference.
struct OwnedKey: ~Copyable {
    let pointer: OpaquePointer

    /// Takes over a reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    /// Reads the first private key of a PEM text; nil when there is none.
    ///
    /// Keys with a passphrase are not read: a service has nobody to ask.
    init?(pem: [UInt8]) {
        let key = withMemoryBIO(pem) { bio in
            // The empty passphrase keeps OpenSSL from asking on the terminal.
            var empty: [CChar] = [0]
            return empty.withUnsafeMutableBufferPointer {
                PEM_read_bio_PrivateKey(bio, nil, nil, $0.baseAddress)
            }
        }
        ERR_clear_error()
        guard let key else { return nil }
        pointer = key
    }

    deinit { EVP_PKEY_free(pointer) }
}

/// Reads every certificate of a PEM text, in order; text around them is skipped.
func certificates(inPEM pem: [UInt8]) -> [[UInt8]] {
    var found: [[UInt8]] = []
    withMemoryBIO(pem) { bio in
        while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) {
            found.append(OwnedCertificate(owning: certificate).der)
        }
    }
    // The end of the text counts as an error in OpenSSL.
    ERR_clear_error()
    return found
}

/// Lends a read-only memory BIO over `bytes`; nil when one cannot be made.
@discardableResult
func withMemoryBIO<R>(_ bytes: [UInt8], _ body: (OpaquePointer) -> R?) -> R? {
    bytes.withUnsafeBufferPointer { buffer in
        guard let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count)) else {
            return nil
        }
        defer { BIO_free(bio) }
        return body(bio)
    }
}

/// Takes the oldest error from this thread's queue, and empties it.
///
/// OpenSSL keeps errors per thread, so the failing call and this one must be in one synchronous
/// function.
func drainedError() -> (library: Int32, reason: Int32, text: String) {
    let code = ERR_peek_error()
    defer { ERR_clear_error() }
    guard code != 0 else { return (0, 0, "no reason given") }
    let text = ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
    return (ERR_GET_LIB(code), ERR_GET_REASON(code), text)
}

/// Reads who a certificate speaks for.
///
/// - Parameter certificate: an X509 that the caller owns.
/// - Returns: the identity.
/// - Throws: ``CertificateProblem`` unless it is a leaf with exactly one URI name, an identity.
func readIdentity(
    ofCertificate certificate: OpaquePointer
) throws(CertificateProblem) -> SpiffeIdentity {
    guard X509_check_ca(certificate) == 0 else { throw .wrongPurpose }
    var text = [UInt8](repeating: 0, count: SpiffeIdentity.maximumByteCount)
    var count = 0
    let found = CBusbarSSL_uriNames(certificate, &text, text.count, &count)
    ERR_clear_error()
    switch found {
    case 1: break
    case 0: throw .identity("no URI name")
    case ..<0: throw .identity("alternative names cannot be read")
    default: throw .identity("\(found) URI names instead of one")
    }
    guard count <= text.count else { throw .identity("URI is too long") }
    guard let uri = String(validating: text.prefix(count), as: UTF8.self) else {
        throw .identity("URI is not text")
    }
    do {
        return try SpiffeIdentity(uri: uri)
    } catch {
        throw .identity(error.message)
    }
}

/// Translates OpenSSL's verdict on a chain.
func certificateProblem(verifyError code: Int32) -> CertificateProblem {
    switch code {
    case X509_V_ERR_CERT_HAS_EXPIRED: .expired
    case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
    case X509_V_ERR_INVALID_PURPOSE, X509_V_ERR_INVALID_CA: .wrongPurpose
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
        X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_SIGNATURE_FAILURE,
        X509_V_ERR_CERT_UNTRUSTED:
        .unknownAuthority
    default: .other(String(cString: X509_verify_cert_error_string(Int(code))))
    }
}

/// A store of trusted authorities; owns one reference.
struct OwnedStore: ~Copyable {
    let pointer: OpaquePointer

    /// Makes a store of DER certificates.
    ///
    /// - Throws: ``TLSConfigurationError`` when there is none or one cannot be used.
    init(authorities: [[UInt8]]) throws(TLSConfigurationError) {
        guard !authorities.isEmpty else {
            throw TLSConfigurationError(message: "no certificate authority is given")
        }
        guard let store = X509_STORE_new() else {
            throw TLSConfigurationError(message: "OpenSSL is out of memory")
        }
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_X509_STRICT))
        // A leaf, at most two intermediates, and the root.
        X509_STORE_set_depth(store, 3)
        for der in authorities {
            guard let authority = OwnedCertificate(der: der),
                X509_STORE_add_cert(store, authority.pointer) == 1
            else {
                X509_STORE_free(store)
                ERR_clear_error()
                throw TLSConfigurationError(message: "a certificate authority cannot be read")
            }
        }
        pointer = store
    }

    deinit { X509_STORE_free(pointer) }
}
