// SPDX-License-Identifier: Apache-2.0

/// Finds the optimum that ``PowerProblem`` defines, exactly.
///
/// Progressive filling. In one priority class the use of a domain is a piecewise linear function of
/// the common pace t, so the pace at which it is full is a division. A heap of domains by that pace
/// and a heap of gangs by the pace of their next bend give the next event:
///
/// ```
///   begin class ──► bend of a gang ──► re-line its domains ──┐
///        ▲            ▲                                      │
///        │            └──────────────────────────────────────┤
///        └── nothing rises ◄── freeze the gangs it stops ◄── domain full
/// ```
///
/// A gang freezes once, so the work is one pass over the GPUs to gather them, one to write the caps,
/// and `O(C log D)` between, where C counts the distinct (gang, domain, curve) cells and D domains.
///
/// Usage is counted above the floors in units of 2^-68 mW (52 bits of level, 16 of slope), in 128-bit
/// integers: nothing is rounded until a cap is written.
///
/// A solver keeps its storage: after the first solve of a size it allocates nothing. It keeps no
/// state from one solve to the next that could change a result.
package struct PowerSolver: Sendable {
    var cells = PowerCells()

    /// Free capacity of each domain less what is frozen or lies in the lines' intercepts, in 2^-68 mW.
    var remaining: [Int128] = []
    /// Growth of use of each domain per unit of t, in 2^-68 mW.
    var slope: [Int128] = []
    /// Floors in each domain, in milliwatts.
    var floorSum: [Int64] = []

    /// Where each gang stands in the solve.
    var gangState: [GangState] = []
    /// The piece of its curve that each cell is on.
    var cellPiece: [UInt8] = []

    /// Gangs by priority, high to low, then by index.
    var order: [Int32] = []
    /// Domains by the pace at which they are full.
    var fullAt = IndexedHeap()
    /// Gangs by the pace of their next bend.
    var bendAt = IndexedHeap()
    /// Domains found full in this round, and the gangs that they stop.
    var fullDomains: [Int32] = []
    var stopped: [Int32] = []

    /// The last pace of the class at which every domain is known to fit.
    var now: UInt64 = 0

    enum GangState: UInt8 {
        /// Of a class that is not yet filled.
        case waiting
        case rising
        /// At full pace in the class being filled; its lines are flat.
        case full
        /// Stopped, or of a class that is filled.
        case settled
    }

    package init() {}

    /// Solves a problem.
    ///
    /// - Parameters:
    ///   - problem: well-formed (``PowerProblem/firstDefect()`` is nil).
    ///   - solution: reused storage for the result.
    /// - Returns: optimal, or the domain whose floors do not fit.
    package mutating func solve(
        _ problem: PowerProblem, into solution: inout PowerSolution
    ) -> PowerSolveStatus {
        assert(problem.firstDefect() == nil, "malformed problem: \(problem.firstDefect()!)")
        solution.clear()
        sumFloors(problem)
        if let worst = findShortfalls(problem, &solution.shortfalls) { return .infeasible(worst) }
        cells.gather(problem)
        prepare(problem, &solution.certificate)
        var start = 0
        while start < order.count {
            let priority = problem.gangPriority[Int(order[start])]
            var end = start + 1
            while end < order.count, problem.gangPriority[Int(order[end])] == priority { end += 1 }
            fill(problem, order[start..<end], &solution.certificate)
            start = end
        }
        writeCaps(problem, solution.certificate.level, &solution.capMilliwatts)
        return .optimal
    }

    // MARK: - Floors

    private mutating func sumFloors(_ problem: PowerProblem) {
        floorSum.removeAll(keepingCapacity: true)
        floorSum.append(contentsOf: repeatElement(0, count: problem.domainCount))
        for tree in 0..<problem.treeCount {
            for gpu in 0..<problem.gpuCount {
                let leaf = problem.gpuLeaf[tree][gpu]
                guard leaf >= 0 else { continue }
                floorSum[Int(leaf)] += Int64(problem.gpuFloorMilliwatts[gpu])
            }
        }
        for domain in stride(from: problem.domainCount - 1, through: 0, by: -1) {
            let parent = problem.domainParent[domain]
            if parent >= 0 { floorSum[Int(parent)] += floorSum[domain] }
        }
    }

    private func findShortfalls(
        _ problem: PowerProblem, _ shortfalls: inout [PowerShortfall]
    ) -> PowerShortfall? {
        var worst: PowerShortfall?
        for domain in 0..<problem.domainCount {
            let missing = floorSum[domain] - problem.domainBudgetMilliwatts[domain]
            guard missing > 0 else { continue }
            let shortfall = PowerShortfall(domain: Int32(domain), missingMilliwatts: missing)
            shortfalls.append(shortfall)
            if missing > worst?.missingMilliwatts ?? 0 { worst = shortfall }
        }
        return worst
    }

    // MARK: - Preparation and result

    private mutating func prepare(_ problem: PowerProblem, _ certificate: inout PowerCertificate) {
        remaining.removeAll(keepingCapacity: true)
        slope.removeAll(keepingCapacity: true)
        for domain in 0..<problem.domainCount {
            let free = problem.domainBudgetMilliwatts[domain] - floorSum[domain]
            remaining.append(Int128(free) << PowerUnits.usageBits)
            slope.append(0)
        }
        let gangCount = problem.gangCount
        refill(&gangState, with: .waiting, count: gangCount)
        refill(&cellPiece, with: 0, count: cells.count)
        refill(&certificate.level, with: .full, count: gangCount)
        refill(&certificate.boundBy, with: PowerSolution.atFull, count: gangCount)
        order.removeAll(keepingCapacity: true)
        for gang in 0..<gangCount where !cells.range(ofGang: gang).isEmpty {
            order.append(Int32(gang))
        }
        sortByPriority(problem)
    }

    /// Heap sort: in place, where the standard library's sort allocates.
    private mutating func sortByPriority(_ problem: PowerProblem) {
        HeapSort.sort(&order) { left, right in
            let (leftPriority, rightPriority) = (
                problem.gangPriority[Int(left)], problem.gangPriority[Int(right)]
            )
            return leftPriority > rightPriority
                || (leftPriority == rightPriority && left < right)
        }
    }

    private func writeCaps(
        _ problem: PowerProblem, _ levels: [PowerLevel], _ caps: inout [UInt32]
    ) {
        for gpu in 0..<problem.gpuCount {
            let floor = problem.gpuFloorMilliwatts[gpu]
            let gang = problem.gpuGang[gpu]
            guard gang >= 0 else {
                caps.append(floor)
                continue
            }
            let level = levels[Int(gang)].rawValue
            let full = problem.gpuFullMilliwatts[gpu]
            let curve = problem.gpuCurve[gpu]
            if full <= floor || level == PowerLevel.fullRawValue {
                caps.append(max(floor, full))
            } else if curve >= 0 {
                let use = problem.curves.use(of: curve, level: level)
                caps.append(floor + UInt32(use >> PowerUnits.usageBits))
            } else {
                // level < 2^52 here, so level << 12 fits; the high word is level * span / 2^52.
                let rise = UInt64(full - floor).multipliedFullWidth(by: level << 12).high
                caps.append(floor + UInt32(rise))
            }
        }
    }

    private func refill<Element>(_ column: inout [Element], with value: Element, count: Int) {
        column.removeAll(keepingCapacity: true)
        column.append(contentsOf: repeatElement(value, count: count))
    }
}

/// The fixed-point formats of the solver.
enum PowerUnits {
    /// Fractional bits of usage: those of a level and those of a slope.
    static let usageBits: UInt64 = PowerLevel.fractionalBits + PowerCurves.slopeFractionalBits
}

extension PowerCurves {
    /// What a GPU on this curve uses above its floor at a level, in 2^-68 mW.
    func use(of curve: Int32, level: UInt64) -> Int128 {
        let (start, end) = (Int(starts[Int(curve)]), Int(starts[Int(curve) + 1]))
        var point = start
        while point + 1 < end, levels[point + 1] <= level { point += 1 }
        let base = Int128(milliwatts[point] - milliwatts[start]) << PowerUnits.usageBits
        return base + Int128(level - levels[point]) * Int128(slopes[point])
    }
}
