// SPDX-License-Identifier: Apache-2.0

/// What the gangs can use of each domain: the GPUs of a ``PowerProblem`` summed up by (gang, domain,
/// curve).
///
/// Cells of one gang are consecutive; ``domainStarts`` and ``domainCells`` list the cells of each
/// domain. GPUs that want nothing above their floors have no cell.
struct PowerCells: Sendable {
    // Cell columns.
    private(set) var domain: [Int32] = []
    private(set) var gang: [Int32] = []
    /// The curve, or -1 for the straight lines.
    private(set) var curve: [Int32] = []
    /// Straight lines: sum of full - floor in milliwatts.
    ///
    /// Curves: number of GPUs.
    private(set) var weight: [Int64] = []
    /// The next cell of the same gang and domain, or -1.
    private var next: [Int32] = []

    private var gangStarts: [Int32] = []
    private var domainStarts: [Int32] = []
    private var domainCells: [Int32] = []

    // Runs: consecutive GPUs with the same gang, leaves and curve.
    private var runGPU: [Int32] = []
    private var runWeight: [Int64] = []
    private var runOrder: [Int32] = []
    private var runStarts: [Int32] = []
    /// The first cell of the gang being gathered in each domain; stale ones belong to other gangs.
    private var head: [Int32] = []
    /// Write positions of the counting sorts.
    private var cursor: [Int32] = []

    /// The number of cells.
    var count: Int { domain.count }

    /// Bytes that the columns have room for.
    var storageByteCount: Int {
        let cells = storageBytes(domain) + storageBytes(gang) + storageBytes(curve)
        let lists =
            storageBytes(gangStarts) + storageBytes(domainStarts) + storageBytes(domainCells)
        let runs = storageBytes(runGPU) + storageBytes(runWeight) + storageBytes(runOrder)
        return cells + storageBytes(weight) + storageBytes(next) + lists + runs
            + storageBytes(runStarts) + storageBytes(head) + storageBytes(cursor)
    }

    /// The cells of a gang.
    func range(ofGang gang: Int) -> Range<Int> {
        Int(gangStarts[gang])..<Int(gangStarts[gang + 1])
    }

    /// How many cells a domain has.
    func cellCount(ofDomain domain: Int) -> Int {
        Int(domainStarts[domain + 1] - domainStarts[domain])
    }

    /// One cell of a domain.
    func cell(ofDomain domain: Int, at position: Int) -> Int {
        Int(domainCells[Int(domainStarts[domain]) + position])
    }

    /// Sums up the GPUs of a problem; what was there before is gone.
    mutating func gather(_ problem: PowerProblem) {
        gatherRuns(problem)
        sortRuns(problem)
        domain.removeAll(keepingCapacity: true)
        gang.removeAll(keepingCapacity: true)
        curve.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        weight.removeAll(keepingCapacity: true)
        gangStarts.removeAll(keepingCapacity: true)
        head.removeAll(keepingCapacity: true)
        head.append(contentsOf: repeatElement(-1, count: problem.domainCount))
        for gang in 0..<problem.gangCount {
            gangStarts.append(Int32(count))
            for position in Int(runStarts[gang])..<Int(runStarts[gang + 1]) {
                addRun(Int(runOrder[position]), of: problem)
            }
        }
        gangStarts.append(Int32(count))
        listByDomain(problem.domainCount)
    }

    // MARK: - Private

    private mutating func gatherRuns(_ problem: PowerProblem) {
        runGPU.removeAll(keepingCapacity: true)
        runWeight.removeAll(keepingCapacity: true)
        for gpu in 0..<problem.gpuCount {
            let span =
                Int64(problem.gpuFullMilliwatts[gpu]) - Int64(problem.gpuFloorMilliwatts[gpu])
            guard problem.gpuGang[gpu] >= 0, span > 0 else { continue }
            let weight = problem.gpuCurve[gpu] < 0 ? span : 1
            if let last = runGPU.last, continues(Int(last), gpu, problem) {
                runWeight[runWeight.count - 1] += weight
            } else {
                runGPU.append(Int32(gpu))
                runWeight.append(weight)
            }
        }
    }

    private func continues(_ first: Int, _ gpu: Int, _ problem: PowerProblem) -> Bool {
        guard problem.gpuGang[first] == problem.gpuGang[gpu],
            problem.gpuCurve[first] == problem.gpuCurve[gpu]
        else { return false }
        for tree in 0..<problem.treeCount
        where problem.gpuLeaf[tree][first] != problem.gpuLeaf[tree][gpu] {
            return false
        }
        return true
    }

    /// Counting sort of the runs by gang.
    private mutating func sortRuns(_ problem: PowerProblem) {
        PowerCells.startCounts(&runStarts, problem.gangCount)
        for gpu in runGPU { runStarts[Int(problem.gpuGang[Int(gpu)]) + 1] += 1 }
        PowerCells.accumulate(&runStarts, &cursor)
        runOrder.removeAll(keepingCapacity: true)
        runOrder.append(contentsOf: repeatElement(0, count: runGPU.count))
        for run in 0..<runGPU.count {
            let gang = Int(problem.gpuGang[Int(runGPU[run])])
            runOrder[Int(cursor[gang])] = Int32(run)
            cursor[gang] += 1
        }
    }

    private mutating func addRun(_ run: Int, of problem: PowerProblem) {
        let gpu = Int(runGPU[run])
        let (gang, curve) = (problem.gpuGang[gpu], problem.gpuCurve[gpu])
        for tree in 0..<problem.treeCount {
            var domain = problem.gpuLeaf[tree][gpu]
            while domain >= 0 {
                weight[cell(gang, domain, curve)] += runWeight[run]
                domain = problem.domainParent[Int(domain)]
            }
        }
    }

    /// Finds or makes the cell of (gang, domain, curve), where `gang` is the one being gathered.
    private mutating func cell(_ gang: Int32, _ domain: Int32, _ curve: Int32) -> Int {
        let first = head[Int(domain)]
        let isCurrent = first >= 0 && self.gang[Int(first)] == gang
        var candidate = isCurrent ? first : -1
        while candidate >= 0 {
            if self.curve[Int(candidate)] == curve { return Int(candidate) }
            candidate = next[Int(candidate)]
        }
        let new = Int32(count)
        self.domain.append(domain)
        self.gang.append(gang)
        self.curve.append(curve)
        weight.append(0)
        next.append(isCurrent ? first : -1)
        head[Int(domain)] = new
        return Int(new)
    }

    /// Counting sort of the cells by domain.
    private mutating func listByDomain(_ domainCount: Int) {
        PowerCells.startCounts(&domainStarts, domainCount)
        for domain in domain { domainStarts[Int(domain) + 1] += 1 }
        PowerCells.accumulate(&domainStarts, &cursor)
        domainCells.removeAll(keepingCapacity: true)
        domainCells.append(contentsOf: repeatElement(0, count: count))
        for cell in 0..<count {
            let domain = Int(domain[cell])
            domainCells[Int(cursor[domain])] = Int32(cell)
            cursor[domain] += 1
        }
    }

    private static func startCounts(_ starts: inout [Int32], _ keyCount: Int) {
        starts.removeAll(keepingCapacity: true)
        starts.append(contentsOf: repeatElement(0, count: keyCount + 1))
    }

    private static func accumulate(_ starts: inout [Int32], _ cursor: inout [Int32]) {
        for key in 1..<max(1, starts.count) { starts[key] += starts[key - 1] }
        cursor.removeAll(keepingCapacity: true)
        cursor.append(contentsOf: starts)
    }
}
