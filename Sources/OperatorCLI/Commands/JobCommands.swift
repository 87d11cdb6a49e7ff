// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Configuration
internal import FleetModel
internal import Wire

/// What a job asks for, as options.
struct JobOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The job's name.", valueName: "name")) var name: String?
    @Option(help: ArgumentHelp("GPUs of each task.", valueName: "count")) var gpus: UInt16?
    @Option(
        help: ArgumentHelp("Thousandths of the GPU, for a part of one.", valueName: "milli"))
    var gpuMilli: UInt16 = 1000
    @Option(help: ArgumentHelp("Tasks, all of them or none.", valueName: "count"))
    var tasks: UInt32 = 1
    @Option(help: ArgumentHelp("CPUs of each task, in thousandths.", valueName: "milli"))
    var cpuMilli: UInt32 = 0
    @Option(help: ArgumentHelp("Memory of each task.", valueName: "MiB")) var memoryMib: UInt32 = 0
    @Option(help: ArgumentHelp("Acceptable GPU model; may be repeated.", valueName: "name"))
    var model: [String] = []
    @Option(help: ArgumentHelp("Site to run in; may be repeated.", valueName: "name"))
    var site: [String] = []
    @Option(help: ArgumentHelp("Label a node must carry; may be repeated.", valueName: "key=value"))
    var selector: [String] = []
    @Option(
        name: [.customLong("require-level"), .customLong("within")],
        help: ArgumentHelp(
            "Level of the power tree within one domain of which the gang must lie.",
            valueName: "level"))
    var within: String?
    @Option(
        help: ArgumentHelp(
            "Level within one domain of which it should lie, or within few.", valueName: "level"))
    var preferLevel: String?
    @Option(
        help: ArgumentHelp(
            "Level over whose domains tasks are spread, as evenly as it goes.",
            valueName: "level"))
    var spreadLevel: String?
    @Option(
        help: ArgumentHelp(
            "The most tasks in one domain of the spread level.", valueName: "count"))
    var tasksPerDomain: UInt32?
    @Flag(help: "Each task on a node of its own.") var spread = false
    // The next argument is the value even when it begins with a dash: classes may be negative.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("A higher number is more important.", valueName: "number"))
    var priority: Int32 = 0
    @Option(help: ArgumentHelp("Weight inside the priority.", valueName: "number"))
    var weight: UInt32 = 1
    @Option(
        help: ArgumentHelp(
            "Least cap of each GPU, such as 400, or `full`: full pace or not at all.",
            valueName: "watts"))
    var floor: FloorOption?
    @Option(
        help: ArgumentHelp(
            "Which jobs may be stopped and queued again when it does not fit: never, lower."))
    var preemption: PreemptionOption = .never
    @Option(help: ArgumentHelp("The reservation that it may use.", valueName: "name"))
    var reservation: String?
    @Option(help: ArgumentHelp("How the simulated tasks draw: training, inference, steady."))
    var profile: DemandProfileOption = .training
    @Option(help: ArgumentHelp("How long simulated tasks run.", valueName: "seconds"))
    var duration: Double?

    /// Whether the options describe a job at all.
    var isEmpty: Bool { gpus == nil && cpuMilli == 0 && memoryMib == 0 }

    func validate() throws {
        // 100 years in nanoseconds still fit.
        if let duration, !(duration > 0 && duration <= 3.2e9) {
            throw ValidationError("--duration is a number of seconds above 0")
        }
        if tasksPerDomain != nil && spreadLevel == nil {
            throw ValidationError("--tasks-per-domain needs --spread-level")
        }
        guard let wrong = selector.first(where: { !$0.contains("=") }) else { return }
        throw ValidationError("--selector takes key=value, not `\(wrong)`")
    }

    func spec() -> JobSpec {
        var labels: [String: String] = [:]
        for entry in selector {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            labels[String(parts[0])] = String(parts[1])
        }
        let gpus = gpus ?? 0
        return JobSpec(
            name: name ?? "job", priority: priority, weight: weight, taskCount: tasks,
            task: TaskRequest(
                gpuCount: gpus, gpuMilli: gpus == 0 ? 0 : gpuMilli, cpuMilli: cpuMilli,
                memoryMiB: memoryMib),
            isSpread: spread, models: model, sites: site, selector: labels,
            requiredLevel: within, floor: floor?.watts.map(Milliwatts.watts),
            profile: profile.profile, durationNanoseconds: duration.map { Int64($0 * 1e9) },
            preferredLevel: preferLevel,
            levelSpread: spreadLevel.map { LevelSpread(level: $0, maximumTasks: tasksPerDomain) },
            isFullPace: floor?.isFull ?? false, preemption: preemption.policy,
            reservation: reservation)
    }
}

/// A floor on the command line: watts, or `full`.
struct FloorOption: ExpressibleByArgument {
    /// Nil for full pace.
    let watts: Int64?

    var isFull: Bool { watts == nil }

    init?(argument: String) {
        if argument == "full" {
            watts = nil
        } else {
            guard let value = Int64(argument), (1...1_000_000).contains(value) else { return nil }
            watts = value
        }
    }
}

/// A preemption policy on the command line.
enum PreemptionOption: String, ExpressibleByArgument, CaseIterable {
    case never
    case lower

    var policy: PreemptionPolicy { PreemptionPolicy(rawValue: rawValue) ?? .never }
}

/// A demand profile on the command line.
enum DemandProfileOption: String, ExpressibleByArgument, CaseIterable {
    case training
    case inference
    case steady

    var profile: DemandProfile { DemandProfile(rawValue: rawValue) ?? .training }
}

/// `busbar submit`.
struct SubmitCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit", abstract: "Submit a job, or the jobs of a file.",
        discussion: """
            A job that does not fit now waits, unless --now asks to refuse it instead (status 2).
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("A job file.", valueName: "file"))
    var file: String?
    @OptionGroup var job: JobOptions
    @Flag(help: "Say what would happen; change nothing. Status 1 when it does not fit.")
    var dryRun = false
    @Flag(help: "Refuse rather than wait when it does not fit now.") var now = false
    @Flag(help: "Wait until the job runs, at most --timeout.") var wait = false
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if file != nil && !job.isEmpty {
            throw ValidationError("a job comes from --file or from options, not from both")
        }
        if file == nil && job.isEmpty {
            throw ValidationError("say what the job needs, such as --gpus 8, or give a --file")
        }
    }

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        var replies: [SubmitReply] = []
        for spec in try specs() {
            let request = SubmitJob(
                requestID: .make(), spec: spec, isNowOrNever: now, isDryRun: dryRun)
            var reply = try await client.submit(request, deadline)
            if wait && !dryRun && reply.job.rawValue > 0 {
                reply = try await running(reply, client)
            }
            if output.output != .json { Terminal.write(lines(spec, reply), to: 1) }
            replies.append(reply)
        }
        if output.output == .json {
            output.output.write(.object([("jobs", .array(replies.map(\.json)))]))
        }
        if replies.contains(where: { !$0.isPlaced }) && (dryRun || wait || now) {
            throw CommandFailure(now && !dryRun ? .refused : .negative, "not every job fits now")
        }
    }

    private func specs() throws(CommandFailure) -> [JobSpec] {
        guard let file else {
            let spec = job.spec()
            if let problem = spec.problem() {
                throw CommandFailure(.usage, problem, hint: "see `busbar submit --help`")
            }
            return [spec]
        }
        do {
            return try JobFile.load(file)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Asks again until the job runs or has ended.
    private func running(
        _ reply: SubmitReply, _ client: OperatorClient
    ) async throws(CommandFailure) -> SubmitReply {
        let end = steadyNanoseconds() + deadline.nanoseconds
        while steadyNanoseconds() < end {
            let detail = try await client.job(reply.job.description, deadline)
            switch detail.job.state {
            case .queued, .pending, .starting:
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return reply }
            default:
                return SubmitReply(
                    job: reply.job, state: detail.job.state, explanation: nil, tasks: detail.tasks)
            }
        }
        throw CommandFailure(
            .timeout, "\(reply.job) does not run yet",
            hint: "see `busbar why \(reply.job)`; it stays submitted")
    }

    private func lines(_ spec: JobSpec, _ reply: SubmitReply) -> String {
        let name = reply.job.rawValue > 0 ? "\(reply.job) (\(spec.name))" : spec.name
        if reply.isPlaced {
            let nodes = HostList.compress(reply.tasks.map(\.node))
            return "\(name): \(dryRun ? "would run" : reply.state.rawValue) on \(nodes)\n"
        }
        let state = dryRun ? "does not fit now" : now ? "refused" : reply.state.rawValue
        let reasons = reply.explanation?.lines ?? []
        return (["\(name): \(state)"] + reasons.map { "  " + Terminal.printable($0) })
            .joined(separator: "\n") + "\n"
    }
}

/// `busbar cancel`.
struct CancelCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel jobs.")

    @Argument(help: ArgumentHelp("Ids (j42) or names.", valueName: "job")) var jobs: [String]
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        var replies: [CancelReply] = []
        for job in jobs {
            let reply = try await client.cancel(job, request: .make(), deadline)
            if output.output != .json {
                Terminal.write("\(reply.job): \(reply.state.rawValue)\n", to: 1)
            }
            replies.append(reply)
        }
        guard output.output == .json else { return }
        let list = replies.map {
            JSONValue.object([
                ("job", .string($0.job.description)), ("state", .string($0.state.rawValue)),
            ])
        }
        output.output.write(.object([("jobs", .array(list))]))
    }
}
