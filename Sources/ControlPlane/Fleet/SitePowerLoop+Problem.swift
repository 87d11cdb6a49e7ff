// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import FleetModel

// From placements and telemetry to the solver's columns.
extension SitePowerLoop {
    /// An estimator that starts every GPU of the site at its model's highest cap.
    static func makeEstimator(_ topology: Topology, _ nodes: [NodeIndex]) -> DemandEstimator {
        var most: [UInt32] = []
        for node in nodes {
            let cap = UInt32(clamping: topology.model(of: node).maximumCap.rawValue)
            most += Array(repeating: cap, count: topology.gpus(of: node).count)
        }
        return DemandEstimator(mostMilliwatts: most)
    }

    /// Makes domains, gangs and GPUs anew from what jobs hold.
    mutating func rebuild(held: HeldFloors) {
        problem.removeAll()
        let treeCount = Int(domains.map { topology.domains[$0.position].tree }.max() ?? 0) + 1
        if problem.treeCount != treeCount { problem = PowerProblem(treeCount: treeCount) }
        for domain in domains {
            let parent = topology.domains[domain.position].parent
            problem.addDomain(
                parent: parent.map { localDomain[$0.position] } ?? -1, budgetMilliwatts: 0)
        }
        gangJob.removeAll(keepingCapacity: true)
        gangOfJob.removeAll(keepingCapacity: true)
        isGangSpread.removeAll(keepingCapacity: true)
        var lastNodeOfGang: [Int] = []
        for (local, node) in nodes.enumerated() {
            let leaves = leafColumn(of: node, treeCount: treeCount)
            for (device, gpu) in topology.gpus(of: node).enumerated() {
                let gang = gang(ofGPU: gpu, held: held, local: local, &lastNodeOfGang)
                let floor = held.floor(ofGPU: gpu, device: device, on: node)
                problem.addGPU(
                    floorMilliwatts: UInt32(clamping: floor.rawValue), fullMilliwatts: 0,
                    leaves: leaves, gang: gang)
                noteHolders(held.holders[gpu], of: problem.gpuCount - 1, node: node)
            }
        }
    }

    /// The leaf domain of a node in each tree, -1 where a tree does not feed it.
    private func leafColumn(of node: NodeIndex, treeCount: Int) -> [Int32] {
        var leaves = [Int32](repeating: -1, count: treeCount)
        for leaf in topology.nodes[node.position].leaves {
            leaves[Int(topology.domains[leaf.position].tree)] = localDomain[leaf.position]
        }
        return leaves
    }

    /// The gang of a GPU: its job's when it is held whole; one of its own when fractions share it,
    /// with the highest class and the highest weight in it; -1 when it is idle.
    private mutating func gang(
        ofGPU gpu: Int, held: HeldFloors, local: Int, _ lastNodeOfGang: inout [Int]
    ) -> Int32 {
        let holders = held.holders[gpu]
        guard let first = holders.first, let traits = held.traits[first] else { return -1 }
        if holders.count == 1, traits.gpuMilli == 1000 {
            if let known = gangOfJob[first] {
                if lastNodeOfGang[Int(known)] != local {
                    isGangSpread[Int(known)] = true
                    lastNodeOfGang[Int(known)] = local
                }
                return known
            }
            let gang = addGang(traits.priority, traits.weight, job: first)
            gangOfJob[first] = gang
            lastNodeOfGang.append(local)
            return gang
        }
        var (priority, weight) = (traits.priority, traits.weight)
        for holder in holders.dropFirst() {
            guard let other = held.traits[holder], other.priority >= priority else { continue }
            weight = other.priority > priority ? other.weight : max(weight, other.weight)
            priority = other.priority
        }
        lastNodeOfGang.append(local)
        return addGang(priority, weight, job: nil)
    }

    private mutating func addGang(_ priority: Int32, _ weight: UInt32, job: JobID?) -> Int32 {
        gangJob.append(job)
        isGangSpread.append(false)
        return problem.addGang(
            priority: priority, weight: min(max(weight, 1), PowerProblem.maximumWeight))
    }

    /// Brings budgets and fulls up to date.
    ///
    /// - Returns: true when the problem is another one than before.
    mutating func refreshDemand(held: HeldFloors, conditions: Conditions, now: Int64) -> Bool {
        estimator.expire(now: now)
        budgetScratch.removeAll(keepingCapacity: true)
        for budget in conditions.budget { budgetScratch.append(budget.rawValue) }
        var hasChanged = false
        for (local, node) in nodes.enumerated() {
            let range = gpus(ofLocal: local)
            let charge = conditions.fixedCharge[local]
            for gpu in range {
                let isLeast = charge != nil || problem.gpuGang[gpu] < 0
                let full = isLeast ? problem.gpuFloorMilliwatts[gpu] : demand(of: gpu)
                if full != problem.gpuFullMilliwatts[gpu] {
                    problem.gpuFullMilliwatts[gpu] = full
                    hasChanged = true
                }
            }
            if let charge { reserveFixed(charge, node: node, range: range) }
        }
        for local in domains.indices
        where problem.domainBudgetMilliwatts[local] != budgetScratch[local] {
            problem.domainBudgetMilliwatts[local] = budgetScratch[local]
            hasChanged = true
        }
        return hasChanged
    }

    /// Takes what a node may hold above its floors out of the budgets of its domains.
    private mutating func reserveFixed(_ charge: Milliwatts, node: NodeIndex, range: Range<Int>) {
        let floors = range.reduce(Int64(0)) { $0 + Int64(problem.gpuFloorMilliwatts[$1]) }
        let excess = charge.rawValue - floors
        guard excess > 0 else { return }
        topology.forEachDomain(of: node) { domain in
            budgetScratch[Int(localDomain[domain.position])] -= excess
        }
    }

    /// Starts a GPU's estimate again from the most when other jobs hold it than before.
    private mutating func noteHolders(_ holders: [JobID], of gpu: Int, node: NodeIndex) {
        guard lastHolders[gpu] != holders else { return }
        lastHolders[gpu] = holders
        let cap = UInt32(clamping: topology.model(of: node).maximumCap.rawValue)
        estimator.reset(gpu: gpu, mostMilliwatts: cap)
        usedDemand[gpu] = cap
    }

    /// The watts at which a held GPU runs at full pace.
    ///
    /// An estimate that rises is taken at once; one that falls only by more than a twentieth, so that
    /// noise moves no caps. Rounded up to whole 5 W for the same reason.
    private mutating func demand(of gpu: Int) -> UInt32 {
        let estimate = estimator.full(gpu: gpu)
        let used = usedDemand[gpu]
        if estimate > used || estimate < used - used / 20 {
            usedDemand[gpu] = (estimate + 4999) / 5000 * 5000
        }
        return usedDemand[gpu]
    }
}
