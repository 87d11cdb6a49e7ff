// SPDX-License-Identifier: Apache-2.0

// Goal: what is taken back leaves no trace, and what a refusal says is true. Method: random operations on
// random small fleets, compared with a copy made before, or with the fleet changed as the refusal says.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Placement properties")
struct PlacementPropertyTests {
    /// An engine with some jobs, some nodes out of service and tight budgets.
    private func busyEngine(
        _ layout: FeedLayout, _ generator: inout SeededGenerator, jobs: Int = 6
    ) -> PlacementEngine {
        let topology = RandomFleet.topology(layout, &generator)
        var engine = PlacementEngine(topology: topology)
        for domain in topology.domains.indices where generator.oneIn(2) {
            let charge = engine.charge(of: DomainIndex(domain)).rawValue
            engine.setBudget(
                DomainIndex(domain), Milliwatts(charge + Int64(generator.pick(0...900))))
        }
        for index in 0..<jobs { step(&engine, &generator, JobID(UInt64(index + 1))) }
        return engine
    }

    /// One random change.
    private func step(
        _ engine: inout PlacementEngine, _ generator: inout SeededGenerator, _ job: JobID
    ) {
        let node = NodeIndex(generator.pick(0...engine.topology.nodes.count - 1))
        switch generator.pick(0...6) {
        case 0: engine.setEligible(node, generator.element(of: [nil, .silent, .cordoned]))
        case 1: engine.setMinimumCharge(node, Milliwatts(Int64(generator.pick(0...900))))
        case 2: engine.release(JobID(generator.next() % job.rawValue))
        case 3:
            let domain = DomainIndex(generator.pick(0...engine.topology.domains.count - 1))
            engine.setBudget(domain, Milliwatts(Int64(generator.pick(0...4000))))
        default:
            let spec = RandomFleet.job(&generator)
            guard case .placed(let placement) = engine.place(spec, explaining: false) else {
                return
            }
            do {
                try engine.hold(job, spec, placement)
            } catch {
                Issue.record("cannot hold what was placed: \(error)")
            }
        }
    }

    @Test("Placing and explaining change nothing", arguments: FeedLayout.allCases)
    func placeIsPure(layout: FeedLayout) {
        var generator = SeededGenerator(seed: 21)
        for _ in 0..<40 {
            var engine = busyEngine(layout, &generator)
            let before = engine
            let spec = RandomFleet.job(&generator)
            let first = engine.place(spec)
            #expect(engine.hasSameState(as: before))
            let second = engine.place(spec)
            #expect(second == first)
        }
    }

    @Test("Holding and releasing leaves no trace", arguments: FeedLayout.allCases)
    func holdAndRelease(layout: FeedLayout) throws {
        var generator = SeededGenerator(seed: 22)
        var held = 0
        for _ in 0..<60 {
            var engine = busyEngine(layout, &generator)
            let before = engine
            let spec = RandomFleet.job(&generator)
            guard case .placed(let placement) = engine.place(spec, explaining: false) else {
                continue
            }
            held += 1
            try engine.hold(JobID(99), spec, placement)
            #expect(engine.placement(of: JobID(99)) == placement)
            #expect(!engine.hasSameState(as: before))
            let wasHeld = engine.release(JobID(99))
            #expect(wasHeld)
            #expect(engine.hasSameState(as: before))
        }
        #expect(held > 10)
    }

    @Test("A rollback takes back everything since its checkpoint", arguments: FeedLayout.allCases)
    func rollback(layout: FeedLayout) {
        var generator = SeededGenerator(seed: 23)
        for _ in 0..<60 {
            var engine = busyEngine(layout, &generator)
            let before = engine
            let outer = engine.checkpoint()
            for job in 100...UInt64(104) { step(&engine, &generator, JobID(job)) }
            let between = engine
            let inner = engine.checkpoint()
            for job in 105...UInt64(109) { step(&engine, &generator, JobID(job)) }
            engine.rollback(to: inner)
            #expect(engine.hasSameState(as: between))
            engine.rollback(to: outer)
            #expect(engine.hasSameState(as: before))
            #expect(engine.firstBrokenInvariant() == nil)
        }
    }

    @Test("An inner commit is still taken back by an outer rollback")
    func commitInsideRollback() {
        var generator = SeededGenerator(seed: 24)
        var engine = busyEngine(.paired, &generator)
        let before = engine
        let outer = engine.checkpoint()
        let inner = engine.checkpoint()
        for job in 100...UInt64(109) { step(&engine, &generator, JobID(job)) }
        engine.commit(inner)
        engine.rollback(to: outer)
        #expect(engine.hasSameState(as: before))
    }

    @Test("A refused hold changes nothing and says why")
    func refusedHold() throws {
        var generator = SeededGenerator(seed: 25)
        var topology = RandomFleet.topology(
            .single, &generator, nodesPerRack: 1...1, gpusPerNode: 2...2)
        for type in topology.nodeTypes.indices { topology.nodeTypes[type].cpuMilli = 1000 }
        var engine = PlacementEngine(topology: topology)
        let one = TaskRequest(gpuCount: 1, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)
        let spec = JobSpec(name: "j", taskCount: 2, task: one)
        func task(_ node: Int, _ devices: UInt16...) -> TaskPlacement {
            TaskPlacement(node: NodeIndex(node), devices: devices)
        }
        let before = engine
        func refusal(_ placement: [TaskPlacement]) -> PlacementHoldError? {
            do throws(PlacementHoldError) {
                try engine.hold(JobID(1), spec, placement)
                return nil
            } catch { return error }
        }
        #expect(refusal([task(0, 0)]) == .shape)
        #expect(refusal([task(0, 0), task(0, 2)]) == .shape)
        #expect(refusal([task(0, 0), task(9, 0)]) == .shape)
        #expect(refusal([task(0, 0), task(0, 0)]) == .taken(NodeIndex(0)))
        let charge = engine.charge(of: DomainIndex(0))
        engine.setBudget(DomainIndex(0), charge)
        guard case .power(let shortfall)? = refusal([task(0, 0), task(1, 0)]) else {
            Issue.record("power was not refused")
            return
        }
        #expect(shortfall.domain == DomainIndex(0))
        engine.setBudget(DomainIndex(0), charge + shortfall.missing)
        #expect(refusal([task(0, 0), task(1, 0)]) == nil)
        #expect(refusal([task(0, 1), task(1, 1)]) == .alreadyHeld(JobID(1)))
        engine.release(JobID(1))
        engine.setBudget(DomainIndex(0), topology.domains[0].budget)
        #expect(engine.hasSameState(as: before))
    }

    @Test("A restored job is charged even where its floors no longer fit")
    func restore() throws {
        var generator = SeededGenerator(seed: 26)
        let topology = RandomFleet.topology(.single, &generator, gpusPerNode: 2...2)
        var engine = PlacementEngine(topology: topology)
        let task = TaskRequest(gpuCount: 2, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)
        let spec = JobSpec(name: "j", task: task)
        engine.setBudget(DomainIndex(0), .zero)
        try engine.restore(
            JobID(1), spec, [TaskPlacement(node: NodeIndex(0), devices: [0, 1])])
        #expect(engine.headroom(of: DomainIndex(0)) < .zero)
        #expect(engine.firstBrokenInvariant() == nil)
    }

    @Test("Every counterfactual is true, and no refusal is without reasons")
    func counterfactuals() {
        var generator = SeededGenerator(seed: 27)
        var seen: Set<String> = []
        for round in 0..<500 {
            let engine = busyEngine(
                FeedLayout.allCases[round % 3], &generator, jobs: 8)
            let spec = RandomFleet.job(&generator, tasks: 1...3)
            var trial = engine
            guard case .refused(let refusal) = trial.place(spec) else { continue }
            let nodes = refusal.reasons.reduce(0) { $0 + $1.nodeCount }
            #expect(nodes > 0 || spec.taskCount > 1)
            for change in refusal.fitsIf {
                seen.insert("\(change)".split(separator: "(")[0].description)
                let isTrue = fits(spec, engine, after: change)
                #expect(isTrue, "round \(round): \(change): \(spec)")
            }
        }
        let expected: Set = [
            "fewerTasks", "nodesBack", "anyModel", "noSelector", "noRequiredLevel", "sharedNodes",
            "lowerFloor", "morePower", "jobsEnd", "noLevelSpread",
        ]
        #expect(seen == expected)
    }

    @Test("A gang that watts stop half-way is told the domain, and that it fits with fewer tasks")
    func gangShortfall() throws {
        var generator = SeededGenerator(seed: 28)
        let topology = RandomFleet.topology(
            .single, &generator, nodesPerRack: 2...2, gpusPerNode: 2...2)
        var engine = PlacementEngine(topology: topology)
        let task = TaskRequest(gpuCount: 1, gpuMilli: 1000, cpuMilli: 0, memoryMiB: 0)
        let spec = JobSpec(name: "j", taskCount: 4, task: task, floor: Milliwatts(300))
        // Idle floors are about 120 each, so each task grows the charge by about 180.
        engine.setBudget(DomainIndex(0), engine.charge(of: DomainIndex(0)) + Milliwatts(600))
        guard case .refused(let refusal) = engine.place(spec) else {
            Issue.record("it was not refused")
            return
        }
        #expect(refusal.tasksThatFit == 3)
        #expect(refusal.shortfalls.map(\.domain) == [DomainIndex(0)])
        #expect(refusal.fitsIf.contains(.fewerTasks(3)))
        let shortfall = try #require(refusal.shortfalls.first)
        #expect(refusal.fitsIf.contains(.morePower(shortfall)))
    }

    private func fits(
        _ spec: JobSpec, _ engine: PlacementEngine, after change: PlacementChange
    ) -> Bool {
        var (engine, spec) = (engine, spec)
        switch change {
        case .fewerTasks(let count): spec.taskCount = count
        case .anyModel: spec.models = []
        case .anySite: spec.sites = []
        case .noSelector: spec.selector = [:]
        case .noRequiredLevel: spec.requiredLevel = nil
        case .noLevelSpread: spec.levelSpread = nil
        case .sharedNodes: spec.isSpread = false
        case .lowerFloor(let floor): (spec.floor, spec.isFullPace) = (floor, false)
        case .nodesBack(let reason):
            for node in engine.topology.nodes.indices
            where engine.fleet.ineligibility[node] == reason.rawValue {
                engine.setEligible(NodeIndex(node), nil)
            }
        case .morePower(let shortfall):
            let budget = engine.fleet.domainBudget[shortfall.domain.position]
            engine.setBudget(shortfall.domain, Milliwatts(budget) + shortfall.missing)
        case .jobsEnd:
            for job in engine.held.keys { engine.release(job) }
        }
        guard case .placed = engine.place(spec, explaining: false) else { return false }
        return true
    }
}
