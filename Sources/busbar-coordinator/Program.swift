// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoordinatorService
import SecureTransport

/// The command line of the coordinator.
@main
struct BusbarCoordinator: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "busbar-coordinator",
        abstract: "Leads a fleet: places jobs, keeps the ledger of watts, grants leases.",
        version: CoordinatorVersion.current)

    @Option(help: "The topology file.")
    var topology: String
    @Option(help: "The folder of the stores.")
    var store: String
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
        let code = await CoordinatorProgram.run(
            CoordinatorOptions(
                topologyPath: topology, storeDirectory: store, listenAddress: listenAddress,
                httpAddress: httpAddress, certificatePath: cert, keyPath: key,
                authorityPath: ca, readyFilePath: readyFile, isStoreDistrusted: distrustStore))
        if code != 0 { throw ExitCode(code) }
    }
}
