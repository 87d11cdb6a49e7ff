// SPDX-License-Identifier: Apache-2.0

/// A GPU's demand, changed.
package struct PowerDemandChange: Hashable, BitwiseCopyable, Sendable {
    /// The GPU, as an index into the problem's GPUs.
    package var gpu: Int32
    /// A curve that goes from the floor to the full, or -1 for a straight line.
    package var curve: Int32
    /// The least cap, in milliwatts.
    package var floorMilliwatts: UInt32
    /// The cap at full pace, in milliwatts.
    package var fullMilliwatts: UInt32

    package init(
        gpu: Int32, floorMilliwatts: UInt32, fullMilliwatts: UInt32, curve: Int32 = -1
    ) {
        self.gpu = gpu
        self.curve = curve
        self.floorMilliwatts = floorMilliwatts
        self.fullMilliwatts = fullMilliwatts
    }
}

/// A power problem that changes a little at a time, and its optimum.
///
/// Demands, budgets and gangs change through the methods of this type, which keep the sums of domains and
/// cells up to date as they go. ``solve()`` then looks at domains, cells and gangs again, but only at those
/// GPUs whose caps may be other ones than before. The result is the one of ``PowerSolver``, to the
/// milliwatt, certificate and shortfalls included.
///
/// After some solves at one size and rate of change neither changes nor solves take memory. Now and then, when
/// gangs have come and gone so often that cells of no use outnumber the others, a solve starts from nothing.
package struct WarmPowerSolver: ~Copyable, Sendable {
    /// The problem as changed so far.
    package private(set) var problem: PowerProblem
    /// The result of the last ``solve()``.
    package private(set) var solution = PowerSolution()

    private var engine = PowerEngine()
    private var changes = PowerChanges()

    /// Takes over a problem.
    ///
    /// - Parameter problem: well-formed (``PowerProblem/firstDefect()`` is nil); domains, GPUs and leaves
    ///   stay as they are.
    package init(_ problem: PowerProblem) {
        assert(problem.firstDefect() == nil, "malformed problem: \(problem.firstDefect()!)")
        self.problem = problem
    }

    /// Bytes that problem, solver and solution have room for.
    package var storageByteCount: Int {
        problem.storageByteCount + solution.storageByteCount + engine.storageByteCount
            + changes.storageByteCount
    }

    // MARK: - Changes

    /// Changes what a GPU is promised and what it wants.
    ///
    /// - Parameters:
    ///   - gpu: an index into the problem's GPUs.
    ///   - floorMilliwatts: the least cap.
    ///   - fullMilliwatts: the cap at full pace.
    ///   - curve: a curve with these ends, or -1 for a straight line.
    package mutating func setDemand(
        ofGPU gpu: Int, floorMilliwatts: UInt32, fullMilliwatts: UInt32, curve: Int32 = -1
    ) {
        let change = PowerDemandChange(
            gpu: Int32(gpu), floorMilliwatts: floorMilliwatts, fullMilliwatts: fullMilliwatts,
            curve: curve)
        withUnsafePointer(to: change) { only in
            changes.apply(UnsafeBufferPointer(start: only, count: 1), to: &problem, &engine)
        }
    }

    /// Changes many demands, one after the other; fastest in the order of GPUs.
    ///
    /// Precondition: as for `setDemand`.
    package mutating func setDemands(_ batch: [PowerDemandChange]) {
        batch.withUnsafeBufferPointer { changes.apply($0, to: &problem, &engine) }
    }

    /// Gives a GPU to a gang, or with -1 to none.
    package mutating func setGang(_ gang: Int32, ofGPU gpu: Int) {
        precondition(gang >= -1 && gang < problem.gangCount, "a gang does not exist")
        guard gang != problem.gpuGang[gpu] else { return }
        let old = PowerShare(
            gang: problem.gpuGang[gpu], curve: problem.gpuCurve[gpu],
            floorMilliwatts: problem.gpuFloorMilliwatts[gpu],
            fullMilliwatts: problem.gpuFullMilliwatts[gpu])
        problem.gpuGang[gpu] = gang
        var new = old
        new.gang = gang
        changes.replace(old, by: new, ofGPU: gpu, problem.gpuLeaf, &engine)
        changes.move(gpu)
    }

    /// Changes what the GPUs in a domain may draw together.
    ///
    /// - Parameters:
    ///   - milliwatts: of a magnitude of at most ``PowerProblem/maximumBudgetMilliwatts``.
    ///   - domain: an index into the problem's domains.
    package mutating func setBudget(_ milliwatts: Int64, ofDomain domain: Int) {
        precondition(
            milliwatts.magnitude <= PowerProblem.maximumBudgetMilliwatts, "a budget is out of range"
        )
        problem.domainBudgetMilliwatts[domain] = milliwatts
    }

    /// Adds a gang without GPUs.
    ///
    /// - Returns: its index.
    package mutating func addGang(priority: Int32, weight: UInt32) -> Int32 {
        precondition((1...PowerProblem.maximumWeight).contains(weight), "a weight is out of range")
        return problem.addGang(priority: priority, weight: weight)
    }

    /// Changes how important a gang is; also gives the index of a gang that has left to a new one.
    package mutating func setPolicy(ofGang gang: Int, priority: Int32, weight: UInt32) {
        precondition((1...PowerProblem.maximumWeight).contains(weight), "a weight is out of range")
        if problem.gangPriority[gang] != priority { changes.hasNewClasses = true }
        problem.gangPriority[gang] = priority
        problem.gangWeight[gang] = weight
    }

    /// Adds a curve.
    ///
    /// - Returns: its index.
    /// - Throws: what is wrong with the points; nothing is added then.
    package mutating func addCurve(
        _ points: [PowerCurvePoint]
    ) throws(PowerCurveDefect) -> Int32 {
        try problem.curves.add(points)
    }

    // MARK: - Solving

    /// Finds the optimum of the problem as it is now; ``solution`` has it.
    ///
    /// - Returns: optimal, or the domain whose floors do not fit.
    package mutating func solve() -> PowerSolveStatus {
        assert(problem.firstDefect() == nil, "malformed problem: \(problem.firstDefect()!)")
        return changes.solve(problem, &engine, into: &solution)
    }
}
