// SPDX-License-Identifier: Apache-2.0

/// Which gangs to pause when floors do not fit, so that the floors of the rest do.
///
/// A paused gang's GPUs count nothing: what they draw idle belongs to the overhead.
package struct ShedPlan: Hashable, Sendable {
    /// One gang to pause.
    package struct Step: Hashable, Sendable {
        package var gang: Int32
        package var gpuCount: Int32
        /// The floors of its GPUs, in milliwatts.
        package var freedMilliwatts: Int64

        package init(gang: Int32, gpuCount: Int32, freedMilliwatts: Int64) {
            self.gang = gang
            self.gpuCount = gpuCount
            self.freedMilliwatts = freedMilliwatts
        }
    }

    /// The gangs to pause: the least important first; of one class those with the fewest GPUs first,
    /// then by index.
    package internal(set) var steps: [Step] = []
    /// True when it is proven that no choice harms less.
    ///
    /// The classes are looked at from the most important down; in each the fewest GPUs are paused that
    /// can be, with what was chosen above it and everything below it paused; among those the fewest
    /// gangs. False when a class has too many gangs to try all and the bound does not meet the choice:
    /// then only what ``ShedPlanner`` promises of every plan holds.
    package internal(set) var isLeast = true
    /// Domains that stay short with all their gangs paused; empty unless idle GPUs or overhead alone
    /// are over the budget.
    package internal(set) var remaining: [PowerShortfall] = []

    package init() {}
}

/// Finds what to pause when floors do not fit.
///
/// Promises of every plan:
///
/// * with its gangs paused, the floors of the rest fit every domain that can be made to fit;
/// * no gang of a class is paused where pausing everything less important would do;
/// * each paused gang is needed: with all the others paused and this one running, a domain is short.
///   So none is paused that helps no short domain;
/// * the same problem gives the same plan.
///
/// To pause as few GPUs as possible is a covering problem, hard in general. Small classes are searched
/// whole; large ones greedily, by watts of need met for each GPU paused, and the result is compared
/// with a bound (``ShedPlan/isLeast``).
package struct ShedPlanner {
    /// The most gangs of a class that are searched whole.
    package static let searchedGangCount = 32
    /// The most steps of one such search.
    package static let searchBudget = 50_000

    private let problem: PowerProblem
    /// The short domains: their place in the problem and, as work goes on, what they still need.
    private var shortDomain: [Int32] = []
    private var need: [Int64] = []
    private var relief = ShedRelief()

    /// Plans for a problem, whether or not its floors fit.
    ///
    /// - Parameter problem: well-formed.
    /// - Returns: what to pause; nothing when the floors fit.
    ///
    /// Complexity: one pass over the GPUs and their domains, `O(C log C)` for the cells C of gangs in
    /// short domains, and a search of at most ``searchBudget`` steps for each class.
    package static func plan(_ problem: PowerProblem) -> ShedPlan {
        var planner = ShedPlanner(problem)
        return planner.plan()
    }

    private init(_ problem: PowerProblem) { self.problem = problem }

    private mutating func plan() -> ShedPlan {
        var plan = ShedPlan()
        findNeeds()
        guard !need.isEmpty else { return plan }
        relief.gather(problem, shortDomains: shortDomain)
        giveUpWhatCannotBeMet(&plan)
        let order = relief.helpfulGangs.sorted {
            let (left, right) = (problem.gangPriority[$0], problem.gangPriority[$1])
            return left > right || (left == right && $0 < $1)
        }
        var below = relief.total(of: order[...], count: need.count)
        var start = 0
        while start < order.count, need.contains(where: { $0 > 0 }) {
            let priority = problem.gangPriority[order[start]]
            var end = start + 1
            while end < order.count, problem.gangPriority[order[end]] == priority { end += 1 }
            subtract(order[start..<end], from: &below)
            pause(in: Array(order[start..<end]), below, &plan)
            start = end
        }
        plan.steps.sort {
            let (left, right) = (
                problem.gangPriority[Int($0.gang)], problem.gangPriority[Int($1.gang)]
            )
            return (left, $0.gpuCount, $0.gang) < (right, $1.gpuCount, $1.gang)
        }
        return plan
    }

    private mutating func findNeeds() {
        var sums = [Int64](repeating: 0, count: problem.domainCount)
        for leaves in problem.gpuLeaf {
            for gpu in 0..<problem.gpuCount where leaves[gpu] >= 0 {
                sums[Int(leaves[gpu])] += Int64(problem.gpuFloorMilliwatts[gpu])
            }
        }
        for domain in stride(from: problem.domainCount - 1, through: 0, by: -1) {
            let parent = problem.domainParent[domain]
            if parent >= 0 { sums[Int(parent)] += sums[domain] }
        }
        for domain in 0..<problem.domainCount {
            let missing = sums[domain] - problem.domainBudgetMilliwatts[domain]
            guard missing > 0 else { continue }
            shortDomain.append(Int32(domain))
            need.append(missing)
        }
    }

    /// Lowers needs to what pausing everything meets, and notes the rest.
    private mutating func giveUpWhatCannotBeMet(_ plan: inout ShedPlan) {
        let most = relief.total(of: relief.helpfulGangs[...], count: need.count)
        for short in need.indices where need[short] > most[short] {
            plan.remaining.append(
                PowerShortfall(
                    domain: shortDomain[short], missingMilliwatts: need[short] - most[short]))
            need[short] = most[short]
        }
    }

    private func subtract(_ gangs: ArraySlice<Int>, from sums: inout [Int64]) {
        for gang in gangs {
            for cell in relief.cells(of: gang) {
                sums[Int(relief.short[cell])] -= relief.milliwatts[cell]
            }
        }
    }

    /// Chooses among the gangs of one class that help.
    ///
    /// `below` is what all less important gangs together give to each short domain.
    private mutating func pause(in gangs: [Int], _ below: [Int64], _ plan: inout ShedPlan) {
        let open = need.indices.map { max(0, need[$0] - below[$0]) }
        guard open.contains(where: { $0 > 0 }) else { return }
        let choice = ShedChoice.choose(among: gangs, relief, need: open)
        if !choice.isLeast { plan.isLeast = false }
        for gang in choice.gangs {
            for cell in relief.cells(of: gang) {
                need[Int(relief.short[cell])] -= relief.milliwatts[cell]
            }
            plan.steps.append(
                ShedPlan.Step(
                    gang: Int32(gang), gpuCount: relief.gpuCount[gang],
                    freedMilliwatts: relief.floorSum[gang]))
        }
    }
}

/// What each gang gives to each short domain when it is paused.
struct ShedRelief {
    /// The GPUs of each gang, and the sum of their floors.
    private(set) var gpuCount: [Int32] = []
    private(set) var floorSum: [Int64] = []
    // Cells: those of one gang are consecutive.
    private var starts: [Int] = []
    /// The short domain of each cell, by its place in the list of short domains.
    private(set) var short: [Int32] = []
    private(set) var milliwatts: [Int64] = []

    func cells(of gang: Int) -> Range<Int> { starts[gang]..<starts[gang + 1] }

    /// The gangs that give anything to a short domain.
    var helpfulGangs: [Int] {
        gpuCount.indices.filter { !cells(of: $0).isEmpty }
    }

    /// What gangs give together.
    func total(of gangs: ArraySlice<Int>, count: Int) -> [Int64] {
        var sums = [Int64](repeating: 0, count: count)
        for gang in gangs {
            for cell in cells(of: gang) { sums[Int(short[cell])] += milliwatts[cell] }
        }
        return sums
    }

    mutating func gather(_ problem: PowerProblem, shortDomains: [Int32]) {
        gpuCount = [Int32](repeating: 0, count: problem.gangCount)
        floorSum = [Int64](repeating: 0, count: problem.gangCount)
        for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] >= 0 {
            gpuCount[Int(problem.gpuGang[gpu])] += 1
            floorSum[Int(problem.gpuGang[gpu])] += Int64(problem.gpuFloorMilliwatts[gpu])
        }
        var place = [Int32](repeating: -1, count: problem.domainCount)
        for (short, domain) in shortDomains.enumerated() { place[Int(domain)] = Int32(short) }
        var cellOf = [Int](repeating: -1, count: shortDomains.count)
        let (order, ends) = gpusByGang(problem)
        var position = 0
        for gang in 0..<problem.gangCount {
            starts.append(short.count)
            while position < ends[gang] {
                add(Int(order[position]), problem, place, &cellOf)
                position += 1
            }
        }
        starts.append(short.count)
    }

    private func gpusByGang(_ problem: PowerProblem) -> (order: [Int32], ends: [Int]) {
        var cursor = [Int](repeating: 0, count: problem.gangCount)
        for gang in cursor.indices.dropFirst() {
            cursor[gang] = cursor[gang - 1] + Int(gpuCount[gang - 1])
        }
        let total = gpuCount.reduce(0) { $0 + Int($1) }
        var order = [Int32](repeating: 0, count: total)
        for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] >= 0 {
            let gang = Int(problem.gpuGang[gpu])
            order[cursor[gang]] = Int32(gpu)
            cursor[gang] += 1
        }
        return (order, cursor)
    }

    /// Adds a GPU of the gang that is being gathered.
    private mutating func add(
        _ gpu: Int, _ problem: PowerProblem, _ place: [Int32], _ cellOf: inout [Int]
    ) {
        let floor = Int64(problem.gpuFloorMilliwatts[gpu])
        guard floor > 0 else { return }
        for leaves in problem.gpuLeaf {
            var domain = leaves[gpu]
            while domain >= 0 {
                let short = place[Int(domain)]
                domain = problem.domainParent[Int(domain)]
                guard short >= 0 else { continue }
                // A cell of an earlier gang lies before this gang's start.
                if cellOf[Int(short)] < starts[starts.count - 1] {
                    cellOf[Int(short)] = self.short.count
                    self.short.append(short)
                    milliwatts.append(0)
                }
                milliwatts[cellOf[Int(short)]] += floor
            }
        }
    }
}
