// SPDX-License-Identifier: Apache-2.0

/// What one GPU adds to its domains and cells.
struct PowerShare: BitwiseCopyable, Sendable {
    var gang: Int32
    var curve: Int32
    var floorMilliwatts: UInt32
    var fullMilliwatts: UInt32

    @inline(__always)
    init(gang: Int32, curve: Int32, floorMilliwatts: UInt32, fullMilliwatts: UInt32) {
        self.gang = gang
        self.curve = curve
        self.floorMilliwatts = floorMilliwatts
        self.fullMilliwatts = fullMilliwatts
    }

    /// What it wants above its floor.
    var span: Int64 {
        gang >= 0 && fullMilliwatts > floorMilliwatts
            ? Int64(fullMilliwatts) - Int64(floorMilliwatts) : 0
    }

    /// Its part of the weight of its cells.
    var weight: Int64 { span == 0 ? 0 : curve < 0 ? span : 1 }
}

/// What has changed since the last solve, and what a warm solve keeps besides the engine.
struct PowerChanges: ~Copyable {
    /// GPUs whose demand or gang has changed since the last caps were written.
    private var touched = PowerColumn<Int32>()
    /// What a batch of changes has put an end to.
    private var replaced = PowerColumn<PowerShare>()
    /// The leaf of each of those GPUs in the tree at hand.
    private var leafOf = PowerColumn<Int32>()
    /// GPUs whose gang has changed since the stretches were listed.
    private var moved = PowerColumn<Int32>()
    /// Longest stretches of GPUs of one gang: first GPU and gang, and the number of GPUs at the end.
    private var stretchStart = PowerColumn<Int32>()
    private var stretchGang = PowerColumn<Int32>()

    /// True when sums and cells belong to the problem.
    private var isGathered = false
    /// True when the caps belong to the levels that the engine knows.
    private var hasCaps = false
    /// True when the class of a gang has changed since the cells were put in order.
    var hasNewClasses = false
    /// How many cells there were after the last start from nothing.
    private var gatheredCells = 0

    var storageByteCount: Int {
        touched.storageByteCount + replaced.storageByteCount
            + leafOf.storageByteCount + moved.storageByteCount
            + stretchStart.storageByteCount
            + stretchGang.storageByteCount
    }

    // MARK: - Changes

    /// Takes one GPU's share out of sums and cells and puts another one in.
    mutating func replace(
        _ old: PowerShare, by new: PowerShare, ofGPU gpu: Int, _ gpuLeaf: [[Int32]],
        _ engine: inout PowerEngine
    ) {
        guard isGathered else { return }
        touched.append(Int32(truncatingIfNeeded: gpu))
        for leaves in gpuLeaf { replace(old, by: new, underLeaf: Int(leaves[gpu]), &engine) }
    }

    /// Changes many demands; see ``WarmPowerSolver/setDemands(_:)``.
    ///
    /// First the columns of the GPUs, then one tree after the other: short loops whose reads do not wait
    /// for each other, because nearly every read is of memory that is not in the cache.
    mutating func apply(
        _ batch: UnsafeBufferPointer<PowerDemandChange>, to problem: inout PowerProblem,
        _ engine: inout PowerEngine
    ) {
        replaced.setCount(batch.count)
        problem.exchangeDemands(batch, old: replaced.base)
        guard isGathered else { return }
        for change in batch { touched.append(change.gpu) }
        leafOf.setCount(batch.count)
        for leaves in problem.gpuLeaf {
            // Each GPU was compared with the count when its demand was exchanged.
            leaves.withUnsafeBufferPointer { leaf in
                for index in 0..<batch.count { leafOf[index] = leaf[Int(batch[index].gpu)] }
            }
            for index in 0..<batch.count {
                let (change, old) = (batch[index], replaced[index])
                let new = PowerShare(
                    gang: old.gang, curve: change.curve, floorMilliwatts: change.floorMilliwatts,
                    fullMilliwatts: change.fullMilliwatts)
                replace(old, by: new, underLeaf: Int(leafOf[index]), &engine)
            }
        }
    }

    @inline(__always)
    private mutating func replace(
        _ old: PowerShare, by new: PowerShare, underLeaf leaf: Int, _ engine: inout PowerEngine
    ) {
        guard leaf >= 0 else { return }
        let floor = Int64(new.floorMilliwatts) - Int64(old.floorMilliwatts)
        engine.sums.own[leaf].floor += floor
        engine.sums.own[leaf].span += new.span - old.span
        var place = engine.tracking.nearest[leaf]
        while place >= 0 {
            replace(old, by: new, inDomain: place, &engine)
            place = engine.tracking.above[Int(place)]
        }
    }

    @inline(__always)
    private mutating func replace(
        _ old: PowerShare, by new: PowerShare, inDomain place: Int32, _ engine: inout PowerEngine
    ) {
        if old.gang == new.gang && old.curve == new.curve {
            add(new.weight - old.weight, new, place, &engine)
        } else {
            add(-old.weight, old, place, &engine)
            add(new.weight, new, place, &engine)
        }
    }

    @inline(__always)
    private func add(
        _ weight: Int64, _ share: PowerShare, _ place: Int32, _ engine: inout PowerEngine
    ) {
        guard weight != 0 else { return }
        engine.cells.add(
            weight, to: PowerCellKey(gang: share.gang, domain: place, curve: share.curve))
    }

    /// Notes that a GPU has gone to another gang.
    mutating func move(_ gpu: Int) {
        if isGathered { moved.append(Int32(truncatingIfNeeded: gpu)) }
    }

    // MARK: - Solving

    /// Solves the problem as it is now.
    mutating func solve(
        _ problem: borrowing PowerProblem, _ engine: inout PowerEngine,
        into solution: inout PowerSolution
    ) -> PowerSolveStatus {
        if engine.cells.count > 2 * gatheredCells + 1024 { isGathered = false }
        return problem.withView { view in
            bringUpToDate(view, &engine)
            if let worst = engine.findShortfalls(view, &solution) {
                hasCaps = false
                return .infeasible(worst)
            }
            engine.raise(view, &solution)
            writeCaps(view, &engine, &solution)
            return .optimal
        }
    }

    /// Brings sums, cells and their order up to date.
    private mutating func bringUpToDate(_ view: PowerView, _ engine: inout PowerEngine) {
        guard isGathered else {
            engine.sums.gather(view)
            engine.sums.rollUp(view)
            engine.makeCells(view)
            engine.cells.makeTable()
            engine.layout.arrange(view, engine.cells)
            isGathered = true
            hasNewClasses = false
            gatheredCells = engine.cells.count
            return
        }
        engine.sums.rollUp(view)
        let first = engine.tracking.nextPlace
        if engine.tracking.extend(view, engine.sums) {
            engine.gather.addCells(
                view, engine.sums, engine.tracking, from: first, to: &engine.cells)
        }
        if hasNewClasses || engine.cells.count > engine.layout.place.count {
            engine.layout.arrange(view, engine.cells)
        } else {
            engine.layout.refreshWeights(engine.cells)
        }
        hasNewClasses = false
    }

    /// Writes the caps of gangs with new levels and of GPUs that have changed.
    private mutating func writeCaps(
        _ view: PowerView, _ engine: inout PowerEngine, _ solution: inout PowerSolution
    ) {
        if !hasCaps || moved.count > view.gpuCount / 64 {
            engine.writeAllCaps(view, &solution)
            listStretches(view)
            hasCaps = true
        } else {
            engine.prepareCaps(view, solution.certificate.level)
            solution.capMilliwatts.withUnsafeMutableBufferPointer { buffer in
                guard let cap = buffer.baseAddress else { return }
                writeStretches(view, engine.caps, to: cap)
                writeSingles(view, engine.caps, to: cap)
            }
        }
        touched.removeAll()
    }

    private func writeStretches(
        _ view: PowerView, _ caps: borrowing PowerCaps, to cap: UnsafeMutablePointer<UInt32>
    ) {
        for index in 0..<stretchGang.count where caps.isChanged(gang: stretchGang[index]) {
            let gpus = Int(stretchStart[index])..<Int(stretchStart[index + 1])
            caps.write(view, gpus, to: cap)
        }
    }

    /// Writes the caps of GPUs that have changed.
    private func writeSingles(
        _ view: PowerView, _ caps: borrowing PowerCaps, to cap: UnsafeMutablePointer<UInt32>
    ) {
        for index in 0..<touched.count {
            let gpu = Int(touched[index])
            // Done with its stretch; one that has come to the gang is among the moved.
            guard !caps.isChanged(gang: view.gang[gpu]) else { continue }
            caps.write(view, gpu..<gpu + 1, to: cap)
        }
        for index in 0..<moved.count {
            let gpu = Int(moved[index])
            caps.write(view, gpu..<gpu + 1, to: cap)
        }
    }

    private mutating func listStretches(_ view: PowerView) {
        moved.removeAll()
        stretchStart.removeAll()
        stretchGang.removeAll()
        for gpu in 0..<view.gpuCount where gpu == 0 || view.gang[gpu] != view.gang[gpu - 1] {
            stretchStart.append(Int32(truncatingIfNeeded: gpu))
            stretchGang.append(view.gang[gpu])
        }
        stretchStart.append(Int32(truncatingIfNeeded: view.gpuCount))
    }
}

extension PowerProblem {
    /// Writes new demands, and what was there before to `old`, which has room for all of them.
    fileprivate mutating func exchangeDemands(
        _ batch: UnsafeBufferPointer<PowerDemandChange>, old: UnsafeMutablePointer<PowerShare>
    ) {
        let (gpuCount, curveCount) = (gpuCount, curves.count)
        gpuGang.withUnsafeBufferPointer { gang in
            gpuCurve.withUnsafeMutableBufferPointer { curve in
                gpuFloorMilliwatts.withUnsafeMutableBufferPointer { floor in
                    gpuFullMilliwatts.withUnsafeMutableBufferPointer { full in
                        for index in 0..<batch.count {
                            let change = batch[index]
                            let gpu = Int(change.gpu)
                            precondition(gpu >= 0 && gpu < gpuCount, "a GPU does not exist")
                            precondition(
                                change.curve >= -1 && change.curve < curveCount,
                                "a curve does not exist")
                            old[index] = PowerShare(
                                gang: gang[gpu], curve: curve[gpu], floorMilliwatts: floor[gpu],
                                fullMilliwatts: full[gpu])
                            curve[gpu] = change.curve
                            floor[gpu] = change.floorMilliwatts
                            full[gpu] = change.fullMilliwatts
                        }
                    }
                }
            }
        }
    }
}
