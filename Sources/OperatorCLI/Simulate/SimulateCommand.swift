// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Configuration
internal import FleetModel
internal import Foundation
internal import Simulation

/// `busbar simulate`: fleets in virtual time, with faults.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run fleets in virtual time under faults, and check every promise.",
        discussion: """
            Every seed is one run of the production state machines in a world of its own: bad \
            networks, failing stores, crashing and pausing processes, drifting clocks. After every \
            step the power limits are checked. Without a topology the built-in fleet is run: three \
            sites, seven coordinators, sixty nodes of eight GPUs. Exits with 1 when a promise was \
            broken, and says how to see it again.
            """)

    @Argument(help: ArgumentHelp("The topology file.", valueName: "topology"))
    var topology: String?
    @Option(help: ArgumentHelp("The seeds to run: A..B, both included.", valueName: "A..B"))
    var seeds: SeedRange?
    @Option(help: ArgumentHelp("One seed.", valueName: "number")) var seed: UInt64?
    @Flag(help: "Print the steps of --seed up to the violation, in a world made smaller.")
    var replay = false
    @Flag(
        help: """
            Then break the assumptions as well: clocks at twice the bound, GPUs that take no caps, \
            stores put back. What that breaks must be noticed.
            """)
    var beyondAssumptions = false
    @Option(help: ArgumentHelp("Virtual length of the phase with faults.", valueName: "seconds"))
    var rough: Int64 = 600
    @Option(
        help: ArgumentHelp(
            "Virtual length of the phase after it, in which the core heals and must converge.",
            valueName: "seconds"))
    var calm: Int64 = 120
    @Option(
        help: ArgumentHelp(
            "Instead: tell what would become of the topology and its jobs if this happened.",
            discussion: "One of: " + FaultPhrase.forms.joined(separator: "; ")
                + "; each with 'at TIME' at its end. May be given several times.",
            valueName: "what for how long"))
    var fault: [String] = []
    @Option(
        help: ArgumentHelp(
            "The jobs that run then; without it the topology's sample jobs.", valueName: "file"))
    var jobs: String?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !fault.isEmpty && topology == nil {
            throw ValidationError("--fault needs a topology file")
        }
        if jobs != nil && fault.isEmpty { throw ValidationError("--jobs needs --fault") }
        if seed != nil && seeds != nil {
            throw ValidationError("--seed and --seeds exclude each other")
        }
        if replay && seed == nil { throw ValidationError("--replay needs --seed") }
        guard (1...86_400).contains(rough), (0...86_400).contains(calm) else {
            throw ValidationError("--rough is 1 to 86400 seconds, --calm 0 to 86400")
        }
    }

    func run() throws {
        if let topology, !fault.isEmpty {
            return try WhatIfRun(topology: topology, jobs: jobs, faults: fault).run(output.output)
        }
        let worlds = try WorldSource(topology: topology, rough: rough, calm: calm)
        if replay, let seed { return try Replaying(worlds: worlds, seed: seed).run() }
        let range = seed.map { $0...$0 } ?? seeds?.range ?? 1...20
        var campaign = runCampaign(worlds, range)
        if beyondAssumptions { campaign.beyond = runBeyond(worlds, range) }
        switch output.output {
        case .json: Terminal.write(campaign.json.text + "\n", to: 1)
        case .table, .wide: Terminal.write(campaign.text, to: 1)
        }
        if let failure = campaign.summary.failures.first {
            throw CommandFailure(
                .negative, "seed \(failure.seed): \(failure.violation)",
                hint: "see it with `\(worlds.command(seed: failure.seed)) --replay`")
        }
        if let beyond = campaign.beyond, let seed = beyond.undetectedSeeds.first {
            throw CommandFailure(
                .negative, "beyond the assumptions, seed \(seed) broke a limit unnoticed")
        }
    }

    /// Runs every seed again with one assumption broken, in turn.
    private func runBeyond(_ worlds: WorldSource, _ range: ClosedRange<UInt64>) -> BeyondSummary {
        var summary = BeyondSummary()
        let kinds = BrokenAssumption.allCases
        for seed in range {
            let broken = kinds[Int(seed % UInt64(kinds.count))]
            var world = FleetWorld(worlds.scenario(seed: seed).breaking(broken), seed: seed)
            summary.add(world.run(), broken, seed: seed)
        }
        return summary
    }

    private func runCampaign(_ worlds: WorldSource, _ range: ClosedRange<UInt64>)
        -> MeasuredCampaign
    {
        var summary = CampaignSummary(seeds: range)
        let start = MeasuredCampaign.processorNanoseconds()
        let progress = ProgressLine()
        for seed in range {
            var world = FleetWorld(worlds.scenario(seed: seed), seed: seed)
            summary.add(world.run(), seed: seed)
            if summary.runCount % 16 == 0 {
                progress.show(
                    "seed \(seed) of \(range.upperBound), \(summary.violations) violations")
            }
        }
        progress.clear()
        return MeasuredCampaign(
            summary: summary,
            processorNanoseconds: MeasuredCampaign.processorNanoseconds() - start)
    }
}

/// `A..B`.
struct SeedRange: ExpressibleByArgument {
    let range: ClosedRange<UInt64>

    init?(argument: String) {
        let parts = argument.split(separator: ".", omittingEmptySubsequences: true)
        guard let first = parts.first.flatMap({ UInt64($0) }) else { return nil }
        if parts.count == 1, !argument.contains(".") {
            range = first...first
            return
        }
        guard argument.contains(".."), parts.count == 2, let last = UInt64(parts[1]), last >= first
        else { return nil }
        range = first...last
    }
}

/// Where the worlds of a campaign come from.
struct WorldSource {
    private let path: String?
    private let topology: Topology?
    private let rough: Int64
    private let calm: Int64

    init(topology path: String?, rough: Int64, calm: Int64) throws {
        self.path = path
        self.rough = rough
        self.calm = calm
        do {
            topology = try path.map { try FleetFile.load($0).topology }
        } catch let error as ConfigurationError {
            throw CommandFailure(error)
        }
    }

    /// The world of a seed.
    ///
    /// A topology from a file keeps its own lease times; sites have two coordinators each.
    func scenario(seed: UInt64) -> WorldScenario {
        guard let topology else {
            return WorldScenario(seed: seed, roughSeconds: rough, calmSeconds: calm)
        }
        var settings = SwarmSettings(seed: seed)
        settings.driftPPM = topology.lease.driftPPM
        return WorldScenario(
            topology: topology, coordinatorCounts: topology.sites.map { _ in 2 },
            settings: settings, roughSeconds: rough, calmSeconds: calm)
    }

    /// The command line of one seed.
    func command(seed: UInt64) -> String {
        var words = ["busbar", "simulate"]
        if let path { words.append(path) }
        words += ["--seed", String(seed)]
        if rough != 600 { words += ["--rough", String(rough)] }
        if calm != 120 { words += ["--calm", String(calm)] }
        return words.joined(separator: " ")
    }
}

/// `--replay`: a run told step by step.
struct Replaying {
    let worlds: WorldSource
    let seed: UInt64
    /// How many of the last steps are printed.
    private static let lineCount = 400

    func run() throws {
        let full = worlds.scenario(seed: seed)
        var first = FleetWorld(full, seed: seed)
        let violation = first.run().violation
        var scenario = full
        if let violation {
            scenario = Shrinking.shrink(full, seed: seed, kind: violation.kind)
        }
        var world = FleetWorld(scenario, seed: seed)
        let story = Story()
        world.story = story
        let report = world.run()
        let lines = story.lines
        if lines.count > Replaying.lineCount {
            Terminal.write("… \(lines.count - Replaying.lineCount) steps before\n", to: 1)
        }
        for line in lines.suffix(Replaying.lineCount) {
            Terminal.write(Terminal.printable(line) + "\n", to: 1)
        }
        Terminal.write(
            "seed \(seed): \(report.injected) faults injected, \(report.eventCount) steps\n", to: 1)
        if let violation = report.violation {
            throw CommandFailure(.negative, "seed \(seed): \(violation)")
        }
    }
}
