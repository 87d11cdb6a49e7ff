// SPDX-License-Identifier: Apache-2.0

// Goal: a warm solve gives what a cold solve of the same problem gives: caps, levels, bounds and shortfalls.
// Method: random problems under random sequences of changes of every kind, solved after each few changes
// by both; once more on the larger instances of a fleet in the benchmark's tests.

import Testing

@testable import AllocationCore

@Suite("Warm power solver against the cold one")
struct WarmPowerSolverTests {
    /// Debug builds check fewer.
    static let sequenceCount: Int = {
        #if DEBUG
            return 150
        #else
            return 4000
        #endif
    }()

    @Test("After any changes a warm solve equals a cold one", arguments: 1...4)
    func equalsCold(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var cold = PowerSolver()
        var expected = PowerSolution()
        var (optimal, infeasible) = (0, 0)
        for sequence in 0..<WarmPowerSolverTests.sequenceCount {
            var shape = PowerProblemShape()
            if generator.oneIn(4) {
                shape.gpuCount = 20...60
                shape.gangCount = 3...12
                shape.domainsPerTree = 3...9
            }
            var warm = WarmPowerSolver(.random(shape, &generator))
            for step in 0..<10 {
                let status = warm.solve()
                let isEqual =
                    cold.solve(warm.problem, into: &expected) == status
                    && warm.solution == expected
                guard isEqual else {
                    Issue.record("seed \(seed), sequence \(sequence), step \(step)")
                    return
                }
                if status == .optimal { optimal += 1 } else { infeasible += 1 }
                for _ in 0..<generator.pick(0...3) { warm.change(&generator) }
            }
        }
        #expect(optimal > infeasible && infeasible > 0)
    }

    @Test("Changes before the first solve count as well")
    func beforeFirstSolve() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 500)
        let gang = problem.addGang(priority: 0, weight: 1)
        problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 900, leaves: [root], gang: gang)
        var warm = WarmPowerSolver(problem)
        warm.setDemand(ofGPU: 0, floorMilliwatts: 200, fullMilliwatts: 400)
        #expect(warm.solve() == .optimal)
        #expect(warm.solution.capMilliwatts == [400])
    }

    @Test("A gang that leaves gives its watts to the others, and one that comes takes some")
    func gangs() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 1000)
        for _ in 0..<2 {
            let gang = problem.addGang(priority: 0, weight: 1)
            problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 900, leaves: [root], gang: gang)
        }
        var warm = WarmPowerSolver(problem)
        #expect(warm.solve() == .optimal)
        #expect(warm.solution.capMilliwatts == [500, 500])
        warm.setGang(-1, ofGPU: 0)
        #expect(warm.solve() == .optimal)
        #expect(warm.solution.capMilliwatts == [100, 900])
        let third = warm.addGang(priority: 1, weight: 1)
        warm.setGang(third, ofGPU: 0)
        warm.setBudget(1200, ofDomain: 0)
        #expect(warm.solve() == .optimal)
        #expect(warm.solution.capMilliwatts == [900, 300])
        #expect(warm.solution.boundBy(gang: 1) == root)
    }

    @Test("Cells that no gang uses any more do not pile up, nor change the result")
    func cellsOfNoUse() {
        var problem = PowerProblem()
        for _ in 0..<40 { problem.addDomain(parent: -1, budgetMilliwatts: 50_000) }
        for gpu in 0..<800 {
            problem.addGang(priority: 0, weight: 1)
            problem.addGPU(
                floorMilliwatts: 100, fullMilliwatts: 10_000, leaves: [Int32(gpu % 40)],
                gang: Int32(gpu))
        }
        var generator = SeededGenerator(seed: 5)
        var warm = WarmPowerSolver(problem)
        var cold = PowerSolver()
        var expected = PowerSolution()
        var bytes: [Int] = []
        for _ in 0..<60 {
            for gpu in 0..<800 { warm.setGang(Int32(generator.pick(0...799)), ofGPU: gpu) }
            #expect(warm.solve() == cold.solve(warm.problem, into: &expected))
            #expect(warm.solution == expected)
            bytes.append(warm.storageByteCount)
        }
        #expect(bytes[59] < 2 * bytes[19])
    }
}

extension WarmPowerSolver {
    /// One random change of a random kind.
    mutating func change(_ generator: inout SeededGenerator) {
        let gpu = generator.pick(0...problem.gpuCount - 1)
        switch generator.pick(0...7) {
        case 0...2: changeDemand(ofGPU: gpu, &generator)
        case 3: setGang(Int32(generator.pick(-1...problem.gangCount - 1)), ofGPU: gpu)
        case 4: changeBudget(&generator)
        case 5 where problem.gangCount < 16:
            let gang = addGang(
                priority: Int32(generator.pick(-1...1)), weight: UInt32(generator.pick(1...3)))
            for _ in 0..<generator.pick(0...3) {
                setGang(gang, ofGPU: generator.pick(0...problem.gpuCount - 1))
            }
        case 6 where problem.gangCount > 0:
            // A gang leaves.
            let gang = Int32(generator.pick(0...problem.gangCount - 1))
            for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] == gang {
                setGang(-1, ofGPU: gpu)
            }
        case 7 where problem.gangCount > 0:
            setPolicy(
                ofGang: generator.pick(0...problem.gangCount - 1),
                priority: Int32(generator.pick(-1...1)), weight: UInt32(generator.pick(1...3)))
        default: break
        }
    }

    private mutating func changeDemand(ofGPU gpu: Int, _ generator: inout SeededGenerator) {
        let floor = Int(problem.gpuFloorMilliwatts[gpu])
        let full = Int(problem.gpuFullMilliwatts[gpu])
        if problem.curves.count > 0, generator.oneIn(3) {
            let curve = Int32(generator.pick(0...problem.curves.count - 1))
            setDemand(
                ofGPU: gpu, floorMilliwatts: problem.curves.floor(of: curve),
                fullMilliwatts: problem.curves.full(of: curve), curve: curve)
        } else {
            setDemand(
                ofGPU: gpu, floorMilliwatts: UInt32(generator.pick(floor / 2...floor + 1)),
                fullMilliwatts: UInt32(generator.pick(full / 2...2 * full + 1)))
        }
    }

    private mutating func changeBudget(_ generator: inout SeededGenerator) {
        let domain = generator.pick(0...problem.domainCount - 1)
        let budget = problem.domainBudgetMilliwatts[domain]
        let change = Int64(generator.pick(0...Int(abs(budget) / 8 + 2)))
        setBudget(budget + (generator.oneIn(4) ? -change : change), ofDomain: domain)
    }
}
