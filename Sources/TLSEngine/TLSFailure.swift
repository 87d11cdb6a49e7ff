// SPDX-License-Identifier: Apache-2.0

/// Why a TLS connection failed, for good.
package enum TLSFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What came is no TLS at all: plain text, another protocol.
    case notTLS
    /// The peer offers no TLS 1.3.
    case unsupportedVersion
    /// The two sides share no application protocol, or the peer named none.
    case noApplicationProtocol
    /// The peer showed no certificate.
    case noCertificate
    /// The peer's certificate was refused here.
    case certificate(CertificateProblem)
    /// The peer refused us, or gave up, and said so.
    case alert(String)
    /// The bytes ended without the peer's closing message.
    case truncated
    /// The peer broke the protocol otherwise: altered records, messages out of order.
    case protocolViolation(String)

    package var description: String {
        switch self {
        case .notTLS: "peer does not speak TLS"
        case .unsupportedVersion: "peer does not offer TLS 1.3"
        case .noApplicationProtocol: "no application protocol in common"
        case .noCertificate: "peer showed no certificate"
        case .certificate(let problem): problem.description
        case .alert(let text): "peer refused: \(text)"
        case .truncated: "connection ended without a closing message"
        case .protocolViolation(let text): "peer broke the TLS protocol: \(text)"
        }
    }
}

/// Why a certificate chain is refused.
package enum CertificateProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// No certificate authority that is trusted here signed it.
    case unknownAuthority
    /// Its time is over.
    case expired
    /// Its time has not come.
    case notYetValid
    /// It is not meant for this use: a client's shown by a server, a CA's as a leaf.
    case wrongPurpose
    /// It has no URI name, several, or one that is no identity.
    case identity(String)
    /// It belongs to another fleet than the one expected.
    case wrongFleet(String)
    /// Its identity may not do this here; the text is the hook's.
    case notAllowed(SpiffeIdentity, String)
    /// It cannot be read.
    case unreadable
    /// Anything else, in OpenSSL's words.
    case other(String)

    package var description: String {
        switch self {
        case .unknownAuthority: "certificate is signed by an unknown authority"
        case .expired: "certificate has expired"
        case .notYetValid: "certificate is not yet valid"
        case .wrongPurpose: "certificate is not meant for this purpose"
        case .identity(let text): "certificate has no usable identity: \(text)"
        case .wrongFleet(let fleet): "certificate belongs to fleet \(fleet)"
        case .notAllowed(let identity, let text): "\(identity) is not allowed here: \(text)"
        case .unreadable: "certificate cannot be read"
        case .other(let text): "certificate is refused: \(text)"
        }
    }
}

/// A fault of this side's own certificates or keys; nothing a peer can cause.
package struct TLSConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong and where, as a sentence without a full stop.
    package var message: String

    /// Makes an error.
    ///
    /// - Parameter message: what is wrong and where.
    package init(message: String) { self.message = message }

    package var description: String { message }
}
