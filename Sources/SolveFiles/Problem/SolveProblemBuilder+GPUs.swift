// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// One entry of `gpus` while it is read.
struct GPUText {
    var floor: UInt32 = 0
    var full: UInt32 = 0
    /// The gang's name by number, or -1.
    var gangName: Int32 = -1
    var priority: Int32 = 0
    var weight: UInt32 = 1
    var leaves: [Int32] = []
    var points: [PowerCurvePoint] = []
    var hasCurve = false

    mutating func reset() {
        gangName = -1
        priority = 0
        weight = 1
        leaves.removeAll(keepingCapacity: true)
        points.removeAll(keepingCapacity: true)
        hasCurve = false
    }
}

extension SolveProblemBuilder {
    private static let gpuKeys = JSONKeys(
        "domains", "floor_mw", "full_mw", "curve", "gang", "priority", "weight")

    mutating func readGPUs(_ reader: inout JSONReader) throws(SolveFileError) {
        try reader.array { index, reader throws(SolveFileError) in
            guard index < PowerProblem.maximumGPUCount else {
                throw SolveFileError(
                    "more than \(PowerProblem.maximumGPUCount) GPUs",
                    hint: "split the problem by sites")
            }
            try readGPU(&reader)
            try addGPU(index)
        }
        placeLeaves()
    }

    private mutating func readGPU(_ reader: inout JSONReader) throws(SolveFileError) {
        gpu.reset()
        let watts = 0...Int64(UInt32.max)
        let seen = try reader.object(Self.gpuKeys) { key, reader throws(SolveFileError) in
            switch key {
            case 0: try readLeaves(&reader)
            case 1: gpu.floor = UInt32(try reader.integer(in: watts))
            case 2: gpu.full = UInt32(try reader.integer(in: watts))
            case 3:
                guard try !reader.null() else { return }
                try readCurve(&reader)
            case 4:
                guard try !reader.null() else { return }
                let (number, isNew) = result.gangNames.insert(try readName(&reader))
                if isNew { result.gangOfName.append(-1) }
                gpu.gangName = Int32(number)
            case 5:
                gpu.priority = Int32(
                    try reader.integer(in: Int64(Int32.min)...Int64(Int32.max)))
            default:
                gpu.weight = UInt32(
                    try reader.integer(in: 1...Int64(PowerProblem.maximumWeight)))
            }
        }
        try Self.gpuKeys.require(0b111, in: seen)
    }

    // MARK: - Domains of a GPU

    private mutating func readLeaves(_ reader: inout JSONReader) throws(SolveFileError) {
        try reader.array { index, reader throws(SolveFileError) in
            guard index < SolveFileLimits.domainsOfGPU else {
                throw SolveFileError(
                    "a GPU names at most \(SolveFileLimits.domainsOfGPU) domains",
                    hint: "name one for each tree that feeds it")
            }
            let name = try reader.string()
            guard let found = result.domainNames.find(name) else {
                let text = String(decoding: name, as: UTF8.self)
                throw SolveFileError(
                    "no domain named \(SolveFileError.quoted(text))",
                    hint: "add it to $.domains, or name one that is there")
            }
            let leaf = result.problemDomain[found]
            for other in gpu.leaves where root(of: other) == root(of: leaf) {
                throw sharedTree(leaf, other)
            }
            gpu.leaves.append(leaf)
        }
    }

    private func sharedTree(_ leaf: Int32, _ other: Int32) -> SolveFileError {
        let names = [leaf, other, root(of: leaf)].map {
            SolveFileError.quoted(result.name(ofDomain: Int($0)))
        }
        return SolveFileError(
            "\(names[0]) is in one tree with \(names[1]), under \(names[2])",
            hint: "name one domain for each tree: those above it bind anyhow")
    }

    /// Columns of leaves: those of one GPU in the order of their roots.
    ///
    /// GPUs that hang from the same trees so have each tree in the same column.
    private mutating func placeLeaves() {
        let count = leafStarts.count - 1
        result.problem.gpuLeaf = (0..<max(1, mostLeaves)).map { column in
            [Int32](unsafeUninitializedCapacity: count) { buffer, initialized in
                for gpu in 0..<count {
                    let place = leafStarts[gpu] + column
                    buffer[gpu] = place < leafStarts[gpu + 1] ? leaves[place] : -1
                }
                initialized = count
            }
        }
        leaves = []
        leafStarts = [0]
    }

    // MARK: - Curves

    private static let levelRange: ClosedRange<Int64> = 0...1_000_000

    private mutating func readCurve(_ reader: inout JSONReader) throws(SolveFileError) {
        gpu.hasCurve = true
        try reader.array { index, reader throws(SolveFileError) in
            guard index < PowerCurves.maximumPointCount else {
                throw SolveFileError(
                    "a curve has at most \(PowerCurves.maximumPointCount) points",
                    hint: "leave out points, and keep the curve convex")
            }
            var point = PowerCurvePoint(levelPPM: 0, milliwatts: 0)
            var valueCount = 0
            try reader.array { value, reader throws(SolveFileError) in
                valueCount += 1
                switch value {
                case 0: point.levelPPM = UInt32(try reader.integer(in: Self.levelRange))
                case 1:
                    point.milliwatts = UInt32(try reader.integer(in: 0...Int64(UInt32.max)))
                default: throw Self.noPoint
                }
            }
            guard valueCount == 2 else { throw Self.noPoint }
            gpu.points.append(point)
        }
    }

    private static let noPoint = SolveFileError(
        "a point is [level_ppm, mw]", hint: "write two whole numbers, such as [500000, 420000]")

    private mutating func addCurve() throws(SolveFileError) -> Int32 {
        let points = gpu.points
        if let first = points.first, let last = points.last {
            guard first.milliwatts == gpu.floor || points.count < 2 else {
                throw SolveFileError(
                    "the curve starts at \(first.milliwatts) mW, the floor is \(gpu.floor) mW",
                    hint: "a curve goes from [0, floor_mw] to [1000000, full_mw]",
                    at: [.key("curve"), .index(0)])
            }
            guard last.milliwatts == gpu.full || points.count < 2 else {
                throw SolveFileError(
                    "the curve ends at \(last.milliwatts) mW, full pace is \(gpu.full) mW",
                    hint: "a curve goes from [0, floor_mw] to [1000000, full_mw]",
                    at: [.key("curve"), .index(points.count - 1)])
            }
        }
        let number = points.withUnsafeBytes { curveNumbers.insert($0) }
        guard number.isNew else { return Int32(number.number) }
        do {
            return try result.problem.curves.add(points)
        } catch {
            throw Self.refusal(error, points).inside(.key("curve"))
        }
    }

    private static func refusal(
        _ defect: PowerCurveDefect, _ points: [PowerCurvePoint]
    ) -> SolveFileError {
        let ends = "a curve goes from [0, floor_mw] to [1000000, full_mw]"
        switch defect {
        case .pointCount(let count):
            return SolveFileError("a curve of \(count) points", hint: "give it 2 to 8 points")
        case .ends:
            let index = points[0].levelPPM != 0 ? 0 : points.count - 1
            return SolveFileError(
                "the level here is \(points[index].levelPPM) ppm", hint: ends, at: [.index(index)])
        case .levelOrder(let index):
            return SolveFileError(
                "the level does not rise", hint: "sort the points by level", at: [.index(index)])
        case .falling(let index):
            return SolveFileError(
                "the watts fall", hint: "a higher level never needs fewer watts",
                at: [.index(index)])
        case .notConvex(let index):
            return SolveFileError(
                "the curve is not convex: it is less steep after this point than before",
                hint: "leave this point out, or move it down", at: [.index(index)])
        case .tooSteep(let index):
            return SolveFileError(
                "the piece up to this point is too steep",
                hint: "at most 4294 W for a thousandth of a level", at: [.index(index)])
        }
    }

    // MARK: - Into the columns

    private mutating func addGPU(_ index: Int) throws(SolveFileError) {
        guard gpu.floor <= gpu.full else {
            throw SolveFileError(
                "the floor of \(gpu.floor) mW is above full pace, \(gpu.full) mW",
                hint: "full_mw is what the GPU uses at most", at: [.key("floor_mw")])
        }
        fullSum += Int64(gpu.full)
        guard fullSum <= PowerProblem.maximumBudgetMilliwatts else {
            throw SolveFileError(
                "all GPUs up to this one need more than 2^50 mW",
                hint: "powers are in milliwatts", at: [.key("full_mw")])
        }
        let curve = gpu.hasCurve ? try addCurve() : -1
        result.problem.gpuFloorMilliwatts.append(gpu.floor)
        result.problem.gpuFullMilliwatts.append(gpu.full)
        result.problem.gpuCurve.append(curve)
        result.problem.gpuGang.append(try gang(index))
        appendLeaves()
        leafStarts.append(leaves.count)
        mostLeaves = max(mostLeaves, gpu.leaves.count)
    }

    /// Appends the leaves of the GPU that was read, in the order of their roots.
    private mutating func appendLeaves() {
        let start = leaves.count
        for leaf in gpu.leaves {
            var place = leaves.count
            leaves.append(leaf)
            while place > start, root(of: leaves[place - 1]) > root(of: leaf) {
                leaves[place] = leaves[place - 1]
                place -= 1
            }
            leaves[place] = leaf
        }
    }

    /// The gang of the GPU that was read: the one it names, or a new one.
    private mutating func gang(_ index: Int) throws(SolveFileError) -> Int32 {
        let name = Int(gpu.gangName)
        if name >= 0, result.gangOfName[name] >= 0 {
            let gang = result.gangOfName[name]
            try agree(with: Int(gang), name: name)
            result.gangGPUCount[Int(gang)] += 1
            return gang
        }
        let gang = result.problem.addGang(priority: gpu.priority, weight: gpu.weight)
        result.gangName.append(gpu.gangName)
        result.gangFirstGPU.append(Int32(index))
        result.gangGPUCount.append(1)
        if name >= 0 { result.gangOfName[name] = gang }
        return gang
    }

    private func agree(with gang: Int, name: Int) throws(SolveFileError) {
        let priority = result.problem.gangPriority[gang]
        let weight = result.problem.gangWeight[gang]
        guard priority != gpu.priority || weight != gpu.weight else { return }
        let isPriority = priority != gpu.priority
        let key = isPriority ? "priority" : "weight"
        let (mine, theirs) =
            isPriority ? ("\(gpu.priority)", "\(priority)") : ("\(gpu.weight)", "\(weight)")
        let text = SolveFileError.quoted(result.gangNames.text(name))
        throw SolveFileError(
            "gang \(text) has the \(key) \(theirs) in $.gpus[\(result.gangFirstGPU[gang])], "
                + "and \(mine) here",
            hint: "all GPUs of a gang have one priority and one weight (0 and 1 where left out)",
            at: [.key(key)])
    }
}
