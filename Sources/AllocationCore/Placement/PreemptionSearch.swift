// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// A search for the least set of victims.
///
/// Stopping a job takes floors away, so what fits after some have gone fits after more have gone, with
/// one exception: a device whose idle share of the node's fallback is above the floor of its holder.
/// Where a candidate holds such a device, only trying every set proves anything.
///
/// Method: the least class of which enough can go is found by bisection. First sets come from parts of
/// the fleet, those that look cheapest first: the job is put where it fits once every candidate there
/// has gone, and all that can come back beside it does. Then a branch and bound over keep-or-stop
/// decisions looks for a better set until it has seen them all or its budget ends. A trial is one search
/// for the job in the fleet without some victims.
///
/// Complexity: some trials without any budget, each in proportion to the nodes and to the jobs that it
/// takes away: one without victims, one for each halving of the classes. The rest is within the budget.
struct PreemptionSearch {
    /// Steps of the search for a better set: nodes looked at, and jobs taken away and put back.
    static let stepBudget = 120_000
    /// What taking a job away and putting it back costs, in nodes looked at.
    private static let stepsPerJob = 8

    var engine: PlacementEngine
    let spec: JobSpec
    let request: PlacementRequest
    /// The least important first; of a class those with the least to lose first.
    let candidates: [PreemptionCandidate]
    private let isMonotone: Bool
    private var stepsLeft = PreemptionSearch.stepBudget
    private var hasUndecided = false
    private var best: (stopped: [Int], placement: [TaskPlacement])?
    private var bestCost = Cost(priority: .max, count: .max, lostWork: .max)

    /// The damage of a set of victims.
    struct Cost: Comparable {
        var priority: Int32
        var count: Int
        var lostWork: UInt64

        static func < (left: Cost, right: Cost) -> Bool {
            (left.priority, left.count, left.lostWork)
                < (right.priority, right.count, right.lostWork)
        }
    }

    init(_ engine: PlacementEngine, _ spec: JobSpec, _ candidates: [PreemptionCandidate]) {
        self.engine = engine
        self.spec = spec
        request = PlacementRequest(spec, engine.topology, levels: engine.levels)
        self.candidates =
            candidates
            .filter { $0.priority < spec.priority && engine.placement(of: $0.job) != nil }
            .sorted { ($0.priority, $0.lostWork, $0.job) < ($1.priority, $1.lostWork, $1.job) }
        isMonotone = self.candidates.allSatisfy { engine.isLighterWithout($0.job) }
    }

    mutating func run() -> PreemptionOutcome {
        if let placement = trial([]) {
            return .possible(PreemptionPlan(victims: [], placement: placement, isLeast: true))
        }
        let all = Array(candidates.indices)
        let everything = all.isEmpty ? nil : trial(all)
        guard everything != nil || (!isMonotone && !all.isEmpty) else {
            return hasUndecided ? .undecided : .impossible
        }
        var pool = all
        if let everything {
            note(all, everything)
            pool = poolOfLeastClass()
            stepsLeft = PreemptionSearch.stepBudget
            // Half of the budget at most, so that some is left to prove that the best is the least.
            for region in regions(pool) where stepsLeft > PreemptionSearch.stepBudget / 2 {
                guard let stopped = guided(region), let placement = trial(stopped) else { continue }
                note(stopped, placement)
            }
        }
        let isComplete = branch(
            isMonotone ? pool : all, from: 0, stopped: [], priority: .min, lostWork: 0)
        guard let best else { return isComplete && !hasUndecided ? .impossible : .undecided }
        return .possible(
            PreemptionPlan(
                victims: best.stopped.map { candidates[$0].job }.sorted(),
                placement: best.placement, isLeast: isComplete && !hasUndecided))
    }

    // MARK: - Trials

    /// Where the job fits without these candidates; nil when it does not, or not as far as is known.
    private mutating func trial(_ stopped: [Int]) -> [TaskPlacement]? {
        let checkpoint = engine.checkpoint()
        defer { engine.rollback(to: checkpoint) }
        return searchWithout(stopped)
    }

    /// As ``trial(_:)``, and leaves the candidates away.
    private mutating func searchWithout(_ stopped: [Int]) -> [TaskPlacement]? {
        stepsLeft -= engine.topology.nodes.count + PreemptionSearch.stepsPerJob * stopped.count
        for index in stopped { engine.release(candidates[index].job) }
        switch engine.searchOutcome(spec) {
        case .placed(let placement): return placement
        case .refused: return nil
        case .undecided:
            hasUndecided = true
            return nil
        }
    }

    /// The fleet without some candidates and with the job where it fits then; nil when it does not.
    mutating func fleetWithJob(without stopped: [Int]) -> PlacementFleet? {
        let checkpoint = engine.checkpoint()
        defer { engine.rollback(to: checkpoint) }
        guard let placement = searchWithout(stopped) else { return nil }
        var fleet = engine.fleet
        for task in placement {
            fleet.take(request, node: task.node.position, devices: task.devices)
        }
        return fleet
    }

    /// The candidates up to the least class with which all of them together are enough.
    private mutating func poolOfLeastClass() -> [Int] {
        var ends: [Int] = []
        for index in candidates.indices
        where index + 1 == candidates.count
            || candidates[index + 1].priority != candidates[index].priority
        {
            ends.append(index + 1)
        }
        // Invariant: `ends[high]` candidates are enough, `ends[low]` are not.
        var low = -1
        var high = ends.count - 1
        while high - low > 1 {
            let middle = (low + high) / 2
            let stopped = Array(0..<ends[middle])
            if let placement = trial(stopped) {
                note(stopped, placement)
                high = middle
            } else {
                low = middle
            }
        }
        return Array(0..<ends[high])
    }

    private mutating func note(_ stopped: [Int], _ placement: [TaskPlacement]) {
        let cost = cost(of: stopped)
        guard cost < bestCost else { return }
        (best, bestCost) = ((stopped, placement), cost)
    }

    private func cost(of stopped: [Int]) -> Cost {
        Cost(
            priority: stopped.map { candidates[$0].priority }.max() ?? .min, count: stopped.count,
            lostWork: stopped.reduce(0) { PreemptionSearch.sum($0, candidates[$1].lostWork) })
    }

    private static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let (sum, isOver) = left.addingReportingOverflow(right)
        return isOver ? .max : sum
    }

    // MARK: - The least set

    /// Adds one candidate after the other to `stopped`, from a position of the pool on.
    ///
    /// - Returns: false when the budget ended before every set that could be better was seen.
    private mutating func branch(
        _ pool: [Int], from start: Int, stopped: [Int], priority: Int32, lostWork: UInt64
    ) -> Bool {
        for position in start..<pool.count {
            let candidate = candidates[pool[position]]
            let cost = Cost(
                priority: max(priority, candidate.priority), count: stopped.count + 1,
                lostWork: PreemptionSearch.sum(lostWork, candidate.lostWork))
            // A larger set costs more, whatever is added.
            guard cost < bestCost else { continue }
            guard stepsLeft > 0 else { return false }
            if isMonotone {
                // With all that is left gone it must fit, or no set from here on is enough.
                guard trial(stopped + pool[position...]) != nil else { return true }
                guard stepsLeft > 0 else { return false }
            }
            let next = stopped + [pool[position]]
            if let placement = trial(next) {
                note(next, placement)
                continue
            }
            let isComplete = branch(
                pool, from: position + 1, stopped: next, priority: cost.priority,
                lostWork: cost.lostWork)
            guard isComplete else { return false }
        }
        return true
    }
}
