// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// Lays the gangs of a ``SolveInstance`` over its racks.
struct GangLayout {
    /// GPUs for each gang.
    private static let gpusPerGang = 75
    /// The largest gang.
    private static let maximumGangSize = 16_384

    /// What is free in one site.
    private struct SiteSpace {
        /// The racks for spread gangs and the first free GPU of each; the cursor goes round.
        var spread: [Int] = []
        var spreadNext: [Int] = []
        var spreadFree = 0
        var cursor = 0
        /// The racks for packed gangs, filled in order.
        var packed: [Int] = []
        var packedNext: [Int] = []
        var packedFree = 0
        var first = 0
    }

    private var spaces: [SiteSpace] = []

    /// Gangs of this size and above are resized together to fill the fleet.
    private static let resizable = 16

    /// Draws the gangs and gives them their GPUs.
    static func place(in instance: inout SolveInstance) {
        let gpuCount = instance.problem.gpuCount
        let gangCount = max(1, gpuCount / gpusPerGang)
        let largest = min(maximumGangSize, max(4, gpuCount / 20))
        var sizes = (0..<gangCount).map { _ in min(largest, drawSize(&instance.generator)) }
        fit(&sizes, into: gpuCount / 100 * 95, largest: largest)
        var layout = GangLayout(instance)
        for size in sizes {
            // 0.656 of the gangs have two GPUs or more: 0.36 of all gangs are spread.
            let isSpread = size >= 2 && instance.generator.isIn(11, of: 20)
            let gang = instance.addGang()
            layout.place(gang, size: size, isSpread: isSpread, in: &instance)
        }
    }

    /// Resizes the larger gangs by one factor, so that all together want `target` GPUs.
    private static func fit(_ sizes: inout [Int], into target: Int, largest: Int) {
        let total = sizes.reduce(0, +)
        let large = sizes.reduce(0) { $0 + ($1 >= resizable ? $1 : 0) }
        guard large > 0, target > total - large else { return }
        let wanted = target - (total - large)
        for gang in 0..<sizes.count where sizes[gang] >= resizable {
            sizes[gang] = min(largest, max(resizable, sizes[gang] * wanted / large))
        }
    }

    /// From each power of two on to the next in 21 of 32 cases: `P(size ≥ 2^k) = 0.656^k`.
    private static func drawSize(_ generator: inout BenchGenerator) -> Int {
        var octave = 0
        while octave < 14, generator.isIn(21, of: 32) { octave += 1 }
        return (1 << octave) + generator.below(1 << octave)
    }

    private init(_ instance: SolveInstance) {
        for site in instance.sites {
            var space = SiteSpace()
            for rack in 0..<site.racks.count {
                let gpus = site.rackStarts[rack]..<site.rackStarts[rack + 1]
                // Spread gangs have 55 of 100 GPUs: five racks of nine.
                if rack % 9 % 2 == 0 {
                    space.spread.append(gpus.upperBound)
                    space.spreadNext.append(gpus.lowerBound)
                    space.spreadFree += gpus.count
                } else {
                    space.packed.append(gpus.upperBound)
                    space.packedNext.append(gpus.lowerBound)
                    space.packedFree += gpus.count
                }
            }
            spaces.append(space)
        }
    }

    private mutating func place(
        _ gang: Int32, size: Int, isSpread: Bool, in instance: inout SolveInstance
    ) {
        let free = spaces.map { isSpread ? $0.spreadFree : $0.packedFree }
        // A site by chance, or the roomiest where that one is too full.
        var site = instance.generator.below(spaces.count)
        if free[site] < size {
            for other in 0..<free.count where free[other] > free[site] { site = other }
        }
        let demand = GangDemand(&instance.generator)
        let taken = min(size, free[site])
        if isSpread {
            placeSpread(gang, size: taken, site: site, demand, in: &instance)
        } else {
            placePacked(gang, size: taken, site: site, demand, in: &instance)
        }
    }

    private mutating func placeSpread(
        _ gang: Int32, size: Int, site: Int, _ demand: GangDemand,
        in instance: inout SolveInstance
    ) {
        let task = min(SolveInstance.gpusPerTray, max(1, size / 2))
        var left = size
        while left > 0 {
            let rack = spaces[site].cursor
            spaces[site].cursor = (rack + 1) % spaces[site].spread.count
            let start = spaces[site].spreadNext[rack]
            let end = min(start + min(task, left), spaces[site].spread[rack])
            for gpu in start..<end { instance.assign(gpu, to: gang, demand) }
            spaces[site].spreadNext[rack] = end
            left -= end - start
        }
        spaces[site].spreadFree -= size
    }

    private mutating func placePacked(
        _ gang: Int32, size: Int, site: Int, _ demand: GangDemand,
        in instance: inout SolveInstance
    ) {
        var left = size
        while left > 0 {
            let rack = spaces[site].first
            let start = spaces[site].packedNext[rack]
            let end = min(start + left, spaces[site].packed[rack])
            for gpu in start..<end { instance.assign(gpu, to: gang, demand) }
            spaces[site].packedNext[rack] = end
            if end == spaces[site].packed[rack] { spaces[site].first += 1 }
            left -= end - start
        }
        spaces[site].packedFree -= size
    }
}
