// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import Synchronization

/// Signs lease grants with a coordinator's key.
///
/// A signature is ECDSA with SHA-256 over ``GrantSigner/context`` and the payload: the leading text
/// keeps a signature made for one purpose from being passed off as one made for another.
///
/// Key and certificate can be replaced while grants are signed: a chain and the signatures made after
/// it was read belong together as long as nobody reloads between the two.
///
/// **Isolation:** any thread; signatures follow one another, at some 20 µs each.
package final class GrantSigner: Sendable {
    /// What is signed before the payload: the purpose, and a zero byte that ends it.
    package static let context: [UInt8] = Array("busbar grant v1\0".utf8)

    /// Who signs.
    package let identity: SpiffeIdentity

    private struct State: ~Copyable {
        var credentials: SigningCredentials
        var followed: FollowedFiles
    }

    private let state: Mutex<State>
    private let files: TLSCredentials.Files?

    /// The signer's certificates, DER, leaf first, for those who verify.
    package var chain: [[UInt8]] { state.withLock { $0.credentials.chain } }

    /// Makes a signer of a coordinator's credentials.
    ///
    /// - Parameter credentials: the chain and its key; the authorities are not used.
    /// - Throws: ``TLSConfigurationError`` when the certificate is no coordinator's or the key is not
    ///   its own.
    package init(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
        let signing = try SigningCredentials(credentials)
        files = nil
        identity = signing.identity
        state = Mutex(State(credentials: signing, followed: FollowedFiles(inUse: nil)))
    }

    /// Makes a signer of PEM files, which ``reloadIfChanged()`` watches.
    ///
    /// - Parameter files: the files; the authorities are read and not used.
    /// - Throws: ``TLSConfigurationError`` when one cannot be read, the certificate is no
    ///   coordinator's or the key is not its own.
    package init(files: TLSCredentials.Files) throws(TLSConfigurationError) {
        // The stamp is taken first: a change during the read is seen by the next look.
        let stamp = files.stamp
        let signing = try SigningCredentials(try TLSCredentials(files: files))
        self.files = files
        identity = signing.identity
        state = Mutex(State(credentials: signing, followed: FollowedFiles(inUse: stamp)))
    }

    /// Reads the files again if one of them was changed; true when another chain or key is in use.
    ///
    /// - Throws: ``TLSConfigurationError`` when they cannot be used, once until a file changes again;
    ///   the old ones stay.
    package func reloadIfChanged() throws(TLSConfigurationError) -> Bool {
        guard let files else { return false }
        let stamp = files.stamp
        return try state.withLock { state throws(TLSConfigurationError) in
            guard state.followed.isNews(stamp) else { return false }
            do throws(TLSConfigurationError) {
                let new = try SigningCredentials(try TLSCredentials(files: files))
                guard new.identity == identity else {
                    throw TLSConfigurationError(
                        message: "the new certificate is of another identity: \(new.identity)")
                }
                let isOther = new.chain != state.credentials.chain
                state.credentials = new
                state.followed.use(stamp)
                return isOther
            } catch {
                state.followed.refuse(stamp)
                throw error
            }
        }
    }

    /// Signs a payload.
    ///
    /// - Parameter payload: the packed grant.
    /// - Returns: the signature, DER, some 72 bytes.
    /// - Throws: ``TLSConfigurationError`` when OpenSSL cannot sign: out of memory, or a provider
    ///   that refuses the key.
    package func sign(_ payload: [UInt8]) throws(TLSConfigurationError) -> [UInt8] {
        let message = Self.context + payload
        let signature = state.withLock { makeSignature(of: message, with: $0.credentials.key) }
        guard let signature else {
            throw TLSConfigurationError(message: "the grant could not be signed")
        }
        return signature
    }
}

/// A coordinator's chain and the key of its leaf, which belong together.
private struct SigningCredentials: ~Copyable {
    let chain: [[UInt8]]
    let identity: SpiffeIdentity
    let key: OwnedKey

    init(_ credentials: TLSCredentials) throws(TLSConfigurationError) {
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
        let identity: SpiffeIdentity
        do {
            identity = try readIdentity(ofCertificate: leaf.pointer)
        } catch {
            throw TLSConfigurationError(message: "this side's own \(error)")
        }
        guard case .coordinator = identity.role else {
            throw TLSConfigurationError(message: "\(identity) is not a coordinator")
        }
        self.identity = identity
        chain = credentials.chain
        self.key = key
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
