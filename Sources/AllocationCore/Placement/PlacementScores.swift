// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The scores of nodes for kinds of tasks, kept from decision to decision.
///
/// A score depends on the node and the kind of task only, so it is worked out again only for nodes that
/// changed: a log names them, and each kind of task reads the log from where it last stopped. Forgetting
/// any of it changes no answer.
struct PlacementScores: Sendable {
    /// The most kinds of tasks kept; at one more all are forgotten.
    static let maximumShapeCount = 256
    /// The score of a node that does not take the task, power left out.
    static let unfit: Int16 = -1

    /// What makes two tasks of one kind.
    struct ShapeKey: Hashable, Sendable {
        var task: TaskRequest
        var models: [String]
        var sites: [String]
        var selector: [String: String]
        var floor: Milliwatts?
        var isFullPace: Bool

        init(_ spec: JobSpec) {
            task = spec.task
            models = spec.models
            sites = spec.sites
            selector = spec.selector
            floor = spec.floor
            isFullPace = spec.isFullPace
        }
    }

    private struct Shape: Sendable {
        var request: PlacementRequest
        var scores: [Int16]
        /// How much of the log is worked in, counted from the log's very start; -1: nothing ever was.
        var cursor: Int
    }

    let policy: PlacementPolicy
    let model: FragmentationModel
    /// What room on GPUs is worth; nil where the policy does not ask.
    let prices: DevicePrices?
    /// What is short besides; nil where the policy does not ask.
    let scarcity: ScarcityModel?
    private var indexOfShape: [ShapeKey: Int] = [:]
    private var shapes: [Shape] = []
    /// The loss of each node, and whether it is up to date.
    private var loss: [Double]
    private var isLossKnown: [Bool]
    /// Nodes that changed, in order; `logStart` entries before it are gone.
    private var log: [Int32] = []
    private var logStart = 0

    init(_ policy: PlacementPolicy, _ mix: WorkloadMix, _ topology: Topology) {
        self.policy = policy
        model = FragmentationModel(mix, topology)
        prices = policy == .busbar ? DevicePrices(mix) : nil
        scarcity = policy == .busbar ? ScarcityModel(mix, topology) : nil
        loss = [Double](repeating: 0, count: topology.nodes.count)
        isLossKnown = [Bool](repeating: false, count: topology.nodes.count)
    }

    /// Notes that what a node has free, or whether it takes jobs, changed.
    mutating func nodeChanged(_ node: Int) {
        isLossKnown[node] = false
        guard !shapes.isEmpty else { return }
        log.append(Int32(node))
        guard log.count > 4 * loss.count + 1024 else { return }
        logStart += log.count
        log.removeAll(keepingCapacity: true)
    }

    /// Notes that any node may have changed.
    mutating func allChanged() {
        for node in isLossKnown.indices { isLossKnown[node] = false }
        for index in shapes.indices { shapes[index].cursor = -1 }
    }

    /// The compiled request of a task seen before.
    func request(_ key: ShapeKey) -> (shape: Int, PlacementRequest)? {
        guard let index = indexOfShape[key] else { return nil }
        return (index, shapes[index].request)
    }

    /// Starts to keep the scores of a kind of task.
    mutating func add(_ key: ShapeKey, _ request: PlacementRequest) -> Int {
        if shapes.count == PlacementScores.maximumShapeCount {
            shapes.removeAll()
            indexOfShape.removeAll()
        }
        let scores = [Int16](repeating: PlacementScores.unfit, count: loss.count)
        shapes.append(Shape(request: request, scores: scores, cursor: -1))
        indexOfShape[key] = shapes.count - 1
        return shapes.count - 1
    }

    /// Calls `body` with the scores of a kind of task, brought up to date.
    mutating func withScores<Result>(
        _ shape: Int, _ fleet: PlacementFleet, _ body: (UnsafeBufferPointer<Int16>) -> Result
    ) -> Result {
        refresh(shape, fleet)
        return shapes[shape].scores.withUnsafeBufferPointer(body)
    }

    private mutating func refresh(_ shape: Int, _ fleet: PlacementFleet) {
        let request = shapes[shape].request
        let cursor = shapes[shape].cursor
        if cursor < logStart || log.count - (cursor - logStart) > fleet.nodeCount {
            for node in 0..<fleet.nodeCount {
                shapes[shape].scores[node] = score(node, request, fleet)
            }
        } else {
            for position in (cursor - logStart)..<log.count {
                let node = Int(log[position])
                shapes[shape].scores[node] = score(node, request, fleet)
            }
        }
        shapes[shape].cursor = logStart + log.count
    }

    // MARK: - Scores

    /// How well a task suits a node: higher is better; ``unfit`` where it does not fit, power left out.
    mutating func score(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> Int16 {
        guard fleet.obstacle(node: node, request) == nil else { return PlacementScores.unfit }
        switch policy {
        case .random: return 0
        case .bestFit: return PlacementScores.bestFit(node, request, fleet)
        case .fragmentation, .busbar: return fragmentation(node, request, fleet).score
        }
    }

    /// `100 (1 - (CPU left / 128 cores + GPUs left / 8) / 2)` rounded down, as an integer of at least 0.
    private static func bestFit(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> Int16 {
        let cpu = Int(fleet.freeCPU[node]) - Int(request.cpuMilli)
        let gpu = Int(fleet.freeMilli[node]) - request.gpuCount * Int(request.gpuMilli)
        // In units of 1/256000: 100 * (256000 - cpu - 16 gpu) / 256000.
        return Int16(max(0, 100 * (256_000 - cpu - 16 * gpu) / 256_000))
    }

    /// The score of the gain in usefulness, and the device of a share that scores best.
    ///
    /// With the policy ``PlacementPolicy/busbar`` the waste of room on the device goes before the gain.
    mutating func fragmentation(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> (score: Int16, device: Int) {
        let type = Int(fleet.nodeType[node])
        let before = loss(of: node, fleet)
        let cpu = fleet.freeCPU[node] - request.cpuMilli
        guard request.isShared else {
            let taken = fleet.firstFreeDevices(node: node, count: request.gpuCount)
            let after = model.loss(
                type: type, freeCPU: cpu, fleet.freeGPUs(node: node, without: taken))
            let gain = gain(before - after, node, request, fleet)
            return (FragmentationModel.score(gain: gain), 0)
        }
        var best: (score: Int16, device: Int) = (PlacementScores.unfit, -1)
        let first = Int(fleet.firstGPU[node])
        var wholeIsTried = false
        for device in 0..<Int(fleet.typeGPUCount[type]) {
            let free = fleet.gpuFreeMilli[first + device]
            // All devices with nothing on them are alike.
            guard free >= request.gpuMilli, free < 1000 || !wholeIsTried else { continue }
            wholeIsTried = wholeIsTried || free == 1000
            var left = fleet.freeGPUs(node: node, without: 1 << UInt64(device))
            left.addDevice(free - request.gpuMilli)
            let after = model.loss(type: type, freeCPU: cpu, left)
            let gain = gain(before - after, node, request, fleet)
            var score = FragmentationModel.score(gain: gain)
            if let prices { score += 100 * prices.wasteScore(size: request.gpuMilli, room: free) }
            if score > best.score { best = (score, device) }
        }
        return best
    }

    /// The gain of a task on a node in GPUs, of what it gains in thousandths by fragmentation alone.
    private func gain(
        _ fragmentation: Double, _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> Double {
        guard let scarcity else { return fragmentation / 1000 }
        let other = scarcity.gain(
            type: Int(fleet.nodeType[node]), freeMilli: Int64(fleet.freeMilli[node]),
            freeCPU: fleet.freeCPU[node],
            taking: Int64(request.gpuCount) * Int64(request.gpuMilli), cpu: request.cpuMilli)
        return (Double(ScarcityModel.fragmentationTenths) * fragmentation + Double(other)) / 10_000
    }

    private mutating func loss(of node: Int, _ fleet: PlacementFleet) -> Double {
        if isLossKnown[node] { return loss[node] }
        loss[node] = model.loss(
            type: Int(fleet.nodeType[node]), freeCPU: fleet.freeCPU[node],
            fleet.freeGPUs(node: node, without: 0))
        isLossKnown[node] = true
        return loss[node]
    }
}

extension PlacementFleet {
    /// The free GPUs of a node, some devices left out.
    func freeGPUs(node: Int, without devices: UInt64) -> FragmentationModel.FreeGPUs {
        var free = FragmentationModel.FreeGPUs()
        let first = Int(firstGPU[node])
        for device in 0..<Int(typeGPUCount[Int(nodeType[node])])
        where devices >> UInt64(device) & 1 == 0 {
            free.addDevice(gpuFreeMilli[first + device])
        }
        return free
    }
}
