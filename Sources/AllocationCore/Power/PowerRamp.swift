// SPDX-License-Identifier: Apache-2.0

/// How fast caps may rise.
package struct PowerRampLimits: Hashable, Sendable {
    /// The most that the caps in each domain may rise together, in milliwatts per second; nil for no
    /// bound.
    package var risePerSecond: [Int64?]
    /// A gang starts to rise only when one of its GPUs has at least this far to go, in milliwatts.
    package var bandMilliwatts: UInt32
    /// A gang whose caps were lowered stays down this long, in nanoseconds.
    package var holdNanoseconds: Int64
    /// A pause between two steps counts for at most this long, in nanoseconds, so that a controller
    /// that slept does not make up for it in one jump.
    package var longestStepNanoseconds: Int64

    package init(
        risePerSecond: [Int64?], bandMilliwatts: UInt32 = 0, holdNanoseconds: Int64 = 0,
        longestStepNanoseconds: Int64 = 1_000_000_000
    ) {
        self.risePerSecond = risePerSecond
        self.bandMilliwatts = bandMilliwatts
        self.holdNanoseconds = holdNanoseconds
        self.longestStepNanoseconds = longestStepNanoseconds
    }
}

/// Leads caps from where they stand to an optimum: down at once, up no faster than allowed.
///
/// A stage of its own behind ``PowerSolver``. Each step:
///
/// * a cap above its target becomes the target;
/// * what rises in a domain is at most its allowance for the time that passed, and at most what is
///   free beside the caps as they stood *before* the step. So whichever of the step's changes lands
///   first, and whichever never lands, no domain that was within its budget leaves it: watts that are
///   lowered here can rise elsewhere with the next step, not with this one;
/// * inside that, the rises are an optimum of their own: important classes first, weighted max-min
///   shares of the way to go, one share for all GPUs of a gang, so that they arrive together.
///
/// There is always such a step, since rising by nothing is one. Whole milliwatts are given out; an
/// allowance that could not be spent is kept, up to one longest step or a milliwatt for each GPU,
/// whichever is more: slow ramps over many GPUs get there too. Over any time, what rises in a domain
/// is therefore at most rate × time plus that much.
///
/// Keeps its columns from step to step.
package struct PowerRamp: Sendable {
    private var solver = PowerSolver()
    private var solution = PowerSolution()
    /// The rises as a problem: floor 0, full the way to go, budget the allowance.
    private var rise = PowerProblem()
    /// The gang of the rise problem that each gang has; those of GPUs without one come after.
    private var loneGang: [Int32] = []

    /// Allowance that was not spent, in units of 10^-9 mW.
    private var kept: [Int128] = []
    /// Sum of the caps in each domain.
    private var capSum: [Int64] = []
    private var gpuCount: [Int64] = []

    // What a GPU remembers from step to step.
    private var loweredAt: [Int64] = []
    private var isRising: [Bool] = []
    private var isHeld: [Bool] = []
    private var lastStep: Int64?

    package init() {}

    /// Forgets the past of all GPUs, for when their numbers change their meaning.
    package mutating func reset() {
        kept.removeAll(keepingCapacity: true)
        loweredAt.removeAll(keepingCapacity: true)
        isRising.removeAll(keepingCapacity: true)
        lastStep = nil
    }

    /// Takes one step.
    ///
    /// - Parameters:
    ///   - problem: domains, budgets, gangs, classes and weights; well-formed.
    ///   - targets: the caps of the optimum, one for each GPU.
    ///   - limits: with one rate for each domain, none of them negative.
    ///   - now: a clock that never goes back, in nanoseconds.
    ///   - caps: the caps as they stand; afterwards, as they should be set.
    /// - Returns: true when every cap is at its target, or nearer to it than the band.
    @discardableResult
    package mutating func step(
        _ problem: PowerProblem, towards targets: [UInt32], limits: PowerRampLimits, now: Int64,
        caps: inout [UInt32]
    ) -> Bool {
        precondition(targets.count == problem.gpuCount && caps.count == problem.gpuCount)
        precondition(limits.risePerSecond.count == problem.domainCount)
        remember(problem)
        let elapsed = min(limits.longestStepNanoseconds, max(0, now - (lastStep ?? now)))
        lastStep = now
        sumUp(problem, caps)
        buildRise(problem, targets, caps, limits, now)
        allow(problem, limits, elapsed)
        let status = solver.solve(rise, into: &solution)
        precondition(status == .optimal, "rising by nothing always fits")
        spend(problem, limits)
        return apply(targets, limits, now, &caps)
    }

    // MARK: - What is remembered

    private mutating func remember(_ problem: PowerProblem) {
        if kept.count != problem.domainCount {
            refill(&kept, with: 0, count: problem.domainCount)
        }
        if loweredAt.count != problem.gpuCount {
            refill(&loweredAt, with: .min, count: problem.gpuCount)
            refill(&isRising, with: false, count: problem.gpuCount)
        }
    }

    private func refill<Element>(_ column: inout [Element], with value: Element, count: Int) {
        column.removeAll(keepingCapacity: true)
        column.append(contentsOf: repeatElement(value, count: count))
    }

    private mutating func sumUp(_ problem: PowerProblem, _ caps: [UInt32]) {
        refill(&capSum, with: 0, count: problem.domainCount)
        refill(&gpuCount, with: 0, count: problem.domainCount)
        for tree in 0..<problem.treeCount {
            for gpu in 0..<problem.gpuCount {
                let leaf = Int(problem.gpuLeaf[tree][gpu])
                guard leaf >= 0 else { continue }
                capSum[leaf] += Int64(caps[gpu])
                gpuCount[leaf] += 1
            }
        }
        for domain in stride(from: problem.domainCount - 1, through: 0, by: -1) {
            let parent = Int(problem.domainParent[domain])
            guard parent >= 0 else { continue }
            capSum[parent] += capSum[domain]
            gpuCount[parent] += gpuCount[domain]
        }
    }

    // MARK: - The rises as a problem

    private mutating func buildRise(
        _ problem: PowerProblem, _ targets: [UInt32], _ caps: [UInt32], _ limits: PowerRampLimits,
        _ now: Int64
    ) {
        rise.removeAll()
        if rise.treeCount != problem.treeCount {
            rise = PowerProblem(treeCount: problem.treeCount)
        }
        for domain in 0..<problem.domainCount {
            rise.addDomain(parent: problem.domainParent[domain], budgetMilliwatts: 0)
        }
        for gang in 0..<problem.gangCount {
            rise.addGang(priority: problem.gangPriority[gang], weight: problem.gangWeight[gang])
        }
        holdBack(problem, targets, caps, limits, now)
        for gpu in 0..<problem.gpuCount {
            var gang = problem.gpuGang[gpu]
            let gap = caps[gpu] < targets[gpu] ? targets[gpu] - caps[gpu] : 0
            let wanted = gap == 0 || isHeldBack(gpu, gang) ? 0 : gap
            if gang < 0, wanted > 0 { gang = rise.addGang(priority: .max, weight: 1) }
            rise.gpuFloorMilliwatts.append(0)
            rise.gpuFullMilliwatts.append(wanted)
            rise.gpuGang.append(gang)
            rise.gpuCurve.append(-1)
        }
        for tree in 0..<problem.treeCount {
            rise.gpuLeaf[tree].append(contentsOf: problem.gpuLeaf[tree])
        }
    }

    /// Finds the gangs that stay down: one GPU of them was lowered too lately, or none has far to go.
    ///
    /// A gang rises as one, so what holds one GPU holds all.
    private mutating func holdBack(
        _ problem: PowerProblem, _ targets: [UInt32], _ caps: [UInt32], _ limits: PowerRampLimits,
        _ now: Int64
    ) {
        refill(&isHeld, with: true, count: problem.gangCount)
        refill(&loneGang, with: 0, count: problem.gpuCount)
        // First what has far enough to go, or has begun to rise and is not there yet.
        for gpu in 0..<problem.gpuCount {
            let gap = caps[gpu] < targets[gpu] ? targets[gpu] - caps[gpu] : 0
            isRising[gpu] = gap > 0 && (isRising[gpu] || gap >= limits.bandMilliwatts)
            guard isRising[gpu] else { continue }
            let gang = Int(problem.gpuGang[gpu])
            if gang >= 0 { isHeld[gang] = false } else { loneGang[gpu] = 1 }
        }
        // Then what was lowered lately, or is being lowered now.
        for gpu in 0..<problem.gpuCount {
            let isLowered = caps[gpu] > targets[gpu]
            let isRecent =
                loweredAt[gpu] != .min && now - loweredAt[gpu] < limits.holdNanoseconds
            guard isLowered && limits.holdNanoseconds > 0 || isRecent else { continue }
            let gang = Int(problem.gpuGang[gpu])
            if gang >= 0 { isHeld[gang] = true } else { loneGang[gpu] = 0 }
        }
    }

    private func isHeldBack(_ gpu: Int, _ gang: Int32) -> Bool {
        gang >= 0 ? isHeld[Int(gang)] : loneGang[gpu] == 0
    }

    // MARK: - Allowances

    private static let nano: Int128 = 1_000_000_000

    /// Adds what the elapsed time allows, and makes budgets of it.
    private mutating func allow(
        _ problem: PowerProblem, _ limits: PowerRampLimits, _ elapsed: Int64
    ) {
        for domain in 0..<problem.domainCount {
            let free = max(0, problem.domainBudgetMilliwatts[domain] - capSum[domain])
            guard let rate = limits.risePerSecond[domain] else {
                rise.domainBudgetMilliwatts[domain] = free
                continue
            }
            kept[domain] += Int128(rate) * Int128(elapsed)
            let allowance = kept[domain] / PowerRamp.nano
            rise.domainBudgetMilliwatts[domain] = min(free, Int64(clamping: allowance))
        }
    }

    /// Takes what was given out off the allowances, and bounds what is kept of them.
    private mutating func spend(_ problem: PowerProblem, _ limits: PowerRampLimits) {
        sumUp(problem, solution.capMilliwatts)
        for domain in 0..<problem.domainCount {
            guard let rate = limits.risePerSecond[domain] else { continue }
            kept[domain] -= Int128(capSum[domain]) * PowerRamp.nano
            let most = max(
                Int128(rate) * Int128(limits.longestStepNanoseconds),
                Int128(gpuCount[domain]) * PowerRamp.nano)
            kept[domain] = min(kept[domain], rate == 0 ? 0 : most)
        }
    }

    // MARK: - Caps

    private mutating func apply(
        _ targets: [UInt32], _ limits: PowerRampLimits, _ now: Int64, _ caps: inout [UInt32]
    ) -> Bool {
        var isThere = true
        for gpu in caps.indices {
            if caps[gpu] > targets[gpu] {
                caps[gpu] = targets[gpu]
                loweredAt[gpu] = now
            } else {
                caps[gpu] += solution.capMilliwatts[gpu]
            }
            let gap = targets[gpu] - caps[gpu]
            if gap == 0 { isRising[gpu] = false }
            if gap > 0 && (isRising[gpu] || gap >= limits.bandMilliwatts) { isThere = false }
        }
        return isThere
    }
}
