// SPDX-License-Identifier: Apache-2.0

/// Progressive filling of the tracked domains, class by class.
///
/// In one class the use of a domain is a piecewise linear function of the common pace t, so the pace
/// at which it is full is a division. A heap of domains by that pace and a calendar of gangs by the
/// pace of their next bend give the next event:
///
/// ```
///   begin class ──► bend of gangs ──► new lines ──┐
///        ▲            ▲                           │
///        │            └───────────────────────────┤
///        └── nothing rises ◄── freeze the gangs it stops ◄── domain full
/// ```
///
/// Two bounds keep most of the fleet out of this. A domain that has room for the class at full pace is
/// *closed* for the class: it stops nothing. A gang with no cell in an open domain goes to full pace at
/// once. And a curve is convex, so it lies below its chord: the pace at which a domain would be full if
/// all curves were chords is never late. It stands in the heap until it is first, and a domain that has
/// room for all chords leaves the heap.
///
/// Usage is counted above the floors in units of 2^-68 mW (52 bits of level, 16 of slope), in 128-bit
/// integers: nothing is rounded until a cap is written. The largest numbers are weight * slope * level
/// < 2^23 GPUs * 2^48 * 2^52 = 2^123 and budgets < 2^50 * 2^68, so wrapping arithmetic never wraps.
struct PowerFill: ~Copyable {
    /// A domain's line in the class: at pace t, `room - slope * t` is left.
    struct Line: BitwiseCopyable, Sendable {
        /// Free capacity less what is settled or lies in the lines' intercepts.
        var room: Int128
        /// Growth of use per unit of t.
        var slope: Int128
        /// Free capacity less what is settled or at full pace, in 2^-68 mW.
        var chordRoom: Int128
        /// Growth of use per unit of t if the curves of rising gangs were chords, in mW per level.
        var chordSlope: Int128
        /// What rising gangs use at full pace, in mW.
        var chordUse: Int64
    }

    /// A cell in an open domain.
    struct RisingCell: BitwiseCopyable, Sendable {
        var weight: Int64
        var domain: Int32
        /// The curve, or -1.
        var curve: Int32
        /// The point of the curve that its piece starts from, in the table of all points; without a
        /// curve 0, or 1 at full pace.
        var point: Int32
        /// The place among the rising gangs.
        var gang: Int32
    }

    /// A gang that may be stopped in this class.
    struct RisingGang: BitwiseCopyable, Sendable {
        var weight: UInt32
        var gang: Int32
        /// Its place in the layout.
        var position: Int32
        /// Its first cell among the rising ones.
        var start: Int32
        var state: State
    }

    enum State: UInt8, BitwiseCopyable, Sendable {
        case rising
        /// At full pace: its lines are flat.
        case full
        case stopped
    }

    // By tracked domain.
    var line = PowerColumn<Line>()
    var classUse = PowerColumn<Int64>()
    var isOpen = PowerColumn<Bool>()
    /// The rising cells of each domain: slices of `member`.
    var memberStart = PowerColumn<Int32>()
    var memberCursor = PowerColumn<Int32>()
    var member = PowerColumn<Int32>()

    var risingCell = PowerColumn<RisingCell>()
    var risingGang = PowerColumn<RisingGang>()

    /// Open domains by a pace at which they still fit: the last one, or an earlier one.
    var fullAt = IndexedHeap()
    var calendar = PaceCalendar()
    var fullDomain = PowerColumn<Int32>()
    var stopped = PowerColumn<Int32>()

    /// What a GPU on each curve uses above its floor at full pace, in milliwatts.
    var curveSpan = PowerColumn<Int64>()
    /// What the lines of each point's piece use at level 0, in 2^-68 mW.
    var pointIntercept = PowerColumn<Int128>()

    /// The last pace of the class at which every domain is known to fit.
    var now: UInt64 = 0

    var storageByteCount: Int {
        let domains =
            line.storageByteCount + classUse.storageByteCount + isOpen.storageByteCount
            + memberStart.storageByteCount
            + memberCursor.storageByteCount
        let cells =
            member.storageByteCount + risingCell.storageByteCount + risingGang.storageByteCount
        let events =
            fullAt.storageByteCount + calendar.storageByteCount + fullDomain.storageByteCount
            + stopped.storageByteCount
        return domains + cells + events + curveSpan.storageByteCount
            + pointIntercept.storageByteCount
    }

    /// What the fill needs to know of a problem.
    struct Input {
        var view: PowerView
        /// The result, by gang; all at full pace and stopped by nothing at first.
        var level: UnsafeMutablePointer<PowerLevel>
        var boundBy: UnsafeMutablePointer<Int32>
    }

    /// Raises the gangs of all classes, and writes their levels where the input says.
    mutating func run(
        _ input: Input, _ sums: borrowing PowerSums, _ tracking: borrowing PowerTracking,
        _ layout: borrowing PowerLayout
    ) {
        prepareCurves(input.view)
        line.setCount(tracking.count)
        for place in 0..<tracking.count {
            let domain = Int(tracking.domain[place])
            let free = input.view.budget[domain] - sums.total[domain].floor
            line[place] = Line(
                room: Int128(free) &<< PowerUnits.usageBits, slope: 0, chordRoom: 0, chordSlope: 0,
                chordUse: 0)
        }
        var start = 0
        while start < layout.gang.count {
            let end = layout.classEnd(from: start, input.view)
            fill(input, start..<end, tracking, layout)
            start = end
        }
    }

    private mutating func prepareCurves(_ view: PowerView) {
        curveSpan.removeAll()
        pointIntercept.removeAll()
        for curve in 0..<view.curveCount {
            let points = Int(view.curveStarts[curve])..<Int(view.curveStarts[curve + 1])
            let first = view.curveMilliwatts[points.lowerBound]
            curveSpan.append(Int64(view.curveMilliwatts[points.upperBound - 1] - first))
            for point in points {
                let rise = Int128(view.curveMilliwatts[point] - first) &<< PowerUnits.usageBits
                let start = Int128(view.curveLevels[point]) &* Int128(view.curveSlopes[point])
                pointIntercept.append(rise &- start)
            }
        }
    }

    // MARK: - A class

    private mutating func fill(
        _ input: Input, _ gangs: Range<Int>, _ tracking: borrowing PowerTracking,
        _ layout: borrowing PowerLayout
    ) {
        let hasOpenDomains = open(gangs, layout)
        let isLast = gangs.upperBound == layout.gang.count
        if hasOpenDomains {
            begin(input.view, gangs, layout)
            listMembers()
            schedule()
            fillOpenDomains(input, tracking)
        } else {
            risingGang.removeAll()
        }
        if !isLast { settle(input, gangs, layout) }
    }

    /// Finds the domains that have no room for the class at full pace.
    private mutating func open(_ gangs: Range<Int>, _ layout: borrowing PowerLayout) -> Bool {
        classUse.reset(to: 0, count: line.count)
        isOpen.setCount(line.count)
        let cells = Int(layout.start[gangs.lowerBound])..<Int(layout.start[gangs.upperBound])
        for index in cells {
            let cell = layout.cell[index]
            classUse[Int(cell.domain)] &+= fullUse(cell)
        }
        var isAnyOpen = false
        for place in 0..<line.count {
            isOpen[place] = Int128(classUse[place]) &<< PowerUnits.usageBits > line[place].room
            if isOpen[place] { isAnyOpen = true }
        }
        return isAnyOpen
    }

    @inline(__always)
    private func fullUse(_ cell: PowerFillCell) -> Int64 {
        fullUse(weight: cell.weight, curve: cell.curve)
    }

    /// What a cell uses at full pace, in milliwatts.
    @inline(__always)
    func fullUse(_ cell: RisingCell) -> Int64 { fullUse(weight: cell.weight, curve: cell.curve) }

    @inline(__always)
    private func fullUse(weight: Int64, curve: Int32) -> Int64 {
        curve < 0 ? weight : weight &* curveSpan[Int(curve)]
    }

    /// Puts the lines of the cells in open domains in place.
    private mutating func begin(
        _ view: PowerView, _ gangs: Range<Int>, _ layout: borrowing PowerLayout
    ) {
        risingCell.removeAll()
        risingGang.removeAll()
        calendar.reset(gangCount: gangs.count)
        memberStart.reset(to: 0, count: line.count + 1)
        for place in 0..<line.count {
            line[place].slope = 0
            line[place].chordRoom = line[place].room
            line[place].chordSlope = 0
            line[place].chordUse = 0
        }
        for position in gangs {
            let gang = Int(layout.gang[position])
            let first = risingCell.count
            var bend = PowerLevel.fullRawValue
            for index in Int(layout.start[position])..<Int(layout.start[position + 1]) {
                let cell = layout.cell[index]
                guard isOpen[Int(cell.domain)], cell.weight > 0 else { continue }
                bend = min(bend, add(cell, ofWeight: view.weight[gang], view))
            }
            guard risingCell.count > first else { continue }
            let place = Int32(truncatingIfNeeded: risingGang.count)
            risingGang.append(
                RisingGang(
                    weight: view.weight[gang], gang: Int32(truncatingIfNeeded: gang),
                    position: Int32(truncatingIfNeeded: position),
                    start: Int32(truncatingIfNeeded: first), state: .rising))
            calendar.insert(place, at: pace(of: bend, weight: view.weight[gang]))
        }
        // The end of the last gang's cells.
        risingGang.append(
            RisingGang(
                weight: 1, gang: -1, position: -1,
                start: Int32(truncatingIfNeeded: risingCell.count), state: .stopped))
    }

    /// Adds a cell and its first line.
    ///
    /// - Returns: the level of its first bend.
    @inline(__always)
    private mutating func add(
        _ cell: PowerFillCell, ofWeight weight: UInt32, _ view: PowerView
    ) -> UInt64 {
        let domain = Int(cell.domain)
        var (point, bend) = (0, PowerLevel.fullRawValue)
        var slope = Int128(cell.weight)
        if cell.curve < 0 {
            slope = slope &<< PowerCurves.slopeBits
        } else {
            point = Int(view.curveStarts[Int(cell.curve)])
            slope = slope &* Int128(view.curveSlopes[point])
            bend = view.curveLevels[point &+ 1]
        }
        line[domain].slope &+= slope &* Int128(weight)
        let use = fullUse(cell)
        line[domain].chordSlope &+= Int128(use) &* Int128(weight)
        line[domain].chordUse &+= use
        memberStart[domain &+ 1] &+= 1
        risingCell.append(
            RisingCell(
                weight: cell.weight, domain: cell.domain, curve: cell.curve,
                point: Int32(truncatingIfNeeded: point),
                gang: Int32(truncatingIfNeeded: risingGang.count)))
        return bend
    }

    /// Counting sort of the rising cells by domain.
    private mutating func listMembers() {
        for place in 0..<line.count { memberStart[place &+ 1] &+= memberStart[place] }
        memberCursor.setCount(memberStart.count)
        memberCursor.base.update(from: memberStart.base, count: memberStart.count)
        member.setCount(risingCell.count)
        for index in 0..<risingCell.count {
            let domain = Int(risingCell[index].domain)
            member[Int(memberCursor[domain])] = Int32(truncatingIfNeeded: index)
            memberCursor[domain] &+= 1
        }
    }

    /// Enters each open domain.
    private mutating func schedule() {
        now = 0
        fullAt.reset(idCount: line.count)
        for place in 0..<line.count where line[place].chordSlope > 0 {
            fullAt.set(Int32(truncatingIfNeeded: place), key: chordFit(place))
        }
    }

    /// A pace at which a domain still fits, whatever bends lie before it; `UInt64.max` when it fits at
    /// every pace.
    ///
    /// Levels of points are rounded down, so a curve may lie above its chord by less than one unit of
    /// level: that much is taken off first.
    func chordFit(_ place: Int) -> UInt64 {
        let line = line[place]
        let use = Int128(line.chordUse)
        if use &<< PowerUnits.usageBits <= line.chordRoom { return .max }
        let room = line.chordRoom &- use &<< PowerCurves.slopeBits
        guard room > 0 else { return now }
        let pace = PowerFill.quotient(room, line.chordSlope &<< PowerCurves.slopeBits)
        return min(pace, .max - 1)
    }

    /// Takes what the gangs of a class use from the room of closed domains, where it is not yet counted.
    private func settle(_ input: Input, _ gangs: Range<Int>, _ layout: borrowing PowerLayout) {
        for position in gangs {
            let level = input.level[Int(layout.gang[position])].rawValue
            for index in Int(layout.start[position])..<Int(layout.start[position + 1]) {
                let cell = layout.cell[index]
                guard !isOpen[Int(cell.domain)] else { continue }
                line[Int(cell.domain)].room &-= use(of: cell, at: level, input.view)
            }
        }
    }

    private func use(of cell: PowerFillCell, at level: UInt64, _ view: PowerView) -> Int128 {
        if level == PowerLevel.fullRawValue {
            return Int128(fullUse(cell)) &<< PowerUnits.usageBits
        }
        guard cell.curve >= 0 else {
            return Int128(level) &* (Int128(cell.weight) &<< PowerCurves.slopeBits)
        }
        return view.use(of: Int(cell.curve), level: level) &* Int128(cell.weight)
    }

    // MARK: - Paces

    /// The first pace at which a gang has a level.
    @inline(__always)
    func pace(of level: UInt64, weight: UInt32) -> UInt64 {
        let weight = UInt64(weight)
        return (level &+ weight &- 1) / weight
    }

    /// The quotient of two numbers that are not negative, at most `UInt64.max`.
    @inline(__always)
    static func quotient(_ dividend: Int128, _ divisor: Int128) -> UInt64 {
        let (high, low) = (UInt64(truncatingIfNeeded: dividend &>> 64), dividend)
        if divisor <= Int128(UInt64.max) {
            let narrow = UInt64(truncatingIfNeeded: divisor)
            guard high < narrow else { return .max }
            return narrow.dividingFullWidth((high, UInt64(truncatingIfNeeded: low))).quotient
        }
        // A quotient of numbers below 2^127 by one above 2^64 fits.
        return UInt64(truncatingIfNeeded: dividend / divisor)
    }
}
