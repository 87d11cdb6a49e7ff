// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension PlacementEngine {
    /// Decides where a job would go.
    ///
    /// Nothing is held.
    ///
    /// - Parameters:
    ///   - spec: the job; a malformed one (``problem(in:)``) breaks a precondition.
    ///   - isExplaining: whether a refusal is to carry counterfactuals too, which cost some dozen further
    ///     searches. Reasons, which cost one pass over the fleet, it carries always.
    /// - Returns: one placement per task, or why not.
    package mutating func place(
        _ spec: JobSpec, explaining isExplaining: Bool = true
    ) -> PlacementOutcome {
        precondition(
            PlacementEngine.problem(in: spec) == nil,
            "job '\(spec.name)' \(PlacementEngine.problem(in: spec) ?? "")")
        let request = request(kind(spec))
        switch search(request) {
        case .placed(let placement): return .placed(placement)
        case .refused(let count):
            return .refused(refusal(spec, request, tasksThatFit: count, isExplaining))
        case .undecided(let count):
            return .undecided(refusal(spec, request, tasksThatFit: count, isExplaining))
        }
    }

    /// Decides where a job would go and does not say why not: as ``place(_:explaining:)``, and nil
    /// for whatever is not placed.
    ///
    /// Refusals cost least this way.
    package mutating func placement(for spec: JobSpec) -> [TaskPlacement]? {
        precondition(
            PlacementEngine.problem(in: spec) == nil,
            "job '\(spec.name)' \(PlacementEngine.problem(in: spec) ?? "")")
        guard case .placed(let placement) = search(request(kind(spec))) else { return nil }
        return placement
    }

    /// Decides where a job of a kind would go.
    ///
    /// Nothing is held. Allocates nothing in the steady state, unless the job is a gang.
    ///
    /// - Parameters:
    ///   - kind: what ``prepare(_:)`` returned.
    ///   - plan: takes the placement; no tasks when there is none.
    /// - Returns: true when it was placed.
    @discardableResult
    package mutating func place(_ kind: PlacementKind, into plan: inout PlacementPlan) -> Bool {
        let request = request(kind.index)
        plan.kind = kind
        plan.tasks.removeAll(keepingCapacity: true)
        if request.taskCount == 1 {
            guard !request.hasUnknownLevel, let choice = bestNode(request) else { return false }
            plan.tasks.append(PlannedTask(node: Int32(choice.node), devices: choice.devices))
            return true
        }
        if isPackable(request), !request.hasUnknownLevel {
            switch searchPacked(request) {
            case .placed:
                plan.tasks.append(contentsOf: packed.tasks)
                return true
            case .refused: return false
            case .open: break
            }
        }
        guard case .placed(let tasks) = searchThorough(request) else { return false }
        for task in tasks { plan.tasks.append(PlannedTask(task)) }
        return true
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
        guard request.taskCount == 1 else {
            guard request.wishes.isPlain else { return searchLevels(request) }
            if isPackable(request), case .placed = searchPacked(request) {
                return .placed(packed.tasks.map(\.placement))
            }
            return searchGang(request)
        }
        guard let choice = bestNode(request) else { return .refused(tasksThatFit: 0) }
        let node = NodeIndex(choice.node)
        return .placed([
            TaskPlacement(node: node, devices: PlacementFleet.devices(choice.devices))
        ])
    }

    /// Searches for a job that ``searchPacked(_:)`` has left open or does not search for.
    private mutating func searchThorough(_ request: PlacementRequest) -> SearchResult {
        guard isPackable(request), !request.hasUnknownLevel else { return search(request) }
        return searchCrossing(request, taskCapacities(request), tasksThatFit: 0)
    }

    /// A node for one task, and the devices it takes.
    struct NodeChoice {
        var node: Int
        var devices: UInt64
    }

    /// The best node for one task, in the whole fleet; the first of equals.
    mutating func bestNode(_ request: PlacementRequest) -> NodeChoice? {
        if case .random = scores.policy { return randomNode(request) }
        guard request.shape >= 0 else { return bestNodeUncached(request) }
        return bestNodeIndexed(request)
    }

    /// As ``bestNode(_:)``, for requests that differ from any job.
    private mutating func bestNodeUncached(_ request: PlacementRequest) -> NodeChoice? {
        var best: NodeChoice?
        var bestScore = PlacementScores.unfit
        for node in 0..<fleet.nodeCount {
            let score = scores.score(node, request, fleet)
            guard score > bestScore, let devices = devices(node: node, request) else { continue }
            best = NodeChoice(node: node, devices: devices)
            bestScore = score
        }
        return best
    }

    private mutating func randomNode(_ request: PlacementRequest) -> NodeChoice? {
        var choices: [NodeChoice] = []
        for node in 0..<fleet.nodeCount where fleet.obstacle(node: node, request) == nil {
            guard let devices = devices(node: node, request) else { continue }
            choices.append(NodeChoice(node: node, devices: devices))
        }
        guard !choices.isEmpty else { return nil }
        return choices[Int(nextRandom() % UInt64(choices.count))]
    }

    /// SplitMix64.
    private mutating func nextRandom() -> UInt64 {
        randomState &+= 0x9E37_79B9_7F4A_7C15
        var mixed = randomState
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// The devices that a task takes on a node that passes every other test; nil when the floors fit
    /// no choice.
    mutating func devices(node: Int, _ request: PlacementRequest) -> UInt64? {
        if request.gpuCount == 0 { return 0 }
        guard request.isShared else {
            let devices = fleet.firstFreeDevices(node: node, count: request.gpuCount)
            return fitsPower(node, request, devices) ? devices : nil
        }
        if let preferred = preferredDevice(node: node, request) {
            let devices: UInt64 = 1 << UInt64(preferred)
            if fitsPower(node, request, devices) { return devices }
        }
        guard let cheapest = fleet.cheapestDevice(node: node, request) else { return nil }
        let devices: UInt64 = 1 << UInt64(cheapest)
        return fitsPower(node, request, devices) ? devices : nil
    }

    /// The device that the policy likes best for a share.
    private mutating func preferredDevice(node: Int, _ request: PlacementRequest) -> Int? {
        switch scores.policy {
        case .bestFit: return fleet.tightestDevice(node: node, request)
        case .fragmentation, .busbar:
            return scores.fragmentation(node, request, fleet).device
        case .random:
            let first = Int(fleet.firstGPU[node])
            let count = Int(fleet.typeGPUCount[Int(fleet.nodeType[node])])
            let fitting = (0..<count).filter {
                fleet.gpuFreeMilli[first + $0] >= request.gpuMilli
            }
            return fitting.isEmpty ? nil : fitting[Int(nextRandom() % UInt64(fitting.count))]
        }
    }

    private func fitsPower(_ node: Int, _ request: PlacementRequest, _ devices: UInt64) -> Bool {
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        return fleet.fits(node: node, growth: fleet.chargeGrowth(node: node, floorSum: sum))
    }
}
