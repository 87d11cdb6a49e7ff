// SPDX-License-Identifier: Apache-2.0

// Goal: caps go down at once and up no faster than allowed; whatever part of a step lands, no budget
// is broken; the optimum is reached. Method: examples, then random problems whose targets change.

import Testing

@testable import AllocationCore

@Suite("Power ramp")
struct PowerRampTests {
    private static let second: Int64 = 1_000_000_000

    /// One rack, a gang for each GPU.
    private func rack(_ budget: Int64, gpus: Int) -> PowerProblem {
        var problem = PowerProblem()
        let rack = problem.addDomain(parent: -1, budgetMilliwatts: budget)
        for _ in 0..<gpus {
            let gang = problem.addGang(priority: 0, weight: 1)
            problem.addGPU(
                floorMilliwatts: 0, fullMilliwatts: 1_000_000, leaves: [rack], gang: gang)
        }
        return problem
    }

    @Test("What must go down goes down at once; what may rise keeps its rate")
    func downAtOnce() {
        let problem = rack(10_000, gpus: 2)
        var ramp = PowerRamp()
        var caps: [UInt32] = [5000, 1000]
        let limits = PowerRampLimits(risePerSecond: [600])
        ramp.step(problem, towards: [2000, 2200], limits: limits, now: 0, caps: &caps)
        #expect(caps == [2000, 1000])
        ramp.step(
            problem, towards: [2000, 2200], limits: limits, now: Self.second / 2, caps: &caps)
        #expect(caps == [2000, 1300])
    }

    @Test("Watts that are lowered here rise there with the next step only")
    func lowersFirst() {
        let problem = rack(6000, gpus: 2)
        var ramp = PowerRamp()
        var caps: [UInt32] = [5000, 1000]
        let limits = PowerRampLimits(risePerSecond: [nil])
        #expect(!ramp.step(problem, towards: [2000, 4000], limits: limits, now: 0, caps: &caps))
        #expect(caps == [2000, 1000])
        #expect(ramp.step(problem, towards: [2000, 4000], limits: limits, now: 1, caps: &caps))
        #expect(caps == [2000, 4000])
    }

    @Test("All GPUs of a gang are on their way together and arrive together")
    func gang() {
        var problem = PowerProblem()
        let rack = problem.addDomain(parent: -1, budgetMilliwatts: 10_000)
        let gang = problem.addGang(priority: 0, weight: 1)
        for _ in 0..<2 {
            problem.addGPU(
                floorMilliwatts: 0, fullMilliwatts: 4000, leaves: [rack], gang: gang)
        }
        var ramp = PowerRamp()
        var caps: [UInt32] = [0, 1000]
        let limits = PowerRampLimits(risePerSecond: [1250])
        ramp.step(problem, towards: [4000, 2000], limits: limits, now: 0, caps: &caps)
        ramp.step(problem, towards: [4000, 2000], limits: limits, now: Self.second, caps: &caps)
        #expect(caps == [1000, 1250])
    }

    @Test("An important class is up before a lesser one begins")
    func classes() {
        var problem = rack(10_000, gpus: 2)
        problem.gangPriority[1] = 5
        var ramp = PowerRamp()
        var caps: [UInt32] = [0, 0]
        let limits = PowerRampLimits(risePerSecond: [750])
        var seen: [[UInt32]] = []
        for tick in 0...3 {
            ramp.step(
                problem, towards: [1000, 1500], limits: limits, now: Int64(tick) * Self.second,
                caps: &caps)
            seen.append(caps)
        }
        #expect(seen == [[0, 0], [0, 750], [0, 1500], [750, 1500]])
    }

    @Test("A way shorter than the band is not worth a rise; one that was begun is finished")
    func band() {
        let problem = rack(10_000, gpus: 1)
        var ramp = PowerRamp()
        var caps: [UInt32] = [1000]
        let limits = PowerRampLimits(risePerSecond: [40], bandMilliwatts: 50)
        #expect(ramp.step(problem, towards: [1049], limits: limits, now: 0, caps: &caps))
        #expect(ramp.step(problem, towards: [1049], limits: limits, now: Self.second, caps: &caps))
        #expect(caps == [1000])
        for tick in 2...4 {
            ramp.step(
                problem, towards: [1050], limits: limits, now: Int64(tick) * Self.second,
                caps: &caps)
        }
        #expect(caps == [1050])
    }

    @Test("A gang that was lowered stays down for the hold")
    func hold() {
        let problem = rack(10_000, gpus: 1)
        var ramp = PowerRamp()
        var caps: [UInt32] = [1000]
        let limits = PowerRampLimits(
            risePerSecond: [nil], holdNanoseconds: 3 * Self.second)
        ramp.step(problem, towards: [500], limits: limits, now: 0, caps: &caps)
        #expect(caps == [500])
        #expect(
            !ramp.step(problem, towards: [900], limits: limits, now: Self.second, caps: &caps))
        #expect(caps == [500])
        #expect(
            ramp.step(problem, towards: [900], limits: limits, now: 3 * Self.second, caps: &caps))
        #expect(caps == [900])
    }

    @Test("A ramp of a hundredth of a milliwatt for each GPU and step gets there")
    func crumbs() {
        let problem = rack(100_000, gpus: 100)
        var ramp = PowerRamp()
        var caps = [UInt32](repeating: 0, count: 100)
        let targets = [UInt32](repeating: 10, count: 100)
        let limits = PowerRampLimits(risePerSecond: [10])
        var step: Int64 = 0
        while step < 2000,
            !ramp.step(
                problem, towards: targets, limits: limits, now: step * Self.second / 10, caps: &caps
            )
        { step += 1 }
        // 1000 mW at 10 mW/s are 100 s, less the 100 mW that may be kept.
        #expect(caps == targets)
        #expect((890...1010).contains(step), "\(step)")
    }

    @Test("A rate of nothing lets nothing rise")
    func noRise() {
        let problem = rack(10_000, gpus: 2)
        var ramp = PowerRamp()
        var caps: [UInt32] = [500, 100]
        let limits = PowerRampLimits(risePerSecond: [0])
        for tick in 0..<50 {
            ramp.step(
                problem, towards: [400, 900], limits: limits, now: Int64(tick) * Self.second,
                caps: &caps)
        }
        #expect(caps == [400, 100])
    }

    @Test(
        "Whatever part of a step lands, no domain leaves its budget or its rate", arguments: 1...4)
    func anyOrder(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        for index in 0..<60 {
            guard var run = RampRun(&generator) else { continue }
            for step in 0..<80 {
                if generator.oneIn(20) { run.changeBudgets(&generator) }
                let fault = run.step(&generator)
                guard fault == nil else {
                    Issue.record("seed \(seed), problem \(index), step \(step): \(fault!)")
                    return
                }
            }
            let settles = run.settles()
            #expect(settles, "seed \(seed), problem \(index): \(run.problem)")
        }
    }
}

/// A random problem whose optimum a ramp follows.
private struct RampRun {
    var problem: PowerProblem
    private var targets: [UInt32] = []
    private var caps: [UInt32]
    private var ramp = PowerRamp()
    private var limits: PowerRampLimits
    private var now: Int64 = 0
    /// The rises of each domain since the start.
    private var risen: [Int64]

    init?(_ generator: inout SeededGenerator) {
        problem = PowerProblem.random(PowerProblemShape(), &generator)
        risen = Array(repeating: 0, count: problem.domainCount)
        caps = problem.gpuFloorMilliwatts
        limits = PowerRampLimits(
            risePerSecond: (0..<problem.domainCount).map { _ in
                generator.oneIn(3) ? nil : Int64(generator.pick(1...5_000_000))
            },
            bandMilliwatts: generator.oneIn(2) ? 0 : 3,
            holdNanoseconds: generator.oneIn(2) ? 0 : 700_000_000)
        guard solve() else { return nil }
    }

    private mutating func solve() -> Bool {
        var solver = PowerSolver()
        var solution = PowerSolution()
        guard solver.solve(problem, into: &solution) == .optimal else { return false }
        targets = solution.capMilliwatts
        return true
    }

    /// Moves budgets about, where the floors still fit.
    mutating func changeBudgets(_ generator: inout SeededGenerator) {
        let old = problem
        for domain in 0..<problem.domainCount {
            let budget = problem.domainBudgetMilliwatts[domain]
            problem.domainBudgetMilliwatts[domain] =
                budget * Int64(generator.pick(70...130)) / 100
        }
        if !solve() {
            problem = old
            precondition(solve())
        }
    }

    private func sums(_ values: [Int64]) -> [Int64] {
        var sums = [Int64](repeating: 0, count: problem.domainCount)
        for gpu in 0..<problem.gpuCount {
            for leaves in problem.gpuLeaf {
                var domain = Int(leaves[gpu])
                while domain >= 0 {
                    sums[domain] += values[gpu]
                    domain = Int(problem.domainParent[domain])
                }
            }
        }
        return sums
    }

    /// Takes a step of random length; what is wrong with it, if anything.
    mutating func step(_ generator: inout SeededGenerator) -> String? {
        now += Int64(generator.pick(0...2_000_000_000))
        let before = caps
        ramp.step(problem, towards: targets, limits: limits, now: now, caps: &caps)
        let old = sums(before.map { Int64($0) })
        // The worst that can be in force while a step lands: each cap at the larger of its values.
        let worst = sums(caps.indices.map { Int64(max(before[$0], caps[$0])) })
        for domain in 0..<problem.domainCount {
            let most = max(problem.domainBudgetMilliwatts[domain], old[domain])
            if worst[domain] > most { return "domain \(domain) may reach \(worst[domain])" }
            risen[domain] += worst[domain] - old[domain]
            guard let rate = limits.risePerSecond[domain] else { continue }
            let kept = max(rate, Int64(problem.gpuCount))
            let most2 = Int64((Int128(rate) * Int128(now)) / 1_000_000_000) + kept
            if risen[domain] > most2 { return "domain \(domain) rises faster than its rate" }
        }
        for gpu in caps.indices {
            if before[gpu] > targets[gpu], caps[gpu] != targets[gpu] {
                return "GPU \(gpu) stays up"
            }
            if before[gpu] <= targets[gpu], !(before[gpu]...targets[gpu]).contains(caps[gpu]) {
                return "GPU \(gpu) is off its way"
            }
        }
        return nil
    }

    /// True when the caps reach their targets, to within the band, and stay there.
    mutating func settles() -> Bool {
        for _ in 0..<20_000 {
            now += 1_000_000_000
            if ramp.step(problem, towards: targets, limits: limits, now: now, caps: &caps) { break }
        }
        return caps.indices.allSatisfy {
            caps[$0] <= targets[$0]
                && (caps[$0] == targets[$0] || targets[$0] - caps[$0] < limits.bandMilliwatts)
        }
    }
}
