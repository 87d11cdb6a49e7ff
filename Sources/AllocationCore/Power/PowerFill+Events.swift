// SPDX-License-Identifier: Apache-2.0

/// The events of one class, in the order of their paces.
extension PowerFill {
    /// Raises the rising gangs until each is at full pace or stopped.
    mutating func fillOpenDomains(_ input: Input, _ tracking: borrowing PowerTracking) {
        while true {
            let bend = calendar.firstPace
            // A line is good up to the step before the next bend; what lies behind it waits.
            let horizon = bend == .max ? .max : bend - 1
            refreshFirstFull(before: horizon)
            let full = fullAt.minimumKey
            if bend != .max && full >= horizon {
                passBends(at: bend, input.view)
            } else if full != .max {
                freeze(at: full, horizon, input, tracking)
            } else {
                return
            }
        }
    }

    // MARK: - Domains that fill up

    /// The last pace at which a domain fits on its present line, at least ``now``.
    private func lastFit(_ domain: Int) -> UInt64 {
        let line = line[domain]
        if line.room < 0 { return now }
        guard line.slope > 0 else { return .max }
        return max(now, min(PowerFill.quotient(line.room, line.slope), .max - 1))
    }

    /// Brings the first key up to date, as far as it is before a pace.
    ///
    /// Keys may be early, never late: bends stay below the chords, and freezing only moves domains later.
    /// So the first true one is the least.
    private mutating func refreshFirstFull(before horizon: UInt64) {
        while fullAt.minimumKey < horizon {
            let domain = Int(fullAt.minimumID)
            var key = lastFit(domain)
            if key == fullAt.minimumKey { return }
            // Behind the next bend only the chords are a bound.
            if key >= horizon { key = max(horizon, chordFit(domain)) }
            if key == .max {
                fullAt.removeMinimum()
            } else {
                fullAt.set(fullAt.minimumID, key: key)
            }
        }
    }

    // MARK: - Bends

    /// Moves the gangs that reach a bend at this pace onto their next pieces.
    private mutating func passBends(at pace: UInt64, _ view: PowerView) {
        now = max(now, pace - 1)
        while calendar.firstPace == pace {
            var gang = calendar.removeFirst()
            while gang >= 0 {
                let next = calendar.next(after: gang)
                if risingGang[Int(gang)].state == .rising { passBend(gang, at: pace, view) }
                gang = next
            }
        }
    }

    private mutating func passBend(_ gang: Int32, at pace: UInt64, _ view: PowerView) {
        let weight = risingGang[Int(gang)].weight
        let level = level(at: pace, weight: weight)
        let isFull = level == PowerLevel.fullRawValue
        var bend = PowerLevel.fullRawValue
        let cells = Int(risingGang[Int(gang)].start)..<Int(risingGang[Int(gang) + 1].start)
        for index in cells {
            if risingCell[index].curve >= 0 {
                bend = min(bend, passBend(ofCurve: index, level, weight, view))
            } else if isFull {
                flatten(index, weight)
            }
            if isFull { settleChord(index, weight) }
        }
        if isFull {
            // The flat lines hold what the gang uses from here on.
            risingGang[Int(gang)].state = .full
        } else {
            calendar.insert(gang, at: self.pace(of: bend, weight: weight))
        }
    }

    /// Puts a cell on a curve onto the piece of a level.
    ///
    /// - Returns: the level of its next bend.
    @inline(__always)
    private func passBend(
        ofCurve index: Int, _ level: UInt64, _ weight: UInt32, _ view: PowerView
    ) -> UInt64 {
        let cell = risingCell[index]
        let end = Int(view.curveStarts[Int(cell.curve) &+ 1])
        let old = Int(cell.point)
        var new = old
        while new &+ 1 < end, view.curveLevels[new &+ 1] <= level { new &+= 1 }
        if new != old {
            risingCell[index].point = Int32(truncatingIfNeeded: new)
            let count = Int128(cell.weight)
            let steeper = Int128(view.curveSlopes[new]) &- Int128(view.curveSlopes[old])
            line[Int(cell.domain)].slope &+= steeper &* count &* Int128(weight)
            line[Int(cell.domain)].room &-=
                (pointIntercept[new] &- pointIntercept[old]) &* count
        }
        return new &+ 1 < end ? view.curveLevels[new &+ 1] : PowerLevel.fullRawValue
    }

    /// Puts a cell of straight lines at full pace.
    @inline(__always)
    private func flatten(_ index: Int, _ weight: UInt32) {
        risingCell[index].point = 1
        let cell = risingCell[index]
        let watts = Int128(cell.weight)
        line[Int(cell.domain)].slope &-= (watts &<< PowerCurves.slopeBits) &* Int128(weight)
        line[Int(cell.domain)].room &-= watts &<< PowerUnits.usageBits
    }

    /// Takes a cell that is at full pace from the chords of its domain.
    @inline(__always)
    private func settleChord(_ index: Int, _ weight: UInt32) {
        let cell = risingCell[index]
        let use = fullUse(cell)
        line[Int(cell.domain)].chordRoom &-= Int128(use) &<< PowerUnits.usageBits
        line[Int(cell.domain)].chordSlope &-= Int128(use) &* Int128(weight)
        line[Int(cell.domain)].chordUse &-= use
    }

    /// The level at a pace of a gang that nothing has stopped.
    @inline(__always)
    private func level(at pace: UInt64, weight: UInt32) -> UInt64 {
        let product = pace.multipliedReportingOverflow(by: UInt64(weight))
        return product.overflow
            ? PowerLevel.fullRawValue : min(PowerLevel.fullRawValue, product.partialValue)
    }

    // MARK: - Freezing

    /// Stops, all at once, the gangs whose use of a domain that is full at this pace would grow.
    private mutating func freeze(
        at pace: UInt64, _ horizon: UInt64, _ input: Input, _ tracking: borrowing PowerTracking
    ) {
        now = pace
        fullDomain.removeAll()
        stopped.removeAll()
        while fullAt.minimumKey == pace {
            fullDomain.append(fullAt.minimumID)
            fullAt.removeMinimum()
            refreshFirstFull(before: horizon)
        }
        for index in 0..<fullDomain.count {
            let place = Int(fullDomain[index])
            collectStopped(by: place, tracking.domain[place], pace, input)
        }
        precondition(stopped.count > 0, "a domain is full and nothing rises in it")
        for index in 0..<stopped.count { stop(Int(stopped[index]), at: pace, input) }
        // Early again: the next look brings them up to date.
        for index in 0..<fullDomain.count { fullAt.set(fullDomain[index], key: pace) }
    }

    private mutating func collectStopped(
        by place: Int, _ domain: Int32, _ pace: UInt64, _ input: Input
    ) {
        for position in Int(memberStart[place])..<Int(memberStart[place + 1]) {
            let index = Int(member[position])
            let gang = Int(risingCell[index].gang)
            guard stops(gang, index, pace, input.view) else { continue }
            let bound = input.boundBy + Int(risingGang[gang].gang)
            if bound.pointee == PowerSolution.atFull {
                bound.pointee = domain
                stopped.append(Int32(truncatingIfNeeded: gang))
            } else {
                bound.pointee = min(bound.pointee, domain)
            }
        }
    }

    /// True when the gang was rising at this pace and would use more through this cell at the next.
    private func stops(_ gang: Int, _ index: Int, _ pace: UInt64, _ view: PowerView) -> Bool {
        // A gang whose last bend is the very next step is marked full already, but is not yet there.
        guard risingGang[gang].state != .stopped else { return false }
        let here = level(at: pace, weight: risingGang[gang].weight)
        let there = level(at: pace + 1, weight: risingGang[gang].weight)
        guard here < there else { return false }
        let curve = risingCell[index].curve
        return curve < 0
            || view.use(of: Int(curve), level: there) > view.use(of: Int(curve), level: here)
    }

    /// Takes the lines of a gang out of its domains, and puts what it uses in their place.
    private func stop(_ gang: Int, at pace: UInt64, _ input: Input) {
        let rising = risingGang[gang]
        let level = level(at: pace, weight: rising.weight)
        for index in Int(rising.start)..<Int(risingGang[gang + 1].start) {
            // A gang that is marked full goes back to where it is.
            if rising.state == .full { unsettleChord(index, rising.weight) }
            stopCell(index, at: level, rising.weight, input.view)
        }
        risingGang[gang].state = .stopped
        input.level[Int(rising.gang)] = PowerLevel(rawValue: level)
    }

    @inline(__always)
    private func stopCell(_ index: Int, at level: UInt64, _ weight: UInt32, _ view: PowerView) {
        let cell = risingCell[index]
        let domain = Int(cell.domain)
        let watts = Int128(cell.weight)
        let used: Int128
        if cell.curve >= 0 {
            let point = Int(cell.point)
            let slope = Int128(view.curveSlopes[point])
            line[domain].slope &-= slope &* watts &* Int128(weight)
            used = view.use(of: Int(cell.curve), level: level) &* watts
            line[domain].room &+= pointIntercept[point] &* watts
        } else {
            let slope = watts &<< PowerCurves.slopeBits
            if cell.point == 0 {
                line[domain].slope &-= slope &* Int128(weight)
            } else {
                line[domain].room &+= watts &<< PowerUnits.usageBits
            }
            used = Int128(level) &* slope
        }
        line[domain].room &-= used
        let use = fullUse(cell)
        line[domain].chordRoom &-= used
        line[domain].chordSlope &-= Int128(use) &* Int128(weight)
        line[domain].chordUse &-= use
    }

    private func unsettleChord(_ index: Int, _ weight: UInt32) {
        let cell = risingCell[index]
        let use = fullUse(cell)
        line[Int(cell.domain)].chordRoom &+= Int128(use) &<< PowerUnits.usageBits
        line[Int(cell.domain)].chordSlope &+= Int128(use) &* Int128(weight)
        line[Int(cell.domain)].chordUse &+= use
    }
}

extension PowerView {
    /// What a GPU on a curve uses above its floor at a level, in 2^-68 mW.
    func use(of curve: Int, level: UInt64) -> Int128 {
        let (start, end) = (Int(curveStarts[curve]), Int(curveStarts[curve &+ 1]))
        var point = start
        while point &+ 1 < end, curveLevels[point &+ 1] <= level { point &+= 1 }
        let rise = Int128(curveMilliwatts[point] &- curveMilliwatts[start])
        let climb = Int128(level &- curveLevels[point]) &* Int128(curveSlopes[point])
        return (rise &<< PowerUnits.usageBits) &+ climb
    }
}
