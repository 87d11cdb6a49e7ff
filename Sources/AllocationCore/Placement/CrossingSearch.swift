// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// A depth-first search for a gang where domains of several trees cross, bounded by a budget of steps.
///
/// Tasks are alike, so a placement is a number of tasks for each node; on one node the cheapest devices
/// go first, which no other choice of as many tasks beats. Nodes that are alike in every respect take
/// non-increasing numbers.
struct CrossingSearch {
    /// Steps of one search, over all its scopes: some milliseconds.
    static let stepBudget = 20_000

    private let request: PlacementRequest
    /// How many tasks may lie together, if the gang is spread over a level.
    var spread: SpreadCounts?
    private var stepsLeft = CrossingSearch.stepBudget
    private var nodes: [Int] = []
    /// By position in `nodes`: whether the node is like the one before it.
    private var isLikePrevious: [Bool] = []
    /// By position: how many tasks it and all after it can take, power left out.
    private var capacityFrom: [Int] = []
    private var taken: [TaskPlacement] = []

    /// True when the budget ran out before the search was complete.
    private(set) var isExhausted = false

    init(_ request: PlacementRequest) { self.request = request }

    /// Looks for the whole gang on some nodes; the fleet is as before when it returns.
    mutating func run(
        _ fleet: inout PlacementFleet, _ candidates: [Int], _ capacities: [Int32]
    ) -> [TaskPlacement]? {
        nodes = candidates.sorted { CrossingSearch.key(fleet, $0) < CrossingSearch.key(fleet, $1) }
        isLikePrevious = nodes.indices.map {
            $0 > 0 && CrossingSearch.areAlike(fleet, nodes[$0], nodes[$0 - 1])
        }
        capacityFrom = [Int](repeating: 0, count: nodes.count + 1)
        for position in stride(from: nodes.count - 1, through: 0, by: -1) {
            capacityFrom[position] = capacityFrom[position + 1] + Int(capacities[nodes[position]])
        }
        taken.removeAll()
        let budget = GangBudget(fleet)
        guard descend(&fleet, budget, at: 0, previousCount: .max) else { return nil }
        let found = taken
        giveBack(&fleet, downTo: 0)
        return found
    }

    private mutating func descend(
        _ fleet: inout PlacementFleet, _ budget: GangBudget, at position: Int, previousCount: Int
    ) -> Bool {
        if taken.count == request.taskCount { return true }
        guard position < nodes.count,
            capacityFrom[position] >= request.taskCount - taken.count
        else { return false }
        guard stepsLeft > 0 else {
            isExhausted = true
            return false
        }
        stepsLeft -= 1
        let before = taken.count
        let limit = isLikePrevious[position] ? previousCount : .max
        while taken.count - before < limit, taken.count < request.taskCount,
            takeOne(&fleet, budget, nodes[position], isFirst: taken.count == before)
        {}
        // From the most tasks that this node takes down to none.
        while true {
            let count = taken.count - before
            if descend(&fleet, budget, at: position + 1, previousCount: count) { return true }
            guard count > 0 else { return false }
            giveBack(&fleet, downTo: taken.count - 1)
        }
    }

    private mutating func takeOne(
        _ fleet: inout PlacementFleet, _ budget: GangBudget, _ node: Int, isFirst: Bool
    ) -> Bool {
        guard isFirst || !request.isSpread, spread?.isOpen(node) != false,
            fleet.obstacle(node: node, request) == nil,
            let devices = fleet.cheapestDevices(node: node, request)
        else { return false }
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        let growth = fleet.chargeGrowth(node: node, floorSum: sum)
        guard budget.fits(fleet, node: node, growth: growth) else { return false }
        let task = TaskPlacement(node: NodeIndex(node), devices: PlacementFleet.devices(devices))
        fleet.take(request, node: node, devices: task.devices)
        taken.append(task)
        spread?.add(node, 1)
        return true
    }

    private mutating func giveBack(_ fleet: inout PlacementFleet, downTo count: Int) {
        while taken.count > count {
            let task = taken.removeLast()
            spread?.add(task.node.position, -1)
            fleet.take(request, node: task.node.position, devices: task.devices, giveBack: true)
        }
    }

    // MARK: - Alike nodes

    /// Brings nodes that may be alike together.
    private static func key(_ fleet: PlacementFleet, _ node: Int) -> (Int32, Int32, Int64, Int) {
        let domains = fleet.domains(of: node)
        let leaf = domains.isEmpty ? -1 : fleet.nodeDomains[domains.lowerBound]
        return (leaf, fleet.nodeType[node], fleet.floorSum[node], node)
    }

    private static func areAlike(_ fleet: PlacementFleet, _ left: Int, _ right: Int) -> Bool {
        guard fleet.nodeType[left] == fleet.nodeType[right],
            fleet.freeCPU[left] == fleet.freeCPU[right],
            fleet.freeMemory[left] == fleet.freeMemory[right],
            fleet.freeDevices[left] == fleet.freeDevices[right],
            fleet.minimumCharge[left] == fleet.minimumCharge[right],
            fleet.nodeDomains[fleet.domains(of: left)]
                .elementsEqual(fleet.nodeDomains[fleet.domains(of: right)])
        else { return false }
        let (leftFirst, rightFirst) = (Int(fleet.firstGPU[left]), Int(fleet.firstGPU[right]))
        for device in 0..<Int(fleet.typeGPUCount[Int(fleet.nodeType[left])]) {
            guard
                fleet.gpuFreeMilli[leftFirst + device] == fleet.gpuFreeMilli[rightFirst + device],
                fleet.gpuHeldFloor[leftFirst + device] == fleet.gpuHeldFloor[rightFirst + device]
            else { return false }
        }
        return true
    }
}
