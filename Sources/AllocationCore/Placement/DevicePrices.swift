// SPDX-License-Identifier: Apache-2.0

/// What the room on a partly used GPU is worth, for packing shares onto as few GPUs as possible.
///
/// That packing is the cutting-stock problem. The dual of its linear programme gives each size a price
/// such that no set of shares that fits one GPU is worth more than 1, the GPU. From the prices follows
/// the worth of room: the most that shares in it could be worth,
///
///     worth(r) = max sum of price(s_i)  over sets with  sum of s_i <= r
///     waste(s, r) = worth(r) - worth(r - s) - price(s)  >= 0
///
/// A share wastes what the room loses beyond the share's price: nothing exactly when it continues a set
/// of an optimal packing. A size that is rare beside the holes it fits has price 0: it goes into such a
/// hole or is a waste.
///
/// Sources: Gilmore and Gomory, "A Linear Programming Approach to the Cutting-Stock Problem" (1961), for
/// prices and knapsack; Plotkin, Shmoys and Tardos, "Fast Approximation Algorithms for Fractional Packing
/// and Covering Problems" (1995), for finding them by multiplicative weights.
///
/// Only sums, products, quotients and square roots of doubles: the same bits on every machine.
struct DevicePrices: Sendable {
    /// Scores per GPU of waste: waste is told apart to a hundredth of a GPU.
    static let scorePerGPU = 100.0

    /// Thousandths of a GPU per slot: the greatest common divisor of the sizes and 1000.
    private let slotMilli: Int
    /// Worth of room in GPUs, by slots of room.
    private var worth: [Double]
    /// Price in GPUs, by size in slots; 0 for sizes that are not in the mix.
    private var price: [Double]
    /// The sizes of the mix in slots, rising.
    private let sizes: [Int]

    /// Prices for the shares of a mix.
    ///
    /// Complexity: about a million steps, whatever the mix.
    init(_ mix: WorkloadMix) {
        var demand: [Int: Double] = [:]
        for kind in mix.kinds where kind.gpuCount == 1 && (1..<1000).contains(kind.gpuMilli) {
            demand[Int(kind.gpuMilli), default: 0] += Double(kind.share)
        }
        let milli = demand.keys.sorted()
        slotMilli = milli.reduce(1000) { DevicePrices.greatestCommonDivisor($0, $1) }
        let slotCount = 1000 / slotMilli
        sizes = milli.map { [slotMilli] in $0 / slotMilli }
        price = [Double](repeating: 0, count: slotCount + 1)
        worth = price
        guard !milli.isEmpty else { return }
        let total = milli.reduce(0) { $0 + (demand[$1] ?? 0) }
        adjust(milli.map { (demand[$0] ?? 0) / total })
        fillWorth()
    }

    /// What a share wastes on a GPU with this much room, in GPUs.
    ///
    /// A size outside the mix has no price: it wastes the worth of the room it takes.
    func waste(size: UInt16, room: UInt16) -> Double {
        let before = Int(room) / slotMilli
        let after = (Int(room) - Int(size)) / slotMilli
        let isKnown = Int(size) % slotMilli == 0
        return worth[before] - worth[after] - (isKnown ? price[Int(size) / slotMilli] : 0)
    }

    /// The waste as a score: 100 for none, down to 0 for a GPU or more.
    func wasteScore(size: UInt16, room: UInt16) -> Int16 {
        let points = Int16(waste(size: size, room: room) * DevicePrices.scorePerGPU)
        return 100 - max(0, min(100, points))
    }

    // MARK: - Private

    private static func greatestCommonDivisor(_ left: Int, _ right: Int) -> Int {
        var (left, right) = (left, right)
        while right != 0 { (left, right) = (right, left % right) }
        return left
    }

    /// Packs the set of most worth again and again, makes sizes cheaper that it packs beyond their share
    /// of the demand and others dearer, and takes the mean of the prices of the second half.
    private mutating func adjust(_ share: [Double]) {
        let work = worth.count * sizes.count
        let roundCount = max(200, min(2000, 1_000_000 / max(1, work)))
        var weight = sizes.map { Double($0) / Double(worth.count - 1) }
        var sum = [Double](repeating: 0, count: sizes.count)
        for round in 0..<roundCount {
            for (index, size) in sizes.enumerated() { price[size] = weight[index] }
            fillWorth()
            // Scaled so that the best set is worth exactly the GPU.
            let scale = 1 / max(worth[worth.count - 1], 1e-9)
            for index in sizes.indices { weight[index] *= scale }
            if round >= roundCount / 2 {
                for index in sizes.indices { sum[index] += weight[index] }
            }
            let set = bestSet()
            let packed = Double(set.reduce(0, +))
            let step = 0.1 / Double(round + 10).squareRoot()
            for index in sizes.indices {
                let excess = Double(set[index]) - share[index] * packed
                weight[index] *= 1 - step * max(-1, min(1, excess))
            }
        }
        let count = Double(roundCount - roundCount / 2)
        for (index, size) in sizes.enumerated() { price[size] = sum[index] / count }
        fillWorth()
        let scale = 1 / max(worth[worth.count - 1], 1e-9)
        for size in sizes { price[size] *= scale }
    }

    /// Unbounded knapsack over the sizes.
    private mutating func fillWorth() {
        for room in 1..<worth.count {
            var best = worth[room - 1]
            for size in sizes {
                guard size <= room else { break }
                best = max(best, worth[room - size] + price[size])
            }
            worth[room] = best
        }
    }

    /// How many of each size the most worthy set for a whole GPU has; the largest sizes among equals.
    private func bestSet() -> [Int] {
        var set = [Int](repeating: 0, count: sizes.count)
        var room = worth.count - 1
        while room > 0 {
            if worth[room] == worth[room - 1] {
                room -= 1
                continue
            }
            guard
                let index = sizes.lastIndex(where: {
                    $0 <= room && worth[room] == worth[room - $0] + price[$0]
                })
            else { return set }
            set[index] += 1
            room -= sizes[index]
        }
        return set
    }
}
