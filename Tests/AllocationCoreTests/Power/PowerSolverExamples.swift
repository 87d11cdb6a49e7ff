// SPDX-License-Identifier: Apache-2.0

// Goal: the definition of the optimum, one sentence of it per test, on problems that fit in the head.

import Testing

@testable import AllocationCore

@Suite("Power solver by example")
struct PowerSolverExamples {
    private func solve(_ problem: PowerProblem) -> (PowerSolveStatus, PowerSolution) {
        var solver = PowerSolver()
        var solution = PowerSolution()
        let status = solver.solve(problem, into: &solution)
        return (status, solution)
    }

    @Test("With watts to spare every gang is at full pace")
    func full() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 10_000)
        let gang = problem.addGang(priority: 0, weight: 1)
        problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 700, leaves: [root], gang: gang)
        let (status, solution) = solve(problem)
        #expect(status == .optimal)
        #expect(solution.capMilliwatts == [700])
        #expect(solution.boundBy(gang: 0) == nil)
    }

    @Test("A full domain stops both its gangs at one level, and the other gang goes on")
    func sharedLimit() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 10_000)
        let rack = problem.addDomain(parent: root, budgetMilliwatts: 1000)
        for leaf in [rack, rack, root] {
            let gang = problem.addGang(priority: 0, weight: 1)
            problem.addGPU(
                floorMilliwatts: 100, fullMilliwatts: 900, leaves: [leaf], gang: gang)
        }
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [500, 500, 900])
        #expect(solution.boundBy(gang: 0) == rack)
        #expect(solution.boundBy(gang: 2) == nil)
    }

    @Test("A higher priority takes what it can use before a lower one rises")
    func priorities() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 1200)
        for priority: Int32 in [1, 5] {
            let gang = problem.addGang(priority: priority, weight: 1)
            problem.addGPU(
                floorMilliwatts: 100, fullMilliwatts: 900, leaves: [root], gang: gang)
        }
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [300, 900])
    }

    @Test("Levels rise by weight")
    func weights() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 800)
        for weight: UInt32 in [1, 3] {
            let gang = problem.addGang(priority: 0, weight: weight)
            problem.addGPU(
                floorMilliwatts: 0, fullMilliwatts: 1600, leaves: [root], gang: gang)
        }
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [200, 600])
    }

    @Test("All GPUs of a gang share the level, and each feed binds")
    func gangOverFeeds() {
        var problem = PowerProblem(treeCount: 2)
        let feedA = problem.addDomain(parent: -1, budgetMilliwatts: 2000)
        let feedB = problem.addDomain(parent: -1, budgetMilliwatts: 500)
        let gang = problem.addGang(priority: 0, weight: 1)
        problem.addGPU(
            floorMilliwatts: 100, fullMilliwatts: 900, leaves: [feedA, feedB], gang: gang)
        problem.addGPU(floorMilliwatts: 200, fullMilliwatts: 600, leaves: [feedA], gang: gang)
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [500, 400])
        #expect(solution.boundBy(gang: 0) == feedB)
    }

    @Test("A curve says how many watts a level needs")
    func curves() throws {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 450)
        let curve = try problem.curves.add([
            PowerCurvePoint(levelPPM: 0, milliwatts: 100),
            PowerCurvePoint(levelPPM: 500_000, milliwatts: 200),
            PowerCurvePoint(levelPPM: 1_000_000, milliwatts: 700),
        ])
        let gang = problem.addGang(priority: 0, weight: 1)
        problem.addGPU(
            floorMilliwatts: 100, fullMilliwatts: 700, leaves: [root], gang: gang, curve: curve)
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [449] || solution.capMilliwatts == [450])
        #expect(solution.level(ofGang: 0).partsPerMillion / 10 == 75_000)
    }

    @Test("Floors over a budget name the domain and the milliwatts that are missing")
    func infeasible() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 1000)
        let rack = problem.addDomain(parent: root, budgetMilliwatts: 150)
        problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 700, leaves: [rack])
        problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 700, leaves: [rack])
        let (status, solution) = solve(problem)
        let expected = PowerShortfall(domain: rack, missingMilliwatts: 50)
        #expect(status == .infeasible(expected))
        #expect(solution.shortfalls == [expected])
        #expect(solution.capMilliwatts.isEmpty)
    }

    @Test("A GPU without a gang, or with full below its floor, stays at its floor")
    func idle() {
        var problem = PowerProblem()
        let root = problem.addDomain(parent: -1, budgetMilliwatts: 10_000)
        let gang = problem.addGang(priority: 0, weight: 1)
        problem.addGPU(floorMilliwatts: 100, fullMilliwatts: 700, leaves: [root])
        problem.addGPU(floorMilliwatts: 300, fullMilliwatts: 200, leaves: [root], gang: gang)
        let (_, solution) = solve(problem)
        #expect(solution.capMilliwatts == [100, 300])
        #expect(solution.level(ofGang: 0) == .full)
    }
}
