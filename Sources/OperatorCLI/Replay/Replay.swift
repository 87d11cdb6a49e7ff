// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

/// The jobs of a trace, submitted to a running fleet in order, as a client would.
struct Replay {
    /// What is asked for besides the pods themselves.
    struct Options {
        var rate: Double?
        /// Let jobs wait that do not fit, rather than have them refused.
        var isQueueing = false
        var cancelFraction: Double = 0
        var gangCount = 0
        var seed: UInt64 = 1
    }

    let client: OperatorClient
    let options: Options
    let progress: ProgressLine
    private var verifier: ReplayVerifier?
    private var pods = ReplayTally()
    private var gangs = ReplayTally()
    private var cancelled = 0
    private var placedJobs: [JobID] = []
    private let startedAt = steadyNanoseconds()
    private var podSeconds = 0.0
    private var generator: SplitMix

    /// Makes a replay; `verifying` is the fleet's topology when every answer is to be checked.
    init(
        _ client: OperatorClient, _ options: Options, verifying topology: Topology?,
        progress: ProgressLine
    ) {
        self.client = client
        self.options = options
        self.progress = progress
        verifier = topology.map(ReplayVerifier.init(_:))
        generator = SplitMix(state: options.seed)
    }

    /// Whether all that was checked is as it should be.
    var isClean: Bool { verifier?.isClean ?? true }

    /// Submits the pods, then cancels and submits gangs as the options say.
    mutating func run(_ trace: [JobSpec]) async throws(CommandFailure) {
        if verifier != nil { try await learnJobs() }
        pods = try await submit(trace, "replaying")
        podSeconds = Double(steadyNanoseconds() - startedAt) / 1e9
        if options.cancelFraction > 0 && !Interruption.hasCome { try await cancelSome() }
        if options.gangCount > 0 && !Interruption.hasCome {
            let specs = (0..<options.gangCount).map { gang(number: $0) }
            gangs = try await submit(specs, "submitting gangs")
        }
        progress.clear()
        if verifier != nil { try await compare() }
    }

    /// The summary; what the fleet and its hardware say is added where it is known.
    func summary(status: FleetStatus?, hardware: HardwareSummary?) -> JSONValue {
        var members = pods.members
        members.append(("seconds", .number((podSeconds * 1000).rounded() / 1000)))
        if options.cancelFraction > 0 { members.append(("cancelled", .integer(Int64(cancelled)))) }
        if options.gangCount > 0 { members.append(("gangs", .object(gangs.members))) }
        if let verifier { members += verifier.members }
        if let status {
            members.append(("binding_domains", .counter(status.bindingDomainCount)))
            members.append(
                ("peak_committed_fraction", .number(Double(status.peakCommittedPPB) / 1e9)))
        }
        if let hardware {
            members.append(("over_budget_instants", .counter(hardware.overBudgetInstants)))
        }
        return .object(members)
    }

    // MARK: - Phases

    /// Enters what the fleet runs already.
    private mutating func learnJobs() async throws(CommandFailure) {
        for job in try await client.jobs(.open, limit: nil, SubmissionWindow.deadline) {
            let detail = try await client.job(job.id.description, SubmissionWindow.deadline)
            guard !detail.tasks.isEmpty else { continue }
            verifier?.placed(job.id, detail.spec, detail.tasks)
        }
    }

    private mutating func submit(
        _ specs: [JobSpec], _ phase: String
    ) async throws(CommandFailure) -> ReplayTally {
        // Made here, once: a request that is sent again is the same request.
        let isQueueing = options.isQueueing
        let bodies = specs.map { spec in
            OperatorRequest.Body.submitJob(
                SubmitJob(requestID: .make(), spec: spec, isNowOrNever: !isQueueing))
        }
        let window = SubmissionWindow(client: client, rate: options.rate)
        let progress = progress
        var tally = ReplayTally()
        var doubts = OrderDoubts()
        var outcomes: [JobID] = []
        var verifier = verifier
        defer { self.verifier = verifier }
        let done = try await window.send(bodies) { done in
            progress.show(
                phase, fraction: Double(done) / Double(specs.count),
                detail: "\(done)/\(specs.count)")
        } answered: { (index, answer) throws(CommandFailure) in
            let outcome = try Replay.outcome(of: specs[index], answer)
            tally.count(outcome, specs[index])
            if outcome.sendCount > 1 { doubts.resent(at: index) }
            switch outcome.result {
            case .placed(let reply):
                outcomes.append(reply.job)
                verifier?.placed(reply.job, specs[index], reply.tasks)
            case .refused(let isNodeOut):
                // With what is held now, which is what was held when it was decided.
                doubts.refused(
                    at: index, spec: specs[index], isNodeOut: isNodeOut, &verifier)
            case .pending: break
            }
            doubts.settle(upTo: index, &verifier)
        }
        doubts.settle(upTo: Int.max, &verifier)
        placedJobs += outcomes
        if done < specs.count { progress.clear() }
        return tally
    }

    /// What became of a job; a request that the fleet cannot take is told by the job's name.
    private static func outcome(
        of spec: JobSpec, _ answer: Result<OperatorClient.Answer, CommandFailure>
    ) throws(CommandFailure) -> ReplayOutcome {
        do throws(CommandFailure) {
            guard let outcome = try ReplayOutcome(answer) else {
                throw OperatorClient.unexpected(nil)
            }
            return outcome
        } catch {
            throw CommandFailure(
                error.status, "job '\(spec.name)': \(error.message)", hint: error.hint)
        }
    }

    private mutating func cancelSome() async throws(CommandFailure) {
        var victims = placedJobs
        victims.shuffle(using: &generator)
        victims.removeLast(victims.count - Int(Double(victims.count) * options.cancelFraction))
        let bodies = victims.map { job in
            OperatorRequest.Body.cancelJob(requestID: .make(), job: job.description)
        }
        let (count, progress) = (victims.count, progress)
        let window = SubmissionWindow(client: client, rate: nil)
        cancelled = try await window.send(bodies) { done in
            progress.show(
                "cancelling", fraction: Double(done) / Double(max(1, count)),
                detail: "\(done)/\(count)")
        } answered: { (_, answer) throws(CommandFailure) in
            _ = try answer.get()
        }
        try await waitUntilStopped()
        for job in victims.prefix(cancelled) { verifier?.released(job) }
        let gone = Set(victims)
        placedJobs.removeAll { gone.contains($0) }
    }

    /// A job that is being stopped still holds its GPUs: waits until every node has confirmed.
    private func waitUntilStopped() async throws(CommandFailure) {
        let end = steadyNanoseconds() + SubmissionWindow.deadline.nanoseconds
        while !Interruption.hasCome {
            let stopping = try await client.jobs(
                .state(.stopping), limit: nil, SubmissionWindow.deadline)
            if stopping.isEmpty { return }
            guard steadyNanoseconds() < end else {
                throw CommandFailure(
                    .timeout, "\(stopping.count) cancelled jobs do not stop",
                    hint: "see `busbar get jobs --job-state stopping`")
            }
            progress.show("waiting for tasks to stop", detail: "\(stopping.count) jobs left")
            await UpSession.pause(milliseconds: 100)
        }
    }

    private mutating func compare() async throws(CommandFailure) {
        let jobs = try await client.jobs(.open, limit: nil, SubmissionWindow.deadline)
        let gpus = try await client.gpus(site: "", node: "", SubmissionWindow.deadline)
        verifier?.compare(jobs: jobs, gpus: gpus)
    }

    /// A gang of 2 to 16 tasks on nodes of their own, with 1 or 2 GPUs each.
    private mutating func gang(number: Int) -> JobSpec {
        JobSpec(
            name: "gang-\(number)", taskCount: UInt32.random(in: 2...16, using: &generator),
            task: TaskRequest(
                gpuCount: UInt16.random(in: 1...2, using: &generator), gpuMilli: 1000,
                cpuMilli: 1000, memoryMiB: 1024),
            isSpread: true)
    }
}

/// Which refusals can be judged by what is held at their turn, and which must wait.
///
/// The fleet decides in the order in which requests arrive. After a restart what was not answered is
/// sent again, so around such requests the order is in doubt: a refusal there is judged only once
/// all that may have been placed before it is known, and then only as a doubt.
struct OrderDoubts {
    private var lastResent: Int?
    private var waiting: [(index: Int, spec: JobSpec)] = []

    /// The answer at an index came to a request that was sent more than once.
    mutating func resent(at index: Int) { lastResent = index }

    /// Judges a refusal now when there is no doubt about the order, or keeps it.
    ///
    /// The oracle takes every node for usable, so a refusal while some were out is a doubt as well.
    mutating func refused(
        at index: Int, spec: JobSpec, isNodeOut: Bool, _ verifier: inout ReplayVerifier?
    ) {
        if isNodeOut {
            verifier?.refused(spec, isSure: false)
        } else if let lastResent, index - lastResent <= SubmissionWindow.size {
            waiting.append((index, spec))
        } else {
            verifier?.refused(spec, isSure: true)
        }
    }

    /// Judges what was kept, once everything that may have come before it is entered.
    mutating func settle(upTo index: Int, _ verifier: inout ReplayVerifier?) {
        while let first = waiting.first,
            index == Int.max || first.index + SubmissionWindow.size <= index
        {
            waiting.removeFirst()
            verifier?.refused(first.spec, isSure: false)
        }
    }
}

/// SplitMix64: the same numbers from the same seed on every machine.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
