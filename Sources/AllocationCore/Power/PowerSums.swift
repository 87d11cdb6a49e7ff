// SPDX-License-Identifier: Apache-2.0

/// What hangs from a domain: floors, and what is wanted above them, in milliwatts.
///
/// At most 2^23 GPUs of less than 2^32 mW: below 2^55.
struct PowerSum: BitwiseCopyable, Sendable {
    var floor: Int64
    var span: Int64
}

/// The sums of every domain, and the runs: longest stretches of GPUs with the same leaf in every tree.
struct PowerSums: ~Copyable {
    /// Sums of the GPUs that hang from a domain itself.
    ///
    /// Shape: indexed by domain, as `total`.
    var own = PowerColumn<PowerSum>()
    /// Sums of the GPUs of a domain and of those below it.
    private(set) var total = PowerColumn<PowerSum>()

    /// The first GPU of each run, and the number of GPUs at the end.
    private(set) var runStart = PowerColumn<Int32>()
    /// The leaves of each run, tree by tree.
    private(set) var runLeaf = PowerColumn<Int32>()
    /// Where the stretch of each tree that is being read ends.
    private var stretchEnd = PowerColumn<Int>()

    var storageByteCount: Int {
        own.storageByteCount + total.storageByteCount + runStart.storageByteCount
            + runLeaf.storageByteCount + stretchEnd.storageByteCount
    }

    /// The number of leaves of each run.
    private(set) var treeCount = 0
    /// The number of runs.
    var runCount: Int { runStart.count - 1 }

    /// The GPUs of a run.
    @inline(__always)
    func gpus(ofRun run: Int) -> Range<Int> { Int(runStart[run])..<Int(runStart[run + 1]) }

    /// Sums up the GPUs of a problem; what was there before is gone.
    ///
    /// Complexity: one pass over floors, fulls, gangs and leaves.
    mutating func gather(_ view: PowerView) {
        own.reset(to: PowerSum(floor: 0, span: 0), count: view.domainCount)
        stretchEnd.reset(to: 0, count: view.treeCount)
        treeCount = view.treeCount
        runStart.removeAll()
        runLeaf.removeAll()
        var start = 0
        while start < view.gpuCount {
            var end = view.gpuCount
            for tree in 0..<view.treeCount {
                if stretchEnd[tree] == start {
                    stretchEnd[tree] = stretch(of: view.leaf[tree], from: start, to: view.gpuCount)
                }
                end = min(end, stretchEnd[tree])
            }
            let sum = sum(view, start, end)
            runStart.append(Int32(truncatingIfNeeded: start))
            for tree in 0..<view.treeCount {
                let leaf = view.checkedLeaf(tree, start)
                runLeaf.append(Int32(truncatingIfNeeded: leaf))
                guard leaf >= 0 else { continue }
                own[leaf].floor &+= sum.floor
                own[leaf].span &+= sum.span
            }
            start = end
        }
        runStart.append(Int32(truncatingIfNeeded: view.gpuCount))
    }

    /// Adds the sums of children to their parents.
    ///
    /// Complexity: one pass over the domains.
    mutating func rollUp(_ view: PowerView) {
        total.setCount(view.domainCount)
        total.base.update(from: own.base, count: view.domainCount)
        let total = total.base
        for domain in stride(from: view.domainCount - 1, through: 0, by: -1) {
            let parent = Int(view.parent[domain])
            guard parent >= 0 else { continue }
            total[parent].floor &+= total[domain].floor
            total[parent].span &+= total[domain].span
        }
    }

    // MARK: - Private

    @inline(__always)
    private func sum(_ view: PowerView, _ start: Int, _ end: Int) -> PowerSum {
        // Without a branch, so that several GPUs go at a time.
        var (floors, spans): (UInt64, UInt64) = (0, 0)
        for gpu in start..<end {
            // All ones for a GPU without a gang, which wants nothing.
            let idle = UInt32(bitPattern: view.gang[gpu] >> 31)
            floors &+= UInt64(view.floor[gpu])
            spans &+= UInt64(view.span(gpu) & ~idle)
        }
        return PowerSum(
            floor: Int64(truncatingIfNeeded: floors), span: Int64(truncatingIfNeeded: spans))
    }

    /// Where the stretch of equal entries that begins at `start` ends.
    @inline(__always)
    private func stretch(
        of column: UnsafePointer<Int32>, from start: Int, to limit: Int
    ) -> Int {
        let value = column[start]
        let pair = UInt64(UInt32(bitPattern: value)) &* 0x1_0000_0001
        let bytes = UnsafeRawPointer(column)
        var end = start &+ 1
        // Eight entries at a time, two in a word.
        while end &+ 8 <= limit {
            let offset = end &* 4
            let first = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ^ pair
            let second = bytes.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self) ^ pair
            let third = bytes.loadUnaligned(fromByteOffset: offset &+ 16, as: UInt64.self) ^ pair
            let fourth = bytes.loadUnaligned(fromByteOffset: offset &+ 24, as: UInt64.self) ^ pair
            if first | second | third | fourth != 0 { break }
            end &+= 8
        }
        while end < limit, column[end] == value { end &+= 1 }
        return end
    }
}
