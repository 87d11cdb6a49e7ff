// SPDX-License-Identifier: Apache-2.0

/// The columns of a ``PowerProblem`` as plain addresses, for the time of one call.
///
/// Making one compares the lengths of all columns and the entries of those that are short (parents,
/// weights). Leaves, gangs and curves of GPUs are compared with their bounds where they are first used
/// as an index. So a problem that breaks its rules stops the program and never reaches foreign memory.
struct PowerView {
    let gpuCount: Int
    let domainCount: Int
    let gangCount: Int
    let treeCount: Int
    let curveCount: Int

    let floor: UnsafePointer<UInt32>
    let full: UnsafePointer<UInt32>
    let gang: UnsafePointer<Int32>
    let curve: UnsafePointer<Int32>
    /// The leaf column of each tree.
    let leaf: UnsafePointer<UnsafePointer<Int32>>

    let parent: UnsafePointer<Int32>
    let budget: UnsafePointer<Int64>
    let priority: UnsafePointer<Int32>
    let weight: UnsafePointer<UInt32>

    let curveStarts: UnsafePointer<Int32>
    let curveLevels: UnsafePointer<UInt64>
    let curveMilliwatts: UnsafePointer<UInt32>
    let curveSlopes: UnsafePointer<UInt64>

    /// The index of a leaf or -1, compared with the number of domains.
    @inline(__always)
    func checkedLeaf(_ tree: Int, _ gpu: Int) -> Int {
        let leaf = Int(self.leaf[tree][gpu])
        precondition(leaf >= -1 && leaf < domainCount, "a leaf is no domain")
        return leaf
    }

    /// The gang of a GPU or -1, compared with the number of gangs.
    @inline(__always)
    func checkedGang(_ gpu: Int) -> Int {
        let gang = Int(self.gang[gpu])
        precondition(gang >= -1 && gang < gangCount, "a gang does not exist")
        return gang
    }

    /// The curve of a GPU or -1, compared with the number of curves.
    @inline(__always)
    func checkedCurve(_ gpu: Int) -> Int {
        let curve = Int(self.curve[gpu])
        precondition(curve >= -1 && curve < curveCount, "a curve does not exist")
        return curve
    }

    /// What a GPU wants above its floor.
    @inline(__always)
    func span(_ gpu: Int) -> UInt32 {
        let (floor, full) = (self.floor[gpu], self.full[gpu])
        return full > floor ? full &- floor : 0
    }
}

extension PowerProblem {
    /// Runs `body` with the addresses of the columns.
    ///
    /// Precondition: the columns of one family have one length, parents come before children, weights
    /// are in range.
    func withView<Result>(_ body: (PowerView) -> Result) -> Result {
        precondition(
            domainBudgetMilliwatts.count == domainCount && gangWeight.count == gangCount
                && gpuFullMilliwatts.count == gpuCount && gpuGang.count == gpuCount
                && gpuCurve.count == gpuCount && gpuCount <= PowerProblem.maximumGPUCount,
            "columns of different lengths, or too many GPUs")
        return withUnsafeTemporaryAllocation(
            of: UnsafePointer<Int32>.self, capacity: max(1, treeCount)
        ) { leaves in
            withLeaves(0, leaves) {
                withColumns(UnsafePointer(leaves.baseAddress!), body)
            }
        }
    }

    /// Fills in the addresses of the leaf columns from a tree on, then runs `body`.
    private func withLeaves<Result>(
        _ tree: Int, _ leaves: UnsafeMutableBufferPointer<UnsafePointer<Int32>>,
        _ body: () -> Result
    ) -> Result {
        guard tree < treeCount else { return body() }
        precondition(gpuLeaf[tree].count == gpuCount, "a leaf column of a different length")
        return gpuLeaf[tree].withUnsafeBufferPointer { column in
            (leaves.baseAddress! + tree).initialize(to: address(column))
            return withLeaves(tree + 1, leaves, body)
        }
    }

    private func withColumns<Result>(
        _ leaves: UnsafePointer<UnsafePointer<Int32>>, _ body: (PowerView) -> Result
    ) -> Result {
        gpuFloorMilliwatts.withUnsafeBufferPointer { floor in
            gpuFullMilliwatts.withUnsafeBufferPointer { full in
                gpuGang.withUnsafeBufferPointer { gang in
                    gpuCurve.withUnsafeBufferPointer { curve in
                        withTables { parent, budget, priority, weight in
                            curves.withPoints { starts, levels, milliwatts, slopes in
                                let view = PowerView(
                                    gpuCount: gpuCount, domainCount: domainCount,
                                    gangCount: gangCount, treeCount: treeCount,
                                    curveCount: curves.count, floor: address(floor),
                                    full: address(full), gang: address(gang),
                                    curve: address(curve), leaf: leaves, parent: parent,
                                    budget: budget, priority: priority, weight: weight,
                                    curveStarts: starts, curveLevels: levels,
                                    curveMilliwatts: milliwatts, curveSlopes: slopes)
                                view.checkTables()
                                return body(view)
                            }
                        }
                    }
                }
            }
        }
    }

    private func withTables<Result>(
        _ body: (
            UnsafePointer<Int32>, UnsafePointer<Int64>, UnsafePointer<Int32>, UnsafePointer<UInt32>
        ) -> Result
    ) -> Result {
        domainParent.withUnsafeBufferPointer { parent in
            domainBudgetMilliwatts.withUnsafeBufferPointer { budget in
                gangPriority.withUnsafeBufferPointer { priority in
                    gangWeight.withUnsafeBufferPointer { weight in
                        body(
                            address(parent), address(budget), address(priority), address(weight))
                    }
                }
            }
        }
    }
}

extension PowerView {
    /// Compares the entries of the short columns with their bounds.
    fileprivate func checkTables() {
        for domain in 0..<domainCount {
            let parent = Int(parent[domain])
            precondition(parent >= -1 && parent < domain, "a parent is no earlier domain")
        }
        for gang in 0..<gangCount {
            precondition(
                weight[gang] >= 1 && weight[gang] <= PowerProblem.maximumWeight,
                "a weight is out of range")
        }
    }
}

extension PowerCurves {
    /// Runs `body` with the addresses of starts, levels, milliwatts and slopes.
    fileprivate func withPoints<Result>(
        _ body: (
            UnsafePointer<Int32>, UnsafePointer<UInt64>, UnsafePointer<UInt32>,
            UnsafePointer<UInt64>
        ) -> Result
    ) -> Result {
        starts.withUnsafeBufferPointer { starts in
            levels.withUnsafeBufferPointer { levels in
                milliwatts.withUnsafeBufferPointer { milliwatts in
                    slopes.withUnsafeBufferPointer { slopes in
                        body(
                            address(starts), address(levels), address(milliwatts), address(slopes))
                    }
                }
            }
        }
    }
}

/// The address of a buffer; one that is never read for an empty buffer.
private func address<Element>(_ buffer: UnsafeBufferPointer<Element>) -> UnsafePointer<Element> {
    buffer.baseAddress ?? UnsafePointer(bitPattern: MemoryLayout<Element>.alignment)!
}
