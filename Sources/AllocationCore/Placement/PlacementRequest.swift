// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// A job compiled against a topology: names became bits.
struct PlacementRequest: Hashable, Sendable {
    var taskCount: Int
    var gpuCount: Int
    /// Thousandths of each GPU; 0 for a CPU-only task.
    var gpuMilli: UInt16
    var cpuMilli: UInt32
    var memoryMiB: UInt32
    var isSpread: Bool
    /// By node type: the first of the static tests that every node of the type fails, if any.
    var typeObstacle: [StaticObstacle]
    /// By site: whether the job may run there.
    var siteAllowed: [Bool]
    /// By node type: the promised cap per whole GPU in milliwatts.
    var floorMilliwatts: [Int64]
    /// Position of the required level in the fleet's level names, or -1.
    var requiredLevel: Int
    /// True when the job names a level that the topology does not have.
    var hasUnknownLevel: Bool
    /// What the gang wants of levels beyond the required one.
    var wishes = LevelWishes()
    /// Where the scores of its tasks are kept, or -1.
    var shape = -1
    /// Which scores ``shape`` refers to: those of another time are gone.
    var shapeEpoch = 0

    /// The same without kept scores: for searches in a fleet that is changed on trial.
    var uncached: PlacementRequest {
        var request = self
        request.shape = -1
        return request
    }

    /// True for a share of one GPU.
    var isShared: Bool { gpuCount == 1 && gpuMilli < 1000 }

    enum StaticObstacle: UInt8, Hashable, Sendable { case none, model, selector, tooSmall }
}

/// Which of a job's own conditions to leave out, for counterfactuals.
struct PlacementRelaxation: OptionSet, Hashable, Sendable {
    var rawValue: UInt8
    static let model = PlacementRelaxation(rawValue: 1)
    static let site = PlacementRelaxation(rawValue: 2)
    static let selector = PlacementRelaxation(rawValue: 4)
    static let level = PlacementRelaxation(rawValue: 8)
    static let spread = PlacementRelaxation(rawValue: 16)
    static let levelSpread = PlacementRelaxation(rawValue: 32)
}

extension PlacementRequest {
    /// Compiles a well-formed job.
    init(
        _ spec: JobSpec, _ topology: Topology, levels: [String],
        leavingOut relaxation: PlacementRelaxation = []
    ) {
        taskCount = Int(spec.taskCount)
        gpuCount = Int(spec.task.gpuCount)
        gpuMilli = spec.task.gpuCount == 0 ? 0 : spec.task.gpuMilli
        cpuMilli = spec.task.cpuMilli
        memoryMiB = spec.task.memoryMiB
        isSpread = spec.isSpread && !relaxation.contains(.spread)
        siteAllowed = topology.sites.map {
            spec.sites.isEmpty || relaxation.contains(.site) || spec.sites.contains($0.name)
        }
        floorMilliwatts = topology.nodeTypes.map {
            spec.floor(on: topology.gpuModels[$0.model.position]).rawValue
        }
        typeObstacle = topology.nodeTypes.map {
            PlacementRequest.obstacle(of: $0, spec, topology, relaxation)
        }
        requiredLevel = -1
        hasUnknownLevel = false
        if let level = spec.requiredLevel, !relaxation.contains(.level) {
            requiredLevel = levels.firstIndex(of: level) ?? -1
            hasUnknownLevel = requiredLevel < 0
        }
        wishes = LevelWishes(spec, levels: levels, leavingOut: relaxation)
        if wishes.hasUnknownLevel { hasUnknownLevel = true }
    }

    private static func obstacle(
        of type: NodeType, _ spec: JobSpec, _ topology: Topology, _ relaxation: PlacementRelaxation
    ) -> StaticObstacle {
        if spec.task.gpuCount > 0 {
            let model = topology.gpuModels[type.model.position]
            let isNamed = spec.models.isEmpty || spec.models.contains(model.name)
            guard isNamed || relaxation.contains(.model) else { return .model }
            guard spec.floor(on: model) <= model.maximumCap else { return .model }
        }
        if !relaxation.contains(.selector) {
            // Order does not matter here: every label must match.
            for (key, value) in spec.selector where type.labels[key] != value { return .selector }
        }
        let fits =
            type.gpuCount >= spec.task.gpuCount && type.cpuMilli >= spec.task.cpuMilli
            && type.memoryMiB >= spec.task.memoryMiB
        return fits ? .none : .tooSmall
    }
}
