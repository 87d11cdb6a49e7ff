// SPDX-License-Identifier: Apache-2.0

/// The storage of a solve and its steps.
struct PowerEngine: ~Copyable {
    var sums = PowerSums()
    var tracking = PowerTracking()
    var pieces = PowerPieces()
    var gather = PowerGather()
    var cells = PowerCells()
    var layout = PowerLayout()
    var fill = PowerFill()
    var caps = PowerCaps()

    var storageByteCount: Int {
        sums.storageByteCount + tracking.storageByteCount + pieces.storageByteCount
            + gather.storageByteCount
            + cells.storageByteCount + layout.storageByteCount + fill.storageByteCount
            + caps.storageByteCount
    }

    /// Solves a problem of which nothing is known.
    mutating func solve(
        _ problem: PowerProblem, into solution: inout PowerSolution
    ) -> PowerSolveStatus {
        problem.withView { view in
            sums.gather(view)
            sums.rollUp(view)
            if let worst = findShortfalls(view, &solution) { return .infeasible(worst) }
            makeCells(view)
            layout.arrange(view, cells)
            raise(view, &solution)
            writeAllCaps(view, &solution)
            return .optimal
        }
    }

    /// Lists the domains whose floors do not fit, and empties the rest of the solution if there are any.
    func findShortfalls(_ view: PowerView, _ solution: inout PowerSolution) -> PowerShortfall? {
        solution.shortfalls.removeAll(keepingCapacity: true)
        var worst: PowerShortfall?
        for domain in 0..<view.domainCount {
            let missing = sums.total[domain].floor - view.budget[domain]
            guard missing > 0 else { continue }
            let shortfall = PowerShortfall(domain: Int32(domain), missingMilliwatts: missing)
            solution.shortfalls.append(shortfall)
            if missing > worst?.missingMilliwatts ?? 0 { worst = shortfall }
        }
        if worst != nil { solution.clearResult() }
        return worst
    }

    /// Makes the cells of the domains that may become full.
    mutating func makeCells(_ view: PowerView) {
        tracking.reset(view)
        _ = tracking.extend(view, sums)
        pieces.makeCells(view, sums, tracking, into: &cells)
    }

    /// Finds the levels and what stops the gangs.
    mutating func raise(_ view: PowerView, _ solution: inout PowerSolution) {
        refill(&solution.certificate.level, with: .full, count: view.gangCount)
        refill(&solution.certificate.boundBy, with: PowerSolution.atFull, count: view.gangCount)
        solution.certificate.level.withUnsafeMutableBufferPointer { level in
            solution.certificate.boundBy.withUnsafeMutableBufferPointer { boundBy in
                // Without gangs there is no cell, and nothing to write.
                guard let levels = level.baseAddress, let bounds = boundBy.baseAddress else {
                    return
                }
                let input = PowerFill.Input(view: view, level: levels, boundBy: bounds)
                fill.run(input, sums, tracking, layout)
            }
        }
    }

    /// Writes the caps of all GPUs.
    mutating func writeAllCaps(_ view: PowerView, _ solution: inout PowerSolution) {
        // Every entry is overwritten: only a change of the count needs a new column.
        if solution.capMilliwatts.count != view.gpuCount {
            refill(&solution.capMilliwatts, with: 0, count: view.gpuCount)
        }
        prepareCaps(view, solution.certificate.level)
        solution.capMilliwatts.withUnsafeMutableBufferPointer { buffer in
            guard let cap = buffer.baseAddress else { return }
            caps.write(view, 0..<view.gpuCount, to: cap)
        }
    }

    /// Takes over the levels from which caps are written.
    mutating func prepareCaps(_ view: PowerView, _ level: [PowerLevel]) {
        level.withUnsafeBufferPointer { buffer in
            // Without gangs the address is not read.
            let none = UnsafePointer<PowerLevel>(bitPattern: 8)!
            caps.prepare(view, buffer.baseAddress ?? none)
        }
    }

    private func refill<Element>(_ column: inout [Element], with value: Element, count: Int) {
        column.removeAll(keepingCapacity: true)
        column.append(contentsOf: repeatElement(value, count: count))
    }
}
