// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL

/// A TLS client that follows none of this project's rules, made of OpenSSL alone.
package final class Stranger: TLSParty {
    /// What it shows and speaks.
    package struct Look {
        /// Its certificate and key, PEM; nil to show none.
        package var certificate: (chain: [UInt8], key: [UInt8])?
        /// The protocol it asks for; nil to name none.
        package var applicationProtocol: String? = "busbar-agent/1"
        /// Whether it speaks TLS 1.2 at most.
        package var isOld = false

        /// A client like any, with this certificate.
        package init(certificate: (chain: [UInt8], key: [UInt8])?) {
            self.certificate = certificate
        }
    }

    /// What came of it: nil while it goes on, else OpenSSL's words.
    package private(set) var failure: String?
    /// Whether its side of the handshake is done.
    package private(set) var isOpen = false

    private let context: OpaquePointer
    private let ssl: OpaquePointer

    /// Makes a client that accepts any server.
    package init(_ look: Look) {
        context = SSL_CTX_new(TLS_client_method())
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nil)
        if look.isOld { SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, 0x0303, nil) }
        if let (chain, key) = look.certificate {
            precondition(Self.use(chain, key, context), "the stranger's certificate is unusable")
        }
        ssl = SSL_new(context)
        if let name = look.applicationProtocol {
            let list = [UInt8(name.utf8.count)] + Array(name.utf8)
            SSL_set_alpn_protos(ssl, list, UInt32(list.count))
        }
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()))
        SSL_set_connect_state(ssl)
    }

    deinit {
        SSL_free(ssl)
        SSL_CTX_free(context)
    }

    private static func use(_ chain: [UInt8], _ key: [UInt8], _ context: OpaquePointer) -> Bool {
        let chainBIO = BIO_new_mem_buf(chain, Int32(chain.count))
        let keyBIO = BIO_new_mem_buf(key, Int32(key.count))
        defer {
            BIO_free(chainBIO)
            BIO_free(keyBIO)
        }
        guard let leaf = PEM_read_bio_X509(chainBIO, nil, nil, nil),
            let secret = PEM_read_bio_PrivateKey(keyBIO, nil, nil, nil)
        else { return false }
        defer {
            X509_free(leaf)
            EVP_PKEY_free(secret)
        }
        return SSL_CTX_use_certificate(context, leaf) == 1
            && SSL_CTX_use_PrivateKey(context, secret) == 1
    }

    package func start() { step() }

    package func take(in bytes: [UInt8], pieces: Int) -> [UInt8] {
        BIO_write(SSL_get_rbio(ssl), bytes, Int32(bytes.count))
        step()
        var space = [UInt8](repeating: 0, count: 65_536)
        let count = SSL_read(ssl, &space, Int32(space.count))
        if count <= 0 { note(count) }
        return Array(space.prefix(max(0, Int(count))))
    }

    package func takeBytes() -> [UInt8] {
        var space = [UInt8](repeating: 0, count: 65_536)
        let count = BIO_read(SSL_get_wbio(ssl), &space, Int32(space.count))
        return Array(space.prefix(max(0, Int(count))))
    }

    package var hasBytes: Bool { BIO_ctrl_pending(SSL_get_wbio(ssl)) > 0 }

    private func step() {
        guard failure == nil, !isOpen else { return }
        ERR_clear_error()
        let result = SSL_do_handshake(ssl)
        if result == 1 { isOpen = true } else { note(result) }
    }

    private func note(_ result: Int32) {
        let error = SSL_get_error(ssl, result)
        guard error != SSL_ERROR_WANT_READ else { return }
        let code = ERR_get_error()
        failure = ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(error)"
        ERR_clear_error()
    }
}
