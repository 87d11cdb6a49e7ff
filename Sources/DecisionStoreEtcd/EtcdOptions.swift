// SPDX-License-Identifier: Apache-2.0

package import Logging

/// How a store reaches etcd, and how it behaves there.
package struct EtcdOptions: Sendable {
    /// A member's address for clients.
    package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
        /// A name, or an IPv4 or IPv6 address without brackets.
        ///
        /// It must stand in the member's certificate.
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// Reads `HOST:PORT` or `[ADDRESS]:PORT`; nil for anything else.
        package init?(text: some StringProtocol) {
            guard let colon = text.lastIndex(of: ":"),
                let port = UInt16(text[text.index(after: colon)...]), port > 0
            else { return nil }
            var host = String(text[..<colon])
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = String(host.dropFirst().dropLast())
            } else if host.contains(":") {
                return nil
            }
            guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
            self.init(host: host, port: Int(port))
        }

        package var description: String {
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    /// The PEM files of a client of etcd.
    package struct Credentials: Hashable, Sendable {
        package var certificatePath: String
        package var keyPath: String
        /// The authority that has signed the members' certificates.
        package var authorityPath: String

        package init(certificatePath: String, keyPath: String, authorityPath: String) {
            self.certificatePath = certificatePath
            self.keyPath = keyPath
            self.authorityPath = authorityPath
        }
    }

    /// What becomes of a write of which nobody knows whether it was applied.
    package enum Ambiguity: Hashable, Sendable {
        /// The leadership is given up: the next campaign's epoch fences the write for ever. For a
        /// site's ledger, whose leader then waits out what it may have granted.
        case endsLeadership
        /// A transaction whose own put makes the first attempt unable to commit reads back which of
        /// the two came first. For the fleet's store.
        case isResolved
    }

    /// The members, at least one; calls go to one until it fails, then to the next.
    package var endpoints: [Endpoint]
    /// Nil speaks without TLS, for tests and loopback only.
    package var credentials: Credentials?
    /// What all keys of this store begin with; `/busbar/FLEET/fleet/` for instance.
    package var prefix: String
    package var ambiguity = Ambiguity.isResolved
    /// How long one call may take.
    package var callTimeout = Duration.seconds(3)
    /// How long a write or read is tried again while it is known not to have been applied.
    package var patience = Duration.seconds(10)
    /// The time after which a silent leader's place is free, in seconds; etcd grants 2 at least.
    package var electionSeconds: Int64 = 2
    /// How often a leader forgets what was overwritten an interval ago or earlier.
    ///
    /// Nil leaves compaction to the cluster's own settings.
    package var compactionInterval: Duration? = .seconds(300)
    /// How often size and alarms are looked at.
    package var upkeepInterval = Duration.seconds(30)
    /// How often a follower compares what it was told with what is stored.
    package var relistInterval = Duration.seconds(180)
    /// The most that the database may hold; etcd before 3.6 does not tell.
    package var quotaByteCount: Int64 = 2 << 30
    /// The most records that one read brings.
    package var pageCount: Int64 = 512
    package var log = Logger(label: "busbar.store.etcd")

    package init(endpoints: [Endpoint], credentials: Credentials?, prefix: String) {
        self.endpoints = endpoints
        self.credentials = credentials
        self.prefix = prefix
    }
}
