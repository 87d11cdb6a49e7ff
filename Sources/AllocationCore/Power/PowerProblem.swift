// SPDX-License-Identifier: Apache-2.0

/// A power problem in columns: a forest of domains, GPUs that hang from it, and gangs of GPUs.
///
/// The optimum that ``PowerSolver`` finds:
///
/// * every GPU keeps at least its floor;
/// * gangs rise strictly by priority, a higher number first: a lower one gets only what no higher one
///   can use;
/// * inside one priority all gangs rise together, `level = min(1, weight * t)`, until a domain is
///   full; the gangs whose use of that domain would grow stop there; the rest go on (weighted max-min
///   fair levels);
/// * all GPUs of a gang have one level; `cap = floor + ⌊level * (full - floor)⌋`, or what the GPU's
///   curve says.
///
/// `t` moves on the lattice of multiples of 2^-52. A round ends at the last lattice point at which
/// every domain fits; the domains that would not fit at the next one stop their gangs there, all at
/// once. What gangs use is counted exactly; only caps are rounded, down.
///
/// A GPU without a gang (`-1`) stays at its floor. A lone GPU that is to rise has a gang of its own.
package struct PowerProblem: Hashable, Sendable {
    /// The largest weight of a gang.
    package static let maximumWeight: UInt32 = 1 << 20
    /// The largest magnitude of a budget: far above any fleet, low enough that sums stay exact.
    package static let maximumBudgetMilliwatts: Int64 = 1 << 50
    /// The most GPUs of one problem, so that sums of usage stay within 127 bits.
    package static let maximumGPUCount = 1 << 23

    /// The parent of each domain, or -1 for a root.
    ///
    /// Parents come before their children.
    package var domainParent: [Int32] = []
    /// What the GPUs in each domain may draw together, in milliwatts.
    ///
    /// Negative where overhead alone is over the limit: that is infeasible, not malformed.
    package var domainBudgetMilliwatts: [Int64] = []

    /// The least cap of each GPU, in milliwatts.
    package var gpuFloorMilliwatts: [UInt32] = []
    /// The cap at full pace of each GPU, in milliwatts; at or below the floor the GPU wants no more.
    package var gpuFullMilliwatts: [UInt32] = []
    /// The gang of each GPU, or -1.
    package var gpuGang: [Int32] = []
    /// The curve of each GPU, or -1 for a straight line from floor to full.
    package var gpuCurve: [Int32] = []
    /// The leaf domain of each GPU in each tree, or -1 where the tree does not feed it.
    ///
    /// Shape: `gpuLeaf[tree][gpu]`. The leaves of one GPU must lie under different roots.
    package var gpuLeaf: [[Int32]] = []

    /// The priority of each gang: a higher number is more important.
    package var gangPriority: [Int32] = []
    /// The weight of each gang, in `1...maximumWeight`.
    package var gangWeight: [UInt32] = []

    /// The curves that GPUs refer to.
    package var curves = PowerCurves()

    /// An empty problem.
    ///
    /// - Parameter treeCount: the number of leaf columns: 1, or more with redundant feeds.
    package init(treeCount: Int = 1) {
        gpuLeaf = [[Int32]](repeating: [], count: treeCount)
    }

    /// The number of GPUs.
    package var gpuCount: Int { gpuFloorMilliwatts.count }
    /// The number of domains.
    package var domainCount: Int { domainParent.count }
    /// The number of gangs.
    package var gangCount: Int { gangPriority.count }
    /// The number of leaf columns.
    package var treeCount: Int { gpuLeaf.count }

    /// Adds a domain.
    ///
    /// - Parameters:
    ///   - parent: a domain that was added before, or -1 for a root.
    ///   - budgetMilliwatts: limit less overhead.
    /// - Returns: its index.
    @discardableResult
    package mutating func addDomain(parent: Int32, budgetMilliwatts: Int64) -> Int32 {
        domainParent.append(parent)
        domainBudgetMilliwatts.append(budgetMilliwatts)
        return Int32(domainParent.count - 1)
    }

    /// Adds a gang without GPUs.
    ///
    /// - Returns: its index.
    @discardableResult
    package mutating func addGang(priority: Int32, weight: UInt32) -> Int32 {
        gangPriority.append(priority)
        gangWeight.append(weight)
        return Int32(gangPriority.count - 1)
    }

    /// Adds a GPU.
    ///
    /// Its leaves are one for each tree, -1 for none; missing ones count as none.
    ///
    /// - Returns: its index.
    @discardableResult
    package mutating func addGPU(
        floorMilliwatts: UInt32, fullMilliwatts: UInt32, leaves: [Int32], gang: Int32 = -1,
        curve: Int32 = -1
    ) -> Int32 {
        gpuFloorMilliwatts.append(floorMilliwatts)
        gpuFullMilliwatts.append(fullMilliwatts)
        gpuGang.append(gang)
        gpuCurve.append(curve)
        for tree in 0..<gpuLeaf.count {
            gpuLeaf[tree].append(tree < leaves.count ? leaves[tree] : -1)
        }
        return Int32(gpuFloorMilliwatts.count - 1)
    }

    /// Forgets all domains, GPUs, gangs and curves, and keeps the storage.
    package mutating func removeAll() {
        domainParent.removeAll(keepingCapacity: true)
        domainBudgetMilliwatts.removeAll(keepingCapacity: true)
        gpuFloorMilliwatts.removeAll(keepingCapacity: true)
        gpuFullMilliwatts.removeAll(keepingCapacity: true)
        gpuGang.removeAll(keepingCapacity: true)
        gpuCurve.removeAll(keepingCapacity: true)
        for tree in 0..<gpuLeaf.count { gpuLeaf[tree].removeAll(keepingCapacity: true) }
        gangPriority.removeAll(keepingCapacity: true)
        gangWeight.removeAll(keepingCapacity: true)
        curves = PowerCurves()
    }
}

/// What is malformed in a ``PowerProblem``.
package enum PowerProblemDefect: Hashable, Sendable {
    /// The columns of one family differ in length.
    case columnLengths
    /// More than ``PowerProblem/maximumGPUCount`` GPUs.
    case tooManyGPUs(Int)
    /// A domain's parent is not an earlier domain or -1.
    case parent(domain: Int)
    /// A budget's magnitude is over ``PowerProblem/maximumBudgetMilliwatts``.
    case budget(domain: Int)
    /// A gang's weight is 0 or over ``PowerProblem/maximumWeight``.
    case weight(gang: Int)
    /// A GPU's gang is out of range.
    case gang(gpu: Int)
    /// A GPU's leaf is out of range.
    case leaf(gpu: Int, tree: Int)
    /// Two leaves of a GPU lie under one root.
    case sharedRoot(gpu: Int)
    /// A GPU's curve is out of range.
    case curve(gpu: Int)
    /// A GPU's curve does not go from its floor to its full.
    case curveEnds(gpu: Int)
}

extension PowerProblem {
    /// The first thing that is malformed, or nil.
    ///
    /// Callers check a problem that comes from outside once; the solver only asserts.
    ///
    /// Complexity: one pass over the GPUs.
    package func firstDefect() -> PowerProblemDefect? {
        guard columnsAgree else { return .columnLengths }
        guard gpuCount <= PowerProblem.maximumGPUCount else { return .tooManyGPUs(gpuCount) }
        var root = [Int32](repeating: 0, count: domainCount)
        for domain in 0..<domainCount {
            let parent = domainParent[domain]
            guard parent >= -1, parent < domain else { return .parent(domain: domain) }
            guard domainBudgetMilliwatts[domain].magnitude <= PowerProblem.maximumBudgetMilliwatts
            else { return .budget(domain: domain) }
            root[domain] = parent < 0 ? Int32(domain) : root[Int(parent)]
        }
        for gang in 0..<gangCount {
            guard (1...PowerProblem.maximumWeight).contains(gangWeight[gang]) else {
                return .weight(gang: gang)
            }
        }
        for gpu in 0..<gpuCount {
            if let defect = firstDefect(ofGPU: gpu, root: root) { return defect }
        }
        return nil
    }

    private var columnsAgree: Bool {
        domainBudgetMilliwatts.count == domainCount && gangWeight.count == gangCount
            && gpuFullMilliwatts.count == gpuCount && gpuGang.count == gpuCount
            && gpuCurve.count == gpuCount && gpuLeaf.allSatisfy { $0.count == gpuCount }
    }

    private func firstDefect(ofGPU gpu: Int, root: [Int32]) -> PowerProblemDefect? {
        guard gpuGang[gpu] >= -1, gpuGang[gpu] < gangCount else { return .gang(gpu: gpu) }
        for tree in 0..<treeCount {
            let leaf = gpuLeaf[tree][gpu]
            guard leaf >= -1, leaf < domainCount else { return .leaf(gpu: gpu, tree: tree) }
            guard leaf >= 0 else { continue }
            for other in 0..<tree where gpuLeaf[other][gpu] >= 0 {
                guard root[Int(gpuLeaf[other][gpu])] != root[Int(leaf)] else {
                    return .sharedRoot(gpu: gpu)
                }
            }
        }
        let curve = gpuCurve[gpu]
        guard curve >= -1, curve < curves.count else { return .curve(gpu: gpu) }
        guard curve >= 0 else { return nil }
        guard curves.floor(of: curve) == gpuFloorMilliwatts[gpu],
            curves.full(of: curve) == gpuFullMilliwatts[gpu]
        else { return .curveEnds(gpu: gpu) }
        return nil
    }
}
