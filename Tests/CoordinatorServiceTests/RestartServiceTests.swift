// SPDX-License-Identifier: Apache-2.0

import CoordinatorService
import FleetModel
import SecureTransport
import Testing
import Wire

/// Goal: a new coordinator goes on where the old one ended, from its stores and from what agents say.
///
/// Method: one coordinator after the other on the same files.
@Suite struct RestartServiceTests {
    @Test("Jobs, their tasks and the ledger outlive the coordinator")
    func goesOn() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        var agents = try await world.allAgents(at: first.ports)
        var client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let job = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        let before = try await client.job(job)
        let tasks = Dictionary(uniqueKeysWithValues: agents.map { ($0.node, $0.seen.running) })
        try await first.stop()

        let second = try await world.start()
        client = try await world.client(at: second.ports)
        let status = try await client.status()
        #expect(!status.isCommissioning, "what was proven stays proven")
        #expect(status.fleetEpoch == 2)
        #expect(try await client.job(job).state == .running)
        #expect(try await client.job(job).nodes == before.nodes)
        agents = []
        for (node, site) in [("e1", "east"), ("e2", "east"), ("e3", "east"), ("e4", "east")] {
            let agent = try await FakeAgent.dial(
                node: node, files: world.files("agent-\(node)"),
                port: second.ports.protocolPort, group: world.group)
            agent.hello(running: tasks[node] ?? [])
            agent.renew()
            agents.append(agent)
            #expect(site == "east")
        }
        let isGranted = await wait { agents.allSatisfy { !$0.seen.grants.isEmpty } }
        #expect(isGranted)
        #expect(agents.allSatisfy { $0.seen.starts.isEmpty && $0.seen.stops.isEmpty })
        let again = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1))
        #expect(again.job == job, "the same submit is the same job")
        try await second.stop()
    }

    @Test("A task that its node has lost is started again, and a stray one is stopped")
    func reconciles() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        let agents = try await world.allAgents(at: first.ports)
        var client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let job = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        let node = try #require(agents.first { !$0.seen.starts.isEmpty }).node
        try await first.stop()

        let second = try await world.start()
        client = try await world.client(at: second.ports)
        let stray = TaskAttempt(job: JobID(77), taskIndex: 0, attempt: 3)
        let back = try await FakeAgent.connect(
            node: node, files: world.files("agent-\(node)"), port: second.ports.protocolPort,
            group: world.group, running: [stray])
        let isRepaired = await wait { back.seen.starts.count == 1 && back.seen.stops == [stray] }
        #expect(isRepaired)
        try await client.waitFor(job, .running)
        let isTold = try await wait {
            try await client.events().contains { $0.kind == "task-restarted" }
        }
        #expect(isTold)
        try await second.stop()
    }

    @Test("A cancelled job keeps what it holds while its node is silent, over a restart too")
    func keepsFloorsOfSilentNodes() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        let agents = try await world.allAgents(at: first.ports)
        var client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let job = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        let holder = try #require(agents.first { !$0.seen.starts.isEmpty })
        await holder.close()
        #expect(try await client.cancel(job).state == .stopping)
        try await first.stop()

        let second = try await world.start()
        client = try await world.client(at: second.ports)
        #expect(try await client.job(job).state == .stopping)
        #expect(try await client.status().heldGPUMilli == 4000)
        let back = try await FakeAgent.connect(
            node: holder.node, files: world.files("agent-\(holder.node)"),
            port: second.ports.protocolPort, group: world.group, running: holder.seen.running)
        try await client.waitFor(job, .cancelled)
        #expect(back.seen.running.isEmpty)
        // GPUs are free once the batch that ends the job is durable, just after the job shows it.
        let isFree = try await wait { try await client.status().heldGPUMilli == 0 }
        #expect(isFree)
        try await second.stop()
    }

    @Test("Two coordinators cannot serve from the same stores")
    func refusesASecondOne() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        await #expect(throws: CoordinatorError.self) { _ = try await world.start() }
        try await first.stop()
    }

    @Test("A store that was made for other nodes is refused")
    func refusesAnotherTopology() async throws {
        let world = try TestWorld()
        let first = try await world.start()
        _ = try await world.allAgents(at: first.ports)
        // The store knows its topology from the first record that is written.
        try await world.client(at: first.ports).waitUntilCommissioned()
        try await first.stop()
        let changed = TestWorld.topology.replacing("names: w1", with: "names: w2")
        try world.write(changed, to: "fleet.yaml")
        await #expect(throws: CoordinatorError.self) { _ = try await world.start() }
    }
}
