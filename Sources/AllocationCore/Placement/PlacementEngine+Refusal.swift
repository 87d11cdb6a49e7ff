// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Why not, and what would have to change.
extension PlacementEngine {
    mutating func refusal(
        _ spec: JobSpec, _ request: PlacementRequest, tasksThatFit: Int, _ isExplaining: Bool
    ) -> PlacementRefusal {
        var refusal = PlacementRefusal(tasksThatFit: UInt32(tasksThatFit))
        (refusal.reasons, refusal.shortfalls) = countReasons(request)
        if tasksThatFit > 0 { refusal.shortfalls = shortfallsOfNextTask(request) }
        if isExplaining { refusal.fitsIf = changes(spec, request.uncached, refusal) }
        return refusal
    }

    // MARK: - Reasons

    private mutating func countReasons(
        _ request: PlacementRequest
    ) -> ([PlacementReason], [PlacementShortfall]) {
        var counts: [(PlacementObstacle, Int)] = []
        var missing = [Int64](repeating: 0, count: topology.domains.count)
        for node in 0..<fleet.nodeCount {
            guard
                let obstacle = fleet.obstacle(node: node, request)
                    ?? powerObstacle(node, request, &missing)
            else { continue }
            if let index = counts.firstIndex(where: { $0.0 == obstacle }) {
                counts[index].1 += 1
            } else {
                counts.append((obstacle, 1))
            }
        }
        counts.sort { $0.0.testOrder < $1.0.testOrder }
        let shortfalls = missing.indices.filter { missing[$0] > 0 }
            .map {
                PlacementShortfall(domain: DomainIndex($0), missing: Milliwatts(missing[$0]))
            }
            .sorted { ($1.missing, $0.domain) < ($0.missing, $1.domain) }
        return (
            counts.map { PlacementReason(obstacle: $0.0, nodeCount: $0.1) },
            Array(shortfalls.prefix(PlacementEngine.maximumShortfallCount))
        )
    }

    /// What the domains lack once as many tasks of a gang are on as fit.
    private mutating func shortfallsOfNextTask(
        _ request: PlacementRequest
    ) -> [PlacementShortfall] {
        let capacities = taskCapacities(request).byNode
        let scope = GangScope(domain: -1, isCheapestFirst: true)
        let tasks = takeTasks(request, scope, capacities)
        // Watts for all of it: levels are what stops it, and no domain lacks anything.
        guard tasks.count < request.taskCount else { return [] }
        let oldIneligibility = fleet.ineligibility
        defer { fleet.ineligibility = oldIneligibility }
        for task in tasks {
            // The next task of a spread gang needs another node.
            if request.isSpread {
                fleet.ineligibility[task.node.position] = NodeIneligibility.cordoned.rawValue
            }
            fleet.take(request, node: task.node.position, devices: task.devices)
        }
        let shortfalls = countReasons(request).1
        for task in tasks.reversed() {
            fleet.take(request, node: task.node.position, devices: task.devices, giveBack: true)
        }
        return shortfalls
    }

    /// `.power` when one more task does not fit the node's domains; notes the least that each lacks.
    private mutating func powerObstacle(
        _ node: Int, _ request: PlacementRequest, _ missing: inout [Int64]
    ) -> PlacementObstacle? {
        guard request.gpuCount > 0, devices(node: node, request) == nil else { return nil }
        let devices =
            request.isShared
            ? fleet.cheapestDevice(node: node, request).map { 1 << UInt64($0) } ?? 0
            : fleet.firstFreeDevices(node: node, count: request.gpuCount)
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        let growth = fleet.chargeGrowth(node: node, floorSum: sum)
        for position in fleet.domains(of: node) {
            let domain = fleet.nodeDomains[position]
            let lacking =
                growth + fleet.domainCharge[Int(domain)] - fleet.domainBudget[Int(domain)]
            guard lacking > 0 else { continue }
            let known = missing[Int(domain)]
            missing[Int(domain)] = known == 0 ? lacking : min(known, lacking)
        }
        return .power
    }

    // MARK: - Counterfactuals

    /// Tries single changes, easiest first, and lists those after which the job fits.
    private mutating func changes(
        _ spec: JobSpec, _ request: PlacementRequest, _ refusal: PlacementRefusal
    ) -> [PlacementChange] {
        var changes: [PlacementChange] = []
        if refusal.tasksThatFit > 0 { changes.append(.fewerTasks(refusal.tasksThatFit)) }
        let relaxations: [(PlacementRelaxation, Bool, PlacementChange)] = [
            (.spread, spec.isSpread && spec.taskCount > 1, .sharedNodes),
            (.level, spec.requiredLevel != nil && spec.taskCount > 1, .noRequiredLevel),
            (.levelSpread, spec.levelSpread?.maximumTasks != nil, .noLevelSpread),
            (.model, !spec.models.isEmpty && spec.task.gpuCount > 0, .anyModel),
            (.site, !spec.sites.isEmpty, .anySite),
            (.selector, !spec.selector.isEmpty, .noSelector),
        ]
        for (relaxation, applies, change) in relaxations where applies {
            let relaxed = PlacementRequest(
                spec, topology, levels: levels, leavingOut: relaxation)
            if search(relaxed).isPlaced { changes.append(change) }
        }
        if let floor = floorThatFits(spec, request) { changes.append(.lowerFloor(floor)) }
        for shortfall in refusal.shortfalls where fits(request, adding: shortfall) {
            changes.append(.morePower(shortfall))
        }
        for reason in NodeIneligibility.allCases where fits(request, withNodesBack: reason) {
            changes.append(.nodesBack(reason))
        }
        if fitsWithoutJobs(request) { changes.append(.jobsEnd) }
        return changes
    }

    /// The largest floor per GPU at which the job fits; nil when power is not what stops it.
    ///
    /// Complexity: one search per bit of the floor.
    private mutating func floorThatFits(
        _ spec: JobSpec, _ request: PlacementRequest
    ) -> Milliwatts? {
        guard request.gpuCount > 0 else { return nil }
        var tried = spec
        tried.isFullPace = false
        func fits(_ floor: Int64, _ engine: inout PlacementEngine) -> Bool {
            // Compiled anew: a floor also decides which models can carry it.
            tried.floor = Milliwatts(floor)
            let request = PlacementRequest(tried, engine.topology, levels: engine.levels)
            return engine.search(request).isPlaced
        }
        guard fits(1, &self) else { return nil }
        // Invariant: fits at `low`, does not at `high`.
        var low: Int64 = 1
        var high = request.floorMilliwatts.max() ?? 1
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if fits(middle, &self) { low = middle } else { high = middle }
        }
        return Milliwatts(low)
    }

    private mutating func fits(
        _ request: PlacementRequest, adding shortfall: PlacementShortfall
    ) -> Bool {
        let domain = shortfall.domain.position
        let old = fleet.domainBudget[domain]
        defer { fleet.domainBudget[domain] = old }
        fleet.domainBudget[domain] = old + shortfall.missing.rawValue
        return search(request).isPlaced
    }

    private mutating func fits(
        _ request: PlacementRequest, withNodesBack reason: NodeIneligibility
    ) -> Bool {
        guard fleet.ineligibility.contains(reason.rawValue) else { return false }
        let old = fleet.ineligibility
        defer { fleet.ineligibility = old }
        for node in old.indices where old[node] == reason.rawValue {
            fleet.ineligibility[node] = PlacementFleet.isEligible
        }
        return search(request).isPlaced
    }

    private mutating func fitsWithoutJobs(_ request: PlacementRequest) -> Bool {
        guard jobs.count > 0 else { return false }
        let oldFleet = fleet
        defer { fleet = oldFleet }
        fleet.removeAllTasks()
        return search(request).isPlaced
    }
}

extension PlacementObstacle {
    /// The place of the test among the tests.
    fileprivate var testOrder: Int {
        switch self {
        case .ineligible(let reason): Int(reason.rawValue)
        case .site: 10
        case .model: 11
        case .selector: 12
        case .tooSmall: 13
        case .gpus: 14
        case .cpu: 15
        case .memory: 16
        case .power: 17
        }
    }
}
