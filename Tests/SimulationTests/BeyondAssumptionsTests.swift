// SPDX-License-Identifier: Apache-2.0
//
// Goal: where an assumption does not hold, limits do break, and something says so. Method: worlds with
// clocks at twice their bound, GPUs that take no caps, stores put back; meters compare what domains draw
// with what the ledger accounts for.

import ControlPlane
import FleetModel
import Simulation
import Testing

@Suite struct `Beyond the assumptions` {
    private func run(_ broken: BrokenAssumption, seeds: ClosedRange<UInt64>) -> BeyondSummary {
        var summary = BeyondSummary()
        for seed in seeds {
            var scenario = WorldScenario(seed: seed, roughSeconds: 200, calmSeconds: 0)
            // The lease is short and the drift large, so that what breaks breaks soon.
            scenario.settings.driftPPM = 100_000
            scenario.settings.slewPPM = 0
            scenario.settings.leaseNanoseconds = 12_000_000_000
            scenario.topology = BuiltInWorld.topology(lease: scenario.settings.lease)
            var world = FleetWorld(scenario.breaking(broken), seed: seed)
            summary.add(world.run(), broken, seed: seed)
        }
        return summary
    }

    @Test func `Drift of twice the bound breaks a limit, and is noticed`() {
        let summary = run(.drift, seeds: 1...4)
        #expect(summary.violations > 0)
        #expect(summary.undetected == 0, "seeds \(summary.undetectedSeeds)")
    }

    @Test func `GPUs that take no caps break a limit, and are noticed`() {
        let summary = run(.hardware, seeds: 1...3)
        #expect(summary.violations > 0)
        #expect(summary.undetected == 0, "seeds \(summary.undetectedSeeds)")
    }

    @Test func `Whatever a store that was put back breaks is noticed`() {
        let summary = run(.store, seeds: 1...3)
        #expect(summary.runs == 3)
        #expect(summary.undetected == 0, "seeds \(summary.undetectedSeeds)")
    }

    @Test func `Meters are silent while the assumptions hold`() {
        for seed in 1...3 as ClosedRange<UInt64> {
            var scenario = WorldScenario(seed: seed, roughSeconds: 90, calmSeconds: 0)
            scenario.readsMeters = true
            scenario.resetsPerDomain = 0
            var world = FleetWorld(scenario, seed: seed)
            let report = world.run()
            #expect(report.violation == nil, "seed \(seed)")
            #expect(report.meterAlarms == 0, "seed \(seed)")
        }
    }
}

@Suite struct `What-if` {
    private let topology = BuiltInWorld.topology(
        lease: LeaseParameters(
            leaseNanoseconds: 12_000_000_000, enforcerNanoseconds: 800_000_000,
            settleNanoseconds: 200_000_000, driftPPM: 10_000, tickNanoseconds: 500_000_000,
            holdNanoseconds: 2_000_000_000))

    private func job(_ name: String, nodes: UInt32) -> JobSpec {
        JobSpec(
            name: name, taskCount: nodes,
            task: TaskRequest(gpuCount: 8, gpuMilli: 1000, cpuMilli: 1000, memoryMiB: 1024),
            isSpread: true)
    }

    private func answer(_ faults: [WorldScriptEntry], seconds: Int64) -> WhatIfReport {
        WhatIf(
            topology: topology, jobs: [job("train", nodes: 4), job("serve", nodes: 1)],
            faults: faults, watchedSeconds: seconds
        ).run()
    }

    @Test func `Nothing happens where nothing fails`() {
        let report = answer([], seconds: 30)
        #expect(report.violation == nil)
        #expect(report.fallbacks.isEmpty && report.heldWatts.isEmpty && report.leaderless.isEmpty)
        #expect(report.jobs.map(\.after) == [.running, .running])
    }

    @Test func `A site that is cut off keeps its leases`() {
        let report = answer([.init(0, .cutSite(1, seconds: 40))], seconds: 60)
        #expect(report.violation == nil)
        #expect(report.fallbacks.isEmpty)
        #expect(report.leaderless.isEmpty)
    }

    @Test func `A node that is cut off falls back, and comes back`() throws {
        let before = answer([], seconds: 5)
        let report = answer([.init(0, .cutNode(0, seconds: 40))], seconds: 70)
        #expect(before.violation == nil && report.violation == nil)
        let fallback = try #require(report.fallbacks.first)
        #expect(report.fallbacks.count == 1)
        #expect(fallback.node == NodeIndex(0))
        // Its lease of 12 s was renewed up to 2 s before, and ended; links came back after 40 s.
        #expect((8_000...13_000).contains(fallback.from))
        let until = try #require(fallback.until)
        #expect((40_000...60_000).contains(until))
    }

    @Test func `A site without its store falls back as a whole, and its jobs run on`() {
        let report = answer([.init(0, .storeOutage(site: 0, seconds: 40))], seconds: 90)
        #expect(report.violation == nil)
        #expect(report.fallbacks.count == 20)
        #expect(report.fallbacks.allSatisfy { $0.until != nil })
        #expect(report.jobs.allSatisfy { $0.after == .running })
        #expect(!report.leaderless.isEmpty)
    }
}
