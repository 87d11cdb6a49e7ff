// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// Turns the JSON of a problem file into columns.
struct SolveProblemBuilder {
    var result = SolveProblem()

    // Domains as the file has them.
    private var parentName: [String?] = []
    private var limit: [Int64] = []
    private var isUnlimited: [Bool] = []
    /// The root of each domain of the problem.
    private var root: [Int32] = []

    // The GPU that is being read.
    var gpu = GPUText()
    /// The leaves of all GPUs, as domains of the problem.
    var leaves: [Int32] = []
    /// The first leaf of each GPU, and the end.
    var leafStarts: [Int] = [0]
    var mostLeaves = 0
    /// Sum of all fulls.
    var fullSum: Int64 = 0
    /// The number of each curve by its points.
    var curveNumbers = NameTable()

    private static let topKeys = JSONKeys("domains", "gpus")
    private static let domainKeys = JSONKeys("name", "parent", "limit_mw")

    mutating func read(_ reader: inout JSONReader) throws(SolveFileError) -> SolveProblem {
        var areDomainsKnown = false
        var later: Int?
        let seen = try reader.object(Self.topKeys) { key, reader throws(SolveFileError) in
            if key == 0 {
                try readDomains(&reader)
                areDomainsKnown = true
            } else if areDomainsKnown {
                try readGPUs(&reader)
            } else {
                _ = reader.peek()
                later = reader.position
                try reader.skip()
            }
        }
        try reader.end()
        try Self.topKeys.require(0b11, in: seen)
        if let later {
            reader.seek(later)
            do throws(SolveFileError) {
                try readGPUs(&reader)
            } catch {
                throw error.inside(.key("gpus"))
            }
        }
        return result
    }

    // MARK: - Domains

    private mutating func readDomains(_ reader: inout JSONReader) throws(SolveFileError) {
        try reader.array { index, reader throws(SolveFileError) in
            guard index < SolveFileLimits.domainCount else {
                throw SolveFileError(
                    "more than \(SolveFileLimits.domainCount) domains",
                    hint: "split the problem by sites")
            }
            try readDomain(&reader)
        }
        try orderDomains()
    }

    private mutating func readDomain(_ reader: inout JSONReader) throws(SolveFileError) {
        var parent: String?
        var limit: Int64?
        let seen = try reader.object(Self.domainKeys) { key, reader throws(SolveFileError) in
            switch key {
            case 0:
                let name = try readName(&reader)
                try add(domain: name)
            case 1:
                guard try !reader.null() else { return }
                parent = String(decoding: try readName(&reader), as: UTF8.self)
            default:
                guard try !reader.null() else { return }
                limit = try reader.integer(in: 0...PowerProblem.maximumBudgetMilliwatts)
            }
        }
        try Self.domainKeys.require(0b1, in: seen)
        parentName.append(parent)
        isUnlimited.append(limit == nil)
        self.limit.append(limit ?? PowerProblem.maximumBudgetMilliwatts)
    }

    private mutating func add(domain name: JSONReader.Text) throws(SolveFileError) {
        let text = String(decoding: name, as: UTF8.self)
        guard text != SolveFileLimits.atFull else {
            throw SolveFileError(
                "no domain may be called \"full\"",
                hint: "\"bound_by\": \"full\" says that no domain stopped a gang")
        }
        guard result.domainNames.insert(name).isNew else {
            let first = result.domainNames.find(name) ?? 0
            throw SolveFileError(
                "$.domains[\(first)] is called \(SolveFileError.quoted(text)) too",
                hint: "give each domain a name of its own")
        }
    }

    /// Reads a name: not empty, not too long, nothing that drives a terminal.
    func readName(_ reader: inout JSONReader) throws(SolveFileError) -> JSONReader.Text {
        let name = try reader.string()
        guard (1...SolveFileLimits.nameByteCount).contains(name.count) else {
            throw SolveFileError(
                "a name has 1 to \(SolveFileLimits.nameByteCount) bytes, this one \(name.count)",
                hint: name.isEmpty ? "write null for none" : "shorten it")
        }
        // In UTF-8 the control characters U+0080 to U+009F begin with 0xc2.
        var before: UInt8 = 0
        for byte in name {
            let isControl =
                byte < 0x20 || byte == 0x7f || (before == 0xc2 && (0x80...0x9f).contains(byte))
            guard !isControl else {
                throw SolveFileError(
                    "the name holds a control character", hint: "use printable characters only")
            }
            before = byte
        }
        return name
    }

    /// Puts the domains into the problem, parents first, in the order of the file where that does.
    private mutating func orderDomains() throws(SolveFileError) {
        let count = result.domainNames.count
        var parent = [Int](repeating: -1, count: count)
        for domain in 0..<count {
            guard let name = parentName[domain] else { continue }
            parent[domain] = try find(name, parentOf: domain)
        }
        result.problemDomain = [Int32](repeating: -1, count: count)
        var depth = [Int](repeating: 0, count: count)
        var path: [Int] = []
        for domain in 0..<count {
            var next = domain
            while next >= 0, result.problemDomain[next] < 0 {
                path.append(next)
                guard path.count <= count else { break }
                next = parent[next]
            }
            // A path that is longer than there are domains has gone round.
            if path.count > count { throw Self.cycle(path, parent, result.domainNames) }
            while let outermost = path.popLast() {
                let above = parent[outermost]
                depth[outermost] = above < 0 ? 1 : depth[above] + 1
                guard depth[outermost] <= SolveFileLimits.depth else {
                    throw SolveFileError(
                        "stands more than \(SolveFileLimits.depth) levels deep",
                        hint: "leave out levels that have no limit", at: [.index(outermost)])
                }
                append(outermost, parent: above)
            }
        }
    }

    private mutating func append(_ domain: Int, parent: Int) {
        let above = parent < 0 ? -1 : result.problemDomain[parent]
        let new = result.problem.addDomain(parent: above, budgetMilliwatts: limit[domain])
        result.problemDomain[domain] = new
        result.fileDomain.append(Int32(domain))
        result.isUnlimited.append(isUnlimited[domain])
        root.append(above < 0 ? new : root[Int(above)])
    }

    private func find(_ name: String, parentOf domain: Int) throws(SolveFileError) -> Int {
        var name = name
        let found = name.withUTF8 { result.domainNames.find(UnsafeRawBufferPointer($0)) }
        guard let found else {
            throw SolveFileError(
                "no domain named \(SolveFileError.quoted(name))",
                hint: "add it to $.domains, or write null for a root",
                at: [.index(domain), .key("parent")])
        }
        return found
    }

    private static func cycle(
        _ path: [Int], _ parent: [Int], _ names: NameTable
    ) -> SolveFileError {
        // What comes last has gone round at least once: from there, once more.
        let start = path[path.count - 1]
        var members = [start]
        while parent[members[members.count - 1]] != start {
            members.append(parent[members[members.count - 1]])
        }
        let shown = (members.prefix(8) + [start]).map { SolveFileError.quoted(names.text($0)) }
        let dots = members.count > 8 ? ", …" : ""
        let first = members.min() ?? start
        return SolveFileError(
            "the parents go round in a circle: \(shown.joined(separator: " in "))\(dots)",
            hint: "give one of them the parent null", at: [.index(first), .key("parent")])
    }

    // MARK: - Roots

    /// The root above a domain of the problem.
    func root(of domain: Int32) -> Int32 { root[Int(domain)] }
}
