// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FleetModel
import Testing
import Wire

@testable import OperatorCLI

/// Goal: the command line means what it says, wherever its options stand.
@Suite("Arguments")
struct ArgumentsTests {
    @Test(
        "Options that say where the fleet is may come first",
        arguments: [
            (["--state", "d", "status"], ["status", "--state", "d"]),
            (["--state=d", "get", "jobs", "--all"], ["get", "jobs", "--all", "--state=d"]),
            (["-o", "json", "status"], ["status", "-o", "json"]),
            (
                ["--coordinator", "h:1", "--cert", "c", "--key", "k", "--ca", "a", "why", "j1"],
                ["why", "j1", "--coordinator", "h:1", "--cert", "c", "--key", "k", "--ca", "a"]
            ),
            (["--state", "d", "why", "--", "-x"], ["why", "--state", "d", "--", "-x"]),
            (["status", "--state", "d"], ["status", "--state", "d"]),
            (["--help"], ["--help"]), (["--state"], ["--state"]), ([], []),
        ] as [([String], [String])])
    func normalized(given: [String], expected: [String]) {
        #expect(Arguments.normalized(given) == expected)
    }

    @Test("JSON is asked for in every spelling of the option")
    func asksForJSON() {
        #expect(Arguments.asksForJSON(["get", "jobs", "-o", "json"]))
        #expect(Arguments.asksForJSON(["-ojson", "status"]))
        #expect(Arguments.asksForJSON(["status", "--output=json"]))
        #expect(!Arguments.asksForJSON(["why", "json"]))
        #expect(!Arguments.asksForJSON(["why", "--", "-o", "json"]))
    }

    @Test(
        "What cannot be understood ends with the status of wrong usage",
        arguments: [
            ["bogus"], ["submit"], ["submit", "--gpus", "1", "--file", "f"], ["describe", "job"],
            ["status", "--timeout", "0"], ["status", "--cert", "x"],
            ["get", "jobs", "--limit", "0"],
            ["status", "--coordinator", "h:1"],
            ["replay", "--pods", "f", "--cancel-fraction", "2"],
            ["up", "f", "--for", "0"], ["up", "f", "--no-restart", "everything"],
            ["submit", "--gpus", "1", "--selector", "nokey"],
            ["submit", "--gpus", "1", "--duration", "1e30"],
        ])
    func usage(arguments: [String]) async {
        #expect(await Program.run(arguments) == ExitStatus.usage.rawValue)
    }

    @Test("A thing that there is not is named, and not the option behind it")
    func unknownThings() throws {
        let failure = try #require(
            Program.unknownSubcommand(["describe", "gpu", "x", "--state", "d"]))
        #expect(failure.status == .usage)
        #expect(failure.message == "`busbar describe` knows no 'gpu'")
        #expect(failure.hint?.contains("job, node, domain") == true)
        let empty = try #require(Program.unknownSubcommand(["get", "--state", "d"]))
        #expect(empty.message == "`busbar get` of what?")
        for good in [["get", "jobs"], ["describe", "node"], ["status"], ["bogus"], []] {
            #expect(Program.unknownSubcommand(good) == nil)
        }
    }

    @Test("The options of a job make the job that they say")
    func job() throws {
        let command = try SubmitCommand.parse([
            "--gpus", "1", "--gpu-milli", "250", "--tasks", "3", "--name", "a", "--model", "G",
            "--model", "H", "--selector", "pool=x", "--floor", "300", "--duration", "1.5",
            "--spread", "--within", "rack", "--priority", "-2", "--profile", "steady",
        ])
        let spec = command.job.spec()
        #expect(spec.task.gpuMilli == 250)
        #expect(spec.taskCount == 3)
        #expect(spec.models == ["G", "H"])
        #expect(spec.selector == ["pool": "x"])
        #expect(spec.floor == .watts(300))
        #expect(spec.durationNanoseconds == 1_500_000_000)
        #expect(spec.isSpread && spec.requiredLevel == "rack" && spec.priority == -2)
        #expect(spec.profile == .steady)
        #expect(try SubmitCommand.parse(["--cpu-milli", "500"]).job.spec().task.gpuMilli == 0)
    }

    @Test("Levels, full pace and preemption are options of a job")
    func placement() throws {
        let spec = try SubmitCommand.parse([
            "--gpus", "8", "--require-level", "row", "--prefer-level", "rack", "--spread-level",
            "node", "--tasks-per-domain", "2", "--floor", "full", "--preemption", "lower",
        ]).job.spec()
        #expect(spec.requiredLevel == "row" && spec.preferredLevel == "rack")
        #expect(spec.levelSpread == LevelSpread(level: "node", maximumTasks: 2))
        #expect(spec.isFullPace && spec.floor == nil && spec.preemption == .lower)
        let plain = try SubmitCommand.parse(["--gpus", "8", "--spread-level", "rack"]).job.spec()
        #expect(plain.levelSpread == LevelSpread(level: "rack"))
        #expect(plain.preemption == .never && !plain.isFullPace)
        for wrong in [["--tasks-per-domain", "2"], ["--floor", "0"], ["--preemption", "all"]] {
            #expect(throws: (any Error).self) {
                _ = try SubmitCommand.parse(["--gpus", "1"] + wrong)
            }
        }
    }

    @Test("A reservation has a name, a time and what a job has")
    func reservations() throws {
        let command = try ReserveCommand.parse(["team", "--for", "90m", "--gpus", "8"])
        #expect(command.reserved == "team" && command.time.milliseconds == 5_400_000)
        #expect(command.job.spec().task.gpuCount == 8)
        let job = try SubmitCommand.parse(["--gpus", "8", "--reservation", "team"]).job.spec()
        #expect(job.reservation == "team")
        for wrong in [["team", "--for", "2h"], ["team", "--for", "2w", "--gpus", "1"]] {
            #expect(throws: (any Error).self) { _ = try ReserveCommand.parse(wrong) }
        }
    }

    @Test("Nodes are marked by name or by list")
    func marks() throws {
        let drain = try DrainCommand.parse(["n[1-3]", "m1", "--reason", "fan", "--wait"])
        #expect(drain.nodes == ["n[1-3]", "m1"] && drain.reason == "fan" && drain.wait)
        #expect(throws: (any Error).self) { _ = try CordonCommand.parse([]) }
    }

    @Test("What a log says last of a crash is its reason, not its trace")
    func reasons() {
        let crash = "a\nbusbar/F.swift:7: Fatal error: no\n*** Signal 4 ***\nBacktrace took 1s\n"
        #expect(UpSession.reason(in: crash) == "busbar/F.swift:7: Fatal error: no")
        #expect(UpSession.reason(in: "one\ntwo\n") == "two")
        #expect(UpSession.reason(in: "") == "it says nothing")
    }

    @Test("A sample job has the same request id in every run, and no other job has it")
    func samples() {
        let first = SampleJobs.requestID(fleet: "f", position: 0, name: "a")
        #expect(first == SampleJobs.requestID(fleet: "f", position: 0, name: "a"))
        let others = [("f", 1, "a"), ("f", 0, "b"), ("g", 0, "a")].map {
            SampleJobs.requestID(fleet: $0.0, position: $0.1, name: $0.2)
        }
        #expect(Set(others + [first]).count == 4)
    }
}

/// Goal: a replay counts what it was told, and blames the fleet only for what is certain.
@Suite("Replay bookkeeping")
struct ReplayBookkeepingTests {
    private let spec = JobSpec(
        name: "a", task: TaskRequest(gpuCount: 1, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0))

    private var verifier: ReplayVerifier? {
        ReplayVerifier(OracleTests.topology(nodes: 1, row: 600, racks: [600]))
    }

    private func reply(_ job: UInt64, _ device: UInt16) -> SubmitReply {
        SubmitReply(
            job: JobID(job), state: .running, explanation: nil,
            tasks: [TaskView(index: 0, node: "n0", devices: [device], state: "running")])
    }

    @Test("A refusal of what fits is wrong when the order is certain, and only doubtful otherwise")
    func refusals() {
        var sure = verifier
        var doubts = OrderDoubts()
        doubts.refused(at: 0, spec: spec, isNodeOut: false, &sure)
        #expect(sure?.wrongRefusals == ["a"])

        var out = verifier
        doubts.refused(at: 0, spec: spec, isNodeOut: true, &out)
        #expect(out?.wrongRefusals == [])
        #expect(out?.unsureRefusals == 1)

        var unsure = verifier
        doubts.resent(at: 5)
        doubts.refused(at: 6, spec: spec, isNodeOut: false, &unsure)
        doubts.settle(upTo: 6, &unsure)
        #expect(unsure?.refusalsChecked == 0)
        doubts.settle(upTo: 6 + SubmissionWindow.size, &unsure)
        #expect(unsure?.refusalsChecked == 1)
        #expect(unsure?.wrongRefusals == [])
        #expect(unsure?.unsureRefusals == 1)
    }

    @Test("A right refusal is right until something is released")
    func releases() {
        var verifier = verifier
        verifier?.placed(JobID(1), spec, reply(1, 0).tasks)
        verifier?.placed(JobID(2), spec, reply(2, 1).tasks)
        verifier?.refused(spec, isSure: true)
        verifier?.refused(spec, isSure: true)
        #expect(verifier?.isClean == true)
        #expect(verifier?.refusalsChecked == 2)
        verifier?.released(JobID(2))
        verifier?.refused(spec, isSure: true)
        #expect(verifier?.wrongRefusals == ["a"])
    }

    @Test("Answers are sorted into placed, waiting and refused, and anything else is an error")
    func outcomes() throws {
        var tally = ReplayTally()
        func count(_ body: OperatorReply.Body) throws {
            let answer = OperatorClient.Answer(pages: [body], sendCount: 1)
            tally.count(try #require(try ReplayOutcome(.success(answer))), spec)
        }
        try count(.submitted(reply(1, 0)))
        try count(
            .submitted(SubmitReply(job: JobID(2), state: .queued, explanation: nil, tasks: [])))
        try count(
            .submitted(SubmitReply(job: JobID(0), state: .failed, explanation: nil, tasks: [])))
        let refusal = try ReplayOutcome(.failure(CommandFailure(.refused, "no")))
        tally.count(try #require(refusal), spec)
        #expect((tally.placed, tally.pending, tally.refused) == (1, 1, 2))
        #expect(tally.submitted == 4)
        #expect(tally.placedFraction == 0.25)
        #expect(throws: CommandFailure.self) {
            try ReplayOutcome(.failure(CommandFailure(.timeout, "late")))
        }
        let odd = OperatorClient.Answer(pages: [.none], sendCount: 1)
        #expect(try ReplayOutcome(.success(odd)) == nil)
    }
}
