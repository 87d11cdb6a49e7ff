// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// How much of a node's free GPUs the expected mix of work cannot use.
///
/// For a kind of task, the free thousandths of a node count as lost whole if the node cannot run the
/// task at all, else those of devices that are too full for it. The loss of a node is the mean over the
/// mix. (F of the FGD paper.)
///
/// Everything is an integer: losses are in thousandths of a GPU times ``total``, the sum of the kinds'
/// shares, so that equal situations score equal, in whatever order they are summed up.
struct FragmentationModel: Sendable {
    /// One kind of the mix that a node type may run.
    struct Kind: Sendable {
        /// How often it comes, of ``FragmentationModel/total``.
        var share: Int64
        var cpuMilli: UInt32
        var gpuCount: Int32
        var gpuMilli: Int32
    }

    /// The sum of the shares of all kinds of the mix.
    let total: Int64
    /// By node type: where its kinds start.
    private(set) var starts: [Int32] = [0]
    /// By node type: the kinds that it may run, rising by the CPU that they need.
    private(set) var kinds: [Kind] = []
    /// Kinds with the same devices, which a node has room for or not whatever their CPU.
    struct DeviceClass: Sendable {
        var gpuMilli: Int32
        var gpuCount: Int32
    }

    /// By node type: where its classes start.
    private(set) var classStarts: [Int32] = [0]
    private(set) var classes: [DeviceClass] = []
    /// By node type: where its weights start.
    private var weightStarts: [Int32] = []
    /// For each number of kinds that the CPU is enough for, by class: the sum of their shares.
    private var weights: [Int64] = []
    /// By score of 1 and up: the least gain that has it.
    private let thresholds: [Int64]

    init(_ mix: WorkloadMix, _ topology: Topology) {
        let total = max(1, mix.kinds.reduce(0) { $0 + Int64($1.share) })
        self.total = total
        thresholds = FragmentationModel.logits.map {
            Int64(($0 * 10_000 * Double(total)).rounded(.up))
        }
        for type in topology.nodeTypes {
            let model = topology.gpuModels[type.model.position].name
            let runnable = mix.kinds.filter {
                $0.gpuCount > 0 && ($0.models.isEmpty || $0.models.contains(model))
            }
            let first = kinds.count
            for kind in runnable {
                kinds.append(
                    Kind(
                        share: Int64(kind.share), cpuMilli: kind.cpuMilli,
                        gpuCount: Int32(kind.gpuCount), gpuMilli: Int32(kind.gpuMilli)))
            }
            kinds[first...].sort { FragmentationModel.isBefore($0, $1) }
            starts.append(Int32(kinds.count))
            addClasses(first)
        }
    }

    /// Sums up the shares of the kinds from a first one on, which are all of one node type.
    private mutating func addClasses(_ first: Int) {
        let start = classes.count
        for kind in kinds[first...] where !classes[start...].contains(where: { $0.holds(kind) }) {
            classes.append(DeviceClass(gpuMilli: kind.gpuMilli, gpuCount: kind.gpuCount))
        }
        classStarts.append(Int32(classes.count))
        weightStarts.append(Int32(weights.count))
        var sums = [Int64](repeating: 0, count: classes.count - start)
        weights += sums
        for kind in kinds[first...] {
            if let index = classes[start...].firstIndex(where: { $0.holds(kind) }) {
                sums[index - start] += kind.share
            }
            weights += sums
        }
    }

    private static func isBefore(_ left: Kind, _ right: Kind) -> Bool {
        (left.cpuMilli, left.gpuMilli, left.gpuCount, left.share)
            < (right.cpuMilli, right.gpuMilli, right.gpuCount, right.share)
    }

    /// The kinds that a node type may run, rising by CPU.
    func kinds(of type: Int) -> Range<Int> { Int(starts[type])..<Int(starts[type + 1]) }

    /// The classes of the kinds that a node type may run.
    func classes(of type: Int) -> Range<Int> { Int(classStarts[type])..<Int(classStarts[type + 1]) }

    /// What the first `kindCount` kinds of a node type can use, given what each class can use, in
    /// thousandths of a GPU; in thousandths times ``total``.
    func used(_ type: Int, kindCount: Int, _ usable: [Int64]) -> Int64 {
        let count = classes(of: type).count
        let first = Int(weightStarts[type]) + kindCount * count
        precondition(first + count <= weights.count && count <= usable.count, "a row of classes")
        return weights.withUnsafeBufferPointer { weights in
            usable.withUnsafeBufferPointer { usable in
                var sum: Int64 = 0
                // Shares are at most 2^32 and a node has less than 2^17 thousandths.
                for index in 0..<count { sum &+= weights[first &+ index] &* usable[index] }
                return sum
            }
        }
    }

    /// The number of a node type's kinds that need at most this much CPU.
    func kindCount(_ type: Int, within cpuMilli: UInt32) -> Int {
        var low = Int(starts[type])
        var high = Int(starts[type + 1])
        while low < high {
            let middle = (low + high) / 2
            if kinds[middle].cpuMilli <= cpuMilli { low = middle + 1 } else { high = middle }
        }
        return low - Int(starts[type])
    }

    // MARK: - Rounded scores

    /// `100 / (1 + e^-x)` rounded down, for a gain of x GPUs.
    ///
    /// The rounding makes near-equals equal, and the first of equals wins: that packs better than the
    /// exact gradient does. The gain is in tenths of thousandths of
    /// a GPU times ``total``.
    func score(gain: Int64) -> Int16 {
        var low = 0
        var high = thresholds.count
        while low < high {
            let middle = (low + high) / 2
            if gain >= thresholds[middle] { low = middle + 1 } else { high = middle }
        }
        return Int16(low)
    }

    /// `ln(s / (100 - s))` for s = 1...99: where the score becomes s.
    private static let logits: [Double] = (1...99).map {
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

extension FragmentationModel.DeviceClass {
    fileprivate func holds(_ kind: FragmentationModel.Kind) -> Bool {
        gpuMilli == kind.gpuMilli && gpuCount == kind.gpuCount
    }
}
