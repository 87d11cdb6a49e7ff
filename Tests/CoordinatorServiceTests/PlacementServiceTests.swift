// SPDX-License-Identifier: Apache-2.0

import CoordinatorService
import FleetModel
import SecureTransport
import Testing
import Wire

/// Goal: operators keep jobs away from nodes, move them off, and more important jobs take the place of
/// others, over real TLS and real stores, also across a restart.
///
/// Method: agents that obey at once, an operator's client, one coordinator in the process.
@Suite struct PlacementServiceTests {
    private func mark(
        _ node: String, _ mark: NodeMark, _ client: TestClient
    ) async throws -> MarkReply {
        let replies = try await client.ask(
            .markNode(MarkNode(node: node, mark: mark, reason: "a fan is loud")))
        switch replies[0].body {
        case .marked(let reply): return reply
        case .error(let error): throw error
        default: throw CloseReason.lost("unexpected answer \(replies[0].body)")
        }
    }

    private func node(_ name: String, _ client: TestClient) async throws -> NodeView {
        let replies = try await client.ask(.describeNode(name))
        guard case .node(let detail) = replies[0].body else {
            throw CloseReason.lost("unexpected answer \(replies[0].body)")
        }
        return detail.node
    }

    private func explanation(_ job: JobID, _ client: TestClient) async throws -> JobExplanation {
        let replies = try await client.ask(.explainJob("\(job)"))
        guard case .explanation(let answer) = replies[0].body else {
            throw CloseReason.lost("unexpected answer \(replies[0].body)")
        }
        return answer
    }

    @Test("A drained node is emptied gang by gang, and stays so until it is opened again")
    func drains() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        let agents = try await world.allAgents(at: first.ports)
        var client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let gang = try await client.submit(
            makeSpec("gang", tasks: 2, spread: true), request: RandomID(high: 1, low: 1)
        ).job
        try await client.waitFor(gang, .running)
        let away = try #require(agents.first { !$0.seen.running.isEmpty }).node
        let reply = try await mark(away, .draining, client)
        #expect(reply.mark == .draining && reply.jobs == [gang])
        let isEmpty = try await wait { try await self.node(away, client).mark == "drained" }
        #expect(isEmpty)
        try await client.waitFor(gang, .running)
        let isStopped = await wait {
            agents.filter { $0.node == away }.allSatisfy { $0.seen.running.isEmpty }
        }
        #expect(isStopped)
        #expect(agents.reduce(0) { $0 + $1.seen.running.count } == 2, "the gang is whole")
        let kinds = try await client.events().map(\.kind)
        #expect(kinds.contains("node-draining") && kinds.contains("job-drained"))
        await #expect(throws: OperatorError.self) {
            _ = try await self.mark("no-such-node", .cordoned, client)
        }
        try await first.stop()

        let second = try await world.start()
        client = try await world.client(at: second.ports)
        #expect(try await node(away, client).mark == "drained", "it is on record")
        #expect(try await mark(away, .open, client).mark == .open)
        #expect(try await node(away, client).mark.isEmpty)
        try await second.stop()
    }

    @Test("A more important job takes the place of another one, which waits and says for whom")
    func preempts() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let agents = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        var low: [JobID] = []
        for number in 1...5 {
            let reply = try await client.submit(
                makeSpec("low\(number)"), request: RandomID(high: 1, low: UInt64(number)))
            low.append(reply.job)
            try await client.waitFor(reply.job, .running)
        }
        var urgent = makeSpec("urgent")
        urgent.priority = 10
        let patient = try await client.submit(urgent, request: RandomID(high: 1, low: 9)).job
        #expect(try await client.job(patient).state == .queued, "it did not ask for it")
        _ = try await client.cancel(patient)
        urgent.preemption = .lower
        let id = try await client.submit(urgent, request: RandomID(high: 1, low: 10)).job
        try await client.waitFor(id, .running)
        var victims: [JobID] = []
        for job in low where try await client.job(job).state == .queued { victims.append(job) }
        #expect(victims.count == 1)
        let victim = try #require(victims.first)
        let why = try await explanation(victim, client)
        #expect(why.reasons.first?.kind == "preempted")
        #expect(why.reasons.first?.message.contains("\(id)") == true)
        let preemptions = try await client.events().filter { $0.kind == "job-preempted" }
        #expect(preemptions.map(\.subject) == ["\(victim)"])
        #expect(agents.allSatisfy { $0.seen.running.count <= 1 })
        // Its place comes back to it.
        _ = try await client.cancel(id)
        try await client.waitFor(victim, .running)
        try await running.stop()
    }

    @Test("Levels reach the engine, and unknown ones are refused by name")
    func levels() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        _ = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        var spec = makeSpec("apart", tasks: 4)
        spec.levelSpread = LevelSpread(level: "hall", maximumTasks: 1)
        let error = await #expect(throws: OperatorError.self) {
            _ = try await client.submit(spec, request: RandomID(high: 1, low: 1))
        }
        #expect(error?.message.contains("'hall'") == true)
        #expect(error?.hint.contains("rack") == true)
        spec.sites = ["east"]
        spec.levelSpread = LevelSpread(level: "rack", maximumTasks: 1)
        let refused = try await client.ask(
            .submitJob(
                SubmitJob(requestID: .none, spec: spec, isNowOrNever: false, isDryRun: true)))
        guard case .submitted(let answer) = refused[0].body else {
            Issue.record("a dry run was answered with \(refused[0].body)")
            return
        }
        #expect(answer.tasks.isEmpty)
        #expect(answer.explanation?.fitsIf.contains { $0.contains("one domain") } == true)
        spec.levelSpread = LevelSpread(level: "rack", maximumTasks: 2)
        let placed = try await client.submit(spec, request: RandomID(high: 1, low: 2))
        #expect(placed.tasks.count == 4)
        try await running.stop()
    }

    @Test("A reservation outlives the coordinator, serves its jobs, and ends when it is told to")
    func reserves() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        _ = try await world.allAgents(at: first.ports)
        var client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let make = MakeReservation(
            name: "team", spec: makeSpec("room", tasks: 5), durationMilliseconds: 3_600_000)
        let made = try await client.ask(.makeReservation(make))
        guard case .reservation(let view) = made[0].body else {
            Issue.record("a reservation was answered with \(made[0].body)")
            return
        }
        #expect(view.gpuCount == 20 && view.keptGPUCount == 20)
        var member = makeSpec("member")
        member.reservation = "team"
        let job = try await client.submit(member, request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        await #expect(throws: OperatorError.self) {
            _ = try await client.submit(
                makeSpec("other"), request: RandomID(high: 1, low: 2), nowOrNever: true)
        }
        try await first.stop()

        let second = try await world.start()
        client = try await world.client(at: second.ports)
        let list = try await client.ask(.listReservations)
        guard case .reservations(let views) = list[0].body else {
            Issue.record("a list was answered with \(list[0].body)")
            return
        }
        #expect(views.map(\.name) == ["team"] && views[0].keptGPUCount == 16)
        let ended = try await client.ask(.endReservation("team"))
        guard case .reservation = ended[0].body else {
            Issue.record("an end was answered with \(ended[0].body)")
            return
        }
        #expect(try await client.job(job).state == .running, "who is in may stay")
        try await second.stop()
    }
}
