// SPDX-License-Identifier: Apache-2.0
//
// Goal: a fleet of several sites keeps every promise under every fault that its assumptions allow, and
// comes back when its core heals. Method: the built-in world, a few seeds of it, in a short version; the
// long campaign is `busbar simulate --seeds 1..10000`.

import ControlPlane
import FleetModel
import Simulation
import Testing

@Suite struct `Fleet world` {
    /// A short version of the built-in world.
    private func world(_ seed: UInt64) -> FleetWorld {
        FleetWorld(WorldScenario(seed: seed, roughSeconds: 90, calmSeconds: 70), seed: seed)
    }

    @Test func `The built-in fleet is what it says`() {
        let topology = BuiltInWorld.topology(lease: LeaseParameters())
        #expect(topology.problems().isEmpty)
        #expect(topology.sites.count == 3)
        #expect(BuiltInWorld.coordinatorCounts.reduce(0, +) == 7)
        #expect(topology.nodes.count == 60)
        #expect(topology.gpuCount == 480)
        #expect(Set(topology.domains.filter { $0.tree == 0 }.map(\.level)).count == 4)
        #expect(topology.nodes.allSatisfy { $0.leaves.count == 2 })
        let classes = Set(topology.nodes.map { topology.nodeTypes[$0.type].enforcementClass })
        #expect(classes.count == 3)
        // Every limit is below what its nodes can draw, and above what they fall back to.
        for domain in topology.domains.indices {
            var uncapped = Milliwatts.zero
            var fallback = Milliwatts.zero
            for node in topology.nodes.indices {
                topology.forEachDomain(of: NodeIndex(node)) {
                    guard $0.position == domain else { return }
                    uncapped += topology.uncapped(NodeIndex(node))
                    fallback += topology.type(of: NodeIndex(node)).fallback
                }
            }
            #expect(topology.domains[domain].budget < uncapped)
            #expect(topology.domains[domain].budget > fallback)
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `No promise is broken`(seed: UInt64) {
        var world = world(seed)
        let report = world.run()
        #expect(report.violation == nil, "seed \(seed)")
    }

    @Test func `The world is rough, and the fleet works all the same`() {
        var summary = CampaignSummary(seeds: 1...4)
        for seed in 1...4 as ClosedRange<UInt64> {
            var world = world(seed)
            summary.add(world.run(), seed: seed)
        }
        #expect(summary.grants > 2000)
        #expect(summary.siteTakeOvers > 10 && summary.fleetTakeOvers > 4)
        #expect(summary.jobs > 40 && summary.tasks > 20)
        #expect(summary.expiries > 20)
        // A fault in every 30 virtual seconds of the rough phase, single messages not counted.
        let messages =
            summary.faults[.messageLost] + summary.faults[.messageRepeated]
            + summary.faults[.messageStrayed] + summary.faults[.clockRate]
        #expect(summary.faults.total - messages > 4 * 90 / 30)
    }

    @Test func `The same seed gives the same history`() {
        var first = world(7)
        var second = world(7)
        var third = world(8)
        let report = first.run()
        #expect(report == second.run())
        #expect(report.stateHash != third.run().stateHash)
    }

    @Test func `Every swarm lets a fault strike in 30 s, and leaves some kinds out`() {
        var seen: Set<[Bool]> = []
        for seed in 1...50 as ClosedRange<UInt64> {
            let settings = SwarmSettings(seed: seed)
            #expect(settings.faultNanoseconds <= 30_000_000_000)
            #expect(settings.enabled.contains(true))
            #expect(settings.lease.problem() == nil || settings.leaseNanoseconds < 15_000_000_000)
            seen.insert(settings.enabled)
        }
        #expect(seen.count > 40)
    }

    @Test(arguments: [
        LeaseMutant.sendsBeforeReserving, .skipsTakeOverWait, .acknowledgesBeforeSettling,
        .raisesWhileSettling, .reclaimsUnsupervisedByTime,
    ])
    func `A broken rule is found in the large world, too`(mutant: LeaseMutant) {
        var found: WorldViolation?
        for seed in 1...6 as ClosedRange<UInt64> where found == nil {
            var scenario = WorldScenario(
                seed: seed, rules: LeaseRules(breaking: mutant), roughSeconds: 150,
                calmSeconds: 0)
            scenario.settings.settleNanoseconds = 1_500_000_000
            scenario.topology = BuiltInWorld.topology(lease: scenario.settings.lease)
            var world = FleetWorld(scenario, seed: seed)
            found = world.run().violation
        }
        #expect(found?.kind == .budget || found?.kind == .charge || found?.kind == .ledger)
    }

    @Test func `A failing seed shrinks and still fails in the same way`() throws {
        let rules = LeaseRules(breaking: .sendsBeforeReserving)
        let scenario = WorldScenario(seed: 1, rules: rules, roughSeconds: 60, calmSeconds: 0)
        var world = FleetWorld(scenario, seed: 1)
        let violation = try #require(world.run().violation)
        let small = Shrinking.shrink(scenario, seed: 1, kind: violation.kind, attempts: 40)
        var again = FleetWorld(small, seed: 1)
        #expect(again.run().violation?.kind == violation.kind)
        let before = scenario.settings.enabled.count { $0 }
        let after = small.settings.enabled.count { $0 }
        #expect(after < before || small.faultLimit < scenario.faultLimit)
    }
}
