// SPDX-License-Identifier: Apache-2.0

@testable import AllocationCore

/// How random problems are drawn.
struct PowerProblemShape {
    var gpuCount: ClosedRange<Int> = 1...9
    var domainsPerTree: ClosedRange<Int> = 1...5
    var treeCount: ClosedRange<Int> = 1...3
    var gangCount: ClosedRange<Int> = 0...5
    var weights: [UInt32] = [1, 1, 1, 2, 3, 7, 1000, 1 << 20]
    var hasCurves = true
    /// Small numbers make ties and exact fits; large ones exercise the range.
    var wattScale: ClosedRange<Int> = 0...2
}

extension PowerProblem {
    /// A random problem; about one in ten is infeasible.
    static func random(
        _ shape: PowerProblemShape, _ generator: inout SeededGenerator
    ) -> PowerProblem {
        let treeCount = generator.pick(shape.treeCount)
        var problem = PowerProblem(treeCount: treeCount)
        var trees: [[Int32]] = []
        for _ in 0..<treeCount {
            var tree: [Int32] = []
            for _ in 0..<generator.pick(shape.domainsPerTree) {
                let parent = tree.isEmpty ? -1 : generator.element(of: tree)
                tree.append(problem.addDomain(parent: parent, budgetMilliwatts: 0))
            }
            trees.append(tree)
        }
        for _ in 0..<generator.pick(shape.gangCount) {
            problem.addGang(
                priority: Int32(generator.pick(-1...1)),
                weight: generator.element(of: shape.weights))
        }
        let scale = [6, 1000, 1_000_000][generator.pick(shape.wattScale)]
        for _ in 0..<generator.pick(shape.gpuCount) {
            problem.addRandomGPU(trees, scale, shape.hasCurves, &generator)
        }
        problem.drawBudgets(&generator)
        return problem
    }

    private mutating func addRandomGPU(
        _ trees: [[Int32]], _ scale: Int, _ hasCurves: Bool, _ generator: inout SeededGenerator
    ) {
        let leaves = trees.map { generator.oneIn(8) ? -1 : generator.element(of: $0) }
        let gang = gangCount == 0 || generator.oneIn(8) ? -1 : generator.pick(0...gangCount - 1)
        if hasCurves, gang >= 0, generator.oneIn(3) {
            let curve = randomCurve(scale, &generator)
            addGPU(
                floorMilliwatts: curves.floor(of: curve), fullMilliwatts: curves.full(of: curve),
                leaves: leaves, gang: Int32(gang), curve: curve)
        } else {
            addGPU(
                floorMilliwatts: UInt32(generator.pick(0...scale)),
                fullMilliwatts: UInt32(generator.pick(0...2 * scale)),
                leaves: leaves, gang: Int32(gang))
        }
    }

    private mutating func randomCurve(_ scale: Int, _ generator: inout SeededGenerator) -> Int32 {
        if curves.count > 0, generator.oneIn(2) {
            return Int32(generator.pick(0...curves.count - 1))
        }
        let inner = generator.pick(0...6)
        var levels = Set<Int>()
        while levels.count < inner {
            levels.insert(
                generator.oneIn(2) ? generator.pick(1...9) * 100_000 : generator.pick(1...999_999))
        }
        let ppm = [0] + levels.sorted() + [1_000_000]
        // Rising slopes in milliwatts per unit of level; some start flat.
        var slope = generator.oneIn(3) ? 0.0 : Double(generator.pick(0...scale))
        var watts = Double(generator.pick(0...scale))
        var points = [PowerCurvePoint(levelPPM: 0, milliwatts: UInt32(watts))]
        for index in 1..<ppm.count {
            let run = Double(ppm[index] - ppm[index - 1]) / 1_000_000
            watts = Double(points[index - 1].milliwatts) + (slope * run).rounded(.up)
            points.append(
                PowerCurvePoint(levelPPM: UInt32(ppm[index]), milliwatts: UInt32(watts)))
            slope = (watts - Double(points[index - 1].milliwatts)) / run
            slope += Double(generator.pick(0...scale))
        }
        do {
            return try curves.add(points)
        } catch {
            // Rounding made it fall short of convex: take the straight line.
            return addLine(from: points[0], to: points[points.count - 1])
        }
    }

    private mutating func addLine(from start: PowerCurvePoint, to end: PowerCurvePoint) -> Int32 {
        do {
            return try curves.add([start, end])
        } catch {
            preconditionFailure("a straight line is a curve: \(error)")
        }
    }

    /// Budgets between the floors and what the fulls need, so that most problems bind somewhere.
    private mutating func drawBudgets(_ generator: inout SeededGenerator) {
        var floors = [Int64](repeating: 0, count: domainCount)
        var fulls = floors
        for gpu in 0..<gpuCount {
            for tree in 0..<treeCount {
                var domain = Int(gpuLeaf[tree][gpu])
                while domain >= 0 {
                    floors[domain] += Int64(gpuFloorMilliwatts[gpu])
                    fulls[domain] += Int64(max(gpuFloorMilliwatts[gpu], gpuFullMilliwatts[gpu]))
                    domain = Int(domainParent[domain])
                }
            }
        }
        for domain in 0..<domainCount {
            let span = Int(fulls[domain] - floors[domain])
            let share = generator.pick(0...span) + (generator.oneIn(4) ? span : 0)
            domainBudgetMilliwatts[domain] = floors[domain] + Int64(share)
            if generator.oneIn(60) { domainBudgetMilliwatts[domain] = floors[domain] - 1 }
        }
    }
}
