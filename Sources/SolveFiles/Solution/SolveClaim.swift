// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// A file that claims to be the answer of `busbar solve`, as it was read: nothing in it is believed.
struct SolveClaim {
    /// How far something rose, and what is said to have stopped it.
    struct Standing: Hashable {
        /// In units of 10^-16; 10^16 + 1 for anything above 1.
        var levelUnits: UInt64
        /// A domain of the problem, ``PowerSolution/atFull``, or ``unknown``.
        var boundBy: Int32

        /// A domain that the problem does not have.
        static let unknown: Int32 = -2
    }

    /// One entry of `full_domains`.
    struct FullDomain: Hashable {
        var domain: Int32
        var limit: Int64
        var capSum: Int64
        var stopCount: Int64
    }

    /// One entry of `shortfalls`.
    struct Shortfall: Hashable {
        var domain: Int32
        var limit: Int64
        var floors: Int64
        var missing: Int64
    }

    /// One entry of `shed`.
    struct Shed: Hashable {
        /// A gang of the problem; nil where the entry names none.
        var gang: Int32?
        var priority: Int64
        var gpuCount: Int64
        var frees: Int64
    }

    var isOptimal = false
    var caps: [Int64] = []
    /// The standing of each named gang, by the number of its name; nil where it is missing.
    var gangs: [Standing?] = []
    /// The first name that the problem does not have.
    var extraGang: String?
    var gpus: [Standing] = []
    /// Nil where the certificate has no such key.
    var fullDomains: [FullDomain]?
    var shortfalls: [Shortfall]?
    var shed: [Shed]?
}

/// Reads claims.
struct SolveClaimReader {
    private let problem: SolveProblem
    private var claim = SolveClaim()

    private static let topKeys = JSONKeys(
        "status", "caps_mw", "gangs", "gpus", "certificate", "solve_ns", "shed", "shed_is_least")
    private static let standingKeys = JSONKeys("level", "bound_by")
    private static let certificateKeys = JSONKeys("level_bits", "full_domains", "shortfalls")
    private static let fullKeys = JSONKeys("domain", "limit_mw", "caps_mw", "stops")
    private static let shortKeys = JSONKeys("domain", "limit_mw", "floors_mw", "missing_mw")
    private static let shedKeys = JSONKeys("gang", "gpu", "priority", "gpus", "frees_mw")
    private static let anyNumber = 0...Int64.max

    static func read(
        _ bytes: UnsafeRawBufferPointer, for problem: SolveProblem
    ) throws(SolveFileError) -> SolveClaim {
        var claimReader = SolveClaimReader(problem: problem)
        var reader = JSONReader(bytes)
        do throws(SolveFileError) {
            try claimReader.read(&reader)
        } catch {
            throw error.locate(in: bytes)
        }
        return claimReader.claim
    }

    private init(problem: SolveProblem) {
        self.problem = problem
        claim.gangs = Array(repeating: nil, count: problem.gangOfName.count)
    }

    private mutating func read(_ reader: inout JSONReader) throws(SolveFileError) {
        let seen = try reader.object(Self.topKeys) { key, reader throws(SolveFileError) in
            switch key {
            case 0: try readStatus(&reader)
            case 1:
                try reader.array { _, reader throws(SolveFileError) in
                    claim.caps.append(try reader.integer(in: 0...Int64(UInt32.max)))
                }
            case 2: try readGangs(&reader)
            case 3:
                try reader.array { _, reader throws(SolveFileError) in
                    claim.gpus.append(try readStanding(&reader))
                }
            case 4: try readCertificate(&reader)
            case 5: _ = try reader.integer(in: Self.anyNumber)
            case 6: try readShed(&reader)
            default: _ = try reader.bool()
            }
        }
        try reader.end()
        try Self.topKeys.require(0b11_1111, in: seen)
    }

    private mutating func readStatus(_ reader: inout JSONReader) throws(SolveFileError) {
        switch String(decoding: try reader.string(), as: UTF8.self) {
        case "optimal": claim.isOptimal = true
        case "infeasible": claim.isOptimal = false
        case let other:
            throw SolveFileError(
                "no such status: \(SolveFileError.quoted(other))",
                hint: "it is \"optimal\" or \"infeasible\"")
        }
    }

    private mutating func readGangs(_ reader: inout JSONReader) throws(SolveFileError) {
        try reader.members { key, start, reader throws(SolveFileError) in
            let name = problem.gangNames.find(key)
            let text = String(decoding: key, as: UTF8.self)
            if let name, claim.gangs[name] != nil { throw JSONReader.twice(key, start) }
            do throws(SolveFileError) {
                let standing = try readStanding(&reader)
                if let name {
                    claim.gangs[name] = standing
                } else {
                    claim.extraGang = claim.extraGang ?? text
                }
            } catch {
                throw error.inside(.key(text))
            }
        }
    }

    private func readStanding(
        _ reader: inout JSONReader
    ) throws(SolveFileError) -> SolveClaim.Standing {
        var standing = SolveClaim.Standing(levelUnits: 0, boundBy: SolveClaim.Standing.unknown)
        let seen = try reader.object(Self.standingKeys) { key, reader throws(SolveFileError) in
            if key == 0 {
                standing.levelUnits = try reader.decimal(limit: LevelText.unit)
            } else {
                let name = try reader.string()
                let isFull = name.elementsEqual(SolveFileLimits.atFull.utf8)
                standing.boundBy = isFull ? PowerSolution.atFull : domain(name)
            }
        }
        try Self.standingKeys.require(0b11, in: seen)
        return standing
    }

    /// A domain of the problem by its name, or ``SolveClaim/Standing/unknown``.
    private func domain(_ name: JSONReader.Text) -> Int32 {
        problem.domainNames.find(name).map { problem.problemDomain[$0] }
            ?? SolveClaim.Standing.unknown
    }

    // MARK: - Certificate

    private mutating func readCertificate(_ reader: inout JSONReader) throws(SolveFileError) {
        let bits = Int64(PowerLevel.fractionalBits)
        let seen = try reader.object(Self.certificateKeys) { key, reader throws(SolveFileError) in
            switch key {
            case 0: _ = try reader.integer(in: bits...bits)
            case 1:
                claim.fullDomains = []
                try reader.array { _, reader throws(SolveFileError) in
                    let (domain, numbers) = try readEntry(Self.fullKeys, &reader)
                    claim.fullDomains?.append(
                        .init(
                            domain: domain, limit: numbers[1], capSum: numbers[2],
                            stopCount: numbers[3]))
                }
            default:
                claim.shortfalls = []
                try reader.array { _, reader throws(SolveFileError) in
                    let (domain, numbers) = try readEntry(Self.shortKeys, &reader)
                    claim.shortfalls?.append(
                        .init(
                            domain: domain, limit: numbers[1], floors: numbers[2],
                            missing: numbers[3]))
                }
            }
        }
        try Self.certificateKeys.require(0b1, in: seen)
    }

    /// Reads an object of a domain's name and three numbers.
    private func readEntry(
        _ keys: JSONKeys, _ reader: inout JSONReader
    ) throws(SolveFileError) -> (domain: Int32, numbers: [Int64]) {
        var domain = SolveClaim.Standing.unknown
        var numbers: [Int64] = [0, 0, 0, 0]
        let seen = try reader.object(keys) { key, reader throws(SolveFileError) in
            if key == 0 {
                domain = self.domain(try reader.string())
            } else {
                numbers[key] = try reader.integer(in: Self.anyNumber)
            }
        }
        try keys.require(0b1111, in: seen)
        return (domain, numbers)
    }

    private mutating func readShed(_ reader: inout JSONReader) throws(SolveFileError) {
        claim.shed = []
        try reader.array { _, reader throws(SolveFileError) in
            var entry = SolveClaim.Shed(gang: nil, priority: 0, gpuCount: 0, frees: 0)
            var name: Int?
            var (isNamed, gpu) = (false, Int64(0))
            let seen = try reader.object(Self.shedKeys) { key, reader throws(SolveFileError) in
                switch key {
                case 0:
                    guard try !reader.null() else { return }
                    isNamed = true
                    name = problem.gangNames.find(try reader.string())
                case 1: gpu = try reader.integer(in: Self.anyNumber)
                case 2:
                    entry.priority = try reader.integer(
                        in: Int64(Int32.min)...Int64(Int32.max))
                case 3: entry.gpuCount = try reader.integer(in: Self.anyNumber)
                default: entry.frees = try reader.integer(in: Self.anyNumber)
                }
            }
            try Self.shedKeys.require(0b1_1111, in: seen)
            entry.gang = gang(isNamed: isNamed, name: name, firstGPU: gpu)
            claim.shed?.append(entry)
        }
    }

    /// The gang whose name, or none, and whose first GPU an entry gives.
    private func gang(isNamed: Bool, name: Int?, firstGPU: Int64) -> Int32? {
        guard firstGPU < problem.problem.gpuCount else { return nil }
        let gang = problem.problem.gpuGang[Int(firstGPU)]
        guard problem.gangFirstGPU[Int(gang)] == firstGPU else { return nil }
        let itsName = Int(problem.gangName[Int(gang)])
        return (isNamed ? name : -1) == itsName ? gang : nil
    }
}
