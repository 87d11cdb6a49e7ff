// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import FleetModel

// What each node is told about sharing its cap.
extension SitePowerLoop {
    /// Ceilings that move by less than this, in milliwatts, are not worth a message.
    private static let ceilingTolerance: UInt32 = 2000

    /// Makes a node's plan when the one it has says too little, and keeps it.
    ///
    /// - Returns: true when the node must be told.
    mutating func updatePlan(_ local: Int) -> Bool {
        let range = gpus(ofLocal: local)
        if planRevision[local] > 0, isCurrent(plans[local], range) { return false }
        var plan = NodeSharePlan.empty
        for gpu in range {
            let entry = planEntry(gpu, first: range.lowerBound)
            plan.floorMilliwatts.append(entry.floor)
            plan.fullMilliwatts.append(entry.full)
            plan.ceilingMilliwatts.append(entry.ceiling)
            plan.priority.append(entry.priority)
            plan.weight.append(entry.weight)
            plan.gang.append(entry.gang)
        }
        plans[local] = plan
        planRevision[local] += 1
        return true
    }

    /// One GPU's part of a plan.
    private struct PlanEntry {
        var floor: UInt32
        var full: UInt32
        var ceiling: UInt32
        var priority: Int32
        var weight: UInt32
        var gang: UInt32
    }

    private func planEntry(_ gpu: Int, first: Int) -> PlanEntry {
        let floor = problem.gpuFloorMilliwatts[gpu]
        let full = max(problem.gpuFullMilliwatts[gpu], floor)
        let gang = Int(problem.gpuGang[gpu])
        guard gang >= 0 else {
            return PlanEntry(
                floor: floor, full: full, ceiling: full, priority: 0, weight: 1, gang: 0)
        }
        return PlanEntry(
            floor: floor, full: full, ceiling: isGangSpread[gang] ? solvedCap(gpu) : full,
            priority: problem.gangPriority[gang], weight: problem.gangWeight[gang],
            gang: number(ofGang: gang, from: first))
    }

    /// True when a node that follows `plan` need not be told more: only ceilings differ, and none by
    /// much.
    private func isCurrent(_ plan: NodeSharePlan, _ range: Range<Int>) -> Bool {
        for (device, gpu) in range.enumerated() {
            let entry = planEntry(gpu, first: range.lowerBound)
            let ceiling = plan.ceilingMilliwatts[device]
            let change = max(ceiling, entry.ceiling) - min(ceiling, entry.ceiling)
            guard plan.floorMilliwatts[device] == entry.floor,
                plan.fullMilliwatts[device] == entry.full, plan.gang[device] == entry.gang,
                plan.priority[device] == entry.priority, plan.weight[device] == entry.weight,
                change < SitePowerLoop.ceilingTolerance
            else { return false }
        }
        return true
    }

    /// A gang's number on a node: one more than the place of its first GPU there, so that it does not
    /// change with jobs elsewhere.
    private func number(ofGang gang: Int, from first: Int) -> UInt32 {
        var gpu = first
        while Int(problem.gpuGang[gpu]) != gang { gpu += 1 }
        return UInt32(gpu - first + 1)
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
