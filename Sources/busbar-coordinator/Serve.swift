// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoordinatorService
import SecureTransport
import StoreAccess

/// Leads the fleet, or stands by.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lead the fleet, or stand by while another coordinator does.")

    @Option(help: "The topology file.")
    var topology: String
    @Option(help: "The folder of embedded stores, for those that no URL names.")
    var store: String?
    @Option(help: "The fleet's store: sqlite:FOLDER or etcd://HOST:PORT,HOST:PORT[/PREFIX].")
    var fleetStore: String?
    @Option(help: "The sites' stores, written like the fleet's.")
    var siteStore: String?
    @Option(help: "The certificate for etcd, PEM; the coordinator's own without it.")
    var etcdCert: String?
    @Option(help: "The key of the certificate for etcd.")
    var etcdKey: String?
    @Option(help: "The authority of etcd's members; the fleet's without it.")
    var etcdCa: String?
    @Option(help: "Where agents and operators connect, HOST:PORT.")
    var listen = "0.0.0.0:7470"
    @Option(help: "Where health and metrics are served, HOST:PORT on this machine.")
    var http = "127.0.0.1:7471"
    @Option(help: "The coordinator's certificate, PEM.")
    var cert: String
    @Option(help: "The key of the certificate, PEM.")
    var key: String
    @Option(help: "The fleet's certificate authority, PEM.")
    var ca: String
    @Option(help: "Written with the ports once the coordinator listens.")
    var readyFile: String?
    @Flag(help: "The store's files may be an older copy: raise nothing until that is ruled out.")
    var distrustStore = false

    func run() async throws {
        guard let listenAddress = Endpoint(text: listen) else {
            throw ValidationError("'\(listen)' is not HOST:PORT")
        }
        guard let httpAddress = Endpoint(text: http) else {
            throw ValidationError("'\(http)' is not HOST:PORT")
        }
        var options = CoordinatorOptions(
            topologyPath: topology, storeDirectory: store ?? "", listenAddress: listenAddress,
            httpAddress: httpAddress, certificatePath: cert, keyPath: key, authorityPath: ca,
            readyFilePath: readyFile, isStoreDistrusted: distrustStore)
        options.fleetStore = try location(fleetStore, "--fleet-store")
        options.siteStore = try location(siteStore, "--site-store")
        options.storeCredentials = .init(
            certificate: etcdCert, key: etcdKey, authority: etcdCa)
        let code = await CoordinatorProgram.run(options)
        if code != 0 { throw ExitCode(code) }
    }

    private func location(_ text: String?, _ option: String) throws -> StoreLocation {
        guard let url = text ?? store.map({ "sqlite:\($0)" }) else {
            throw ValidationError("where the store is: give \(option) or --store")
        }
        do {
            return try StoreLocation(url)
        } catch {
            throw ValidationError("\(option): \(error)")
        }
    }
}
