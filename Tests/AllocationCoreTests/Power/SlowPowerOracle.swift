// SPDX-License-Identifier: Apache-2.0

@testable import AllocationCore

/// The definition of the optimum, done the slow and obvious way: for each class and round, look for the
/// last pace at which everything fits by halving, with every GPU summed up afresh at every try.
struct SlowPowerOracle {
    let problem: PowerProblem
    var level: [UInt64]
    var boundBy: [Int32]

    static let one: UInt64 = 1 << 52

    init(_ problem: PowerProblem) {
        self.problem = problem
        level = [UInt64](repeating: 0, count: problem.gangCount)
        boundBy = [Int32](repeating: -1, count: problem.gangCount)
    }

    /// The levels and bounds of the optimum, or nil when the floors do not fit.
    static func solve(_ problem: PowerProblem) -> SlowPowerOracle? {
        var oracle = SlowPowerOracle(problem)
        guard oracle.fits(oracle.level) else { return nil }
        for priority in Set(problem.gangPriority).sorted(by: >) { oracle.fill(priority) }
        return oracle
    }

    /// The caps of the levels.
    func caps() -> [UInt32] {
        (0..<problem.gpuCount).map { UInt32(use($0, level) >> 68) }
    }

    private mutating func fill(_ priority: Int32) {
        var rising = Set((0..<problem.gangCount).filter { problem.gangPriority[$0] == priority })
        while !rising.isEmpty {
            if fits(raised(rising, UInt128(SlowPowerOracle.one))) {
                level = raised(rising, UInt128(SlowPowerOracle.one))
                return
            }
            var low: UInt128 = 0
            var high = UInt128(SlowPowerOracle.one)
            while high - low > 1 {
                let middle = (low + high) / 2
                if fits(raised(rising, middle)) { low = middle } else { high = middle }
            }
            let (here, next) = (raised(rising, low), raised(rising, low + 1))
            var stops: [Int: Int32] = [:]
            for domain in 0..<problem.domainCount where !fits(next, in: domain) {
                for gang in rising where use(of: gang, next, domain) > use(of: gang, here, domain) {
                    stops[gang] = stops[gang] ?? Int32(domain)
                }
            }
            for (gang, domain) in stops {
                level[gang] = here[gang]
                boundBy[gang] = domain
                rising.remove(gang)
            }
        }
    }

    private func raised(_ rising: Set<Int>, _ pace: UInt128) -> [UInt64] {
        var levels = level
        for gang in rising {
            let free = pace * UInt128(problem.gangWeight[gang])
            levels[gang] = UInt64(min(UInt128(SlowPowerOracle.one), free))
        }
        return levels
    }

    private func fits(_ levels: [UInt64]) -> Bool {
        (0..<problem.domainCount).allSatisfy { fits(levels, in: $0) }
    }

    private func fits(_ levels: [UInt64], in domain: Int) -> Bool {
        var sum: Int128 = 0
        for gpu in 0..<problem.gpuCount where isIn(gpu, domain) { sum += use(gpu, levels) }
        return sum <= Int128(problem.domainBudgetMilliwatts[domain]) << 68
    }

    private func use(of gang: Int, _ levels: [UInt64], _ domain: Int) -> Int128 {
        var sum: Int128 = 0
        for gpu in 0..<problem.gpuCount where Int(problem.gpuGang[gpu]) == gang {
            if isIn(gpu, domain) { sum += use(gpu, levels) }
        }
        return sum
    }

    private func isIn(_ gpu: Int, _ domain: Int) -> Bool {
        for tree in 0..<problem.treeCount {
            var next = Int(problem.gpuLeaf[tree][gpu])
            while next >= 0 {
                if next == domain { return true }
                next = Int(problem.domainParent[next])
            }
        }
        return false
    }

    /// What a GPU uses, in 2^-68 mW.
    private func use(_ gpu: Int, _ levels: [UInt64]) -> Int128 {
        let floor = Int128(problem.gpuFloorMilliwatts[gpu])
        let span = Int128(problem.gpuFullMilliwatts[gpu]) - floor
        let gang = Int(problem.gpuGang[gpu])
        guard gang >= 0, span > 0 else { return floor << 68 }
        let level = Int128(levels[gang])
        let curve = Int(problem.gpuCurve[gpu])
        guard curve >= 0 else { return floor << 68 + level * (span << 16) }
        let points = Int(problem.curves.starts[curve])..<Int(problem.curves.starts[curve + 1])
        let point = points.last { problem.curves.levels[$0] <= levels[gang] } ?? points.lowerBound
        var watts = Int128(problem.curves.milliwatts[point]) << 68
        if point + 1 < points.upperBound {
            let run = Int128(problem.curves.levels[point + 1] - problem.curves.levels[point])
            let rise =
                Int128(problem.curves.milliwatts[point + 1])
                - Int128(problem.curves.milliwatts[point])
            watts += (level - Int128(problem.curves.levels[point])) * ((rise << 68) / run)
        }
        return watts
    }
}
