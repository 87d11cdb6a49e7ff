// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel
import Testing

/// Goal: targets and plans follow placements, demand and budgets, and change no more often than needed.
///
/// Method: one site of the small fleet, held by hand; the caller is the clock.
@Suite struct SitePowerLoopTests {
    /// A site loop with the placements of a held-floors value.
    struct Bench {
        let topology: Topology
        var held: HeldFloors
        var loop: SitePowerLoop
        var conditions: SitePowerLoop.Conditions
        var changed: [Int] = []
        var now: Int64 = 0

        init(rackBudget: Milliwatts = .watts(4000)) {
            let fleet = SmallFleet.topology(rackBudget: rackBudget)
            let loop = SitePowerLoop(topology: fleet, site: SiteIndex(0))
            topology = fleet
            held = HeldFloors(topology: fleet)
            self.loop = loop
            conditions = SitePowerLoop.Conditions(
                budget: loop.domains.map { fleet.domains[$0.position].budget },
                fixedCharge: Array(repeating: nil, count: loop.nodes.count))
        }

        mutating func hold(_ job: UInt64, _ spec: JobSpec, on nodes: [Int], devices: [UInt16]) {
            let tasks = nodes.map {
                FleetTask(placement: TaskPlacement(node: NodeIndex($0), devices: devices))
            }
            held.hold(JobID(job), spec: spec, tasks: tasks)
        }

        mutating func solve() {
            changed = []
            loop.solve(held: held, conditions: conditions, now: now, changedPlans: &changed)
        }

        /// Reports that every GPU of a node draws `watts` under a cap of `cap` watts.
        mutating func report(_ node: Int, watts: UInt32, cap: UInt32 = 700, known: Bool = true) {
            var report = TelemetryReport(gpuCount: 4)
            for device in 0..<4 {
                report.drawMilliwatts[device] = watts * 1000
                report.drawValidity[device] = known
                report.enforcedCapMilliwatts[device] = cap * 1000
                report.enforcedCapValidity[device] = true
            }
            loop.reportReceived(report, from: NodeIndex(node), now: now)
        }
    }

    /// True when a target is a budget but for what rounding each of four caps down leaves.
    func isAbout(_ target: Milliwatts, _ budget: Milliwatts) -> Bool {
        target <= budget && target > budget - Milliwatts(8)
    }

    @Test("An idle node is leased its fallback")
    func idlesAtFallback() {
        var bench = Bench()
        bench.solve()
        #expect(bench.loop.targets == Array(repeating: .watts(800), count: 4))
        #expect(bench.changed == [0, 1, 2, 3], "every node gets a first plan")
        bench.solve()
        #expect(bench.changed.isEmpty && bench.loop.solveCount == 1)
    }

    @Test("Jobs rise to their full where there are watts, and share where there are not")
    func sharesScarceWatts() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.solve()
        // The rack carries 4 kW: 2.8 kW for the job, 0.8 kW for the idle node.
        #expect(bench.loop.targets[0] == .watts(2800))
        #expect(bench.loop.level(of: JobID(1))?.levelPPM == 1_000_000)
        bench.hold(2, SmallFleet.spec("b"), on: [1], devices: [0, 1, 2, 3])
        bench.solve()
        #expect(isAbout(bench.loop.targets[0], .watts(2000)))
        #expect(isAbout(bench.loop.targets[1], .watts(2000)))
        #expect(bench.loop.level(of: JobID(2))?.boundBy == DomainIndex(1))
        #expect(bench.loop.isBinding == [false, true, false])
    }

    @Test("A more important job gets its watts first")
    func obeysPriority() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("low"), on: [0], devices: [0, 1, 2, 3])
        bench.hold(2, SmallFleet.spec("high", priority: 5), on: [1], devices: [0, 1, 2, 3])
        bench.solve()
        #expect(bench.loop.targets[1] == .watts(2800))
        #expect(isAbout(bench.loop.targets[0], .watts(1200)))
    }

    @Test("A gang over two racks has one level, and its plans carry the ceiling")
    func keepsGangsTogether() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("wide", tasks: 2), on: [0, 2], devices: [0, 1, 2, 3])
        bench.hold(2, SmallFleet.spec("narrow"), on: [1], devices: [0, 1, 2, 3])
        bench.solve()
        // Rack 1 stops both at 2 kW; the gang's other node has room and does not use it.
        #expect(bench.loop.targets[0] == bench.loop.targets[2])
        let plan = bench.loop.plans[2]
        #expect(plan.ceilingMilliwatts.allSatisfy { $0 < plan.fullMilliwatts[0] })
        #expect(plan.gang == [1, 1, 1, 1])
        #expect(bench.loop.plans[1].ceilingMilliwatts == bench.loop.plans[1].fullMilliwatts)
    }

    @Test("Fractions of a GPU share one entity with the sum of their floors")
    func sumsFractions() {
        var bench = Bench()
        let half = SmallFleet.spec("half", gpus: 1, milli: 500)
        bench.hold(1, half, on: [0], devices: [0])
        bench.hold(2, half, on: [0], devices: [0])
        bench.solve()
        let gpu = bench.loop.power(ofLocal: 0, device: 0)
        #expect(gpu.floor == .watts(200) && gpu.full == .watts(700))
        #expect(bench.held.heldMilli[0] == 1000)
        #expect(bench.loop.power(ofLocal: 0, device: 1).capTarget == .watts(200))
    }

    @Test("A node that cannot be leased keeps its charge, and the others get what is left")
    func worksAroundFixedCharges() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.conditions.fixedCharge[1] = .watts(2400)
        bench.solve()
        #expect(isAbout(bench.loop.targets[0], .watts(1600)))
        #expect(bench.loop.targets[1] == .watts(800), "a silent node is not raised")
    }

    @Test("When floors do not fit, targets are the floors")
    func fallsToFloors() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.conditions.budget[1] = .watts(1000)
        bench.solve()
        #expect(!bench.loop.isSolved)
        #expect(bench.loop.targets[0] == .watts(800))
        #expect(bench.loop.level(of: JobID(1)) == nil)
    }

    @Test("A GPU that stays well below its cap gives its watts up, and gets them back at once")
    func followsDemand() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.solve()
        #expect(bench.loop.targets[0] == .watts(2800))
        for _ in 0..<12 {
            bench.now += 1_000_000_000
            bench.report(0, watts: 300)
        }
        bench.solve()
        let lowered = bench.loop.targets[0]
        #expect(lowered < .watts(1500) && lowered >= .watts(1200))
        bench.now += 1_000_000_000
        bench.report(0, watts: 330, cap: 335)
        bench.solve()
        #expect(bench.loop.targets[0] == .watts(2800))
    }

    @Test("Unknown and absurd telemetry is not zero: the GPU counts at its most")
    func distrustsBadTelemetry() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.solve()
        for second in 0..<30 {
            bench.now += 1_000_000_000
            bench.report(0, watts: second % 2 == 0 ? 0 : 90_000, known: second % 3 != 0)
        }
        bench.solve()
        #expect(bench.loop.targets[0] == .watts(2800))
        #expect(bench.loop.draw(ofLocal: 0) == nil)
        var short = TelemetryReport(gpuCount: 3)
        short.sequence = 1
        for node in [0, 7] {
            let isTaken = bench.loop.reportReceived(short, from: NodeIndex(node), now: bench.now)
            #expect(!isTaken, "three GPUs, or a node of another site")
        }
    }

    @Test("Small swings of demand move neither targets nor plans")
    func doesNotChatter() {
        var bench = Bench()
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.solve()
        for second in 0..<12 {
            bench.now += 1_000_000_000
            bench.report(0, watts: 300 + UInt32(second % 2))
        }
        bench.solve()
        let target = bench.loop.targets[0]
        var planCount = 0
        for second in 0..<60 {
            bench.now += 1_000_000_000
            bench.report(0, watts: 296 + UInt32(second % 7))
            bench.solve()
            planCount += bench.changed.count
        }
        #expect(bench.loop.targets[0] == target)
        #expect(planCount == 0)
    }

    @Test("A node that is lost has no known draw, and a job elsewhere does not change its plan")
    func forgetsLostNodes() {
        var bench = Bench()
        bench.report(0, watts: 100)
        #expect(bench.loop.draw(ofLocal: 0) == .watts(400))
        bench.loop.nodeLost(NodeIndex(0))
        #expect(bench.loop.draw(ofLocal: 0) == nil)
        bench.hold(1, SmallFleet.spec("a"), on: [0], devices: [0, 1, 2, 3])
        bench.solve()
        bench.hold(2, SmallFleet.spec("b"), on: [2], devices: [0, 1, 2, 3])
        bench.solve()
        #expect(bench.changed == [2])
    }
}
