// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoordinatorService
import DecisionStoreEtcd
import StoreAccess

/// Which fleet, and where its stores are.
struct StoreOptions: ParsableArguments {
    @Option(help: "The topology file.") var topology: String
    @Option(help: "The fleet's store: sqlite:FOLDER or etcd://HOST:PORT,HOST:PORT[/PREFIX].")
    var fleetStore: String
    @Option(help: "The sites' stores, written like the fleet's.") var siteStore: String
    @Option(help: "The certificate for etcd, PEM.") var etcdCert: String?
    @Option(help: "The key of the certificate for etcd.") var etcdKey: String?
    @Option(help: "The authority of etcd's members.") var etcdCa: String?

    /// Reads two locations.
    static func places(_ fleet: String, _ sites: String) throws -> StoreTools.Places {
        do {
            return StoreTools.Places(
                fleet: try StoreLocation(fleet), sites: try StoreLocation(sites))
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// Does something with the stores, and prints what was done.
    func run(
        _ body: (StoreTools, StoreTools.Places) async throws -> [String]
    ) async throws {
        let places = try Self.places(fleetStore, siteStore)
        var credentials: EtcdOptions.Credentials?
        if let etcdCert, let etcdKey, let etcdCa {
            credentials = .init(
                certificatePath: etcdCert, keyPath: etcdKey, authorityPath: etcdCa)
        } else if etcdCert != nil || etcdKey != nil || etcdCa != nil {
            throw ValidationError("--etcd-cert, --etcd-key and --etcd-ca belong together")
        }
        let tools = try StoreTools(topologyPath: topology, credentials: credentials)
        for line in try await body(tools, places) { print(line) }
    }
}
