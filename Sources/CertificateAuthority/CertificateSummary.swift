// SPDX-License-Identifier: Apache-2.0

internal import FoundationEssentials
internal import SwiftASN1
package import TLSEngine
internal import X509

/// What a certificate says, for people and programs to read.
package struct CertificateSummary: Hashable, Sendable {
    /// Whom it is for.
    package let subject: String
    /// Who signed it.
    package let issuer: String
    /// Its serial number, in hexadecimal.
    package let serial: String
    /// The time within which it is good.
    package let validity: Validity
    /// Whether it may sign others.
    package let isAuthority: Bool
    /// Every URI among its names.
    package let uriNames: [String]
    /// Who it speaks for; nil when it is an authority, or its names are not exactly one identity.
    package let identity: SpiffeIdentity?

    /// Reads the first certificate of a PEM file.
    ///
    /// - Parameter path: the file.
    /// - Throws: ``AuthorityError`` that names the file, when it holds none.
    package init(path: String) throws(AuthorityError) {
        let text = try readText(path)
        do {
            try self.init(pem: text)
        } catch {
            throw AuthorityError(message: "\(path): \(error.message)")
        }
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// - Parameter pem: the text.
    /// - Throws: ``AuthorityError`` when it holds none.
    package init(pem: String) throws(AuthorityError) {
        let certificate: Certificate
        do {
            guard let first = try PEMDocument.parseMultiple(pemString: pem).first else {
                throw AuthorityError(message: "nothing in PEM form")
            }
            certificate = try Certificate(pemDocument: first)
        } catch {
            throw AuthorityError(message: "not a certificate in PEM form")
        }
        subject = "\(certificate.subject)"
        issuer = "\(certificate.issuer)"
        serial = certificate.serialNumber.bytes.map(hexadecimal).joined()
        validity = Validity(
            start: Int64(certificate.notValidBefore.timeIntervalSince1970),
            end: Int64(certificate.notValidAfter.timeIntervalSince1970))
        if case .isCertificateAuthority? = try? certificate.extensions.basicConstraints {
            isAuthority = true
        } else {
            isAuthority = false
        }
        let uris = uriTexts(of: certificate)
        uriNames = uris
        identity = uris.count == 1 && !isAuthority ? try? SpiffeIdentity(uri: uris[0]) : nil
    }
}

private func hexadecimal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0" + digits : digits
}
