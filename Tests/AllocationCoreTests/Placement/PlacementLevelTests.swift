// SPDX-License-Identifier: Apache-2.0

// Goal: preferred levels and spreading choose well among what fits, and never decide whether it fits.
// Method: random jobs on random small fleets, compared with a search of every placement there is.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Placement over levels")
struct PlacementLevelTests {
    /// A fleet with some jobs on it, twice.
    private func busyFleet(
        _ layout: FeedLayout, _ generator: inout SeededGenerator, racks: Int = 3
    ) -> (PlacementEngine, BruteFleet) {
        let topology = RandomFleet.topology(layout, &generator, rackCount: racks)
        var engine = PlacementEngine(topology: topology)
        var brute = BruteFleet(topology)
        for number in 0..<UInt64(generator.pick(0...4)) {
            let spec = RandomFleet.job(&generator, tasks: 1...2)
            guard let placement = engine.placement(for: spec) else { continue }
            do {
                try engine.hold(JobID(number + 1), spec, placement)
            } catch {
                Issue.record("cannot hold what was placed: \(error)")
            }
            brute.jobs.append((spec, placement))
        }
        for domain in topology.domains.indices where generator.oneIn(3) {
            let budget = brute.charge(domain: domain) + Int64(generator.pick(0...1200))
            brute.budget[domain] = budget
            engine.setBudget(DomainIndex(domain), Milliwatts(budget))
        }
        return (engine, brute)
    }

    private static let rounds: Int = {
        #if DEBUG
            return 60
        #else
            return 1500
        #endif
    }()

    @Test("A gang lies in one domain of the preferred level exactly when it can")
    func prefersOneDomain() {
        var generator = SeededGenerator(seed: 31)
        var inOne = 0
        var inMore = 0
        for round in 0..<PlacementLevelTests.rounds {
            var (engine, brute) = busyFleet(round % 2 == 0 ? .single : .paired, &generator)
            var spec = RandomFleet.job(&generator, tasks: 2...4)
            (spec.preferredLevel, spec.requiredLevel, spec.levelSpread) = (nil, nil, nil)
            var required = spec
            required.requiredLevel = "rack"
            let mustBeOne = brute.placement(of: required) != nil
            spec.preferredLevel = "rack"
            let found = engine.placement(for: spec)
            #expect((found != nil) == (brute.placement(of: spec) != nil), "round \(round)")
            guard let found else { continue }
            #expect(brute.accepts(spec, found), "round \(round)")
            let racks = brute.groups(found.map(\.node.position), "rack")
            #expect((racks.count == 1) == mustBeOne, "round \(round): \(spec)")
            if mustBeOne { inOne += 1 } else { inMore += 1 }
        }
        #expect(inOne > 10 && inMore > 0)
    }

    @Test("A gang that must lie in several preferred domains takes as few as there can be")
    func takesFewDomains() {
        // Room for 1, 4, 2 and 3 tasks of a whole node: 6 tasks need two racks, not three.
        let (engine, brute) = rackedFleet(nodes: [1, 4, 2, 3])
        var trial = engine
        var spec = JobSpec(name: "wide", taskCount: 6, task: wholeNode)
        spec.preferredLevel = "rack"
        let found = trial.placement(for: spec) ?? []
        #expect(brute.groups(found.map(\.node.position), "rack").count == 2)
        spec.taskCount = 7
        let most = trial.placement(for: spec) ?? []
        #expect(brute.groups(most.map(\.node.position), "rack").count == 2)
        spec.taskCount = 10
        #expect(trial.placement(for: spec)?.count == 10)
        spec.taskCount = 11
        #expect(trial.placement(for: spec) == nil)
    }

    @Test(
        "Spreading evenly finds the least number of tasks in one domain, and never refuses for it")
    func spreadsEvenly() {
        var generator = SeededGenerator(seed: 32)
        var placed = 0
        for round in 0..<PlacementLevelTests.rounds {
            var (engine, brute) = busyFleet(round % 2 == 0 ? .single : .paired, &generator)
            var spec = RandomFleet.job(&generator, tasks: 2...4)
            (spec.preferredLevel, spec.levelSpread) = (nil, nil)
            let fits = brute.placement(of: spec) != nil
            spec.levelSpread = LevelSpread(level: "rack")
            let found = engine.placement(for: spec)
            #expect((found != nil) == fits, "round \(round): \(spec)")
            guard let found else { continue }
            placed += 1
            let most = brute.largestGroup(found.map(\.node.position), "rack")
            guard most > 1 else { continue }
            spec.levelSpread = LevelSpread(level: "rack", maximumTasks: UInt32(most - 1))
            #expect(brute.placement(of: spec) == nil, "round \(round): \(spec)")
        }
        #expect(placed > 10)
    }

    @Test("A limit on tasks per domain holds, and what it refuses says so")
    func limitsSpread() {
        var (engine, brute) = rackedFleet(nodes: [1, 4, 2, 3])
        var spec = JobSpec(name: "apart", taskCount: 7, task: wholeNode)
        spec.levelSpread = LevelSpread(level: "rack", maximumTasks: 2)
        let found = engine.placement(for: spec) ?? []
        #expect(brute.largestGroup(found.map(\.node.position), "rack") == 2)
        spec.taskCount = 8
        guard case .refused(let refusal) = engine.place(spec) else {
            Issue.record("8 tasks do not fit 1 + 2 + 2 + 2")
            return
        }
        #expect(refusal.tasksThatFit == 7)
        #expect(refusal.fitsIf == [.fewerTasks(7), .noLevelSpread])
        #expect(refusal.shortfalls.isEmpty)
    }

    @Test("A preferred level that is wider than the required one changes nothing")
    func coarserPreference() {
        var (engine, brute) = rackedFleet(nodes: [2, 3, 1])
        var spec = JobSpec(
            name: "tight", taskCount: 3, task: wholeNode, requiredLevel: "rack",
            preferredLevel: "row")
        let found = engine.placement(for: spec) ?? []
        #expect(found.count == 3 && brute.accepts(spec, found))
        spec.taskCount = 4
        let none = engine.placement(for: spec)
        #expect(none == nil)
    }

    @Test("A level that the tree does not have is refused")
    func unknownLevels() {
        var (engine, _) = rackedFleet(nodes: [2])
        var spec = JobSpec(name: "odd", taskCount: 2, task: wholeNode)
        spec.preferredLevel = "hall"
        #expect(engine.placement(for: spec) == nil)
        spec.preferredLevel = nil
        spec.levelSpread = LevelSpread(level: "hall", maximumTasks: 1)
        #expect(engine.placement(for: spec) == nil)
        spec.levelSpread = nil
        #expect(engine.placement(for: spec)?.count == 2)
    }

    @Test("A job of full pace is admitted only where its highest caps fit")
    func fullPace() throws {
        var (engine, _) = rackedFleet(nodes: [1])
        var spec = JobSpec(name: "full", task: wholeNode)
        let free = engine.charge(of: DomainIndex(0))
        engine.setBudget(DomainIndex(0), free + Milliwatts(359))
        #expect(engine.placement(for: spec) != nil, "the default floor adds 160")
        spec.isFullPace = true
        let tooMuch = engine.placement(for: spec)
        #expect(tooMuch == nil)
        // Two GPUs at 300 over a fallback of 240.
        engine.setBudget(DomainIndex(0), free + Milliwatts(360))
        let found = engine.placement(for: spec)
        let placement = try #require(found)
        try engine.hold(JobID(1), spec, placement)
        #expect(engine.headroom(of: DomainIndex(0)) == .zero)
    }

    private let wholeNode = TaskRequest(gpuCount: 2, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)

    /// A row of racks with so many nodes of two GPUs each.
    private func rackedFleet(nodes: [Int]) -> (PlacementEngine, BruteFleet) {
        var generator = SeededGenerator(seed: 1)
        var topology = RandomFleet.topology(
            .single, &generator, rackCount: nodes.count, nodesPerRack: 4...4, gpusPerNode: 2...2)
        for type in topology.nodeTypes.indices {
            topology.nodeTypes[type].model = ModelIndex(0)
            topology.nodeTypes[type].fallback = Milliwatts(240)
        }
        var kept: [Node] = []
        for (rack, count) in nodes.enumerated() {
            for var node in topology.nodes[(rack * 4)..<(rack * 4 + count)] {
                node.firstGPU = GPUIndex(kept.count * 2)
                kept.append(node)
            }
        }
        topology.nodes = kept
        return (PlacementEngine(topology: topology), BruteFleet(topology))
    }
}
