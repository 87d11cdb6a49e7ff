// SPDX-License-Identifier: Apache-2.0

// Goal: the solver gives the defined optimum, to the bit. Method: small random problems with ties, exact
// fits, several trees, curves and extreme weights, against a slow oracle and the independent checker.

import Testing

@testable import AllocationCore

@Suite("Power solver against a slow oracle")
struct PowerSolverOracleTests {
    /// Debug builds check fewer: they are some forty times slower.
    static let problemCount: Int = {
        #if DEBUG
            return 300
        #else
            return 25_000
        #endif
    }()

    @Test("Random small problems have the oracle's levels, bounds and caps", arguments: 1...4)
    func random(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var solver = PowerSolver()
        var solution = PowerSolution()
        var infeasible = 0
        for index in 0..<PowerSolverOracleTests.problemCount {
            let problem = PowerProblem.random(PowerProblemShape(), &generator)
            let status = solver.solve(problem, into: &solution)
            guard let oracle = SlowPowerOracle.solve(problem) else {
                infeasible += 1
                #expect(status != .optimal, "seed \(seed), problem \(index)")
                continue
            }
            let isEqual =
                status == .optimal && solution.capMilliwatts == oracle.caps()
                && solution.certificate.level.map(\.rawValue) == oracle.level
                && solution.certificate.boundBy == oracle.boundBy
            guard isEqual else {
                Issue.record("seed \(seed), problem \(index): \(problem)")
                return
            }
            let violation = PowerChecker.firstViolation(
                of: problem, capMilliwatts: solution.capMilliwatts,
                certificate: solution.certificate)
            guard violation == nil else {
                Issue.record("seed \(seed), problem \(index): \(violation!)")
                return
            }
        }
        #expect(infeasible < PowerSolverOracleTests.problemCount / 5)
    }

    @Test("Levels are those of real numbers to within a milliwatt per GPU")
    func realNumbers() {
        var shape = PowerProblemShape()
        shape.hasCurves = false
        shape.weights = [1, 1, 2, 3, 7]
        shape.wattScale = 1...2
        var generator = SeededGenerator(seed: 7)
        var solver = PowerSolver()
        var solution = PowerSolution()
        for index in 0..<PowerSolverOracleTests.problemCount {
            let problem = PowerProblem.random(shape, &generator)
            guard solver.solve(problem, into: &solution) == .optimal else { continue }
            let caps = RealPowerOracle(problem).caps()
            for gpu in 0..<problem.gpuCount {
                let gap = caps[gpu] - Double(solution.capMilliwatts[gpu])
                guard gap > -0.01, gap < 1.01 else {
                    Issue.record("problem \(index), GPU \(gpu), gap \(gap): \(problem)")
                    return
                }
            }
        }
    }

    @Test("Two solves of one problem are equal, whatever the solver did before")
    func noMemory() {
        var generator = SeededGenerator(seed: 11)
        var used = PowerSolver()
        var (left, right) = (PowerSolution(), PowerSolution())
        for _ in 0..<300 {
            let problem = PowerProblem.random(PowerProblemShape(), &generator)
            var fresh = PowerSolver()
            #expect(used.solve(problem, into: &left) == fresh.solve(problem, into: &right))
            #expect(left == right)
        }
    }
}

/// The same optimum over real numbers, by rounds of divisions in floating point; straight lines only.
struct RealPowerOracle {
    let problem: PowerProblem
    private var level: [Double]

    init(_ problem: PowerProblem) {
        self.problem = problem
        level = [Double](repeating: 0, count: problem.gangCount)
        for priority in Set(problem.gangPriority).sorted(by: >) { fill(priority) }
    }

    func caps() -> [Double] {
        (0..<problem.gpuCount).map { gpu in
            let gang = Int(problem.gpuGang[gpu])
            let floor = Double(problem.gpuFloorMilliwatts[gpu])
            return gang < 0 ? floor : floor + span(gpu) * level[gang]
        }
    }

    private func span(_ gpu: Int) -> Double {
        max(0, Double(problem.gpuFullMilliwatts[gpu]) - Double(problem.gpuFloorMilliwatts[gpu]))
    }

    /// Span of a gang in a domain.
    private func span(_ gang: Int, _ domain: Int) -> Double {
        (0..<problem.gpuCount).filter { Int(problem.gpuGang[$0]) == gang && isIn($0, domain) }
            .reduce(0) { $0 + span($1) }
    }

    private func isIn(_ gpu: Int, _ domain: Int) -> Bool {
        problem.gpuLeaf.contains { leaves in
            var next = Int(leaves[gpu])
            while next >= 0 && next != domain { next = Int(problem.domainParent[next]) }
            return next == domain
        }
    }

    private mutating func fill(_ priority: Int32) {
        var rising = (0..<problem.gangCount).filter { problem.gangPriority[$0] == priority }
        while !rising.isEmpty {
            var pace = rising.map { 1 / Double(problem.gangWeight[$0]) }.min() ?? 0
            var tight: [Int] = []
            for domain in 0..<problem.domainCount {
                let slope = rising.reduce(0) {
                    $0 + span($1, domain) * Double(problem.gangWeight[$1])
                }
                guard slope > 0 else { continue }
                let full = max(0, remaining(domain, without: rising)) / slope
                if full < pace - 1e-12 {
                    tight = [domain]
                } else if full <= pace + 1e-12 {
                    tight.append(domain)
                }
                pace = min(pace, full)
            }
            for gang in rising { level[gang] = min(1, pace * Double(problem.gangWeight[gang])) }
            rising.removeAll { gang in
                level[gang] >= 1 - 1e-12 || tight.contains { span(gang, $0) > 0 }
            }
        }
    }

    private func remaining(_ domain: Int, without rising: [Int]) -> Double {
        var left = Double(problem.domainBudgetMilliwatts[domain])
        for gpu in 0..<problem.gpuCount where isIn(gpu, domain) {
            left -= Double(problem.gpuFloorMilliwatts[gpu])
            let gang = Int(problem.gpuGang[gpu])
            if gang >= 0, !rising.contains(gang) { left -= span(gpu) * level[gang] }
        }
        return left
    }
}
