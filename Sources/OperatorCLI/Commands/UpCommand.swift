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
    @OptionGroup var output: OutputOptions

    func validate() throws {
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
}
