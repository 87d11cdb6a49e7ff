// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// How the coordinator wants a node's cap shared, in columns with one entry for each GPU.
package struct NodeSharePlan: Hashable, Sendable {
    /// The least cap of each GPU, in milliwatts.
    package var floorMilliwatts: [UInt32]
    /// The cap at full pace of each GPU, in milliwatts.
    package var fullMilliwatts: [UInt32]
    /// The most that each GPU may get: the cap at its gang's level for gangs that span nodes, else
    /// its full.
    ///
    /// A node cannot lift such a gang alone.
    package var ceilingMilliwatts: [UInt32]
    package var priority: [Int32]
    package var weight: [UInt32]
    /// 0 for a lone GPU; equal numbers share one level on this node.
    package var gang: [UInt32]

    package init(
        floorMilliwatts: [UInt32], fullMilliwatts: [UInt32], ceilingMilliwatts: [UInt32],
        priority: [Int32], weight: [UInt32], gang: [UInt32]
    ) {
        self.floorMilliwatts = floorMilliwatts
        self.fullMilliwatts = fullMilliwatts
        self.ceilingMilliwatts = ceilingMilliwatts
        self.priority = priority
        self.weight = weight
        self.gang = gang
    }

    /// The number of GPUs.
    package var gpuCount: Int { floorMilliwatts.count }

    /// True when all columns have one length and every weight is in range.
    package var isWellFormed: Bool {
        fullMilliwatts.count == gpuCount && ceilingMilliwatts.count == gpuCount
            && priority.count == gpuCount && weight.count == gpuCount && gang.count == gpuCount
            && weight.allSatisfy { (1...PowerProblem.maximumWeight).contains($0) }
    }
}

/// How a node's cap was shared.
package enum NodeShareOutcome: Hashable, Sendable {
    /// Every GPU has at least its floor.
    case aboveFloors
    /// The cap is below the floors (the node is at its fallback): floors are shared in proportion of
    /// priority and weight above the devices' least caps.
    case belowFloors
    /// The cap is below what the devices accept: each is at its least cap and the sum is over.
    case belowDevices
}

/// Shares one node's cap between its GPUs with ``PowerSolver``: the fleet's optimum on a tree of one
/// domain.
///
/// After the first share of a plan it allocates nothing.
package struct NodeShare: Sendable {
    private let minimumCapMilliwatts: [UInt32]
    private let maximumCapMilliwatts: [UInt32]
    private var solver = PowerSolver()
    private var solution = PowerSolution()
    /// Floors to fulls, and least caps to floors.
    private var upper = PowerProblem()
    private var lower = PowerProblem()
    /// What each GPU may get at most under the plan.
    private var ceiling: [UInt32] = []

    /// A node's devices.
    ///
    /// - Parameters:
    ///   - minimumCapMilliwatts: the lowest cap that each device accepts.
    ///   - maximumCapMilliwatts: the highest, one entry for each device as well.
    package init(minimumCapMilliwatts: [UInt32], maximumCapMilliwatts: [UInt32]) {
        precondition(minimumCapMilliwatts.count == maximumCapMilliwatts.count)
        self.minimumCapMilliwatts = minimumCapMilliwatts
        self.maximumCapMilliwatts = maximumCapMilliwatts
    }

    /// The number of GPUs.
    package var gpuCount: Int { minimumCapMilliwatts.count }

    /// Takes a new plan.
    ///
    /// - Returns: false, and nothing changes, when the plan is malformed or for another number of GPUs.
    package mutating func adopt(_ plan: NodeSharePlan) -> Bool {
        guard plan.isWellFormed, plan.gpuCount == gpuCount else { return false }
        upper.removeAll()
        lower.removeAll()
        ceiling.removeAll(keepingCapacity: true)
        upper.addDomain(parent: -1, budgetMilliwatts: 0)
        lower.addDomain(parent: -1, budgetMilliwatts: 0)
        for gpu in 0..<gpuCount { add(gpu, of: plan) }
        return true
    }

    /// Lowers or restores what one GPU can use now, between plans, as its load moves.
    ///
    /// The plan's ceiling still bounds it.
    package mutating func setFull(gpu: Int, milliwatts fullMilliwatts: UInt32) {
        upper.gpuFullMilliwatts[gpu] = min(fullMilliwatts, ceiling[gpu])
    }

    /// Shares a cap.
    ///
    /// - Parameters:
    ///   - cap: what all GPUs together may draw.
    ///   - caps: the result, one entry for each GPU in milliwatts. Their sum is at most `cap`, except
    ///     with `.belowDevices`.
    /// - Returns: whether floors, or only the devices' least caps, are kept.
    package mutating func share(
        _ cap: Milliwatts, into caps: inout [UInt32]
    ) -> NodeShareOutcome {
        let budget = min(cap.rawValue, PowerProblem.maximumBudgetMilliwatts)
        upper.domainBudgetMilliwatts[0] = budget
        caps.removeAll(keepingCapacity: true)
        if solver.solve(upper, into: &solution) == .optimal {
            caps.append(contentsOf: solution.capMilliwatts)
            return .aboveFloors
        }
        lower.domainBudgetMilliwatts[0] = budget
        if solver.solve(lower, into: &solution) == .optimal {
            caps.append(contentsOf: solution.capMilliwatts)
            return .belowFloors
        }
        caps.append(contentsOf: minimumCapMilliwatts)
        return .belowDevices
    }

    // MARK: - Private

    /// Adds a GPU to both problems; the number of a gang is that of its first GPU.
    private mutating func add(_ gpu: Int, of plan: NodeSharePlan) {
        let (least, most) = (minimumCapMilliwatts[gpu], maximumCapMilliwatts[gpu])
        let floor = min(max(plan.floorMilliwatts[gpu], least), most)
        let top = min(min(plan.fullMilliwatts[gpu], plan.ceilingMilliwatts[gpu]), most)
        ceiling.append(min(plan.ceilingMilliwatts[gpu], most))
        let gang = gang(of: gpu, plan)
        upper.addGPU(floorMilliwatts: floor, fullMilliwatts: top, leaves: [0], gang: gang)
        lower.addGPU(floorMilliwatts: least, fullMilliwatts: floor, leaves: [0], gang: gang)
    }

    private mutating func gang(of gpu: Int, _ plan: NodeSharePlan) -> Int32 {
        if plan.gang[gpu] != 0 {
            for earlier in 0..<gpu where plan.gang[earlier] == plan.gang[gpu] {
                return upper.gpuGang[earlier]
            }
        }
        lower.addGang(priority: plan.priority[gpu], weight: plan.weight[gpu])
        return upper.addGang(priority: plan.priority[gpu], weight: plan.weight[gpu])
    }
}
