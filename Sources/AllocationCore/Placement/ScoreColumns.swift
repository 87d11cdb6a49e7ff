// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The kinds of tasks that scores are kept for, and the work of scoring a node for all of them at once.
///
/// A row has the scores of all kinds in its first half, and in its second half, negated, what a task
/// grows the node's charge by at least. So the largest entries of some rows are the best score and the
/// least growth among them.
struct ScoreColumns: Sendable {
    /// Columns of tasks with the same devices, which leave a node with the same devices.
    private struct Group: Sendable {
        var gpuCount: Int32
        var gpuMilli: Int32
        var columns: [Int32]
        /// By free thousandths of a device: 100 less what a share wastes there; empty for whole GPUs.
        var worth: [Int16] = []
    }

    /// The second entry of a kind that a node does not take.
    static let noGrowth = Int16.min

    private let typeCount: Int
    private let siteCount: Int
    /// Milliwatts of one unit of growth.
    private let growthUnit: Int64
    /// The number of kinds.
    private(set) var count = 0
    private var groups: [Group] = []
    private var cpuMilli: [UInt32] = []
    private var memoryMiB: [UInt32] = []
    /// By column and type, by column and site: whether the task may run there.
    private var typeAllowed: [Bool] = []
    private var siteAllowed: [Bool] = []
    /// By column and type: what a task promises on each of its devices, in milliwatts.
    private var taskFloor: [Int64] = []
    /// By column: the least that a task grows the charge of any node without slack, in milliwatts.
    private var leastGrowth: [Int64] = []

    // Scratch of one node; by class of the mix.
    private var fitMilli: [Int32]
    private var fitCount: [Int32]
    private var usable: [Int64]
    private var usableAfter: [Int64]
    private var usedBefore: Int64 = 0
    /// By device that is neither full nor free: what is held on it.
    private var partialHeld = [Int64](repeating: 0, count: 64)

    init(_ fleet: PlacementFleet, siteCount: Int, kindCount: Int) {
        typeCount = fleet.typeGPUCount.count
        self.siteCount = siteCount
        let largest = fleet.typeGPUCount.indices.map {
            fleet.typeMaximumCap[$0] * Int64(fleet.typeGPUCount[$0])
        }
        growthUnit = max(1, (largest.max() ?? 0) / 16_384)
        fitMilli = [Int32](repeating: 0, count: kindCount)
        fitCount = fitMilli
        usable = [Int64](repeating: 0, count: kindCount)
        usableAfter = usable
    }

    /// Adds a kind of task.
    ///
    /// - Returns: its column.
    mutating func add(
        _ request: PlacementRequest, _ prices: DevicePrices?, _ fleet: PlacementFleet
    ) -> Int {
        let column = count
        count += 1
        cpuMilli.append(request.cpuMilli)
        memoryMiB.append(request.memoryMiB)
        for obstacle in request.typeObstacle { typeAllowed.append(obstacle == .none) }
        siteAllowed.append(contentsOf: request.siteAllowed)
        for floor in request.floorMilliwatts {
            taskFloor.append(PlacementFleet.taskFloor(perGPU: floor, milli: request.gpuMilli))
        }
        // A type that the task may not run on does not count.
        let growths = request.typeObstacle.indices
            .filter { request.typeObstacle[$0] == .none }
            .map { fleet.leastGrowth(type: $0, request) }
        leastGrowth.append(growths.min() ?? 0)
        let (gpuCount, gpuMilli) = (Int32(request.gpuCount), Int32(request.gpuMilli))
        if let index = groups.firstIndex(where: {
            $0.gpuCount == gpuCount && $0.gpuMilli == gpuMilli
        }) {
            groups[index].columns.append(Int32(column))
            return column
        }
        var group = Group(gpuCount: gpuCount, gpuMilli: gpuMilli, columns: [Int32(column)])
        if request.isShared {
            group.worth = (0...1000).map {
                guard let prices, $0 >= gpuMilli else { return 0 }
                return prices.wasteScore(size: request.gpuMilli, room: UInt16($0))
            }
        }
        groups.append(group)
        return column
    }

    /// The least that a task of a column grows the charge of any node without slack, in milliwatts.
    func leastGrowth(column: Int) -> Int64 { leastGrowth[column] }

    /// A second entry: growth rounded down, so that it never looks larger than it is.
    func entry(growth: Int64) -> Int16 {
        growth <= 0 ? 0 : Int16(clamping: -(growth / growthUnit))
    }

    /// True when no node of a row takes a task of a column in domains with so many milliwatts left.
    func isBlocked(_ growthEntry: Int16, room: Int64) -> Bool {
        -Int64(growthEntry) > room / growthUnit
    }

    /// Takes the entries out of a row of which there is not one that so many milliwatts are enough for;
    /// true when there are any.
    func mask(_ rows: inout [Int16], _ first: Int, stride: Int, room: Int64) -> Bool {
        let half = stride / 2
        let least = Int16(clamping: -(room / growthUnit))
        precondition(first >= 0 && first + stride <= rows.count, "rows are all of one length")
        return rows.withUnsafeMutableBufferPointer { rows in
            let scores = rows.baseAddress.unsafelyUnwrapped + first
            let growths = scores + half
            var isAny = false
            for column in 0..<half where growths[column] < least && scores[column] >= 0 {
                scores[column] = PlacementScores.unfit
                growths[column] = ScoreColumns.noGrowth
                isAny = true
            }
            return isAny
        }
    }

    // MARK: - Rows

    /// Fills the row of a node.
    ///
    /// `row` has `stride` entries.
    mutating func fill(
        _ row: UnsafeMutablePointer<Int16>, stride: Int, node: Int, _ fleet: PlacementFleet,
        _ scorer: NodeScorer
    ) {
        let half = stride / 2
        for index in 0..<half { row[index] = PlacementScores.unfit }
        for index in half..<stride { row[index] = ScoreColumns.noGrowth }
        guard fleet.ineligibility[node] == PlacementFleet.isEligible else { return }
        let free = fleet.freeGPUs(node: node)
        let type = Int(fleet.nodeType[node])
        noteHeld(node, fleet)
        let (policy, model) = (scorer.policy, scorer.model)
        let isByLoss = policy == .busbar || policy == .fragmentation
        if isByLoss {
            survey(type, free, model)
            let kindCount = model.kindCount(type, within: fleet.freeCPU[node])
            usedBefore = model.used(type, kindCount: kindCount, usable)
        }
        for group in groups.indices {
            let (count, milli) = (groups[group].gpuCount, groups[group].gpuMilli)
            guard count == 0 || free.takes(count, milli),
                groups[group].columns.contains(where: { allows(Int($0), node, fleet) })
            else { continue }
            fillGrowth(row + half, group, node, fleet, free)
            guard isByLoss else {
                fillBestFit(row, group, node, fleet)
                continue
            }
            if count == 0 {
                score(row, group, node, fleet, scorer, 0, usable, 0)
            } else if milli == 1000 {
                survey(type, model, room: 1000, left: 0, count: count)
                score(row, group, node, fleet, scorer, Int64(count) * 1000, usableAfter, 0)
            } else {
                fillShares(row, group, node, fleet, scorer, free)
            }
        }
    }

    /// A share goes where it wastes least; among such devices, by the gain.
    private mutating func fillShares(
        _ row: UnsafeMutablePointer<Int16>, _ group: Int, _ node: Int, _ fleet: PlacementFleet,
        _ scorer: NodeScorer, _ free: borrowing FragmentationModel.FreeGPUs
    ) {
        let milli = groups[group].gpuMilli
        var best: Int16 = -1
        if free.whole > 0 { best = groups[group].worth[1000] }
        for index in 0..<free.partialCount where Int32(free.partial[index]) >= milli {
            best = max(best, groups[group].worth[Int(free.partial[index])])
        }
        let type = Int(fleet.nodeType[node])
        if free.whole > 0, groups[group].worth[1000] == best {
            survey(type, scorer.model, room: 1000, left: 1000 - milli, count: 1)
            score(row, group, node, fleet, scorer, Int64(milli), usableAfter, 100 * best)
        }
        for index in 0..<free.partialCount {
            let room = free.partial[index]
            guard Int32(room) >= milli, groups[group].worth[Int(room)] == best,
                !free.hasPartial(room, before: index)
            else { continue }
            survey(type, scorer.model, room: Int32(room), left: Int32(room) - milli, count: 1)
            score(row, group, node, fleet, scorer, Int64(milli), usableAfter, 100 * best)
        }
    }

    /// Raises the entries of a group's columns to the score of one way to take its devices.
    private func score(
        _ row: UnsafeMutablePointer<Int16>, _ group: Int, _ node: Int, _ fleet: PlacementFleet,
        _ scorer: NodeScorer, _ milli: Int64, _ usable: [Int64], _ base: Int16
    ) {
        let (type, model) = (Int(fleet.nodeType[node]), scorer.model)
        let cpu = fleet.freeCPU[node]
        for column in groups[group].columns where allows(Int(column), node, fleet) {
            let kindCount = model.kindCount(type, within: cpu - cpuMilli[Int(column)])
            let after = model.used(type, kindCount: kindCount, usable)
            let gain = milli * model.total - usedBefore + after
            let score = scorer.score(
                fragmentation: gain, node, taking: milli, cpu: cpuMilli[Int(column)], fleet)
            row[Int(column)] = max(row[Int(column)], base + score)
        }
    }

    private func allows(_ column: Int, _ node: Int, _ fleet: PlacementFleet) -> Bool {
        typeAllowed[column * typeCount + Int(fleet.nodeType[node])]
            && siteAllowed[column * siteCount + Int(fleet.nodeSite[node])]
            && fleet.freeCPU[node] >= cpuMilli[column]
            && fleet.freeMemory[node] >= memoryMiB[column]
    }

    private func fillBestFit(
        _ row: UnsafeMutablePointer<Int16>, _ group: Int, _ node: Int, _ fleet: PlacementFleet
    ) {
        let milli = Int(groups[group].gpuCount) * Int(groups[group].gpuMilli)
        for column in groups[group].columns where allows(Int(column), node, fleet) {
            row[Int(column)] = NodeScorer.bestFit(
                cpuLeft: Int(fleet.freeCPU[node]) - Int(cpuMilli[Int(column)]),
                milliLeft: Int(fleet.freeMilli[node]) - milli)
        }
    }

    // MARK: - Losses

    /// What each class of the mix could use of a node as it is.
    private mutating func survey(
        _ type: Int, _ free: borrowing FragmentationModel.FreeGPUs, _ model: FragmentationModel
    ) {
        let classes = model.classes(of: type)
        for index in 0..<classes.count {
            let kind = model.classes[classes.lowerBound + index]
            let (milli, count) = free.fitting(kind.gpuMilli)
            fitMilli[index] = milli
            fitCount[index] = count
            usable[index] = count >= kind.gpuCount ? Int64(milli) : 0
        }
    }

    /// The same after `count` devices went from `room` free thousandths to `left`.
    private mutating func survey(
        _ type: Int, _ model: FragmentationModel, room: Int32, left: Int32, count: Int32
    ) {
        let classes = model.classes(of: type)
        for index in 0..<classes.count {
            let kind = model.classes[classes.lowerBound + index]
            var (milli, devices) = (fitMilli[index], fitCount[index])
            if room >= kind.gpuMilli {
                milli &-= count &* room
                devices &-= count
            }
            if left >= kind.gpuMilli {
                milli &+= count &* left
                devices &+= count
            }
            usableAfter[index] = devices >= kind.gpuCount ? Int64(milli) : 0
        }
    }

    // MARK: - Watts

    /// Notes what is held on the devices that are neither full nor free, in the order of
    /// ``FragmentationModel/FreeGPUs``.
    private mutating func noteHeld(_ node: Int, _ fleet: PlacementFleet) {
        guard fleet.freeMilli[node] > 0 else { return }
        let first = Int(fleet.firstGPU[node])
        var count = 0
        for gpu in first..<(first + Int(fleet.typeGPUCount[Int(fleet.nodeType[node])])) {
            guard fleet.gpuFreeMilli[gpu] > 0, fleet.gpuFreeMilli[gpu] < 1000 else { continue }
            partialHeld[count] = fleet.gpuHeldFloor[gpu]
            count += 1
        }
    }

    /// Fills the second entries of a group: the growth of the charge on the cheapest devices.
    private func fillGrowth(
        _ growths: UnsafeMutablePointer<Int16>, _ group: Int, _ node: Int, _ fleet: PlacementFleet,
        _ free: borrowing FragmentationModel.FreeGPUs
    ) {
        let type = Int(fleet.nodeType[node])
        let count = groups[group].gpuCount
        var last: (floor: Int64, entry: Int16) = (-1, 0)
        for column in groups[group].columns where allows(Int(column), node, fleet) {
            let floor = taskFloor[Int(column) * typeCount + type]
            if count > 0, floor != last.floor {
                let growth =
                    groups[group].gpuMilli == 1000
                    ? wholeGrowth(node, count, floor, fleet)
                    : shareGrowth(node, groups[group].gpuMilli, floor, fleet, free)
                let sum = fleet.floorSum[node] + growth
                last = (floor, entry(growth: fleet.chargeGrowth(node: node, floorSum: sum)))
            }
            growths[Int(column)] = last.entry
        }
    }

    private func wholeGrowth(
        _ node: Int, _ count: Int32, _ floor: Int64, _ fleet: PlacementFleet
    ) -> Int64 {
        var growth = Int64(count) * fleet.heldFloor(floor, type: Int(fleet.nodeType[node]))
        var left = fleet.freeDevices[node]
        for _ in 0..<count {
            growth -= fleet.idleFloor(node: node, device: left.trailingZeroBitCount)
            left &= left - 1
        }
        return growth
    }

    private func shareGrowth(
        _ node: Int, _ milli: Int32, _ floor: Int64, _ fleet: PlacementFleet,
        _ free: borrowing FragmentationModel.FreeGPUs
    ) -> Int64 {
        let type = Int(fleet.nodeType[node])
        var least = Int64.max
        if free.whole > 0 {
            let device = fleet.freeDevices[node].trailingZeroBitCount
            least = fleet.heldFloor(floor, type: type) - fleet.idleFloor(node: node, device: device)
        }
        for index in 0..<free.partialCount where Int32(free.partial[index]) >= milli {
            let held = partialHeld[index]
            least = min(
                least, fleet.heldFloor(held + floor, type: type) - fleet.heldFloor(held, type: type)
            )
        }
        return least
    }
}
