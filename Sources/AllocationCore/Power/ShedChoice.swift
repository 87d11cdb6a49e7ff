// SPDX-License-Identifier: Apache-2.0

/// The gangs of one class to pause so that given needs are met.
///
/// Harm is the number of GPUs paused, then the number of gangs.
struct ShedChoice {
    /// The gangs, in no particular order.
    private(set) var gangs: [Int] = []
    /// True when no choice harms less.
    private(set) var isLeast = false

    private let relief: ShedRelief
    private let candidates: [Int]
    private let need: [Int64]

    /// Chooses.
    ///
    /// - Parameters:
    ///   - candidates: the gangs of the class; all together they meet the needs.
    ///   - relief: what each gives.
    ///   - need: what each short domain needs; none is negative.
    /// - Returns: gangs that meet the needs, each of them needed.
    static func choose(
        among candidates: [Int], _ relief: ShedRelief, need: [Int64]
    ) -> ShedChoice {
        var choice = ShedChoice(relief: relief, candidates: candidates, need: need)
        choice.chooseGreedily()
        choice.dropNeedless()
        choice.isLeast = choice.meetsBound
        if !choice.isLeast, candidates.count <= ShedPlanner.searchedGangCount { choice.search() }
        return choice
    }

    private init(relief: ShedRelief, candidates: [Int], need: [Int64]) {
        self.relief = relief
        self.candidates = candidates
        self.need = need
    }

    /// Harm of a gang: GPUs above, one gang below.
    ///
    /// A problem has fewer than 2^24 gangs.
    private func harm(_ gang: Int) -> Int64 { Int64(relief.gpuCount[gang]) << 24 + 1 }

    // MARK: - Greedy

    /// What a gang would give of what is still needed.
    private func useful(_ gang: Int, _ open: [Int64]) -> Int64 {
        relief.cells(of: gang).reduce(0) { sum, cell in
            sum + min(relief.milliwatts[cell], open[Int(relief.short[cell])])
        }
    }

    /// Takes the gang that meets most need for each of its GPUs, until all is met.
    ///
    /// What a gang can give only falls as others are taken, so an old score is a bound: the first of
    /// the heap is looked at afresh, and taken if it stays first.
    private mutating func chooseGreedily() {
        var open = need
        var heap = ShedHeap()
        for gang in candidates {
            heap.push(.init(gang: gang, useful: useful(gang, open), relief.gpuCount[gang]))
        }
        while open.contains(where: { $0 > 0 }), let best = heap.pop() {
            let now = ShedHeap.Entry(
                gang: best.gang, useful: useful(best.gang, open), relief.gpuCount[best.gang])
            guard now.useful > 0 else { continue }
            if let next = heap.first, next.isBefore(now) {
                heap.push(now)
                continue
            }
            gangs.append(best.gang)
            for cell in relief.cells(of: best.gang) {
                let short = Int(relief.short[cell])
                open[short] = max(0, open[short] - relief.milliwatts[cell])
            }
        }
    }

    /// Lets gangs run again that the later ones made needless, the largest first.
    private mutating func dropNeedless() {
        var given = relief.total(of: gangs[...], count: need.count)
        let order = gangs.sorted { (harm($0), $0) > (harm($1), $1) }
        var isNeedless = Set<Int>()
        for gang in order {
            let isFree = relief.cells(of: gang).allSatisfy { cell in
                let short = Int(relief.short[cell])
                return given[short] - relief.milliwatts[cell] >= need[short]
            }
            guard isFree else { continue }
            isNeedless.insert(gang)
            for cell in relief.cells(of: gang) {
                given[Int(relief.short[cell])] -= relief.milliwatts[cell]
            }
        }
        gangs.removeAll { isNeedless.contains($0) }
    }

    // MARK: - Bound

    /// True when a domain by itself already takes as many GPUs, and one as many gangs.
    private var meetsBound: Bool {
        var given: [[(milliwatts: Int64, gpuCount: Int64)]] = Array(
            repeating: [], count: need.count)
        for gang in candidates {
            for cell in relief.cells(of: gang) {
                given[Int(relief.short[cell])].append(
                    (relief.milliwatts[cell], Int64(relief.gpuCount[gang])))
            }
        }
        var (leastGPUs, leastGangs): (Int64, Int64) = (0, 0)
        for short in need.indices where need[short] > 0 {
            leastGPUs = max(leastGPUs, ShedChoice.leastGPUs(given[short], need[short]))
            leastGangs = max(leastGangs, ShedChoice.leastGangs(given[short], need[short]))
        }
        let gpuCount = gangs.reduce(Int64(0)) { $0 + Int64(relief.gpuCount[$1]) }
        return gpuCount == leastGPUs && gangs.count == leastGangs
    }

    /// The GPUs that meet a need when gangs may be paused in part, rounded up.
    private static func leastGPUs(
        _ given: [(milliwatts: Int64, gpuCount: Int64)], _ need: Int64
    ) -> Int64 {
        let order = given.sorted {
            Int128($0.milliwatts) * Int128($1.gpuCount)
                > Int128($1.milliwatts) * Int128($0.gpuCount)
        }
        var (open, count) = (need, Int64(0))
        for gang in order {
            guard gang.milliwatts < open else {
                let part = Int128(gang.gpuCount) * Int128(open)
                return count + Int64((part + Int128(gang.milliwatts) - 1) / Int128(gang.milliwatts))
            }
            open -= gang.milliwatts
            count += gang.gpuCount
        }
        return count
    }

    /// The fewest gangs that meet a need.
    private static func leastGangs(
        _ given: [(milliwatts: Int64, gpuCount: Int64)], _ need: Int64
    ) -> Int64 {
        var (open, count) = (need, Int64(0))
        for gang in given.sorted(by: { $0.milliwatts > $1.milliwatts }) where open > 0 {
            open -= gang.milliwatts
            count += 1
        }
        return count
    }

    // MARK: - Search

    private mutating func search() {
        var search = ShedSearch(
            order: candidates.sorted { (harm($0), $0) < (harm($1), $1) }, relief, need,
            harm: candidates.reduce(into: [:]) { $0[$1] = harm($1) }, best: gangs)
        isLeast = search.run()
        gangs = search.best
    }
}

/// Branch and bound over the gangs of a small class.
private struct ShedSearch {
    private let order: [Int]
    private let relief: ShedRelief
    private let harm: [Int64]
    /// What the gangs from each place on give together, and the most that one of them gives.
    private var suffix: [[Int64]] = []
    private var largest: [[Int64]] = []
    private var open: [Int64]
    private var chosen: [Int] = []
    private(set) var best: [Int]
    private var bestHarm: Int64
    private var stepCount = 0

    init(order: [Int], _ relief: ShedRelief, _ need: [Int64], harm: [Int: Int64], best: [Int]) {
        self.order = order
        self.relief = relief
        self.harm = order.map { harm[$0]! }
        self.best = best
        open = need
        bestHarm = best.reduce(0) { $0 + harm[$1]! }
        suffix = [[Int64](repeating: 0, count: need.count)]
        largest = suffix
        for gang in order.reversed() {
            var (sums, most) = (suffix[suffix.count - 1], largest[largest.count - 1])
            for cell in relief.cells(of: gang) {
                let short = Int(relief.short[cell])
                sums[short] += relief.milliwatts[cell]
                most[short] = max(most[short], relief.milliwatts[cell])
            }
            suffix.append(sums)
            largest.append(most)
        }
        suffix.reverse()
        largest.reverse()
    }

    /// Searches; true when it came to an end within the budget.
    mutating func run() -> Bool {
        visit(0, 0)
        return stepCount <= ShedPlanner.searchBudget
    }

    private mutating func visit(_ place: Int, _ soFar: Int64) {
        stepCount += 1
        guard stepCount <= ShedPlanner.searchBudget else { return }
        if open.allSatisfy({ $0 <= 0 }) {
            if soFar < bestHarm { (best, bestHarm) = (chosen, soFar) }
            return
        }
        guard place < order.count, soFar + leastMore(place) < bestHarm else { return }
        let gang = order[place]
        change(gang, by: -1)
        chosen.append(gang)
        visit(place + 1, soFar + harm[place])
        chosen.removeLast()
        change(gang, by: 1)
        visit(place + 1, soFar)
    }

    private mutating func change(_ gang: Int, by sign: Int64) {
        for cell in relief.cells(of: gang) {
            open[Int(relief.short[cell])] += sign * relief.milliwatts[cell]
        }
    }

    /// A bound on the harm still to come: so many gangs at least, each of the least harm that is left.
    ///
    /// Gangs are in order of harm, so that is the harm of this place.
    private func leastMore(_ place: Int) -> Int64 {
        var count: Int64 = 0
        for short in open.indices where open[short] > 0 {
            guard suffix[place][short] >= open[short] else { return .max >> 8 }
            let most = largest[place][short]
            count = max(count, (open[short] + most - 1) / most)
        }
        return count * harm[place]
    }
}

/// A max-heap of gangs by need met for each GPU.
private struct ShedHeap {
    struct Entry {
        var gang: Int
        var useful: Int64
        var gpuCount: Int32

        init(gang: Int, useful: Int64, _ gpuCount: Int32) {
            self.gang = gang
            self.useful = useful
            self.gpuCount = gpuCount
        }

        /// More need met for each GPU, then fewer GPUs, then the first.
        func isBefore(_ other: Entry) -> Bool {
            let mine = Int128(useful) * Int128(other.gpuCount)
            let theirs = Int128(other.useful) * Int128(gpuCount)
            if mine != theirs { return mine > theirs }
            return (gpuCount, gang) < (other.gpuCount, other.gang)
        }
    }

    private var entries: [Entry] = []

    var first: Entry? { entries.first }

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0, entries[child].isBefore(entries[(child - 1) / 2]) {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Entry? {
        guard let top = entries.first, let last = entries.popLast() else { return nil }
        guard !entries.isEmpty else { return top }
        entries[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].isBefore(entries[best]) {
                best = child
            }
            if best == parent { return top }
            entries.swapAt(parent, best)
            parent = best
        }
    }
}
