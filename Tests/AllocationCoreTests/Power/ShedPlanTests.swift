// SPDX-License-Identifier: Apache-2.0

// Goal: what is paused makes the rest fit, spares what matters, and is no more than needed. Method:
// examples that fit in the head, then small random problems against every subset of the gangs.

import Testing

@testable import AllocationCore

@Suite("Shed plan")
struct ShedPlanTests {
    /// A root over two racks; gangs by (priority, racks of their GPUs), 100 mW of floor each.
    private func problem(
        root: Int64, racks: [Int64], _ gangs: [(priority: Int32, racks: [Int])]
    ) -> PowerProblem {
        var problem = PowerProblem()
        let top = problem.addDomain(parent: -1, budgetMilliwatts: root)
        let leaves = racks.map { problem.addDomain(parent: top, budgetMilliwatts: $0) }
        for gang in gangs {
            let index = problem.addGang(priority: gang.priority, weight: 1)
            for rack in gang.racks {
                problem.addGPU(
                    floorMilliwatts: 100, fullMilliwatts: 500, leaves: [leaves[rack]], gang: index)
            }
        }
        return problem
    }

    @Test("Floors that fit need no pause")
    func nothing() {
        let plan = ShedPlanner.plan(problem(root: 200, racks: [100, 100], [(1, [0]), (1, [1])]))
        #expect(plan == ShedPlan())
    }

    @Test("The least important gang goes first, and only in the domain that is short")
    func leastImportant() {
        let plan = ShedPlanner.plan(
            problem(root: 1000, racks: [100, 500], [(1, [1]), (5, [0]), (2, [0])]))
        #expect(plan.steps.map(\.gang) == [2])
        #expect(plan.isLeast)
    }

    @Test("A gang that a more important choice makes needless runs on")
    func unpaused() {
        // Rack 0 needs the pause of gang 1 (all below would not do); that alone meets the root too.
        let plan = ShedPlanner.plan(
            problem(root: 300, racks: [100, 500], [(1, [1, 1]), (2, [0, 0])]))
        #expect(plan.steps.map(\.gang) == [1])
    }

    @Test("Few GPUs are paused rather than few gangs")
    func fewGPUs() {
        let plan = ShedPlanner.plan(
            problem(
                root: 700, racks: [1000, 1000],
                [(1, [0, 0, 0, 0, 0]), (1, [0]), (1, [1]), (1, [1, 1])]))
        #expect(plan.steps.map(\.gang) == [3])
        #expect(plan.steps[0].freedMilliwatts == 200)
    }

    @Test("A list goes from the least important class up")
    func order() {
        let plan = ShedPlanner.plan(
            problem(root: 100, racks: [500, 500], [(3, [0]), (1, [0]), (2, [1]), (9, [1])]))
        #expect(plan.steps.map(\.gang) == [1, 2, 0])
    }

    @Test("What no pause can mend is said")
    func remaining() {
        var problem = problem(root: 50, racks: [500, 500], [(3, [0])])
        problem.addGPU(floorMilliwatts: 80, fullMilliwatts: 80, leaves: [1])
        let plan = ShedPlanner.plan(problem)
        #expect(plan.steps.map(\.gang) == [0])
        #expect(plan.remaining == [PowerShortfall(domain: 0, missingMilliwatts: 30)])
    }

    @Test("A thousand GPUs in one rack are paused one by one, and no fewer would do")
    func many() {
        var problem = PowerProblem()
        let rack = problem.addDomain(parent: -1, budgetMilliwatts: 100_050)
        for index in 0..<1500 {
            let gang = problem.addGang(priority: Int32(index % 2), weight: 1)
            problem.addGPU(
                floorMilliwatts: 100, fullMilliwatts: 500, leaves: [rack], gang: gang)
        }
        let plan = ShedPlanner.plan(problem)
        #expect(plan.steps.count == 500)
        #expect(plan.isLeast)
        #expect(plan.steps.allSatisfy { $0.gang.isMultiple(of: 2) })
        #expect(violation(problem, plan) == nil)
    }

    private func violation(_ problem: PowerProblem, _ plan: ShedPlan) -> ShedViolation? {
        PowerChecker.firstViolation(of: problem, shedding: plan.steps.map(\.gang))
    }

    @Test("Random small problems pause as little as the best of all subsets", arguments: 1...4)
    func bruteForce(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var shape = PowerProblemShape()
        shape.gangCount = 1...8
        shape.gpuCount = 1...14
        shape.hasCurves = false
        var shortCount = 0
        for index in 0..<400 {
            var problem = PowerProblem.random(shape, &generator)
            // Idle GPUs cannot be paused: leave them out of the question.
            for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] < 0 {
                problem.gpuFloorMilliwatts[gpu] = 0
            }
            for domain in 0..<problem.domainCount {
                problem.domainBudgetMilliwatts[domain] =
                    max(0, problem.domainBudgetMilliwatts[domain]) / Int64(generator.pick(1...4))
            }
            let plan = ShedPlanner.plan(problem)
            guard
                PowerChecker.firstViolation(of: problem, shortfalls: []) != .feasible
            else {
                #expect(plan == ShedPlan())
                continue
            }
            shortCount += 1
            #expect(plan.isLeast && plan.remaining.isEmpty)
            let found = violation(problem, plan)
            #expect(found == nil, "seed \(seed), problem \(index): \(problem)")
            let brute = BruteShed(problem)
            let least = brute.leastHarmByClass(keeping: plan)
            #expect(
                brute.harmByClass(of: plan.steps.map(\.gang)) == least,
                "seed \(seed), problem \(index): \(problem)")
        }
        #expect(shortCount > 100)
    }

    @Test("Wrong lists are refused, each by the promise that it breaks")
    func wrongLists() {
        let problem = problem(
            root: 300, racks: [100, 500], [(1, [0]), (1, [1]), (2, [0]), (3, [1, 1])])
        func check(_ gangs: [Int32]) -> ShedViolation? {
            PowerChecker.firstViolation(of: problem, shedding: gangs)
        }
        #expect(ShedPlanner.plan(problem).steps.map(\.gang) == [0, 1])
        #expect(check([0, 1]) == nil)
        #expect(check([0, 0]) == .gang(place: 1))
        #expect(check([0, 9]) == .gang(place: 1))
        #expect(check([3, 0]) == .order(place: 0))
        #expect(check([0]) == .stillShort(domain: 0, missingMilliwatts: 100))
        #expect(check([]) == .stillShort(domain: 0, missingMilliwatts: 200))
        #expect(check([0, 1, 3]) == .needless(place: 1))
        #expect(check([0, 3]) == .tooImportant(place: 1))
    }
}

/// All subsets of the gangs, class by class.
struct BruteShed {
    let problem: PowerProblem

    init(_ problem: PowerProblem) { self.problem = problem }

    private func fits(paused: Set<Int>) -> Bool {
        (0..<problem.domainCount).allSatisfy { domain in
            var sum: Int64 = 0
            for gpu in 0..<problem.gpuCount where !paused.contains(Int(problem.gpuGang[gpu])) {
                if isIn(gpu, domain) { sum += Int64(problem.gpuFloorMilliwatts[gpu]) }
            }
            return sum <= problem.domainBudgetMilliwatts[domain]
        }
    }

    private func isIn(_ gpu: Int, _ domain: Int) -> Bool {
        problem.gpuLeaf.contains { leaves in
            var next = Int(leaves[gpu])
            while next >= 0 && next != domain { next = Int(problem.domainParent[next]) }
            return next == domain
        }
    }

    private func harm(_ gangs: some Sequence<Int>) -> [Int] {
        let gangs = Array(gangs)
        let gpus = problem.gpuGang.count { gangs.contains(Int($0)) }
        return [gpus, gangs.count]
    }

    private var classes: [Int32] { Set(problem.gangPriority).sorted(by: >) }

    func harmByClass(of gangs: [Int32]) -> [[Int]] {
        classes.map { priority in
            harm(gangs.map { Int($0) }.filter { problem.gangPriority[$0] == priority })
        }
    }

    /// The least harm in each class, with the plan's own choice in the classes above it.
    func leastHarmByClass(keeping plan: ShedPlan) -> [[Int]] {
        classes.map { priority in
            let above = plan.steps.map { Int($0.gang) }
                .filter { problem.gangPriority[$0] > priority }
            let below = (0..<problem.gangCount).filter { problem.gangPriority[$0] < priority }
            let own = (0..<problem.gangCount).filter { problem.gangPriority[$0] == priority }
            var least: [Int]?
            for mask in 0..<(1 << own.count) {
                let chosen = own.indices.filter { mask >> $0 & 1 == 1 }.map { own[$0] }
                guard fits(paused: Set(above + below + chosen)) else { continue }
                let harm = harm(chosen)
                if least.map({ harm.lexicographicallyPrecedes($0) }) ?? true { least = harm }
            }
            return least ?? []
        }
    }
}
