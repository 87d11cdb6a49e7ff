// SPDX-License-Identifier: Apache-2.0

package import DecisionStore
package import DecisionStoreEtcd
internal import DecisionStoreSQLite
package import Logging

/// Where the stores of a fleet are, as an operator writes it.
///
/// * `sqlite:FOLDER`: `fleet.db` and one `site-NAME.db` for each site lie in the folder;
/// * `etcd://HOST:PORT,HOST:PORT,…` with an optional `/PREFIX`, `busbar` without one: everything of a
///   fleet is below `/PREFIX/FLEET/`.
package struct StoreLocation: Hashable, Sendable, CustomStringConvertible {
    /// What keeps the stores.
    package enum Kind: Hashable, Sendable {
        case sqlite(folder: String)
        case etcd(endpoints: [EtcdOptions.Endpoint], prefix: String)
    }

    /// Which of a fleet's stores is meant.
    package enum Store: Hashable, Sendable {
        case fleet
        case site(String)
    }

    package var kind: Kind

    /// A folder of embedded stores.
    package init(folder: String) {
        kind = .sqlite(folder: folder)
    }

    /// Reads a location.
    ///
    /// - Throws: ``StoreError/invalid(_:)`` that says what is wrong with it.
    package init(_ text: String) throws(StoreError) {
        if text.hasPrefix("sqlite:") {
            let folder = text.dropFirst("sqlite:".count)
            guard !folder.isEmpty else { throw .invalid("'\(text)' names no folder") }
            kind = .sqlite(folder: String(folder))
        } else if text.hasPrefix("etcd://") {
            let rest = text.dropFirst("etcd://".count)
            let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            var endpoints: [EtcdOptions.Endpoint] = []
            for part in parts[0].split(separator: ",", omittingEmptySubsequences: false) {
                guard let endpoint = EtcdOptions.Endpoint(text: part) else {
                    throw .invalid("'\(part)' in '\(text)' is not HOST:PORT")
                }
                endpoints.append(endpoint)
            }
            let prefix = parts.count > 1 ? String(parts[1]) : "busbar"
            do throws(StoreError) {
                try StoreKey.validate(prefix)
            } catch {
                throw .invalid("'\(text)' has a bad prefix: \(error)")
            }
            kind = .etcd(endpoints: endpoints, prefix: prefix)
        } else {
            throw .invalid(
                "'\(text)' is neither sqlite:FOLDER nor etcd://HOST:PORT,HOST:PORT")
        }
    }

    package var description: String {
        switch kind {
        case .sqlite(let folder): "sqlite:\(folder)"
        case .etcd(let endpoints, let prefix):
            "etcd://\(endpoints.map(\.description).joined(separator: ","))/\(prefix)"
        }
    }

    /// True when other processes may lead here, so that a campaign may wait.
    package var isShared: Bool {
        if case .etcd = kind { true } else { false }
    }

    /// Opens one store of a fleet.
    ///
    /// - Parameters:
    ///   - store: which.
    ///   - fleet: the fleet's name.
    ///   - credentials: for etcd; nil speaks without TLS.
    ///   - log: where an etcd store logs.
    /// - Returns: the store; close it.
    /// - Throws: ``StoreError`` when an embedded store cannot be opened; etcd is dialled later.
    package func open(
        _ store: Store, fleet: String, credentials: EtcdOptions.Credentials?,
        log: Logger = Logger(label: "busbar.store.etcd")
    ) throws(StoreError) -> any DecisionStore {
        switch kind {
        case .sqlite(let folder):
            switch store {
            case .fleet: return try SQLiteDecisionStore(path: folder + "/fleet.db")
            case .site(let name):
                return try SQLiteDecisionStore(path: "\(folder)/site-\(name).db")
            }
        case .etcd(let endpoints, let prefix):
            let part =
                switch store {
                case .fleet: "fleet"
                case .site(let name): "site/\(name)"
                }
            var options = EtcdOptions(
                endpoints: endpoints, credentials: credentials,
                prefix: "/\(prefix)/\(fleet)/\(part)/")
            // A ledger's leader that does not know what it has written begins anew.
            options.ambiguity = store == .fleet ? .isResolved : .endsLeadership
            options.log = log
            return EtcdDecisionStore(options)
        }
    }
}
