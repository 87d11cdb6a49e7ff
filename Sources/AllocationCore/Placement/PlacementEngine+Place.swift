// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension PlacementEngine {
    /// Decides where a job would go.
    ///
    /// Nothing is held.
    ///
    /// - Parameters:
    ///   - spec: the job; a malformed one (``problem(in:)``) breaks a precondition.
    ///   - isExplaining: whether a refusal is to carry its counterfactuals, which cost further searches.
    /// - Returns: one placement per task, or why not.
    package mutating func place(
        _ spec: JobSpec, explaining isExplaining: Bool = true
    ) -> PlacementOutcome {
        precondition(
            PlacementEngine.problem(in: spec) == nil,
            "job '\(spec.name)' \(PlacementEngine.problem(in: spec) ?? "")")
        let request = PlacementRequest(spec, topology, levels: levels)
        switch search(request) {
        case .placed(let placement): return .placed(placement)
        case .refused(let count):
            return .refused(refusal(spec, request, tasksThatFit: count, isExplaining))
        case .undecided(let count):
            return .undecided(refusal(spec, request, tasksThatFit: count, isExplaining))
        }
    }

    /// The result of a search; counts are the most tasks found to fit together.
    enum SearchResult {
        case placed([TaskPlacement])
        case refused(tasksThatFit: Int)
        case undecided(tasksThatFit: Int)

        var isPlaced: Bool {
            if case .placed = self { return true }
            return false
        }
    }

    /// Searches without explaining.
    mutating func search(_ request: PlacementRequest) -> SearchResult {
        if request.hasUnknownLevel { return .refused(tasksThatFit: 0) }
        guard request.taskCount == 1 else { return searchGang(request) }
        guard let choice = bestNode(request) else { return .refused(tasksThatFit: 0) }
        let node = NodeIndex(choice.node)
        return .placed([
            TaskPlacement(node: node, devices: PlacementFleet.devices(choice.devices))
        ])
    }

    /// A node for one task, and the devices it takes.
    struct NodeChoice {
        var node: Int
        var devices: UInt64
    }

    /// The best node for one task, in the whole fleet.
    func bestNode(_ request: PlacementRequest) -> NodeChoice? {
        var best: NodeChoice?
        var bestScore = Int.min
        for node in 0..<fleet.nodeCount {
            guard fleet.obstacle(node: node, request) == nil else { continue }
            let score = score(node: node, request)
            guard score > bestScore, let devices = devices(node: node, request) else { continue }
            best = NodeChoice(node: node, devices: devices)
            bestScore = score
        }
        return best
    }

    /// The devices that a task takes on a node that passes every other test; nil when the floors fit
    /// no choice.
    func devices(node: Int, _ request: PlacementRequest) -> UInt64? {
        if request.gpuCount == 0 { return 0 }
        guard request.isShared else {
            let devices = fleet.firstFreeDevices(node: node, count: request.gpuCount)
            return fitsPower(node, request, devices) ? devices : nil
        }
        if let tightest = fleet.tightestDevice(node: node, request) {
            let devices: UInt64 = 1 << UInt64(tightest)
            if fitsPower(node, request, devices) { return devices }
        }
        guard let cheapest = fleet.cheapestDevice(node: node, request) else { return nil }
        let devices: UInt64 = 1 << UInt64(cheapest)
        return fitsPower(node, request, devices) ? devices : nil
    }

    private func fitsPower(_ node: Int, _ request: PlacementRequest, _ devices: UInt64) -> Bool {
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        return fleet.fits(node: node, growth: fleet.chargeGrowth(node: node, floorSum: sum))
    }

    /// How well a task suits a node: less left over is better.
    func score(node: Int, _ request: PlacementRequest) -> Int {
        let gpus = Int(fleet.freeMilli[node]) - request.gpuCount * Int(request.gpuMilli)
        let cpu = Int(fleet.freeCPU[node]) - Int(request.cpuMilli)
        // A GPU of 8 weighs as much as 16 cores of 128.
        return -(gpus * 16 + cpu)
    }
}
