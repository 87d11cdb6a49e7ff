// SPDX-License-Identifier: Apache-2.0

import CoordinatorService
import FleetModel
import SecureTransport
import Testing
import Wire

/// A job of whole GPUs.
func makeSpec(
    _ name: String = "train", tasks: UInt32 = 1, gpus: UInt16 = 4, spread: Bool = false
) -> JobSpec {
    JobSpec(
        name: name, taskCount: tasks,
        task: TaskRequest(gpuCount: gpus, gpuMilli: 1000, cpuMilli: 1000, memoryMiB: 1024),
        isSpread: spread)
}

/// Goal: a coordinator takes jobs from an operator to nodes and back, over real TLS and real stores.
///
/// Method: agents that obey at once, an operator's client, one coordinator in the process.
@Suite struct JobServiceTests {
    @Test(
        "A fleet leaves commissioning, runs a job, and gives everything back when it is cancelled")
    func runsAJob() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let client = try await world.client(at: running.ports)
        let before = try await client.status()
        #expect(before.isCommissioning && before.liveNodeCount == 0)
        let agents = try await world.allAgents(at: running.ports)
        try await client.waitUntilCommissioned()

        let reply = try await client.submit(
            makeSpec(tasks: 2, spread: true), request: RandomID(high: 1, low: 1))
        #expect(reply.state == .pending)
        #expect(reply.tasks.count == 2)
        try await client.waitFor(reply.job, .running)
        let status = try await client.status()
        #expect(status.runningJobCount == 1 && status.heldGPUMilli == 8000)
        #expect(status.sites.allSatisfy { $0.charged <= $0.limit - $0.overhead })

        let used = agents.filter { !$0.seen.starts.isEmpty }
        #expect(used.count == 2)
        // The target of a node with a job is above its fallback, and its plan says so.
        let isRaised = await wait {
            used.allSatisfy { ($0.seen.grants.last?.cap ?? .zero) > .watts(1200) }
        }
        #expect(isRaised)
        let isPlanned = await wait {
            used.allSatisfy {
                $0.seen.plans.last?.fullMilliwatts == [700_000, 700_000, 700_000, 700_000]
            }
        }
        #expect(isPlanned)

        let cancelled = try await client.cancel(reply.job)
        #expect(cancelled.state == .stopping)
        try await client.waitFor(reply.job, .cancelled)
        #expect(used.allSatisfy { $0.seen.running.isEmpty })
        let isLowered = await wait {
            used.allSatisfy { $0.seen.grants.last?.cap == .watts(1200) }
        }
        #expect(isLowered)
        // GPUs are free once the batch that ends the job is durable, just after the job shows it.
        let isFree = try await wait { try await client.status().heldGPUMilli == 0 }
        #expect(isFree)
        try await running.stop()
    }

    @Test("A request with a bad value is answered by name, and the session goes on")
    func badValue() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let client = try await world.client(at: running.ports)
        var spec = makeSpec()
        spec.task.gpuCount = 99
        let error = await #expect(throws: OperatorError.self) {
            _ = try await client.submit(spec, request: RandomID(high: 1, low: 1))
        }
        #expect(error?.code == .invalid)
        #expect(error?.message.contains("gpu_count: 99") == true)
        #expect(try await client.status().runningJobCount == 0)
        try await running.stop()
    }

    @Test("No job is placed in commissioning, and one that waits is placed when it ends")
    func waitsForCommissioning() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let client = try await world.client(at: running.ports)
        let reply = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1))
        #expect(reply.state == .queued)
        #expect(reply.explanation?.reasons.first?.kind == "commissioning")
        await #expect(throws: OperatorError.self) {
            _ = try await client.submit(
                makeSpec("now"), request: RandomID(high: 1, low: 2), nowOrNever: true)
        }
        _ = try await world.allAgents(at: running.ports)
        try await client.waitFor(reply.job, .running)
        try await running.stop()
    }

    @Test("A repeated submit is the same job, and a dry run changes nothing")
    func repeatsSubmits() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        _ = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        let request = RandomID(high: 5, low: 5)
        let first = try await client.submit(makeSpec(), request: request)
        let second = try await client.submit(makeSpec(), request: request)
        #expect(first.job == second.job)
        let dry = try await client.ask(
            .submitJob(
                SubmitJob(requestID: RandomID(high: 6, low: 6), spec: makeSpec(), isDryRun: true)))
        guard case .submitted(let answer) = dry[0].body else {
            Issue.record("answered \(dry[0].body)")
            return
        }
        #expect(answer.tasks.count == 1)
        #expect(try await client.jobs().count == 1)
        try await running.stop()
    }

    @Test("A refusal says why, and what would make the job fit")
    func explainsRefusals() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        _ = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        let reply = try await client.submit(
            makeSpec("wide", tasks: 6, spread: true), request: RandomID(high: 1, low: 1))
        #expect(reply.state == .queued)
        let answers = try await client.ask(.explainJob("wide"))
        guard case .explanation(let why) = answers[0].body else {
            Issue.record("answered \(answers[0].body)")
            return
        }
        #expect(!why.reasons.isEmpty || !why.fitsIf.isEmpty)
        var invalid = makeSpec("odd")
        invalid.models = ["H100-PCX"]
        do {
            _ = try await client.submit(invalid, request: RandomID(high: 1, low: 3))
            Issue.record("accepted")
        } catch let error as OperatorError {
            #expect(error.code == .invalid && !error.hint.isEmpty)
        }
        try await running.stop()
    }

    @Test("Every kind of request is answered")
    func answersEverything() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let agents = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        let job = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        for agent in agents { agent.report(watts: 300) }
        let isMeasured = try await wait {
            try await client.status().sites.allSatisfy { $0.draw != nil }
        }
        #expect(isMeasured)
        let requests: [OperatorRequest.Body] = [
            .listSites, .listDomains(site: ""), .listDomains(site: "east"),
            .listNodes(site: "", domain: "east/rack1"), .listGPUs(site: "west", node: ""),
            .listGPUs(site: "", node: "e1"), .listJobs(.open, after: JobID(0), limit: 1),
            .listEvents(afterRevision: 2, limit: 3), .describeJob("train"), .describeJob("\(job)"),
            .describeNode("e1"), .describeDomain("east"), .explainJob("train"), .getVersion,
        ]
        for request in requests {
            let replies = try await client.ask(request)
            if case .error(let error) = replies[0].body { Issue.record("\(request): \(error)") }
        }
        for request in [
            OperatorRequest.Body.describeJob("j99"), .describeNode("none"),
            .describeDomain("none"), .listNodes(site: "none", domain: ""), .explainJob("none"),
        ] {
            let replies = try await client.ask(request)
            guard case .error(let error) = replies[0].body else {
                Issue.record("\(request) found something")
                continue
            }
            #expect(error.code == .notFound)
        }
        try await running.stop()
    }

    @Test("A watch streams until it is stopped")
    func streamsWatches() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let client = try await world.client(at: running.ports)
        let watch = client.send(.watchStatus(intervalMilliseconds: 100))
        let isStreaming = await wait { client.replies(to: watch).count >= 3 }
        #expect(isStreaming)
        #expect(client.replies(to: watch).allSatisfy { !$0.isLast })
        _ = try await client.ask(.stopWatch(watch))
        let count = client.replies(to: watch).count
        _ = try await client.status()
        #expect(client.replies(to: watch).count == count)
        try await running.stop()
    }
}
