// SPDX-License-Identifier: Apache-2.0

package import AllocationCore

/// A fleet at its power limits, drawn from a seed: what the solver is measured on.
///
/// * Up to 10 sites of rows of 20 racks of 72 GPUs (18 trays of 4); a second tree feeds the lower
///   half of each rack's trays from feed A of its site and the upper half from feed B, by a busway
///   each for every row.
/// * One gang for 75 GPUs (20,000 in 1.5 million), of 1 to 16,384 GPUs by a power law: half as many
///   GPUs come 1.52 times as often. A gang stays in one site. More than a third of the gangs
///   are spread: their GPUs stand four by four in one rack after the other; the rest are packed. What
///   no gang holds stays at its floor.
/// * Three classes, weights from 1 to 8. Half of the gangs follow curves of 3 to 6 points, of three
///   kinds of chip that alternate within a rack; the others straight lines, each GPU with its own full.
/// * One rack in 20 may draw 50 to 85 % of what its GPUs want above their floors, and two sites 50 %.
///   In those sites rows and feeds could bind as well, and hardly do. Every other domain has watts to
///   spare for all its GPUs at full. (A gang stops where watts run out first: in a tight rack whose gangs
///   all stop elsewhere some are left.)
///
/// Smaller fleets have fewer sites and gangs, and gangs no larger than a twentieth of the fleet.
package struct SolveInstance: Sendable {
    /// GPUs of a rack.
    package static let gpusPerRack = 72
    /// GPUs of a tray, the least that a large gang takes in a rack.
    static let gpusPerTray = 4
    /// Racks of a row.
    static let racksPerRow = 20

    /// The problem as drawn.
    package private(set) var problem = PowerProblem(treeCount: 2)
    /// The racks, and of them those that hold spread gangs, by site.
    package private(set) var sites: [Site] = []

    /// The source of everything after the instance itself.
    var generator: BenchGenerator
    /// The curves, by family and chip.
    private(set) var curveFamilies: [[Int32]] = []

    /// One site of the fleet.
    package struct Site: Sendable {
        /// The site's domains: the site itself and what feeds it.
        package var domain: Int32
        package var supply: Int32
        /// Rows, then the busways of both feeds.
        package var rows: Range<Int32>
        package var feeds: Range<Int32>
        /// The domain of each rack.
        package var racks: Range<Int32>
        /// The first GPU of each rack, and the end.
        package var rackStarts: [Int]
        /// True for sites whose budget is below what its GPUs want.
        package var isBinding: Bool
    }

    /// Draws a fleet.
    ///
    /// - Parameters:
    ///   - gpuCount: from 1 to ``AllocationCore/PowerProblem/maximumGPUCount``.
    ///   - seed: what to draw from.
    package init(gpuCount: Int, seed: UInt64) {
        generator = BenchGenerator(seed: seed)
        reserve(gpuCount)
        makeCurves()
        makeSites(gpuCount)
        GangLayout.place(in: &self)
        makeBudgets()
    }

    // MARK: - Private

    private mutating func reserve(_ gpuCount: Int) {
        problem.gpuFloorMilliwatts.reserveCapacity(gpuCount)
        problem.gpuFullMilliwatts.reserveCapacity(gpuCount)
        problem.gpuGang.reserveCapacity(gpuCount)
        problem.gpuCurve.reserveCapacity(gpuCount)
        for tree in 0..<problem.treeCount { problem.gpuLeaf[tree].reserveCapacity(gpuCount) }
    }

    /// Sixteen models of GPU, with three kinds of chip each.
    private mutating func makeCurves() {
        // Shares of the span in thousandths at levels in thousandths; each list is convex.
        let shapes: [[(level: UInt32, share: UInt32)]] = [
            [(0, 0), (500, 330), (1000, 1000)],
            [(0, 0), (400, 220), (700, 500), (900, 770), (1000, 1000)],
            [(0, 0), (250, 130), (500, 320), (700, 520), (880, 750), (1000, 1000)],
        ]
        for family in 0..<16 {
            let floor = 300_000 + 5000 * UInt32(family)
            var chips: [Int32] = []
            for chip in 0..<3 {
                let span = 700_000 + 25_000 * UInt32(family) + 40_000 * UInt32(chip)
                let points = shapes[family % shapes.count].map { point in
                    PowerCurvePoint(
                        levelPPM: point.level * 1000, milliwatts: floor + span / 1000 * point.share)
                }
                do {
                    chips.append(try problem.curves.add(points))
                } catch {
                    preconditionFailure("a convex list of points is a curve: \(error)")
                }
            }
            curveFamilies.append(chips)
        }
    }

    private mutating func makeSites(_ gpuCount: Int) {
        let rackCount = (gpuCount + Self.gpusPerRack - 1) / Self.gpusPerRack
        let siteCount = min(10, max(1, rackCount / 8))
        let bindingCount = max(1, siteCount / 5)
        for index in 0..<siteCount {
            let racks = (rackCount * index / siteCount)..<(rackCount * (index + 1) / siteCount)
            let gpus = racks.lowerBound * Self.gpusPerRack
            let end = min(gpuCount, racks.upperBound * Self.gpusPerRack)
            makeSite(rackCount: racks.count, gpus: gpus..<end, isBinding: index < bindingCount)
        }
    }

    private mutating func makeSite(rackCount: Int, gpus: Range<Int>, isBinding: Bool) {
        let rowCount = (rackCount + Self.racksPerRow - 1) / Self.racksPerRow
        let domain = problem.addDomain(parent: -1, budgetMilliwatts: 0)
        let firstRow = Int32(problem.domainCount)
        for _ in 0..<rowCount { problem.addDomain(parent: domain, budgetMilliwatts: 0) }
        let firstRack = Int32(problem.domainCount)
        for rack in 0..<rackCount {
            let row = firstRow + Int32(rack / Self.racksPerRow)
            problem.addDomain(parent: row, budgetMilliwatts: 0)
        }
        let supply = problem.addDomain(parent: -1, budgetMilliwatts: 0)
        let firstFeed = Int32(problem.domainCount)
        for _ in 0..<2 { problem.addDomain(parent: supply, budgetMilliwatts: 0) }
        for feed in firstFeed..<firstFeed + 2 {
            for _ in 0..<rowCount { problem.addDomain(parent: feed, budgetMilliwatts: 0) }
        }
        let starts = (0...rackCount).map { min(gpus.upperBound, gpus.lowerBound + $0 * 72) }
        sites.append(
            Site(
                domain: domain, supply: supply, rows: firstRow..<firstRack,
                feeds: firstFeed..<Int32(problem.domainCount),
                racks: firstRack..<firstRack + Int32(rackCount), rackStarts: starts,
                isBinding: isBinding))
        for rack in 0..<rackCount {
            let busway = firstFeed + 2 + Int32(rack / Self.racksPerRow)
            for gpu in 0..<starts[rack + 1] - starts[rack] {
                let isUpper = gpu >= Self.gpusPerRack / 2
                problem.addGPU(
                    floorMilliwatts: 150_000, fullMilliwatts: 1_000_000,
                    leaves: [firstRack + Int32(rack), busway + (isUpper ? Int32(rowCount) : 0)])
            }
        }
    }

    // MARK: - Budgets

    /// Budgets as shares of what the GPUs want above their floors.
    private mutating func makeBudgets() {
        let (floors, spans) = sums()
        func budget(_ domain: Int32, thousandths: Int) -> Int64 {
            floors[Int(domain)] + spans[Int(domain)] / 1000 * Int64(thousandths)
        }
        for domain in 0..<Int32(problem.domainCount) {
            problem.domainBudgetMilliwatts[Int(domain)] =
                budget(domain, thousandths: 1050) + 72_000
        }
        var isFirstRack = true
        for site in sites {
            if site.isBinding {
                problem.domainBudgetMilliwatts[Int(site.domain)] =
                    budget(site.domain, thousandths: 500)
                for domain in Array(site.rows) + Array(site.feeds) {
                    problem.domainBudgetMilliwatts[Int(domain)] =
                        budget(domain, thousandths: 970)
                }
            }
            for rack in site.racks where generator.isIn(1, of: 20) || isFirstRack {
                isFirstRack = false
                problem.domainBudgetMilliwatts[Int(rack)] =
                    budget(rack, thousandths: generator.pick(500...850))
            }
        }
    }

    /// The floors, and what is wanted above them, of every domain.
    private func sums() -> (floors: [Int64], spans: [Int64]) {
        var floors = [Int64](repeating: 0, count: problem.domainCount)
        var spans = floors
        for gpu in 0..<problem.gpuCount {
            let floor = Int64(problem.gpuFloorMilliwatts[gpu])
            let span = problem.gpuGang[gpu] < 0 ? 0 : Int64(problem.gpuFullMilliwatts[gpu]) - floor
            for tree in 0..<problem.treeCount {
                floors[Int(problem.gpuLeaf[tree][gpu])] += floor
                spans[Int(problem.gpuLeaf[tree][gpu])] += span
            }
        }
        for domain in stride(from: problem.domainCount - 1, through: 0, by: -1) {
            let parent = Int(problem.domainParent[domain])
            guard parent >= 0 else { continue }
            floors[parent] += floors[domain]
            spans[parent] += spans[domain]
        }
        return (floors, spans)
    }

    // MARK: - Use by the layout of gangs

    /// Adds a gang.
    mutating func addGang() -> Int32 {
        // Half of the gangs are of the lowest class, a fifth of the highest.
        let priority = generator.element(of: [0, 0, 0, 0, 0, 1, 1, 1, 2, 2] as [Int32])
        let weight = generator.element(of: [1, 1, 1, 1, 2, 2, 3, 4, 6, 8] as [UInt32])
        return problem.addGang(priority: priority, weight: weight)
    }

    /// Gives a GPU to a gang.
    mutating func assign(_ gpu: Int, to gang: Int32, _ demand: GangDemand) {
        problem.gpuGang[gpu] = gang
        let watts = demand.draw(curveFamilies, &generator)
        problem.gpuCurve[gpu] = watts.curve
        if watts.curve >= 0 {
            problem.gpuFloorMilliwatts[gpu] = problem.curves.floor(of: watts.curve)
            problem.gpuFullMilliwatts[gpu] = problem.curves.full(of: watts.curve)
        } else {
            problem.gpuFloorMilliwatts[gpu] = 300_000
            problem.gpuFullMilliwatts[gpu] = watts.fullMilliwatts
        }
    }
}

/// What the GPUs of one gang want.
struct GangDemand: Sendable {
    /// The family of curves, or -1 for straight lines.
    var family: Int
    /// The middle of the watts at full pace, for straight lines.
    var fullMilliwatts: UInt32

    init(_ generator: inout BenchGenerator) {
        family = generator.isIn(1, of: 2) ? generator.below(16) : -1
        fullMilliwatts = UInt32(generator.pick(700_000...1_500_000))
    }

    /// Draws the demand of one GPU.
    func draw(
        _ families: [[Int32]], _ generator: inout BenchGenerator
    ) -> (curve: Int32, fullMilliwatts: UInt32) {
        guard family >= 0 else {
            return (-1, fullMilliwatts - 25_000 + UInt32(generator.below(50_000)))
        }
        // Six chips in eight are of the first kind.
        let chip = max(0, generator.below(8) - 5)
        return (families[family][chip], 0)
    }
}
