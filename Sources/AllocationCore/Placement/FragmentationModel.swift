// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// How much of a node's free GPUs the expected mix of work cannot use.
///
/// For a kind of task, the free thousandths of a node count as lost whole if the node cannot run the
/// task at all, else those of devices that are too full for it. The loss of a node is the mean over the
/// mix. (F of the FGD paper.)
struct FragmentationModel: Sendable {
    /// One kind of the mix that a node type may run.
    private struct Kind: Sendable {
        var share: Double
        var cpuMilli: UInt32
        var gpuCount: Int32
        var gpuMilli: UInt16
    }

    /// By node type: where its kinds start.
    private var starts: [Int32] = [0]
    private var kinds: [Kind] = []
    /// By node type: the share of the mix that it can never run, CPU-only tasks included.
    private var lostShare: [Double] = []

    init(_ mix: WorkloadMix, _ topology: Topology) {
        let total = Double(max(1, mix.kinds.reduce(0) { $0 + UInt64($1.share) }))
        for type in topology.nodeTypes {
            let model = topology.gpuModels[type.model.position].name
            var lost = 0.0
            for kind in mix.kinds {
                let share = Double(kind.share) / total
                guard kind.gpuCount > 0, kind.models.isEmpty || kind.models.contains(model) else {
                    lost += share
                    continue
                }
                kinds.append(
                    Kind(
                        share: share, cpuMilli: kind.cpuMilli, gpuCount: Int32(kind.gpuCount),
                        gpuMilli: kind.gpuMilli))
            }
            starts.append(Int32(kinds.count))
            lostShare.append(lost)
        }
    }

    /// The free GPUs of a node, as the model looks at them.
    struct FreeGPUs {
        /// Free thousandths of all devices.
        var milli: Int32 = 0
        /// Devices with nothing on them.
        var whole: Int32 = 0
        /// Free thousandths of the devices that are neither full nor free, and their number.
        var partial = InlineArray<64, UInt16>(repeating: 0)
        var partialCount = 0

        mutating func addDevice(_ free: UInt16) {
            milli += Int32(free)
            if free == 1000 {
                whole += 1
            } else if free > 0 {
                partial[partialCount] = free
                partialCount += 1
            }
        }
    }

    /// The loss of a node in thousandths of a GPU.
    func loss(type: Int, freeCPU: UInt32, _ free: borrowing FreeGPUs) -> Double {
        let all = Double(free.milli)
        let partialMilli = Double(free.milli - free.whole * 1000)
        var loss = all * lostShare[type]
        for index in Int(starts[type])..<Int(starts[type + 1]) {
            let kind = kinds[index]
            guard freeCPU >= kind.cpuMilli else {
                loss += kind.share * all
                continue
            }
            if kind.gpuMilli == 1000 {
                loss += kind.share * (free.whole >= kind.gpuCount ? partialMilli : all)
                continue
            }
            var tooFull: Int32 = 0
            var fitting = free.whole
            for position in 0..<free.partialCount {
                if free.partial[position] < kind.gpuMilli {
                    tooFull += Int32(free.partial[position])
                } else {
                    fitting += 1
                }
            }
            loss += kind.share * (fitting >= kind.gpuCount ? Double(tooFull) : all)
        }
        return loss
    }

    // MARK: - Rounded scores

    /// `100 / (1 + e^-x)` rounded down, for a gain of x GPUs: the rounding makes near-equals equal, and
    /// the first of equals wins, which packs better than the exact gradient does.
    static func score(gain: Double) -> Int16 {
        var low = 0
        var high = thresholds.count
        while low < high {
            let middle = (low + high) / 2
            if gain >= thresholds[middle] { low = middle + 1 } else { high = middle }
        }
        return Int16(low)
    }

    /// `ln(s / (100 - s))` for s = 1...99: where the score becomes s.
    private static let thresholds: [Double] = (1...99).map {
        logarithm(Double($0) / Double(100 - $0))
    }

    /// The natural logarithm by its series, after five square roots have brought the argument near 1.
    ///
    /// `ln y = 32 ln y^(1/32) = 64 atanh(z)`, z = (r - 1) / (r + 1) for r = y^(1/32). For y within 99 of
    /// 1, |z| < 0.072, so 9 terms reach 0.072^19 < 10^-21.
    static func logarithm(_ value: Double) -> Double {
        var root = value
        for _ in 0..<5 { root = root.squareRoot() }
        let ratio = (root - 1) / (root + 1)
        var power = ratio
        var sum = 0.0
        for term in 0..<9 {
            sum += power / Double(2 * term + 1)
            power *= ratio * ratio
        }
        return 64 * sum
    }
}
