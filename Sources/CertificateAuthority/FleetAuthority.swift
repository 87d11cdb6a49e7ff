// SPDX-License-Identifier: Apache-2.0

internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
package import TLSEngine
internal import X509

/// The authority that vouches for everybody in one fleet.
///
/// Keys are ECDSA P-256. A leaf has exactly one URI among its names, the identity; a coordinator's is
/// good for both ends of a connection, an agent's and an operator's for the dialing end alone.
package struct FleetAuthority: Sendable {
    /// The file of the authority's certificate, in its directory.
    package static let certificateFile = "ca.pem"
    /// The file of the authority's key, in its directory.
    package static let keyFile = "ca.key"

    /// The fleet.
    package let fleet: String
    /// The authority's certificate, for those who trust it.
    package let certificatePEM: String

    let certificate: Certificate
    let key: P256.Signing.PrivateKey

    /// A new certificate and its key, both PEM.
    package struct Issued: Hashable, Sendable {
        /// The certificate.
        package let certificatePEM: String
        /// The key, not encrypted.
        package let keyPEM: String
    }

    /// Makes an authority in memory.
    ///
    /// - Parameters:
    ///   - fleet: the fleet's name.
    ///   - validity: how long the authority is to be trusted; no leaf can be good for longer.
    /// - Throws: ``AuthorityError`` when the name is none, or the certificate cannot be made.
    package init(fleet: String, validity: Validity) throws(AuthorityError) {
        // The identity is not used; making one says whether the name is good.
        do throws(SpiffeIdentityError) {
            _ = try SpiffeIdentity(fleet: fleet, role: .operator(name: "admin"))
        } catch {
            throw AuthorityError(message: "fleet \"\(fleet)\": \(error.message)")
        }
        let key = P256.Signing.PrivateKey()
        do {
            certificate = try Self.makeAuthority(fleet, key, validity)
            certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
        } catch {
            throw AuthorityError(message: "the authority's certificate cannot be made: \(error)")
        }
        self.fleet = fleet
        self.key = key
    }

    /// Makes an authority and writes it to a directory.
    ///
    /// - Parameters:
    ///   - fleet: the fleet's name.
    ///   - directory: where `ca.pem` and `ca.key` go; made if it does not exist.
    ///   - validity: how long the authority is to be trusted.
    /// - Returns: the authority.
    /// - Throws: ``AuthorityError``, also when an authority is there already: replacing it would cut
    ///   off everybody it vouches for.
    package static func create(
        fleet: String, in directory: String, validity: Validity
    ) throws(AuthorityError) -> FleetAuthority {
        let authority = try FleetAuthority(fleet: fleet, validity: validity)
        try makeDirectory(directory)
        // The key first: a certificate without its key would look like an authority and be none.
        try writeFile(
            authority.key.pemRepresentation + "\n", to: "\(directory)/\(keyFile)", for: .owner,
            replacing: false)
        try writeFile(
            authority.certificatePEM, to: "\(directory)/\(certificateFile)", for: .everybody,
            replacing: false)
        return authority
    }

    /// Reads an authority from its directory.
    ///
    /// - Parameter directory: where `ca.pem` and `ca.key` lie.
    /// - Throws: ``AuthorityError`` that names the file that cannot be read or does not fit.
    package init(loadingFrom directory: String) throws(AuthorityError) {
        let certificatePath = "\(directory)/\(Self.certificateFile)"
        let keyPath = "\(directory)/\(Self.keyFile)"
        certificatePEM = try readText(certificatePath)
        do {
            certificate = try Certificate(pemEncoded: certificatePEM)
        } catch {
            throw AuthorityError(message: "\(certificatePath): not a certificate in PEM form")
        }
        let keyText = try readText(keyPath)
        do {
            key = try P256.Signing.PrivateKey(pemRepresentation: keyText)
        } catch {
            throw AuthorityError(message: "\(keyPath): not a P-256 key in PEM form")
        }
        guard Certificate.PublicKey(key.publicKey) == certificate.publicKey else {
            throw AuthorityError(message: "\(keyPath): not the key of \(certificatePath)")
        }
        guard let fleet = Self.fleet(of: certificate) else {
            throw AuthorityError(message: "\(certificatePath): not the authority of a fleet")
        }
        self.fleet = fleet
    }

    /// Issues a certificate with a new key.
    ///
    /// - Parameters:
    ///   - identity: whom it is for; of this fleet.
    ///   - validity: how long; cut to the authority's own.
    /// - Returns: the certificate and its key.
    /// - Throws: ``AuthorityError`` when the identity is of another fleet.
    package func issue(
        _ identity: SpiffeIdentity, validity: Validity
    ) throws(AuthorityError) -> Issued {
        guard identity.fleet == fleet else {
            throw AuthorityError(message: "\(identity) is not of fleet \(fleet)")
        }
        return try issue(LeafTemplate(identity), validity: validity)
    }

    /// Issues a certificate with a new key, and writes both.
    ///
    /// The key can be read by the owner alone. Files that are there are replaced, each at once.
    ///
    /// - Parameters:
    ///   - identity: whom it is for; of this fleet.
    ///   - validity: how long; cut to the authority's own.
    ///   - certificatePath: the certificate's file. Directories are made.
    ///   - keyPath: the key's file. Directories are made.
    /// - Throws: ``AuthorityError``.
    package func issue(
        _ identity: SpiffeIdentity, validity: Validity, certificatePath: String, keyPath: String
    ) throws(AuthorityError) {
        try write(
            try issue(identity, validity: validity), certificatePath: certificatePath,
            keyPath: keyPath)
    }

    /// Issues a certificate for a template, and writes it and its key like those of an identity.
    ///
    /// - Parameters:
    ///   - template: what the certificate says.
    ///   - validity: how long; cut to the authority's own.
    ///   - certificatePath: the certificate's file. Directories are made.
    ///   - keyPath: the key's file. Directories are made.
    /// - Throws: ``AuthorityError``.
    package func issue(
        _ template: LeafTemplate, validity: Validity, certificatePath: String, keyPath: String
    ) throws(AuthorityError) {
        try write(
            try issue(template, validity: validity), certificatePath: certificatePath,
            keyPath: keyPath)
    }

    private func write(
        _ issued: Issued, certificatePath: String, keyPath: String
    ) throws(AuthorityError) {
        for path in [certificatePath, keyPath] {
            guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { continue }
            try makeDirectory(String(path[..<slash]))
        }
        try writeFile(issued.keyPEM, to: keyPath, for: .owner, replacing: true)
        try writeFile(issued.certificatePEM, to: certificatePath, for: .everybody, replacing: true)
    }
}

// MARK: - What is in a certificate

extension FleetAuthority {
    /// Issues a certificate for a template, whatever it says.
    ///
    /// - Parameters:
    ///   - template: what the certificate says.
    ///   - validity: how long; cut to the authority's own.
    /// - Returns: the certificate and its key.
    /// - Throws: ``AuthorityError`` when the certificate cannot be made.
    package func issue(
        _ template: LeafTemplate, validity: Validity
    ) throws(AuthorityError) -> Issued {
        let key = P256.Signing.PrivateKey()
        do {
            let leaf = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(),
                publicKey: Certificate.PublicKey(key.publicKey),
                notValidBefore: max(date(validity.start), certificate.notValidBefore),
                notValidAfter: min(date(validity.end), certificate.notValidAfter),
                issuer: certificate.subject, subject: name(template.commonName),
                signatureAlgorithm: .ecdsaWithSHA256,
                extensions: extensions(template, key),
                issuerPrivateKey: Certificate.PrivateKey(self.key))
            return Issued(
                certificatePEM: try leaf.serializeAsPEM().pemString + "\n",
                keyPEM: key.pemRepresentation + "\n")
        } catch {
            throw AuthorityError(
                message: "the certificate of \(template.commonName) cannot be made: \(error)")
        }
    }

    private func extensions(
        _ template: LeafTemplate, _ key: P256.Signing.PrivateKey
    ) throws -> Certificate.Extensions {
        let issuer = SubjectKeyIdentifier(hash: certificate.publicKey)
        return try Certificate.Extensions {
            if template.isAuthority {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true))
            } else {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
            }
            try ExtendedKeyUsage(usages(of: template))
            let names = alternativeNames(template)
            if !names.isEmpty { SubjectAlternativeNames(names) }
            SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            AuthorityKeyIdentifier(keyIdentifier: issuer.keyIdentifier)
        }
    }

    private static func makeAuthority(
        _ fleet: String, _ key: P256.Signing.PrivateKey, _ validity: Validity
    ) throws -> Certificate {
        let subject = try name("\(fleet) authority")
        let publicKey = Certificate.PublicKey(key.publicKey)
        return try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey,
            notValidBefore: date(validity.start), notValidAfter: date(validity.end),
            issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                // It signs leaves, and no further authorities.
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectAlternativeNames([.uniformResourceIdentifier("spiffe://\(fleet)")])
                SubjectKeyIdentifier(hash: publicKey)
            },
            issuerPrivateKey: Certificate.PrivateKey(key))
    }

    /// The fleet whose authority a certificate is; nil when it is none.
    private static func fleet(of certificate: Certificate) -> String? {
        guard case .isCertificateAuthority? = try? certificate.extensions.basicConstraints else {
            return nil
        }
        let uris = uriTexts(of: certificate)
        guard uris.count == 1, uris[0].hasPrefix("spiffe://") else { return nil }
        let fleet = String(uris[0].dropFirst("spiffe://".count))
        return (try? SpiffeIdentity(fleet: fleet, role: .operator(name: "admin"))) == nil
            ? nil : fleet
    }
}

private func alternativeNames(_ template: LeafTemplate) -> [GeneralName] {
    template.uriNames.map { .uniformResourceIdentifier($0) }
        + template.hostNames.map { .dnsName($0) }
        + template.addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
}

private func usages(of template: LeafTemplate) -> [ExtendedKeyUsage.Usage] {
    (template.isServer ? [.serverAuth] : []) + (template.isClient ? [.clientAuth] : [])
}

/// The URIs among a certificate's names.
func uriTexts(of certificate: Certificate) -> [String] {
    guard let names = try? certificate.extensions.subjectAlternativeNames else { return [] }
    return names.compactMap { name in
        if case .uniformResourceIdentifier(let uri) = name { return uri }
        return nil
    }
}

private func name(_ commonName: String) throws -> DistinguishedName {
    // The attribute holds 64 characters at most (RFC 5280, ub-common-name); the identity is in the
    // alternative name, this one is for people.
    try DistinguishedName { CommonName(String(commonName.prefix(64))) }
}

private func date(_ unixSeconds: Int64) -> Date {
    Date(timeIntervalSince1970: Double(unixSeconds))
}
