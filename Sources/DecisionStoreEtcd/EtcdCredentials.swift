// SPDX-License-Identifier: Apache-2.0

internal import GRPCNIOTransportHTTP2Posix
internal import Glibc

/// The files with which a client of etcd proves who it is.
enum EtcdCredentials {
    /// TLS towards a member: both sides are verified.
    static func tls(
        _ credentials: EtcdOptions.Credentials
    ) -> HTTP2ClientTransport.Posix.TransportSecurity.TLS {
        var tls = HTTP2ClientTransport.Posix.TransportSecurity.TLS.mTLS(
            certificateChain: [.file(path: credentials.certificatePath, format: .pem)],
            privateKey: .file(path: credentials.keyPath, format: .pem))
        tls.trustRoots = .certificates([.file(path: credentials.authorityPath, format: .pem)])
        tls.serverCertificateVerification = .fullVerification
        return tls
    }

    /// A text that differs when one of the files was replaced or written.
    static func stamp(_ credentials: EtcdOptions.Credentials?) -> String {
        guard let credentials else { return "" }
        let paths = [
            credentials.certificatePath, credentials.keyPath, credentials.authorityPath,
        ]
        return paths.map { path in
            var status = stat()
            guard stat(path, &status) == 0 else { return "-" }
            let time = status.st_mtim
            return "\(status.st_ino).\(status.st_size).\(time.tv_sec).\(time.tv_nsec)"
        }.joined(separator: " ")
    }

    /// True for an IPv4 address in dotted form.
    static func isIPv4(_ host: String) -> Bool {
        var address = in_addr()
        return inet_pton(AF_INET, host, &address) == 1
    }
}
