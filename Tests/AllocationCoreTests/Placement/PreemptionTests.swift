// SPDX-License-Identifier: Apache-2.0

// Goal: preemption stops the least there is to stop, and says "impossible" only when it is. Method: random
// jobs of several classes on random small fleets; every set of victims is tried by brute force.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Preemption")
struct PreemptionTests {
    private static let rounds: Int = {
        #if DEBUG
            return 60
        #else
            return 2000
        #endif
    }()

    /// A fleet that is about full, and what may be stopped.
    struct World {
        var engine: PlacementEngine
        var candidates: [PreemptionCandidate] = []

        init(_ layout: FeedLayout, jobs: Int, _ generator: inout SeededGenerator) {
            let topology = RandomFleet.topology(layout, &generator)
            engine = PlacementEngine(topology: topology)
            for number in 1...UInt64(jobs) {
                var spec = RandomFleet.job(&generator, tasks: 1...2)
                spec.priority = Int32(generator.pick(0...3))
                guard let placement = engine.placement(for: spec) else { continue }
                do {
                    try engine.hold(JobID(number), spec, placement)
                } catch {
                    Issue.record("cannot hold what was placed: \(error)")
                }
                candidates.append(
                    PreemptionCandidate(
                        job: JobID(number), priority: spec.priority,
                        lostWork: UInt64(generator.pick(0...3))))
            }
            // Some domains are tight, so that watts have to come from jobs elsewhere in them.
            for domain in topology.domains.indices where generator.oneIn(2) {
                let charge = engine.charge(of: DomainIndex(domain)).rawValue
                engine.setBudget(
                    DomainIndex(domain), Milliwatts(charge + Int64(generator.pick(0...300))))
            }
        }

        /// The damage of a set of victims, and whether the job fits without them.
        func damage(_ victims: [PreemptionCandidate]) -> [Int] {
            [
                Int(victims.map(\.priority).max() ?? .min), victims.count,
                victims.reduce(0) { $0 + Int($1.lostWork) },
            ]
        }

        func fits(_ spec: JobSpec, without victims: [PreemptionCandidate]) -> Bool? {
            var trial = engine
            for victim in victims { trial.release(victim.job) }
            switch trial.place(spec, explaining: false) {
            case .placed: return true
            case .refused: return false
            case .undecided: return nil
            }
        }

        /// The least damage there is; nil when no set is enough.
        func leastDamage(_ spec: JobSpec) -> [Int]? {
            let allowed = candidates.filter { $0.priority < spec.priority }
            var best: [Int]?
            for mask in 0..<(1 << allowed.count) {
                let victims = allowed.indices.filter { mask >> $0 & 1 == 1 }.map { allowed[$0] }
                let damage = damage(victims)
                if let best, !damage.lexicographicallyPrecedes(best) { continue }
                if fits(spec, without: victims) == true { best = damage }
            }
            return best
        }
    }

    @Test(
        "On small fleets the victims are the least there are, and impossible is impossible",
        arguments: [FeedLayout.single, .paired])
    func isLeast(layout: FeedLayout) {
        var generator = SeededGenerator(seed: 41)
        var planned = 0
        var impossible = 0
        for round in 0..<PreemptionTests.rounds {
            let world = World(layout, jobs: 7, &generator)
            var spec = RandomFleet.job(&generator, tasks: 1...3)
            spec.priority = Int32(generator.pick(1...4))
            let least = world.leastDamage(spec)
            let before = world.engine
            switch world.engine.preemptionPlan(for: spec, among: world.candidates) {
            case .possible(let plan):
                let victims = world.candidates.filter { plan.victims.contains($0.job) }
                #expect(victims.allSatisfy { $0.priority < spec.priority })
                #expect(plan.isLeast, "round \(round)")
                #expect(world.damage(victims) == least, "round \(round): \(spec)")
                #expect(world.fits(spec, without: victims) == true, "round \(round)")
                if !victims.isEmpty { planned += 1 }
            case .impossible:
                impossible += 1
                #expect(least == nil, "round \(round): \(spec)")
            case .undecided:
                Issue.record("round \(round) is open")
            }
            #expect(world.engine.hasSameState(as: before))
        }
        #expect(planned > PreemptionTests.rounds / 8)
        #expect(impossible > 0)
    }

    @Test("On crossing feeds a plan is enough, and impossible is impossible")
    func crossing() {
        var generator = SeededGenerator(seed: 42)
        var open = 0
        for round in 0..<PreemptionTests.rounds {
            let world = World(.crossing, jobs: 6, &generator)
            var spec = RandomFleet.job(&generator, tasks: 1...3)
            spec.priority = 4
            let least = world.leastDamage(spec)
            switch world.engine.preemptionPlan(for: spec, among: world.candidates) {
            case .possible(let plan):
                let victims = world.candidates.filter { plan.victims.contains($0.job) }
                #expect(world.fits(spec, without: victims) == true, "round \(round)")
                if plan.isLeast { #expect(world.damage(victims) == least, "round \(round)") }
            case .impossible: #expect(least == nil, "round \(round): \(spec)")
            case .undecided: open += 1
            }
        }
        #expect(open * 100 <= PreemptionTests.rounds, "\(open) of \(PreemptionTests.rounds)")
    }

    @Test("A job is stopped for its watts alone, when GPUs are free and a feed is full")
    func victimsForPower() throws {
        var generator = SeededGenerator(seed: 43)
        let topology = RandomFleet.topology(
            .paired, &generator, nodesPerRack: 2...2, gpusPerNode: 2...2)
        var engine = PlacementEngine(topology: topology)
        let task = TaskRequest(gpuCount: 2, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)
        let low = JobSpec(name: "low", task: task, floor: Milliwatts(280))
        try engine.hold(JobID(1), low, [TaskPlacement(node: NodeIndex(0), devices: [0, 1])])
        try engine.hold(JobID(2), low, [TaskPlacement(node: NodeIndex(2), devices: [0, 1])])
        // The feed behind the first rack is full; its second node has both GPUs free.
        let feed = try #require(topology.domains.firstIndex { $0.name == "feed0" })
        engine.setBudget(DomainIndex(feed), engine.charge(of: DomainIndex(feed)))
        engine.setEligible(NodeIndex(3), .cordoned)
        let high = JobSpec(name: "high", priority: 1, task: task, floor: Milliwatts(280))
        let candidates = [1, 2].map {
            PreemptionCandidate(job: JobID($0), priority: 0, lostWork: $0 == 1 ? 0 : 9)
        }
        guard case .possible(let plan) = engine.preemptionPlan(for: high, among: candidates) else {
            Issue.record("stopping either job is enough")
            return
        }
        #expect(plan.victims == [JobID(1)])
        guard
            case .impossible = engine.preemptionPlan(
                for: JobSpec(name: "equal", task: task, floor: Milliwatts(280)), among: candidates)
        else {
            Issue.record("a job of the same class is never stopped")
            return
        }
    }

    @Test("A plan for a large gang in a full fleet of many small jobs is bounded and enough")
    func largeFleet() throws {
        var generator = SeededGenerator(seed: 44)
        let topology = RandomFleet.topology(
            .paired, &generator, rackCount: 16, nodesPerRack: 8...8, gpusPerNode: 4...4)
        var engine = PlacementEngine(topology: topology)
        let one = TaskRequest(gpuCount: 1, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)
        var candidates: [PreemptionCandidate] = []
        for number in 1...UInt64(512) {
            let spec = JobSpec(name: "small", priority: Int32(number % 2), task: one)
            let found = engine.placement(for: spec)
            let placement = try #require(found)
            try engine.hold(JobID(number), spec, placement)
            candidates.append(
                PreemptionCandidate(job: JobID(number), priority: spec.priority, lostWork: number))
        }
        let gang = JobSpec(
            name: "gang", priority: 2, taskCount: 8,
            task: TaskRequest(gpuCount: 4, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0),
            requiredLevel: "rack")
        guard case .possible(let plan) = engine.preemptionPlan(for: gang, among: candidates) else {
            Issue.record("one rack of small jobs is enough")
            return
        }
        #expect(plan.victims.count == 32)
        for victim in plan.victims { engine.release(victim) }
        try engine.hold(JobID(1000), gang, plan.placement)
    }
}
