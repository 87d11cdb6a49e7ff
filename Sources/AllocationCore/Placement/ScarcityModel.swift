// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// What looking at one task at a time does not see: GPUs that the rest of a node's CPUs cannot feed, and
/// models that part of the work cannot do without.
///
/// Fragmentation (``FragmentationModel``) asks whether a node still runs *one* task of a kind. A node
/// with eight free GPUs and the cores of one task passes that test, and loses seven GPUs. Let the mix
/// bring f thousandths of a GPU with each thousandth of a core. Then a node with R free thousandths of
/// GPUs and C of cores leaves
///
///     starved(R, C) = max(0, R - f C)
///
/// of them without cores in the mean. Tasks with few cores so go to where cores are short, others to
/// where they are plenty.
///
/// A model is sought by so much of its capacity as the part of the mix that names it would take, were the
/// fleet filled with the mix. A GPU of a sought model is dearer, for those tasks that may go elsewhere.
///
/// All in integers: the same on every machine.
struct ScarcityModel: Sendable {
    /// Tenths of the gain that fragmentation makes; the starved GPUs make the rest.
    static let fragmentationTenths: Int64 = 3
    /// Tenths of a GPU that one of a wholly sought model costs.
    static let soughtTenths: Int64 = 2
    /// Fractional bits of ``fed``.
    private static let fedBits: Int64 = 20

    /// Thousandths of a GPU that a thousandth of a core feeds, with 20 fractional bits.
    private let fed: Int64
    /// By node type: what a GPU of it costs for being sought, in thousandths of a tenth of a GPU.
    private let cost: [Int64]

    /// The model of a mix on a fleet.
    ///
    /// Complexity: nodes + kinds × node types.
    init(_ mix: WorkloadMix, _ topology: Topology) {
        var gpuMilli = 0.0
        var cpuMilli = 0.0
        for kind in mix.kinds where kind.gpuCount > 0 {
            gpuMilli += ScarcityModel.demand(of: kind)
            cpuMilli += Double(kind.share) * Double(kind.cpuMilli)
        }
        // With no more than a thousandth of a core for a GPU nothing is ever starved.
        let ratio = min(1000, gpuMilli / max(1, cpuMilli))
        fed = Int64((ratio * Double(1 << ScarcityModel.fedBits)).rounded())
        let sought = ScarcityModel.sought(mix, topology, demand: gpuMilli)
        cost = topology.nodeTypes.map { type in
            Int64((sought[type.model.position] * 1000).rounded()) * ScarcityModel.soughtTenths
        }
    }

    /// Thousandths of GPUs that a node's CPUs cannot feed.
    func starved(freeMilli: Int64, freeCPU: UInt32) -> Int64 {
        max(0, freeMilli - (Int64(freeCPU) * fed) >> ScarcityModel.fedBits)
    }

    /// What a node becomes more useful by when a task takes GPUs and CPU of it, in tenths of thousandths
    /// of a GPU; negative when it becomes less.
    ///
    /// - Parameters:
    ///   - type: the node's type.
    ///   - freeMilli: thousandths of its GPUs that are free before.
    ///   - freeCPU: thousandths of its cores that are free before.
    ///   - milli: thousandths of GPUs that the task takes, at most what is free.
    ///   - cpu: thousandths of cores that it takes, at most what is free.
    /// - Returns: the gain.
    func gain(
        type: Int, freeMilli: Int64, freeCPU: UInt32, taking milli: Int64, cpu: UInt32
    ) -> Int64 {
        let before = starved(freeMilli: freeMilli, freeCPU: freeCPU)
        let after = starved(freeMilli: freeMilli - milli, freeCPU: freeCPU - cpu)
        return (10 - ScarcityModel.fragmentationTenths) * (before - after)
            - cost[type] * milli / 1000
    }

    // MARK: - Private

    private static func demand(of kind: WorkloadKind) -> Double {
        Double(kind.share) * Double(kind.gpuCount) * Double(kind.gpuMilli)
    }

    /// By model: the part of its GPUs that the kinds which name models would take, 0 to 1.
    ///
    /// A kind that names several counts toward each by its capacity.
    private static func sought(
        _ mix: WorkloadMix, _ topology: Topology, demand: Double
    ) -> [Double] {
        var capacity = [Double](repeating: 0, count: topology.gpuModels.count)
        var countOfType = [Int](repeating: 0, count: topology.nodeTypes.count)
        for node in topology.nodes { countOfType[node.type] += 1 }
        for (type, count) in zip(topology.nodeTypes, countOfType) {
            capacity[type.model.position] += Double(count * Int(type.gpuCount))
        }
        // Of each thousandth of demand, how much falls to one GPU of the fleet.
        let scale = capacity.reduce(0, +) / max(1, demand)
        var sought = [Double](repeating: 0, count: capacity.count)
        for kind in mix.kinds where kind.gpuCount > 0 && !kind.models.isEmpty {
            let named = topology.gpuModels.indices.filter {
                kind.models.contains(topology.gpuModels[$0].name)
            }
            let room = named.reduce(0) { $0 + capacity[$1] }
            guard room > 0 else { continue }
            for model in named {
                sought[model] = min(
                    1, sought[model] + scale * ScarcityModel.demand(of: kind) / room)
            }
        }
        return sought
    }
}
