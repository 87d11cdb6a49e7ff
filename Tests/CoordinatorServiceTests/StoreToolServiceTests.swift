// SPDX-License-Identifier: Apache-2.0

import CoordinatorService
import FleetModel
import StoreAccess
import Testing
import Wire

/// Goal: a fleet goes on in a store that it was moved to or restored into, and in no other.
///
/// Method: coordinators on embedded stores, moved and backed up between them.
@Suite struct StoreToolServiceTests {
    @Test("A fleet goes on where its stores were moved, and not where they were")
    func migrates() async throws {
        let world = try TestWorld()
        let job = try await runOneJob(in: world)
        let tools = try StoreTools(topologyPath: world.options.topologyPath, credentials: nil)
        let (old, new) = (places(world, "store"), places(world, "moved"))
        let lines = try await tools.migrate(from: old, to: new)
        #expect(lines.count == 3, "\(lines)")
        await #expect {
            try await world.start()
        } throws: { "\($0)".contains("was moved to") }
        await #expect(throws: CoordinatorError.self) {
            try await tools.migrate(from: old, to: places(world, "elsewhere"))
        }
        let second = try await world.start(store: "moved")
        let client = try await world.client(at: second.ports)
        let status = try await client.status()
        #expect(!status.isCommissioning, "what was proven stays proven")
        #expect(status.fleetEpoch > 1)
        #expect(try await client.job(job).state == .running)
        let again = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1))
        #expect(again.job == job, "the same submit is the same job")
        try await second.stop()
    }

    @Test("A restored fleet knows its jobs, charges every node uncapped, and proves all anew")
    func restores() async throws {
        let world = try TestWorld()
        let job = try await runOneJob(in: world)
        let tools = try StoreTools(topologyPath: world.options.topologyPath, credentials: nil)
        let file = world.directory + "/fleet.backup"
        #expect(try await tools.backup(places(world, "store"), to: file).count == 3)
        await #expect(throws: CoordinatorError.self, "over a file that is there") {
            try await tools.backup(places(world, "store"), to: file)
        }
        await #expect(throws: CoordinatorError.self, "into stores that are in use") {
            try await tools.restore(file, to: places(world, "store"))
        }
        _ = try await tools.restore(file, to: places(world, "restored"))
        let second = try await world.start(store: "restored")
        let client = try await world.client(at: second.ports)
        #expect(try await client.status().isCommissioning)
        #expect(try await client.job(job).state == .running)
        // Epochs lie above whatever the lost stores may have reached since.
        #expect(try await client.status().fleetEpoch > 1_000_000)
        let agents = try await world.allAgents(at: second.ports)
        try await client.waitUntilCommissioned()
        #expect(agents.allSatisfy { !$0.seen.grants.isEmpty })
        try await second.stop()
    }

    private func places(_ world: TestWorld, _ name: String) -> StoreTools.Places {
        let location = StoreLocation(folder: "\(world.directory)/\(name)")
        return StoreTools.Places(fleet: location, sites: location)
    }

    /// Runs a fleet until it has one running job, and stops it.
    private func runOneJob(in world: TestWorld) async throws -> JobID {
        let first = try await world.start()
        let agents = try await world.allAgents(at: first.ports)
        let client = try await world.client(at: first.ports)
        try await client.waitUntilCommissioned()
        let job = try await client.submit(makeSpec(), request: RandomID(high: 1, low: 1)).job
        try await client.waitFor(job, .running)
        #expect(agents.contains { !$0.seen.running.isEmpty })
        try await first.stop()
        return job
    }
}
