// SPDX-License-Identifier: Apache-2.0

// Goal: the measured instance is the one that its description promises, and the same for a seed.
// Method: draw a middling one, count, solve and count what binds.

import AllocationBench
import AllocationCore
import Testing

@Suite("Instance for the power solver")
struct SolveInstanceTests {
    static let instance = SolveInstance(gpuCount: 36_000, seed: 3)

    @Test("The problem is well-formed at every size", arguments: [1, 5, 71, 576, 5000, 36_000])
    func wellFormed(gpuCount: Int) {
        let problem = SolveInstance(gpuCount: gpuCount, seed: 1).problem
        #expect(problem.gpuCount == gpuCount)
        #expect(problem.firstDefect() == nil)
    }

    @Test("At least a third of the gangs have GPUs in several racks, and hardly a GPU is idle")
    func spread() {
        let problem = SolveInstanceTests.instance.problem
        var racks = [Set<Int32>](repeating: [], count: problem.gangCount)
        var idle = 0
        for gpu in 0..<problem.gpuCount {
            guard problem.gpuGang[gpu] >= 0 else {
                idle += 1
                continue
            }
            racks[Int(problem.gpuGang[gpu])].insert(problem.gpuLeaf[0][gpu])
        }
        #expect(problem.gangCount == 36_000 / 75)
        #expect(racks.count { $0.count > 1 } * 3 >= problem.gangCount)
        #expect(idle < problem.gpuCount / 4)
        #expect(Set(problem.gangPriority).count == 3)
        #expect(Set(problem.gangWeight).count > 3)
    }

    @Test("About one rack in twenty is tight, and tight racks and both binding sites stop gangs")
    func binding() {
        let instance = SolveInstanceTests.instance
        let problem = instance.problem
        var solver = PowerSolver()
        var solution = PowerSolution()
        #expect(solver.solve(problem, into: &solution) == .optimal)
        let stopping = Set(solution.certificate.boundBy)
        let racks = instance.sites.flatMap { $0.racks }
        var wanted = [Int64](repeating: 0, count: problem.domainCount)
        for gpu in 0..<problem.gpuCount {
            let isIdle = problem.gpuGang[gpu] < 0
            wanted[Int(problem.gpuLeaf[0][gpu])] += Int64(
                isIdle ? problem.gpuFloorMilliwatts[gpu] : problem.gpuFullMilliwatts[gpu])
        }
        let tight = racks.count { wanted[Int($0)] > problem.domainBudgetMilliwatts[Int($0)] }
        #expect(tight * 30 > racks.count && tight * 14 < racks.count)
        #expect(racks.count { stopping.contains($0) } * 5 > tight)
        for site in instance.sites {
            #expect(stopping.contains(site.domain) == site.isBinding)
        }
        #expect(instance.sites.count { $0.isBinding } == 2)
    }

    @Test("One seed gives one instance, another seed another one")
    func seeds() {
        let again = SolveInstance(gpuCount: 36_000, seed: 3)
        #expect(again.problem == SolveInstanceTests.instance.problem)
        #expect(SolveInstance(gpuCount: 36_000, seed: 4).problem != again.problem)
    }
}
