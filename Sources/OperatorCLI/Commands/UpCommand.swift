// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser

extension ChildKind: ExpressibleByArgument {}

/// `busbar up`: a whole fleet on one machine, in one command.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Run a whole fleet on this machine.",
        discussion: """
            Makes certificates, starts the coordinator, the simulated hardware, and an agent and an \
            enforcer for each node (for each site in fleets of more than 32 nodes), restarts what \
            dies, submits the sample jobs of the file and shows the fleet until Ctrl-C. Everything \
            is kept in the state directory; the next `up` there goes on with the same jobs.
            """)

    @Argument(help: ArgumentHelp("The topology file.", valueName: "topology"))
    var topology: String

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp(
            "End so many seconds after the start, with a summary.", valueName: "seconds"))
    var duration: Double?

    @Option(help: ArgumentHelp("The state directory.", valueName: "dir")) var state: String?
    @Option(help: ArgumentHelp("Port of the protocol; 0 is any free one.", valueName: "number"))
    var port: UInt16 = 7470
    @Option(
        help: ArgumentHelp("Port of metrics and health; 0 is any free one.", valueName: "number"))
    var httpPort: UInt16 = 7471
    @Option(
        help: ArgumentHelp(
            "Leave processes of this kind down when they die: agent, enforcer, coordinator or "
                + "hardware; may be repeated.", valueName: "kind"))
    var noRestart: [ChildKind] = []
    @Option(
        help: ArgumentHelp(
            "How many coordinators stand for the lead; more than one needs etcd for both stores.",
            valueName: "number"))
    var coordinators = 1
    @Option(
        help: ArgumentHelp(
            "The fleet's store: sqlite:FOLDER or etcd://HOST:PORT,HOST:PORT; in the state "
                + "directory without it.", valueName: "url"))
    var fleetStore: String?
    @Option(
        help: ArgumentHelp("The sites' stores, written like the fleet's.", valueName: "url"))
    var siteStore: String?
    @Option(help: ArgumentHelp("The certificate for etcd.", valueName: "file"))
    var etcdCert: String?
    @Option(help: ArgumentHelp("The key of that certificate.", valueName: "file"))
    var etcdKey: String?
    @Option(help: ArgumentHelp("The authority of etcd's members.", valueName: "file"))
    var etcdCa: String?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(1...9).contains(coordinators) {
            throw ValidationError("--coordinators is from 1 to 9")
        }
        let areShared = [fleetStore, siteStore].allSatisfy { $0?.hasPrefix("etcd://") == true }
        if coordinators > 1 && !areShared {
            throw ValidationError(
                "--coordinators above 1 needs --fleet-store and --site-store with etcd://")
        }
        if let duration, !(duration > 0 && duration < 1e9) {
            throw ValidationError("--for takes a number of seconds above 0")
        }
        if port != 0 && port == httpPort {
            throw ValidationError("--port and --http-port are the same")
        }
    }

    func run() async throws {
        let startedAt = Program.startedAt
        Interruption.watch()
        let session = try UpSession(
            UpSession.Options(
                topologyPath: topology, directory: StateDirectory.resolve(option: state),
                port: port, httpPort: httpPort, unrestarted: Set(noRestart),
                coordinatorCount: coordinators, storeArguments: storeArguments,
                startedAt: startedAt,
                endsAt: duration.map { startedAt + Int64($0 * 1e9) },
                isJSON: output.output == .json))
        let summary = try await session.run()
        if output.output == .json {
            output.output.write(summary.json)
        } else {
            Terminal.write(summary.text, to: 1)
        }
    }

    /// The options of a coordinator that say where its stores are.
    private var storeArguments: [String] {
        let options = [
            ("--fleet-store", fleetStore), ("--site-store", siteStore), ("--etcd-cert", etcdCert),
            ("--etcd-key", etcdKey), ("--etcd-ca", etcdCa),
        ]
        return options.flatMap { name, value in value.map { [name, $0] } ?? [] }
    }
}
