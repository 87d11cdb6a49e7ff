// SPDX-License-Identifier: Apache-2.0

// Goal: the engine places what fits and refuses what does not. Method: random jobs come and go on random
// small fleets, with nodes out of service, minimum charges and tight budgets; each answer is compared
// with a search of every placement there is.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Placement against brute force")
struct PlacementBruteForceTests {
    /// Debug builds check fewer fleets.
    static let fleetCount: Int = {
        #if DEBUG
            return 12
        #else
            return 1000
        #endif
    }()

    struct World {
        var engine: PlacementEngine
        var brute: BruteFleet
        var ids: [JobID] = []
        var nextID: UInt64 = 1
        var answers = 0
        var undecided = 0
        var refused = 0
        var refusedForPower = 0

        init(_ topology: Topology) {
            engine = PlacementEngine(topology: topology)
            brute = BruteFleet(topology)
        }

        mutating func tighten(_ generator: inout SeededGenerator) {
            for domain in brute.topology.domains.indices {
                let charge = brute.charge(domain: domain)
                let budget = charge + Int64(generator.pick(-50...900))
                brute.budget[domain] = budget
                engine.setBudget(DomainIndex(domain), Milliwatts(budget))
            }
        }

        mutating func disturb(_ generator: inout SeededGenerator) {
            let node = generator.pick(0...brute.topology.nodes.count - 1)
            if generator.oneIn(2) {
                let isOut = brute.ineligible.remove(node) == nil
                if isOut { brute.ineligible.insert(node) }
                engine.setEligible(NodeIndex(node), isOut ? .cordoned : nil)
            } else {
                let charge = Int64(generator.pick(0...1500))
                brute.minimumCharge[node] = charge
                engine.setMinimumCharge(NodeIndex(node), Milliwatts(charge))
            }
        }

        mutating func releaseOne(_ generator: inout SeededGenerator) {
            guard !ids.isEmpty else { return }
            let index = generator.pick(0...ids.count - 1)
            let wasHeld = engine.release(ids.remove(at: index))
            #expect(wasHeld)
            brute.jobs.remove(at: index)
        }

        /// Places a job in both; false when the answers differ.
        mutating func place(_ spec: JobSpec) -> Bool {
            answers += 1
            switch engine.place(spec) {
            case .placed(let placement):
                guard brute.accepts(spec, placement) else { return false }
                return hold(spec, placement)
            case .refused(let refusal):
                refused += 1
                if !refusal.shortfalls.isEmpty { refusedForPower += 1 }
                return brute.placement(of: spec) == nil
            case .undecided:
                undecided += 1
                return true
            }
        }

        private mutating func hold(_ spec: JobSpec, _ placement: [TaskPlacement]) -> Bool {
            let id = JobID(nextID)
            nextID += 1
            do {
                try engine.hold(id, spec, placement)
            } catch {
                return false
            }
            ids.append(id)
            brute.jobs.append((spec, placement))
            return true
        }
    }

    @Test(
        "Every answer on one tree or paired feeds is right",
        arguments: [FeedLayout.single, .paired])
    func exact(layout: FeedLayout) {
        let world = run(layout, seed: 1)
        #expect(world.undecided == 0)
        #expect(world.refused > world.answers / 10)
        #expect(world.refusedForPower > 0)
    }

    @Test("On crossing feeds no answer is wrong, and few are open")
    func crossing() {
        let world = run(.crossing, seed: 2)
        #expect(
            world.undecided * 100 <= world.answers, "\(world.undecided) of \(world.answers)")
    }

    /// The counts of all fleets of a layout.
    private func run(_ layout: FeedLayout, seed: UInt64) -> World {
        var generator = SeededGenerator(seed: seed)
        var total: World?
        for fleet in 0..<PlacementBruteForceTests.fleetCount {
            var world = World(RandomFleet.topology(layout, &generator))
            for step in 0..<24 {
                if step % 8 == 4 { world.tighten(&generator) }
                if generator.oneIn(5) { world.disturb(&generator) }
                if generator.oneIn(4) { world.releaseOne(&generator) }
                let spec = RandomFleet.job(&generator)
                guard world.place(spec) else {
                    Issue.record("seed \(seed), fleet \(fleet), step \(step): \(spec)")
                    return world
                }
                #expect(world.engine.firstBrokenInvariant() == nil)
                for node in world.brute.topology.nodes.indices {
                    let charge = world.engine.charge(of: NodeIndex(node)).rawValue
                    #expect(charge == world.brute.charge(node))
                }
            }
            world.answers += total?.answers ?? 0
            world.undecided += total?.undecided ?? 0
            world.refused += total?.refused ?? 0
            world.refusedForPower += total?.refusedForPower ?? 0
            total = world
        }
        return total ?? World(RandomFleet.topology(layout, &generator))
    }
}
