// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import FleetModel

// What each node is told about sharing its cap.
extension SitePowerLoop {
    /// Ceilings that move by less than this, in milliwatts, are not worth a message.
    private static let ceilingTolerance: UInt32 = 2000

    /// Makes a node's plan, and keeps it when it says something new.
    ///
    /// - Returns: true when the node must be told.
    mutating func updatePlan(_ local: Int) -> Bool {
        var plan = NodeSharePlan.empty
        let first = firstGPU[local]
        for gpu in gpus(ofLocal: local) {
            let gang = Int(problem.gpuGang[gpu])
            let floor = problem.gpuFloorMilliwatts[gpu]
            let full = max(problem.gpuFullMilliwatts[gpu], floor)
            let isSpread = gang >= 0 && isGangSpread[gang]
            plan.floorMilliwatts.append(floor)
            plan.fullMilliwatts.append(full)
            plan.ceilingMilliwatts.append(isSpread ? solvedCap(gpu) : full)
            plan.priority.append(gang < 0 ? 0 : problem.gangPriority[gang])
            plan.weight.append(gang < 0 ? 1 : problem.gangWeight[gang])
            plan.gang.append(gang < 0 ? 0 : number(ofGang: gang, from: first))
        }
        if planRevision[local] > 0, SitePowerLoop.says(plans[local], asMuchAs: plan) {
            return false
        }
        plans[local] = plan
        planRevision[local] += 1
        return true
    }

    /// A gang's number on a node: one more than the place of its first GPU there, so that it does not
    /// change with jobs elsewhere.
    private func number(ofGang gang: Int, from first: Int) -> UInt32 {
        var gpu = first
        while Int(problem.gpuGang[gpu]) != gang { gpu += 1 }
        return UInt32(gpu - first + 1)
    }

    /// True when a node that follows `old` need not be told of `new`: only ceilings differ, and none
    /// by much.
    private static func says(_ old: NodeSharePlan, asMuchAs new: NodeSharePlan) -> Bool {
        guard old.floorMilliwatts == new.floorMilliwatts,
            old.fullMilliwatts == new.fullMilliwatts, old.priority == new.priority,
            old.weight == new.weight, old.gang == new.gang
        else { return false }
        return zip(old.ceilingMilliwatts, new.ceilingMilliwatts).allSatisfy { before, after in
            max(before, after) - min(before, after) < ceilingTolerance
        }
    }
}

extension NodeSharePlan {
    /// A plan for no GPU.
    static var empty: NodeSharePlan {
        NodeSharePlan(
            floorMilliwatts: [], fullMilliwatts: [], ceilingMilliwatts: [], priority: [],
            weight: [], gang: [])
    }
}
