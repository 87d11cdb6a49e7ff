// SPDX-License-Identifier: Apache-2.0

package import SecureTransport
package import StoreAccess

/// Where a coordinator finds its files, and where it listens.
package struct CoordinatorOptions: Hashable, Sendable {
    /// The topology file of the fleet.
    package var topologyPath: String
    /// Where the fleet's store is.
    package var fleetStore: StoreLocation
    /// Where the sites' stores are.
    package var siteStore: StoreLocation
    /// With which files to come to etcd.
    package var storeCredentials = StoreCredentials()
    /// Where agents and operators connect, as `HOST:PORT`; port 0 takes any free one.
    package var listenAddress: Endpoint
    /// Where health and metrics are served, without TLS: a loopback address.
    package var httpAddress: Endpoint
    package var certificatePath: String
    package var keyPath: String
    package var authorityPath: String
    /// Written when the coordinator listens: a JSON object with `port` and `http_port`.
    package var readyFilePath: String?
    /// How often agents are asked to report.
    package var reportIntervalMilliseconds: UInt64
    /// The store's files may have been put back from an older copy: nothing is raised until every
    /// older grant is over and every node that could outlive one has reported.
    package var isStoreDistrusted: Bool

    /// The files of a client of etcd; the coordinator's own where one is nil.
    package struct StoreCredentials: Hashable, Sendable {
        package var certificate: String?
        package var key: String?
        package var authority: String?

        package init(certificate: String? = nil, key: String? = nil, authority: String? = nil) {
            self.certificate = certificate
            self.key = key
            self.authority = authority
        }
    }

    /// Options for embedded stores in one folder; set ``fleetStore`` and ``siteStore`` for others.
    package init(
        topologyPath: String, storeDirectory: String, listenAddress: Endpoint,
        httpAddress: Endpoint, certificatePath: String, keyPath: String,
        authorityPath: String, readyFilePath: String? = nil,
        reportIntervalMilliseconds: UInt64 = 1000, isStoreDistrusted: Bool = false
    ) {
        self.topologyPath = topologyPath
        fleetStore = StoreLocation(folder: storeDirectory)
        siteStore = StoreLocation(folder: storeDirectory)
        self.listenAddress = listenAddress
        self.httpAddress = httpAddress
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        self.authorityPath = authorityPath
        self.readyFilePath = readyFilePath
        self.reportIntervalMilliseconds = reportIntervalMilliseconds
        self.isStoreDistrusted = isStoreDistrusted
    }
}

extension CoordinatorOptions {
    /// True when other coordinators may lead in a store.
    var isAnyStoreShared: Bool { fleetStore.isShared || siteStore.isShared }
}

/// Why a coordinator cannot start, or had to stop.
package struct CoordinatorError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, as a sentence without a full stop.
    package var message: String
    /// What to do about it; may be empty.
    package var hint: String

    package init(_ message: String, hint: String = "") {
        self.message = message
        self.hint = hint
    }

    package var description: String { hint.isEmpty ? message : "\(message) (\(hint))" }
}
