// SPDX-License-Identifier: Apache-2.0

/// Sums up the GPUs under tracked domains into cells, all at once.
///
/// One pass over those GPUs lists *pieces*: GPUs of one run, gang and curve. A counting sort by gang
/// brings together what may share a cell. Then, gang by gang and tree by tree, pieces that follow each
/// other under the same tracked domain are summed up by curve, and the sums added to the cells of that
/// domain and of those above it.
struct PowerPieces: ~Copyable {
    /// GPUs of one run, gang and curve.
    struct Piece: BitwiseCopyable, Sendable {
        /// As in ``PowerCells/weight``.
        var weight: Int64
        var run: Int32
        var curve: Int32
    }

    private var piece = PowerColumn<Piece>()
    /// The gang of each piece.
    private var gang = PowerColumn<Int32>()
    /// By gang: how many pieces, then where the next one goes.
    private var cursor = PowerColumn<Int32>()
    /// The pieces by gang.
    private var sorted = PowerColumn<Piece>()
    /// The last cell that was made in each tracked domain; stale ones are of other gangs.
    private var head = PowerColumn<Int32>()
    /// The cell that was made before it in the same domain, of whatever gang, or -1.
    ///
    /// Shape: indexed by cell.
    private var next = PowerColumn<Int32>()
    /// Sums by curve, straight lines first, and the curves whose sums are not 0.
    private var sum = PowerColumn<Int64>()
    private var summed = PowerColumn<Int32>()

    var storageByteCount: Int {
        piece.storageByteCount + gang.storageByteCount + cursor.storageByteCount
            + sorted.storageByteCount + head.storageByteCount + next.storageByteCount
            + sum.storageByteCount + summed.storageByteCount
    }

    /// Makes the cells of all tracked domains; what was there before is gone.
    ///
    /// Complexity: one pass over the runs and over the GPUs under tracked domains.
    mutating func makeCells(
        _ view: PowerView, _ sums: borrowing PowerSums, _ tracking: borrowing PowerTracking,
        into cells: inout PowerCells
    ) {
        cells.removeAll()
        piece.removeAll()
        gang.removeAll()
        cursor.reset(to: 0, count: view.gangCount)
        for run in 0..<sums.runCount {
            let leaves = sums.runLeaf.base + run &* view.treeCount
            var isBelow = false
            for tree in 0..<view.treeCount where leaves[tree] >= 0 {
                if tracking.nearest[Int(leaves[tree])] >= 0 { isBelow = true }
            }
            if isBelow { list(Int32(truncatingIfNeeded: run), sums.gpus(ofRun: run), view) }
        }
        sort()
        head.reset(to: -1, count: tracking.count)
        next.removeAll()
        sum.reset(to: 0, count: view.curveCount + 1)
        summed.removeAll()
        var start = 0
        for gang in 0..<view.gangCount {
            let end = Int(cursor[gang])
            for tree in 0..<view.treeCount {
                addCells(
                    Int32(truncatingIfNeeded: gang), start..<end, tree, sums, tracking, &cells)
            }
            start = end
        }
    }

    // MARK: - Pieces

    /// How many pieces of a gang are looked at for one with the same curve.
    ///
    /// When it is not found among these a second piece is made, which does no harm.
    private static let mostCurves = 8

    /// Lists the pieces of a run.
    @inline(__always)
    private mutating func list(_ run: Int32, _ gpus: Range<Int>, _ view: PowerView) {
        // The last pieces of this run, of one gang.
        var first = piece.count
        var last: Int32 = -1
        for gpu in gpus {
            let span = view.span(gpu)
            let own = view.gang[gpu]
            guard span > 0, own >= 0 else { continue }
            if own != last {
                precondition(Int(own) < view.gangCount, "a gang does not exist")
                (last, first) = (own, piece.count)
            }
            let curve = view.curve[gpu]
            let weight = curve < 0 ? Int64(span) : 1
            let least = max(first, piece.count &- PowerPieces.mostCurves)
            var position = piece.count &- 1
            while position >= least, piece[position].curve != curve { position &-= 1 }
            if position >= least {
                piece[position].weight &+= weight
            } else {
                precondition(curve >= -1 && Int(curve) < view.curveCount, "a curve does not exist")
                cursor[Int(own)] &+= 1
                piece.append(Piece(weight: weight, run: run, curve: curve))
                gang.append(own)
            }
        }
    }

    /// Counting sort of the pieces by gang.
    private mutating func sort() {
        var start: Int32 = 0
        for gang in 0..<cursor.count {
            let count = cursor[gang]
            cursor[gang] = start
            start &+= count
        }
        sorted.setCount(piece.count)
        let (sorted, cursor, pieces) = (sorted.base, cursor.base, piece.base)
        for index in 0..<piece.count {
            let gang = Int(gang[index])
            sorted[Int(cursor[gang])] = pieces[index]
            cursor[gang] &+= 1
        }
    }

    // MARK: - Cells

    /// Adds the pieces of a gang to the cells of one tree.
    @inline(__always)
    private mutating func addCells(
        _ gang: Int32, _ pieces: Range<Int>, _ tree: Int, _ sums: borrowing PowerSums,
        _ tracking: borrowing PowerTracking, _ cells: inout PowerCells
    ) {
        let (leaves, treeCount) = (sums.runLeaf.base, sums.treeCount)
        var place: Int32 = -1
        for position in pieces {
            let piece = sorted[position]
            let leaf = Int(leaves[Int(piece.run) &* treeCount &+ tree])
            let own = leaf < 0 ? -1 : tracking.nearest[leaf]
            if own != place {
                flush(gang, place, tracking, &cells)
                place = own
            }
            guard own >= 0 else { continue }
            let entry = Int(piece.curve &+ 1)
            if sum[entry] == 0 { summed.append(piece.curve) }
            sum[entry] &+= piece.weight
        }
        flush(gang, place, tracking, &cells)
    }

    /// Adds the sums by curve to a tracked domain and to those above it.
    @inline(__always)
    private mutating func flush(
        _ gang: Int32, _ place: Int32, _ tracking: borrowing PowerTracking,
        _ cells: inout PowerCells
    ) {
        for index in 0..<summed.count {
            let curve = summed[index]
            let weight = sum[Int(curve &+ 1)]
            sum[Int(curve &+ 1)] = 0
            var domain = place
            while domain >= 0 {
                add(weight, PowerCellKey(gang: gang, domain: domain, curve: curve), &cells)
                domain = tracking.above[Int(domain)]
            }
        }
        summed.removeAll()
    }

    @inline(__always)
    private mutating func add(_ weight: Int64, _ key: PowerCellKey, _ cells: inout PowerCells) {
        let first = head[Int(key.domain)]
        var cell = first
        while cell >= 0, cells.key[Int(cell)].gang == key.gang {
            if cells.key[Int(cell)].curve == key.curve {
                cells.add(weight, toCell: Int(cell))
                return
            }
            cell = next[Int(cell)]
        }
        next.append(first)
        head[Int(key.domain)] = Int32(truncatingIfNeeded: cells.count)
        cells.append(key, weight)
    }
}
