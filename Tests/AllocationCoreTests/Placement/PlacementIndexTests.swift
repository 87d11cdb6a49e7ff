// SPDX-License-Identifier: Apache-2.0

// Goal: the index decides as a look at every node would, whatever came before. Method: random jobs come
// and go on random fleets of some dozen nodes, with nodes out of service, minimum charges, budgets that
// bind, and rollbacks; each single task is compared with the naive search, each gang with the search
// that counts and scores everything anew.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Placement index")
struct PlacementIndexTests {
    /// Debug builds check fewer fleets.
    static let seedCount: UInt64 = {
        #if DEBUG
            return 200
        #else
            return 4000
        #endif
    }()

    private struct World {
        var engine: PlacementEngine
        var generator: SeededGenerator
        let mix = WorkloadMix.typical
        var plan = PlacementPlan()
        var tickets: [PlacementTicket] = []
        var nextJob: UInt64 = 1
        var jobs: [JobID] = []
        var placed = 0
        var gangs = 0
        var refusedForPower = 0

        init(seed: UInt64) {
            generator = SeededGenerator(seed: seed)
            let layout = FeedLayout.allCases[Int(seed % 3)]
            let topology = RandomFleet.topology(
                layout, &generator, rackCount: generator.pick(2...6),
                nodesPerRack: 1...generator.pick(2...9), gpusPerNode: 1...generator.pick(2...8))
            let policy = generator.element(
                of: [PlacementPolicy.busbar, .busbar, .fragmentation, .bestFit])
            engine = PlacementEngine(topology: topology, policy: policy, mix: mix)
        }

        mutating func disturb() {
            let node = NodeIndex(generator.pick(0...engine.topology.nodes.count - 1))
            let domain = DomainIndex(generator.pick(0...engine.topology.domains.count - 1))
            switch generator.pick(0...4) {
            case 0: engine.setEligible(node, generator.element(of: [nil, nil, .silent, .cordoned]))
            case 1: engine.setMinimumCharge(node, Milliwatts(Int64(generator.pick(0...2500))))
            case 2, 3:
                let charge = engine.charge(of: domain).rawValue
                engine.setBudget(domain, Milliwatts(charge + Int64(generator.pick(-50...900))))
            default: engine.setBudget(domain, .watts(1_000_000))
            }
        }

        mutating func releaseOne() {
            if generator.oneIn(2), !tickets.isEmpty {
                engine.release(tickets.remove(at: generator.pick(0...tickets.count - 1)))
            } else if !jobs.isEmpty {
                engine.release(jobs.remove(at: generator.pick(0...jobs.count - 1)))
            }
        }

        /// Changes and decisions that leave no trace.
        mutating func rehearse() -> String? {
            let (oldTickets, oldJobs) = (tickets, jobs)
            let checkpoint = engine.checkpoint()
            for _ in 0..<generator.pick(1...4) {
                if generator.oneIn(2) { disturb() }
                if generator.oneIn(2) { releaseOne() }
                if let problem = decide() { return problem }
            }
            engine.rollback(to: checkpoint)
            (tickets, jobs) = (oldTickets, oldJobs)
            return nil
        }

        /// Decides about a random job; says what is wrong.
        mutating func decide() -> String? {
            let spec = RandomFleet.job(&generator, tasks: 1...(generator.oneIn(3) ? 12 : 1))
            let kind = engine.prepare(spec)
            let before = engine
            let isPlaced = engine.place(kind, into: &plan)
            guard engine.hasSameState(as: before) else { return "deciding changed the fleet" }
            if let problem = difference(spec, kind, isPlaced) { return problem }
            guard isPlaced else { return nil }
            placed += 1
            if plan.tasks.count > 1 { gangs += 1 }
            do {
                if generator.oneIn(2) {
                    tickets.append(try engine.hold(plan))
                } else {
                    let job = JobID(nextJob)
                    nextJob += 1
                    try engine.hold(job, spec, plan.tasks.map(\.placement))
                    jobs.append(job)
                }
            } catch {
                return "what was placed cannot be held: \(error)"
            }
            return engine.firstBrokenInvariant()
        }

        private mutating func difference(
            _ spec: JobSpec, _ kind: PlacementKind, _ isPlaced: Bool
        ) -> String? {
            let request = engine.kinds.request(kind.index).uncached
            guard spec.taskCount == 1 else {
                var slow = engine
                let outcome = slow.search(request)
                if case .placed(let tasks) = outcome {
                    return plan.tasks == tasks.map { PlannedTask($0) }
                        ? nil : "gang \(spec): \(plan.tasks), not \(tasks)"
                }
                return isPlaced ? "gang \(spec) placed where none fits" : nil
            }
            let expected =
                request.hasUnknownLevel
                ? nil : NaiveSearch(engine: engine, mix: mix).single(request)
            if expected == nil,
                (0..<engine.fleet.nodeCount).contains(where: {
                    engine.fleet.obstacle(node: $0, request) == nil
                })
            {
                refusedForPower += 1
            }
            return plan.tasks.first == expected
                ? nil : "task \(spec): \(plan.tasks), not \(String(describing: expected))"
        }
    }

    @Test("Every decision is that of a look at all nodes")
    func sameDecisions() {
        var (placed, gangs, refusedForPower) = (0, 0, 0)
        for seed in 1...PlacementIndexTests.seedCount {
            var world = World(seed: seed)
            for step in 0..<30 {
                if world.generator.oneIn(3) { world.disturb() }
                if world.generator.oneIn(3) { world.releaseOne() }
                let isRehearsal = world.generator.oneIn(6)
                if let problem = isRehearsal ? world.rehearse() : world.decide() {
                    Issue.record("seed \(seed), step \(step): \(problem)")
                    return
                }
            }
            placed += world.placed
            gangs += world.gangs
            refusedForPower += world.refusedForPower
        }
        let seeds = Int(PlacementIndexTests.seedCount)
        #expect(placed > 5 * seeds)
        #expect(gangs > seeds / 2)
        #expect(refusedForPower > seeds / 2)
    }
}
