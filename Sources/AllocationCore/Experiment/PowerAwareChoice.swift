// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Chooses nodes by what placement gains there and by the watts it costs.
///
/// A watt has a price in GPUs of gain. It is highest in the empty fleet and falls to nothing at nine
/// tenths: while there is room, a choice that is a little worse for what comes later can be mended, and
/// watts are saved meanwhile; when the fleet is nearly full, every GPU counts.
struct PowerAwareChoice {
    /// The share of the fleet at which watts cost nothing any more, in tenths.
    static let endTenths = 9
    /// Gains within this many GPUs are equal, and the first node wins.
    private static let grain = 0.04

    /// What one node means for one kind of task.
    private struct Candidate {
        /// Gain in GPUs less the room wasted on the device; nil where the task does not fit.
        var gain: Double?
        var watts = 0
        var devices: [UInt16] = []
    }

    private struct Key: Hashable {
        var task: TaskRequest
        var models: [String]
    }

    private struct Column {
        var request: PlacementRequest
        var candidates: [Candidate]
        /// How many changes it has seen.
        var cursor: Int
    }

    private struct Kind {
        var share: Double
        var kind: WorkloadKind
    }

    private let gpusPerWatt: Double
    private let figures: [(idle: Int, busy: Int)]
    private let kindsOfType: [[Kind]]
    private let scarcity: ScarcityModel
    private let prices: DevicePrices
    private var columnOf: [Key: Int] = [:]
    private var columns: [Column] = []
    private var changed: [Int] = []
    /// Watts of all nodes.
    private(set) var watts: Int

    /// A choice for an empty fleet.
    ///
    /// - Parameters:
    ///   - gpusPerKilowatt: the price of a kilowatt in the empty fleet.
    ///   - mix: the expected work.
    ///   - engine: the fleet; all its models are known to ``ExperimentPower``.
    init(gpusPerKilowatt: Double, _ mix: WorkloadMix, _ engine: PlacementEngine) {
        gpusPerWatt = gpusPerKilowatt / 1000
        let topology = engine.topology
        figures = topology.nodeTypes.map {
            ExperimentPower.watts(model: topology.gpuModels[$0.model.position].name) ?? (0, 0)
        }
        let total = Double(max(1, mix.kinds.reduce(0) { $0 + UInt64($1.share) }))
        kindsOfType = topology.nodeTypes.map { type in
            let model = topology.gpuModels[type.model.position].name
            return mix.kinds
                .filter { $0.gpuCount > 0 && ($0.models.isEmpty || $0.models.contains(model)) }
                .map { Kind(share: Double($0.share) / total, kind: $0) }
        }
        scarcity = ScarcityModel(mix, topology)
        prices = DevicePrices(mix)
        var sum = 0
        for node in 0..<engine.fleet.nodeCount {
            sum += ExperimentPower.watts(
                node: node, engine.fleet, figures[Int(engine.fleet.nodeType[node])])
        }
        watts = sum
    }

    /// Where a pod goes; nil when it fits nowhere.
    ///
    /// - Parameters:
    ///   - spec: the pod.
    ///   - engine: the fleet.
    ///   - load: the share of the fleet's GPUs that is allocated, 0 to 1.
    /// - Returns: its placement.
    mutating func placement(
        for spec: JobSpec, in engine: inout PlacementEngine, load: Double
    ) -> [TaskPlacement]? {
        let price = gpusPerWatt * (1 - load * 10 / Double(PowerAwareChoice.endTenths))
        guard price > 0 else { return engine.placement(for: spec) }
        let column = refreshedColumn(spec, engine)
        var best: Int?
        var bestScore = -Double.infinity
        for (node, candidate) in columns[column].candidates.enumerated() {
            guard let gain = candidate.gain else { continue }
            let value = gain - price * Double(candidate.watts)
            let score = (value / PowerAwareChoice.grain).rounded(.down)
            if score > bestScore { (best, bestScore) = (node, score) }
        }
        guard let best else { return nil }
        let devices = columns[column].candidates[best].devices
        return [TaskPlacement(node: NodeIndex(best), devices: devices)]
    }

    /// Notes that a pod was taken on a node that drew so much before.
    mutating func podPlaced(node: Int, wattsBefore: Int, _ engine: PlacementEngine) {
        watts += wattsOf(node: node, engine) - wattsBefore
        changed.append(node)
    }

    /// Watts of a node as it is.
    func wattsOf(node: Int, _ engine: PlacementEngine) -> Int {
        ExperimentPower.watts(node: node, engine.fleet, figures[Int(engine.fleet.nodeType[node])])
    }

    // MARK: - Private

    private mutating func refreshedColumn(_ spec: JobSpec, _ engine: PlacementEngine) -> Int {
        let key = Key(task: spec.task, models: spec.models)
        guard let column = columnOf[key] else {
            let request = PlacementRequest(spec, engine.topology, levels: engine.levels)
            let candidates = (0..<engine.fleet.nodeCount).map {
                candidate(node: $0, request, engine.fleet)
            }
            columns.append(
                Column(request: request, candidates: candidates, cursor: changed.count))
            columnOf[key] = columns.count - 1
            return columns.count - 1
        }
        for position in columns[column].cursor..<changed.count {
            let node = changed[position]
            columns[column].candidates[node] = candidate(
                node: node, columns[column].request, engine.fleet)
        }
        columns[column].cursor = changed.count
        return column
    }

    private func candidate(
        node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> Candidate {
        guard fleet.obstacle(node: node, request) == nil else { return Candidate() }
        let type = Int(fleet.nodeType[node])
        let first = Int(fleet.firstGPU[node])
        let free = Array(fleet.gpuFreeMilli[first..<(first + Int(fleet.typeGPUCount[type]))])
        let cpu = fleet.freeCPU[node]
        let before = loss(type, cpu, free)
        let other = scarcity.gain(
            type: type, freeMilli: Int64(fleet.freeMilli[node]), freeCPU: cpu,
            taking: Int64(request.gpuCount) * Int64(request.gpuMilli), cpu: request.cpuMilli)
        let packages =
            ExperimentPower.packageWatts(
                cpuMilli: fleet.typeCPU[type], freeCPU: cpu - request.cpuMilli)
            - ExperimentPower.packageWatts(cpuMilli: fleet.typeCPU[type], freeCPU: cpu)
        var best = Candidate()
        for devices in choices(request, free) {
            var after = free
            var (waste, watts) = (0.0, packages)
            for device in devices {
                if free[device] == 1000 { watts += figures[type].busy - figures[type].idle }
                after[device] -= request.gpuMilli
                guard request.isShared else { continue }
                waste = prices.waste(size: request.gpuMilli, room: free[device])
            }
            let fragmentation = before - loss(type, cpu - request.cpuMilli, after)
            let tenths = Double(ScarcityModel.fragmentationTenths) * fragmentation + Double(other)
            let gain = tenths / 10_000 - waste
            guard gain > best.gain ?? -.infinity else { continue }
            best = Candidate(gain: gain, watts: watts, devices: devices.map { UInt16($0) })
        }
        return best
    }

    /// The devices that a task may take: the first free ones, or for a share any one that differs.
    private func choices(_ request: PlacementRequest, _ free: [UInt16]) -> [[Int]] {
        guard request.isShared else {
            return [Array(free.indices.filter { free[$0] == 1000 }.prefix(request.gpuCount))]
        }
        return free.indices.filter {
            free[$0] >= request.gpuMilli && free.firstIndex(of: free[$0]) == $0
        }.map { [$0] }
    }

    /// What the mix cannot use of a node's free GPUs, less what it never can, in thousandths of a GPU.
    private func loss(_ type: Int, _ cpu: UInt32, _ free: [UInt16]) -> Double {
        let all = free.reduce(0) { $0 + Int($1) }
        var used = 0.0
        for kind in kindsOfType[type] where kind.kind.cpuMilli <= cpu {
            var (sum, count) = (0, 0)
            for room in free where room >= kind.kind.gpuMilli {
                sum += Int(room)
                count += 1
            }
            if count >= kind.kind.gpuCount { used += kind.share * Double(sum) }
        }
        return Double(all) - used
    }
}
