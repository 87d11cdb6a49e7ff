// SPDX-License-Identifier: Apache-2.0

/// One priority class: progressive filling.
extension PowerSolver {
    /// Raises the gangs of one class until each is at full pace or stopped.
    mutating func fill(
        _ problem: PowerProblem, _ gangs: ArraySlice<Int32>, _ certificate: inout PowerCertificate
    ) {
        now = 0
        fullAt.reset(idCount: problem.domainCount)
        bendAt.reset(idCount: problem.gangCount)
        for gang in gangs { begin(Int(gang), problem) }
        for gang in gangs {
            for cell in cells.range(ofGang: Int(gang)) { schedule(cells.domain[cell]) }
        }
        while true {
            refreshFirstFull()
            let (full, bend) = (fullAt.minimumKey, bendAt.minimumKey)
            if full == .max && bend == .max { break }
            // A line is good only up to the step before the next bend: bend first, then look again.
            if bend != .max && full >= bend - 1 {
                passBends(at: bend, problem)
            } else {
                freeze(at: full, problem, &certificate)
            }
        }
        for gang in gangs { gangState[Int(gang)] = .settled }
    }

    // MARK: - Lines

    private mutating func begin(_ gang: Int, _ problem: PowerProblem) {
        gangState[gang] = .rising
        for cell in cells.range(ofGang: gang) {
            cellPiece[cell] = 0
            addLine(cell, problem, sign: 1)
        }
        scheduleBend(gang, after: 0, problem)
    }

    /// Puts the line of a cell's piece into its domain, or takes it out.
    ///
    /// At pace t a rising cell uses `intercept + weight * slope * t` above its floors.
    private mutating func addLine(_ cell: Int, _ problem: PowerProblem, sign: Int128) {
        let domain = Int(cells.domain[cell])
        let line = line(of: cell, problem.curves)
        let gangWeight = Int128(problem.gangWeight[Int(cells.gang[cell])])
        slope[domain] += sign * line.slope * gangWeight
        remaining[domain] -= sign * line.intercept
    }

    /// The line that a cell is on, over level: in 2^-68 mW, and 2^-68 mW per 2^-52 of level.
    private func line(of cell: Int, _ curves: PowerCurves) -> (intercept: Int128, slope: Int128) {
        let curve = cells.curve[cell]
        let weight = Int128(cells.weight[cell])
        guard curve >= 0 else {
            // At piece 1 the gang is at full pace.
            return cellPiece[cell] == 0
                ? (0, weight << PowerCurves.slopeFractionalBits)
                : (weight << PowerUnits.usageBits, 0)
        }
        let start = Int(curves.starts[Int(curve)])
        let point = start + Int(cellPiece[cell])
        let rise = Int128(curves.milliwatts[point] - curves.milliwatts[start])
        let slope = Int128(curves.slopes[point])
        let intercept = rise << PowerUnits.usageBits - Int128(curves.levels[point]) * slope
        return (intercept * weight, slope * weight)
    }

    /// What a cell uses above its floors at a level.
    private func use(of cell: Int, level: UInt64, _ curves: PowerCurves) -> Int128 {
        let weight = Int128(cells.weight[cell])
        let curve = cells.curve[cell]
        guard curve >= 0 else {
            return Int128(level) * (weight << PowerCurves.slopeFractionalBits)
        }
        return curves.use(of: curve, level: level) * weight
    }

    private func level(of gang: Int, at pace: UInt64, _ problem: PowerProblem) -> UInt64 {
        let product = pace.multipliedReportingOverflow(by: UInt64(problem.gangWeight[gang]))
        return product.overflow
            ? PowerLevel.fullRawValue : min(PowerLevel.fullRawValue, product.partialValue)
    }

    // MARK: - Domains that fill up

    /// The last pace at which a domain fits on its present line, at least ``now``.
    private func lastFit(_ domain: Int) -> UInt64 {
        if remaining[domain] < 0 { return now }
        guard slope[domain] > 0 else { return .max }
        let steps = remaining[domain] / slope[domain]
        return steps > Int128(UInt64.max - 1) ? UInt64.max - 1 : max(now, UInt64(steps))
    }

    private mutating func schedule(_ domain: Int32) {
        let key = lastFit(Int(domain))
        if key == .max { fullAt.remove(domain) } else { fullAt.set(domain, key: key) }
    }

    /// Brings the first key up to date.
    ///
    /// Freezing only moves domains later, so keys may be early, never late, and the first true one
    /// is the least.
    private mutating func refreshFirstFull() {
        while !fullAt.isEmpty {
            let domain = fullAt.minimumID
            let key = fullAt.minimumKey
            schedule(domain)
            if !fullAt.isEmpty, fullAt.minimumID == domain, fullAt.minimumKey == key { return }
        }
    }

    // MARK: - Bends

    private mutating func scheduleBend(_ gang: Int, after level: UInt64, _ problem: PowerProblem) {
        var next = PowerLevel.fullRawValue
        for cell in cells.range(ofGang: gang) where cells.curve[cell] >= 0 {
            let curve = Int(cells.curve[cell])
            let points = Int(problem.curves.starts[curve])..<Int(problem.curves.starts[curve + 1])
            for point in points where problem.curves.levels[point] > level {
                next = min(next, problem.curves.levels[point])
                break
            }
        }
        let weight = UInt64(problem.gangWeight[gang])
        bendAt.set(Int32(gang), key: (next + weight - 1) / weight)
    }

    /// Moves every gang that reaches a bend at this pace onto its next piece.
    private mutating func passBends(at pace: UInt64, _ problem: PowerProblem) {
        now = max(now, pace - 1)
        while bendAt.minimumKey == pace {
            let gang = Int(bendAt.minimumID)
            bendAt.remove(Int32(gang))
            guard gangState[gang] == .rising else { continue }
            passBend(gang, level: level(of: gang, at: pace, problem), problem)
        }
    }

    private mutating func passBend(_ gang: Int, level: UInt64, _ problem: PowerProblem) {
        for cell in cells.range(ofGang: gang) {
            let piece = piece(of: cell, at: level, problem.curves)
            guard piece != cellPiece[cell] else { continue }
            addLine(cell, problem, sign: -1)
            cellPiece[cell] = piece
            addLine(cell, problem, sign: 1)
            schedule(cells.domain[cell])
        }
        if level == PowerLevel.fullRawValue {
            // At full pace the lines are flat: they hold what the gang uses from here on.
            gangState[gang] = .full
        } else {
            scheduleBend(gang, after: level, problem)
        }
    }

    private func piece(of cell: Int, at level: UInt64, _ curves: PowerCurves) -> UInt8 {
        let curve = cells.curve[cell]
        guard curve >= 0 else { return level == PowerLevel.fullRawValue ? 1 : 0 }
        let (start, end) = (Int(curves.starts[Int(curve)]), Int(curves.starts[Int(curve) + 1]))
        var point = start
        while point + 1 < end, curves.levels[point + 1] <= level { point += 1 }
        return UInt8(point - start)
    }

    // MARK: - Freezing

    /// Stops, all at once, the gangs whose use of a domain that is full at this pace would grow.
    private mutating func freeze(
        at pace: UInt64, _ problem: PowerProblem, _ certificate: inout PowerCertificate
    ) {
        now = pace
        fullDomains.removeAll(keepingCapacity: true)
        stopped.removeAll(keepingCapacity: true)
        while !fullAt.isEmpty, fullAt.minimumKey == pace {
            fullDomains.append(fullAt.minimumID)
            fullAt.remove(fullAt.minimumID)
            refreshFirstFull()
        }
        for domain in fullDomains { collectStopped(by: domain, pace, problem, &certificate) }
        assert(!stopped.isEmpty, "a domain is full and nothing rises in it: \(fullDomains)")
        for gang in stopped { stop(Int(gang), at: pace, problem, &certificate) }
        for domain in fullDomains { schedule(domain) }
    }

    private mutating func collectStopped(
        by domain: Int32, _ pace: UInt64, _ problem: PowerProblem,
        _ certificate: inout PowerCertificate
    ) {
        for position in 0..<cells.cellCount(ofDomain: Int(domain)) {
            let cell = cells.cell(ofDomain: Int(domain), at: position)
            let gang = Int(cells.gang[cell])
            guard gangStops(gang, cell, pace, problem) else { continue }
            if certificate.boundBy[gang] == PowerSolution.atFull {
                certificate.boundBy[gang] = domain
                stopped.append(Int32(gang))
            } else {
                certificate.boundBy[gang] = min(certificate.boundBy[gang], domain)
            }
        }
    }

    /// True when the gang was rising at this pace and would use more through this cell at the next.
    private func gangStops(
        _ gang: Int, _ cell: Int, _ pace: UInt64, _ problem: PowerProblem
    ) -> Bool {
        // A gang whose last bend is the very next step is marked full already, but is not yet there.
        guard gangState[gang] == .rising || gangState[gang] == .full else { return false }
        let here = level(of: gang, at: pace, problem)
        let there = level(of: gang, at: pace + 1, problem)
        guard here < there else { return false }
        return use(of: cell, level: there, problem.curves)
            > use(of: cell, level: here, problem.curves)
    }

    private mutating func stop(
        _ gang: Int, at pace: UInt64, _ problem: PowerProblem,
        _ certificate: inout PowerCertificate
    ) {
        let level = level(of: gang, at: pace, problem)
        for cell in cells.range(ofGang: gang) {
            addLine(cell, problem, sign: -1)
            remaining[Int(cells.domain[cell])] -= use(of: cell, level: level, problem.curves)
        }
        gangState[gang] = .settled
        bendAt.remove(Int32(gang))
        certificate.level[gang] = PowerLevel(rawValue: level)
    }
}
