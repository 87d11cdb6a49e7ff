// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// What a policy makes of a node for a task, from the fleet as it is.
struct NodeScorer: Sendable {
    let policy: PlacementPolicy
    let model: FragmentationModel
    /// What room on GPUs is worth; nil where the policy does not ask.
    let prices: DevicePrices?
    /// What is short besides; nil where the policy does not ask.
    private let scarcity: ScarcityModel?

    init(_ policy: PlacementPolicy, _ mix: WorkloadMix, _ topology: Topology) {
        self.policy = policy
        model = FragmentationModel(mix, topology)
        prices = policy == .busbar ? DevicePrices(mix) : nil
        scarcity = policy == .busbar ? ScarcityModel(mix, topology) : nil
    }

    /// The rounded score of a task on a node.
    ///
    /// - Parameters:
    ///   - fragmentation: what the node gains by fragmentation alone, in thousandths of a GPU times
    ///     ``FragmentationModel/total``.
    ///   - node: the node.
    ///   - milli: thousandths of GPUs that the task takes of it.
    ///   - cpu: thousandths of cores that the task takes of it.
    ///   - fleet: the fleet without the task.
    /// - Returns: 0 to 99.
    func score(
        fragmentation: Int64, _ node: Int, taking milli: Int64, cpu: UInt32, _ fleet: PlacementFleet
    ) -> Int16 {
        guard let scarcity else { return model.score(gain: 10 * fragmentation) }
        let other = scarcity.gain(
            type: Int(fleet.nodeType[node]), freeMilli: Int64(fleet.freeMilli[node]),
            freeCPU: fleet.freeCPU[node], taking: milli, cpu: cpu)
        return model.score(
            gain: ScarcityModel.fragmentationTenths * fragmentation + other * model.total)
    }

    /// How well a task suits a node: higher is better; ``unfit`` where it does not fit, power left out.
    func score(_ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet) -> Int16 {
        guard fleet.obstacle(node: node, request) == nil else { return PlacementScores.unfit }
        switch policy {
        case .random: return 0
        case .bestFit:
            return NodeScorer.bestFit(
                cpuLeft: Int(fleet.freeCPU[node]) - Int(request.cpuMilli),
                milliLeft: Int(fleet.freeMilli[node]) - request.gpuCount * Int(request.gpuMilli))
        case .fragmentation, .busbar: return fragmentation(node, request, fleet).score
        }
    }

    /// `100 (1 - (CPU left / 128 cores + GPUs left / 8) / 2)` rounded down, as an integer of at least 0.
    static func bestFit(cpuLeft: Int, milliLeft: Int) -> Int16 {
        // In units of 1/256000: 100 * (256000 - cpu - 16 gpu) / 256000.
        Int16(max(0, 100 * (256_000 - cpuLeft - 16 * milliLeft) / 256_000))
    }

    /// The score of the gain in usefulness, and the device of a share that scores best.
    ///
    /// With the policy ``PlacementPolicy/busbar`` the waste of room on the device goes before the gain.
    /// The node passes every test of the task but power.
    func fragmentation(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> (score: Int16, device: Int) {
        let free = fleet.freeGPUs(node: node)
        guard request.isShared else {
            let milli = Int32(request.gpuCount * Int(request.gpuMilli))
            let gain = gain(
                node, request, fleet, free, room: 1000, left: 0, count: milli / 1000)
            let score = score(
                fragmentation: gain, node, taking: Int64(milli), cpu: request.cpuMilli, fleet)
            return (score, 0)
        }
        var best: (score: Int16, device: Int) = (PlacementScores.unfit, -1)
        let first = Int(fleet.firstGPU[node])
        for device in 0..<Int(fleet.typeGPUCount[Int(fleet.nodeType[node])]) {
            let room = fleet.gpuFreeMilli[first + device]
            // Devices with the same room are alike.
            guard room >= request.gpuMilli,
                !fleet.gpuFreeMilli[first..<(first + device)].contains(room)
            else { continue }
            let waste = prices?.wasteScore(size: request.gpuMilli, room: room) ?? 0
            guard 100 * waste + 99 > best.score else { continue }
            let gain = gain(
                node, request, fleet, free, room: Int32(room),
                left: Int32(room) - Int32(request.gpuMilli), count: 1)
            let rounded = score(
                fragmentation: gain, node, taking: Int64(request.gpuMilli), cpu: request.cpuMilli,
                fleet)
            let score = 100 * waste + rounded
            if score > best.score { best = (score, device) }
        }
        return best
    }

    /// What a node loses less of its usefulness when `count` devices go from `room` free thousandths to
    /// `left`; in thousandths of a GPU times ``FragmentationModel/total``.
    private func gain(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet,
        _ free: borrowing FragmentationModel.FreeGPUs, room: Int32, left: Int32, count: Int32
    ) -> Int64 {
        let cpu = fleet.freeCPU[node]
        var gain = Int64(count * (room - left)) * model.total
        for kind in model.kinds(of: Int(fleet.nodeType[node])) {
            let kind = model.kinds[kind]
            // Kinds rise by CPU.
            guard kind.cpuMilli <= cpu else { break }
            let (milli, devices) = free.fitting(kind.gpuMilli)
            if devices >= kind.gpuCount { gain -= kind.share * Int64(milli) }
            guard kind.cpuMilli <= cpu - request.cpuMilli else { continue }
            let isMore = room >= kind.gpuMilli
            let isMoreAfter = left >= kind.gpuMilli
            let lost = (isMore ? room : 0) - (isMoreAfter ? left : 0)
            if devices - count * ((isMore ? 1 : 0) - (isMoreAfter ? 1 : 0)) >= kind.gpuCount {
                gain += kind.share * Int64(milli - count * lost)
            }
        }
        return gain
    }
}
