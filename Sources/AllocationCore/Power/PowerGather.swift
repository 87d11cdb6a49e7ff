// SPDX-License-Identifier: Apache-2.0

/// Sums up the GPUs under newly tracked domains into cells, besides those that are there.
struct PowerGather: ~Copyable {
    /// A stretch with more curves is read in parts, so that a look for a curve stays short.
    private static let mostCurves = 16

    /// The curves of the stretch that is being read, and how many GPUs follow each.
    private var curve = PowerColumn<Int32>()
    private var curveCount = PowerColumn<Int64>()

    var storageByteCount: Int { curve.storageByteCount + curveCount.storageByteCount }

    /// Adds the GPUs of all runs to the cells of tracked domains from one place on.
    ///
    /// Domains before `first` have their cells already.
    ///
    /// Complexity: one pass over the runs, and one over the GPUs that hang below such a domain.
    mutating func addCells(
        _ view: PowerView, _ sums: borrowing PowerSums, _ tracking: borrowing PowerTracking,
        from first: Int32, to cells: inout PowerCells
    ) {
        for run in 0..<sums.runCount {
            let leaves = sums.runLeaf.base + run * view.treeCount
            var isBelow = false
            for tree in 0..<view.treeCount where leaves[tree] >= 0 {
                var place = tracking.nearest[Int(leaves[tree])]
                while place >= 0 {
                    if place >= first { isBelow = true }
                    place = tracking.above[Int(place)]
                }
            }
            guard isBelow else { continue }
            addRun(view, sums.gpus(ofRun: run), leaves, tracking, from: first, to: &cells)
        }
    }

    private mutating func addRun(
        _ view: PowerView, _ gpus: Range<Int>, _ leaves: UnsafePointer<Int32>,
        _ tracking: borrowing PowerTracking, from first: Int32, to cells: inout PowerCells
    ) {
        var gpu = gpus.lowerBound
        while gpu < gpus.upperBound {
            let gang = view.checkedGang(gpu)
            var line: Int64 = 0
            curve.removeAll()
            curveCount.removeAll()
            repeat {
                let span = view.span(gpu)
                if span > 0 {
                    if view.curve[gpu] < 0 {
                        line &+= Int64(span)
                    } else {
                        count(Int32(truncatingIfNeeded: view.checkedCurve(gpu)))
                    }
                }
                gpu &+= 1
            } while gpu < gpus.upperBound && Int(view.gang[gpu]) == gang
                && curve.count < PowerGather.mostCurves
            guard gang >= 0 else { continue }
            for tree in 0..<view.treeCount where leaves[tree] >= 0 {
                var place = tracking.nearest[Int(leaves[tree])]
                while place >= 0 {
                    if place >= first {
                        flush(Int32(truncatingIfNeeded: gang), place, line, to: &cells)
                    }
                    place = tracking.above[Int(place)]
                }
            }
        }
    }

    @inline(__always)
    private mutating func count(_ wanted: Int32) {
        var position = 0
        while position < curve.count, curve[position] != wanted { position &+= 1 }
        if position == curve.count {
            curve.append(wanted)
            curveCount.append(0)
        }
        curveCount[position] &+= 1
    }

    @inline(__always)
    private func flush(_ gang: Int32, _ domain: Int32, _ line: Int64, to cells: inout PowerCells) {
        if line > 0 { cells.add(line, to: PowerCellKey(gang: gang, domain: domain, curve: -1)) }
        for position in 0..<curve.count {
            cells.add(
                curveCount[position],
                to: PowerCellKey(gang: gang, domain: domain, curve: curve[position]))
        }
    }
}
