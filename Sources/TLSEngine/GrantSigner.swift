// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Synchronization

/// Signs lease grants with a coordinator's key.
///
/// A signature is ECDSA with SHA-256 over ``GrantSigner/context`` and the payload: the leading text
/// keeps a signature made for one purpose from being passed off as one made for another.
///
/// **Isolation:** any thread; signatures follow one another, at some 20 µs each.
package final class GrantSigner: Sendable {
    /// What is signed before the payload: the purpose, and a zero byte that ends it.
    package static let context: [UInt8] = Array("busbar grant v1\0".utf8)

    /// The signer's certificates, DER, leaf first, for those who verify.
    package let chain: [[UInt8]]
    /// Who signs.
    package let identity: SpiffeIdentity

    private let key: Mutex<OwnedKey>

    /// Makes a signer of a coordinator's credentials.
    ///
    /// - Parameter credentials: the chain and its key; the authorities are not used.
    /// - Throws: ``TLSConfigurationError`` when the certificate is no coordinator's or the key is not
    ///   its own.
    package init(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
        guard let leaf = OwnedCertificate(der: credentials.chain[0]) else {
            throw TLSConfigurationError(message: "the certificate cannot be read")
        }
        guard let key = OwnedKey(pem: credentials.keyPEM) else {
            throw TLSConfigurationError(message: "the key file holds no private key in PEM form")
        }
        guard X509_check_private_key(leaf.pointer, key.pointer) == 1 else {
            ERR_clear_error()
            throw TLSConfigurationError(message: "the key does not belong to the certificate")
        }
        do {
            identity = try readIdentity(ofCertificate: leaf.pointer)
        } catch {
            throw TLSConfigurationError(message: "this side's own \(error)")
        }
        guard case .coordinator = identity.role else {
            throw TLSConfigurationError(message: "\(identity) is not a coordinator")
        }
        chain = credentials.chain
        self.key = Mutex(key)
    }

    /// Signs a payload.
    ///
    /// - Parameter payload: the packed grant.
    /// - Returns: the signature, DER, some 72 bytes.
    /// - Throws: ``TLSConfigurationError`` when OpenSSL cannot sign: out of memory, or a provider
    ///   that refuses the key.
    package func sign(_ payload: [UInt8]) throws(TLSConfigurationError) -> [UInt8] {
        let message = Self.context + payload
        let signature = key.withLock { makeSignature(of: message, with: $0) }
        guard let signature else {
            throw TLSConfigurationError(message: "the grant could not be signed")
        }
        return signature
    }
}

private func makeSignature(of message: [UInt8], with key: borrowing OwnedKey) -> [UInt8]? {
    guard let digest = EVP_MD_CTX_new() else { return nil }
    defer {
        EVP_MD_CTX_free(digest)
        ERR_clear_error()
    }
    var count = 0
    guard EVP_DigestSignInit(digest, nil, EVP_sha256(), nil, key.pointer) == 1,
        EVP_DigestSign(digest, nil, &count, message, message.count) == 1
    else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    guard EVP_DigestSign(digest, &bytes, &count, message, message.count) == 1 else { return nil }
    return Array(bytes.prefix(count))
}
