// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Configuration
internal import FleetModel
internal import Foundation
internal import Wire

/// `busbar replay`: the pods of a cluster trace, as jobs.
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Submit the pods of a cluster trace to a running fleet.",
        discussion: """
            Pods are submitted in order of creation, each as a job of one task that runs until it \
            is cancelled. One that does not fit is refused. A restart of the coordinator is ridden \
            out. Writes a JSON summary to stdout; exits with 1 when --verify finds a fault.
            """)

    @Option(help: ArgumentHelp("The pod list of the trace.", valueName: "csv")) var pods: String
    @Option(help: ArgumentHelp("Only the first so many.", valueName: "count")) var limit: Int?
    @Option(help: ArgumentHelp("Pods a second; as fast as it goes without.", valueName: "number"))
    var rate: Double?
    @Flag(help: "Let pods wait that do not fit.") var queue = false
    @Flag(help: "Check every answer with a slow and independent oracle.") var verify = false
    @Option(
        help: ArgumentHelp(
            "Then cancel this share of what was placed, in random order.", valueName: "0…1"))
    var cancelFraction = 0.0
    @Option(
        help: ArgumentHelp(
            "Then submit so many gangs of 2 to 16 tasks on distinct nodes.", valueName: "count"))
    var gangs = 0
    @Option(help: ArgumentHelp("What the random choices grow from.", valueName: "number"))
    var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp(
            "The topology file, for --verify of a fleet that `busbar up` does not run.",
            valueName: "file"))
    var topology: String?
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    /// How long a replay waits for a coordinator that is gone.
    private static let patience = Duration.seconds(60)

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is at least 0") }
        if let rate, !(rate > 0) { throw ValidationError("--rate is above 0") }
        guard (0...1).contains(cancelFraction) else {
            throw ValidationError("--cancel-fraction is from 0 to 1")
        }
        if gangs < 0 { throw ValidationError("--gangs is at least 0") }
    }

    func run() async throws {
        let trace = try readTrace()
        let checked = verify ? try readTopology() : nil
        Interruption.watch()
        let isClean = try await fleet.withClient(patience: ReplayCommand.patience) {
            client async throws(CommandFailure) in
            var replay = Replay(
                client,
                Replay.Options(
                    rate: rate, isQueueing: queue, cancelFraction: cancelFraction,
                    gangCount: gangs, seed: seed),
                verifying: checked, progress: ProgressLine())
            try await replay.run(trace)
            output.output.write(
                replay.summary(
                    status: try await client.status(.seconds(10)),
                    hardware: await probe?.summaryInBackground()))
            return replay.isClean
        }
        if !isClean {
            throw CommandFailure(
                .negative, "the fleet's answers contradict each other or the oracle")
        }
        if Interruption.hasCome { throw CommandFailure(.negative, "interrupted") }
    }

    /// The hardware of a fleet that runs on this machine.
    private var probe: HardwareProbe? {
        fleet.coordinator == nil
            ? HardwareProbe(socketPath: fleet.stateDirectory.hardwareSocket) : nil
    }

    private func readTrace() throws(CommandFailure) -> [JobSpec] {
        do {
            let trace = PodList.inOrderOfCreation(try PodList.load(pods))
            return trace.prefix(limit ?? Int.max).map { $0.job() }
        } catch {
            throw CommandFailure(error)
        }
    }

    private func readTopology() throws(CommandFailure) -> Topology {
        if let topology {
            do {
                return try FleetFile.load(topology).topology
            } catch {
                throw CommandFailure(error)
            }
        }
        guard fleet.coordinator == nil else {
            throw CommandFailure(
                .usage, "--verify needs --topology where --coordinator is given",
                hint: "name the topology file that the fleet runs")
        }
        let path = fleet.stateDirectory.plan
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandFailure(.unavailable, "\(path) cannot be read")
        }
        do {
            return try FleetPlan.decode([UInt8](data)).topology
        } catch {
            throw CommandFailure(.unavailable, "\(path) is damaged: \(error)")
        }
    }
}
