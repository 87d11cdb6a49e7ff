// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ArgumentParser
internal import Configuration
internal import FleetModel
internal import Foundation
internal import Wire

/// `busbar replay`: the pods of a cluster trace, as jobs.
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Submit the pods of a cluster trace to a running fleet, or try them on paper.",
        discussion: """
            Pods are submitted in order of creation, each as a job of one task that runs until it \
            is cancelled. One that does not fit is refused. A restart of the coordinator is ridden \
            out. Writes a JSON summary to stdout; exits with 1 when --verify finds a fault.

            With --protocol fgd no fleet is needed: the pods arrive, shuffled by --seed, at the \
            empty nodes of --nodes, in this process and on the engine that places jobs. Random \
            copies follow, or pods are left out, until --ratio times the GPUs have been asked for. \
            Nothing departs, and what fits nowhere is dropped: the arrival experiment of "Beware \
            of Fragmentation" (USENIX ATC 2023). The answer is the share of the GPUs that is \
            allocated, by the share that has arrived.
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
    var cancelFraction: Double?
    @Option(
        help: ArgumentHelp(
            "Then submit so many gangs of 2 to 16 tasks on distinct nodes.", valueName: "count"))
    var gangs: Int?
    @Option(help: ArgumentHelp("What the random choices grow from.", valueName: "number"))
    var seed: UInt64 = 1
    @Option(
        help: ArgumentHelp(
            "The topology file, for --verify of a fleet that `busbar up` does not run.",
            valueName: "file"))
    var topology: String?
    @OptionGroup var experiment: ExperimentOptions
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    /// How long a replay waits for a coordinator that is gone.
    private static let patience = Duration.seconds(60)

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is at least 0") }
        if let rate, !(rate > 0) { throw ValidationError("--rate is above 0") }
        guard (0...1).contains(cancelFraction ?? 0) else {
            throw ValidationError("--cancel-fraction is from 0 to 1")
        }
        if let gangs, gangs < 0 { throw ValidationError("--gangs is at least 0") }
        guard experiment.isAskedFor else { return }
        // What only a running fleet can do.
        let given = [
            ("--limit", limit != nil), ("--rate", rate != nil), ("--queue", queue),
            ("--verify", verify), ("--cancel-fraction", cancelFraction != nil),
            ("--gangs", gangs != nil), ("--topology", topology != nil),
            ("--state", fleet.state != nil), ("--coordinator", fleet.coordinator != nil),
        ]
        if let first = given.first(where: \.1)?.0 {
            throw ValidationError("\(first) is for a running fleet: not with --protocol")
        }
    }

    func run() async throws {
        if experiment.isAskedFor { return try runExperiment() }
        try await runOnFleet()
    }

    private func runExperiment() throws(CommandFailure) {
        var replay = try ExperimentReplay(
            policy: try ExperimentReplay.policy(named: experiment.policyName), seed: seed,
            ratio: experiment.ratioOrDefault, nodeList: experiment.nodes ?? "", podList: pods)
        replay.wattPrice = experiment.wattPrice ?? ExperimentReplay.defaultWattPrice
        let report = replay.run()
        if output.output == .json {
            output.output.write(report.json)
        } else {
            Terminal.write(report.text, to: 1)
        }
    }

    private func runOnFleet() async throws {
        let trace = try readTrace()
        let checked = verify ? try readTopology() : nil
        Interruption.watch()
        let isClean = try await fleet.withClient(patience: ReplayCommand.patience) {
            client async throws(CommandFailure) in
            var replay = Replay(
                client,
                Replay.Options(
                    rate: rate, isQueueing: queue, cancelFraction: cancelFraction ?? 0,
                    gangCount: gangs ?? 0, seed: seed),
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

/// The options of an experiment that needs no fleet.
struct ExperimentOptions: ParsableArguments {
    @Option(
        name: .customLong("protocol"),
        help: ArgumentHelp(
            "Try the pods on paper by this protocol: fgd. Needs --nodes.", valueName: "name"))
    var protocolName: String?
    @Option(help: ArgumentHelp("The node list of the trace.", valueName: "csv"))
    var nodes: String?
    @Option(
        help: ArgumentHelp(
            "GPUs that arrive, as a multiple of those that exist. Default: "
                + "\(ExperimentReplay.publishedRatio).", valueName: "number"))
    var ratio: Double?
    @Option(
        help: ArgumentHelp(
            "How to choose a node, one of "
                + ExperimentPolicy.allCases.map(\.rawValue).joined(separator: ", ")
                + ". Default: \(ExperimentPolicy.busbar.rawValue).", valueName: "name"))
    var policy: String?

    @Option(
        help: ArgumentHelp(
            "GPUs that saving a kilowatt is worth in the empty fleet, to policy pwr-busbar. "
                + "Default: \(ExperimentReplay.defaultWattPrice).", valueName: "number"))
    var wattPrice: Double?

    /// Whether it is an experiment that is asked for.
    var isAskedFor: Bool { protocolName != nil }
    /// The policy's name as given, or the default.
    var policyName: String { policy ?? ExperimentPolicy.busbar.rawValue }
    /// The ratio as given, or that of the published experiment.
    var ratioOrDefault: Double { ratio ?? ExperimentReplay.publishedRatio }

    func validate() throws {
        guard let protocolName else {
            let given = [
                ("--nodes", nodes != nil), ("--ratio", ratio != nil), ("--policy", policy != nil),
                ("--watt-price", wattPrice != nil),
            ]
            if let first = given.first(where: \.1)?.0 {
                throw ValidationError("\(first) needs --protocol fgd")
            }
            return
        }
        guard protocolName == "fgd" else {
            throw ValidationError("there is no protocol '\(protocolName)': --protocol is fgd")
        }
        if let wattPrice, !ExperimentReplay.wattPrices.contains(wattPrice) {
            throw ValidationError("--watt-price is from 0 to 1000")
        }
        if nodes == nil {
            throw ValidationError("--protocol fgd needs --nodes, the node list of the trace")
        }
        guard ExperimentReplay.ratios.contains(ratioOrDefault) else {
            throw ValidationError("--ratio is from 0.01 to 10")
        }
        // Before the lists are read.
        let policy: ExperimentPolicy
        do throws(CommandFailure) {
            policy = try ExperimentReplay.policy(named: policyName)
        } catch {
            throw ValidationError("\(error.message): \(error.hint ?? "")")
        }
        if wattPrice != nil && !policy.isPowerAware {
            throw ValidationError("--watt-price is for --policy pwr-busbar")
        }
    }
}
