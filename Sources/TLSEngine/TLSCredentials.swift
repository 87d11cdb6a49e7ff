// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What one process shows and trusts: its certificate chain and key, and the fleet's authorities.
package struct TLSCredentials: Sendable {
    /// Where credentials lie, as PEM files.
    package struct Files: Hashable, Sendable {
        /// The certificate, leaf first, then intermediates.
        package var certificate: String
        /// The private key of the leaf.
        package var key: String
        /// The authorities that are trusted.
        package var authority: String

        /// Names the files.
        package init(certificate: String, key: String, authority: String) {
            self.certificate = certificate
            self.key = key
            self.authority = authority
        }
    }

    /// The chain that is shown, DER, leaf first, root left out.
    package let chain: [[UInt8]]
    /// The private key of the leaf, PEM.
    package let keyPEM: [UInt8]
    /// The authorities that are trusted, DER.
    package let authorities: [[UInt8]]

    /// Reads credentials from PEM texts.
    ///
    /// - Parameters:
    ///   - chainPEM: the certificate, leaf first, then intermediates.
    ///   - keyPEM: the private key of the leaf.
    ///   - authorityPEM: one or more authorities; several while one is being replaced.
    /// - Throws: ``TLSConfigurationError`` when a text holds no certificate.
    package init(
        chainPEM: [UInt8], keyPEM: [UInt8], authorityPEM: [UInt8]
    ) throws(TLSConfigurationError) {
        chain = certificates(inPEM: chainPEM)
        authorities = certificates(inPEM: authorityPEM)
        self.keyPEM = keyPEM
        guard !chain.isEmpty else {
            throw TLSConfigurationError(message: "the certificate file holds no certificate")
        }
        guard !authorities.isEmpty else {
            throw TLSConfigurationError(message: "the authority file holds no certificate")
        }
    }

    /// Reads credentials from files.
    ///
    /// - Parameter files: the files.
    /// - Throws: ``TLSConfigurationError`` that names the file that cannot be read or used.
    package init(files: Files) throws(TLSConfigurationError) {
        try self.init(
            chainPEM: readFile(files.certificate), keyPEM: readFile(files.key),
            authorityPEM: readFile(files.authority))
    }
}

/// Reads the certificates of a PEM file, as DER.
///
/// - Parameter path: the file.
/// - Returns: the certificates in the file's order, at least one.
/// - Throws: ``TLSConfigurationError`` that names the file, when it cannot be read or holds none.
package func readCertificates(path: String) throws(TLSConfigurationError) -> [[UInt8]] {
    let found = certificates(inPEM: try readFile(path))
    guard !found.isEmpty else {
        throw TLSConfigurationError(message: "\(path): holds no certificate in PEM form")
    }
    return found
}

/// Reads a whole small file.
///
/// Certificates and keys are a few kilobytes; a file of more than 1 MiB is refused, so that a wrong
/// path costs an error and not the memory.
func readFile(_ path: String) throws(TLSConfigurationError) -> [UInt8] {
    let limit = 1 << 20
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw TLSConfigurationError(message: "\(path): \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        if count == 0 { return bytes }
        if count < 0 {
            if errno == EINTR { continue }
            throw TLSConfigurationError(message: "\(path): \(String(cString: strerror(errno)))")
        }
        bytes.append(contentsOf: chunk[..<count])
        guard bytes.count <= limit else {
            throw TLSConfigurationError(message: "\(path): larger than \(limit) bytes")
        }
    }
}
