// SPDX-License-Identifier: Apache-2.0

/// The line of the definition that a claimed solution breaks.
package enum PowerViolation: Hashable, Sendable {
    /// The columns of the claim do not match the problem.
    case columnLengths
    /// A level is above 1.
    case levelRange(gang: Int)
    /// A cap is below its GPU's floor.
    case floor(gpu: Int, floorMilliwatts: UInt32)
    /// A cap is not the one that the gang's level gives; without a gang, not the floor.
    case cap(gpu: Int, expectedMilliwatts: UInt32)
    /// A domain is over its budget by this much, rounded up.
    case budget(domain: Int, excessMilliwatts: Int64)
    /// The gang is said to be at full pace and is not.
    case notFull(gang: Int)
    /// The gang is at full pace, or can use nothing, and is said to be stopped.
    case notStopped(gang: Int)
    /// The domain that is said to stop the gang does not exist.
    case unknownDomain(gang: Int)
    /// The level is on no step of the common pace.
    case offLattice(gang: Int)
    /// The domain that is said to stop the gang would give it nothing at the next step anyhow.
    case doesNotBind(gang: Int, domain: Int)
    /// The domain that is said to stop the gang has watts left for the next step.
    case notSaturated(gang: Int, domain: Int)
    /// The domain that is said to stop the gang is full only with what a gang of a lower class has.
    case lowerClass(gang: Int, domain: Int, other: Int)
    /// Another gang of the class went on in the domain that stopped this one.
    case standsHigher(gang: Int, domain: Int, other: Int)
    /// The gang went on in a domain that was full, and that nobody names.
    case passedFull(gang: Int, domain: Int)
}

/// Checks claimed solutions of a ``PowerProblem`` against its definition.
///
/// Shares no code with ``PowerSolver`` and does not search: a claim is right exactly when floors,
/// budgets and caps hold, and each gang is at full pace or was stopped in a domain that is full for its
/// class, where no gang of the class went on. By the uniqueness of weighted max-min fair levels only
/// the optimum passes.
package struct PowerChecker {
    let problem: PowerProblem
    private let capMilliwatts: [UInt32]
    let certificate: PowerCertificate
    /// The GPUs of each domain: slices of `members`.
    private var memberStarts: [Int] = []
    private var members: [Int32] = []
    /// What each domain has free, and what each GPU whose gang was stopped would have used more at the
    /// next step, in units of 2^-68 mW; both once the budgets are known to hold.
    private(set) var free: [Int128] = []
    private(set) var growth: [Int128] = []

    /// Checks a claim.
    ///
    /// - Parameters:
    ///   - problem: well-formed.
    ///   - capMilliwatts: the claimed cap of each GPU.
    ///   - certificate: the claimed level of each gang and what stopped it.
    /// - Returns: the first line that is broken, or nil for the optimum.
    package static func firstViolation(
        of problem: PowerProblem, capMilliwatts: [UInt32], certificate: PowerCertificate
    ) -> PowerViolation? {
        guard capMilliwatts.count == problem.gpuCount,
            certificate.level.count == problem.gangCount,
            certificate.boundBy.count == problem.gangCount
        else { return .columnLengths }
        var checker = PowerChecker(problem, capMilliwatts, certificate)
        return checker.levelViolation() ?? checker.capViolation() ?? checker.budgetViolation()
            ?? checker.stopViolation() ?? checker.passingViolation()
    }

    private init(
        _ problem: PowerProblem, _ capMilliwatts: [UInt32], _ certificate: PowerCertificate
    ) {
        self.problem = problem
        self.capMilliwatts = capMilliwatts
        self.certificate = certificate
        listMembers()
    }

    private mutating func listMembers() {
        var counts = [Int](repeating: 0, count: problem.domainCount + 1)
        forEachMembership { domain, _ in counts[domain + 1] += 1 }
        for domain in 0..<problem.domainCount { counts[domain + 1] += counts[domain] }
        memberStarts = counts
        var list = [Int32](repeating: 0, count: counts[problem.domainCount])
        forEachMembership { domain, gpu in
            list[counts[domain]] = Int32(gpu)
            counts[domain] += 1
        }
        members = list
    }

    private func forEachMembership(_ body: (_ domain: Int, _ gpu: Int) -> Void) {
        for gpu in 0..<problem.gpuCount {
            for leaves in problem.gpuLeaf {
                var domain = Int(leaves[gpu])
                while domain >= 0 {
                    body(domain, gpu)
                    domain = Int(problem.domainParent[domain])
                }
            }
        }
    }

    func members(of domain: Int) -> ArraySlice<Int32> {
        members[memberStarts[domain]..<memberStarts[domain + 1]]
    }

    // MARK: - What a GPU uses

    private static let one: UInt64 = 1 << 52

    /// Watts at a level, in units of 2^-68 mW: floor included, nothing rounded.
    func watts(_ gpu: Int, _ level: UInt64) -> Int128 {
        let floor = Int128(problem.gpuFloorMilliwatts[gpu])
        let full = Int128(problem.gpuFullMilliwatts[gpu])
        guard full > floor else { return floor << 68 }
        guard problem.gpuCurve[gpu] >= 0 else {
            return (floor << 68) + ((full - floor) << 16) * Int128(level)
        }
        let curves = problem.curves
        let curve = Int(problem.gpuCurve[gpu])
        // The last point at or below the level.
        var point = Int(curves.starts[curve + 1]) - 1
        while curves.levels[point] > level { point -= 1 }
        let climb = Int128(curves.slopes[point]) * Int128(level - curves.levels[point])
        return (Int128(curves.milliwatts[point]) << 68) + climb
    }

    /// The level at a pace of a gang that nothing has stopped.
    func free(_ gang: Int, at pace: UInt128) -> UInt64 {
        UInt64(min(UInt128(PowerChecker.one), pace * UInt128(problem.gangWeight[gang])))
    }

    func isFull(_ gang: Int) -> Bool {
        certificate.level[gang].rawValue == PowerChecker.one
    }

    /// The pace at which a stopped gang stands.
    func pace(_ gang: Int) -> UInt128 {
        UInt128(certificate.level[gang].rawValue / UInt64(problem.gangWeight[gang]))
    }

    // MARK: - The lines of the definition

    private func levelViolation() -> PowerViolation? {
        var wantsMore = [Bool](repeating: false, count: problem.gangCount)
        for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] >= 0 {
            guard problem.gpuFullMilliwatts[gpu] > problem.gpuFloorMilliwatts[gpu] else { continue }
            wantsMore[Int(problem.gpuGang[gpu])] = true
        }
        for gang in 0..<problem.gangCount {
            let level = certificate.level[gang].rawValue
            guard level <= PowerChecker.one else { return .levelRange(gang: gang) }
            guard certificate.boundBy[gang] != PowerSolution.atFull else {
                if level < PowerChecker.one { return .notFull(gang: gang) }
                continue
            }
            guard level < PowerChecker.one, wantsMore[gang] else {
                return .notStopped(gang: gang)
            }
            guard (0..<problem.domainCount).contains(Int(certificate.boundBy[gang])) else {
                return .unknownDomain(gang: gang)
            }
            guard level % UInt64(problem.gangWeight[gang]) == 0 else {
                return .offLattice(gang: gang)
            }
        }
        return nil
    }

    private func capViolation() -> PowerViolation? {
        for gpu in 0..<problem.gpuCount {
            let gang = Int(problem.gpuGang[gpu])
            let level = gang < 0 ? 0 : certificate.level[gang].rawValue
            let expected =
                gang < 0 ? Int128(problem.gpuFloorMilliwatts[gpu]) << 68 : watts(gpu, level)
            let cap = UInt32(expected >> 68)
            if capMilliwatts[gpu] < problem.gpuFloorMilliwatts[gpu] {
                return .floor(gpu: gpu, floorMilliwatts: problem.gpuFloorMilliwatts[gpu])
            }
            if capMilliwatts[gpu] != cap { return .cap(gpu: gpu, expectedMilliwatts: cap) }
        }
        return nil
    }

    private mutating func budgetViolation() -> PowerViolation? {
        let use = (0..<problem.gpuCount).map { gpu in
            let gang = Int(problem.gpuGang[gpu])
            return gang < 0
                ? Int128(problem.gpuFloorMilliwatts[gpu]) << 68
                : watts(gpu, certificate.level[gang].rawValue)
        }
        for domain in 0..<problem.domainCount {
            let sum = members(of: domain).reduce(Int128(0)) { $0 + use[Int($1)] }
            free.append(Int128(problem.domainBudgetMilliwatts[domain]) << 68 - sum)
            guard free[domain] < 0 else { continue }
            let rounded = (-free[domain] + (1 << 68) - 1) >> 68
            return .budget(domain: domain, excessMilliwatts: Int64(rounded))
        }
        growth = use.indices.map { growth($0, from: use[$0]) }
        return nil
    }

    /// What a GPU whose gang was stopped would have used more at the next step.
    private func growth(_ gpu: Int, from use: Int128) -> Int128 {
        let gang = Int(problem.gpuGang[gpu])
        guard gang >= 0, certificate.boundBy[gang] != PowerSolution.atFull else { return 0 }
        return watts(gpu, free(gang, at: pace(gang) + 1)) - use
    }

    /// Checks each stopped gang against the domain that stopped it, domain by domain.
    private func stopViolation() -> PowerViolation? {
        let stopped = (0..<problem.gangCount)
            .filter { certificate.boundBy[$0] != PowerSolution.atFull }
            .sorted { key(of: $0) < key(of: $1) }
        var start = 0
        while start < stopped.count {
            let domain = certificate.boundBy[stopped[start]]
            var end = start + 1
            while end < stopped.count, certificate.boundBy[stopped[end]] == domain { end += 1 }
            if let violation = stopViolation(in: Int(domain), of: stopped[start..<end]) {
                return violation
            }
            start = end
        }
        return nil
    }

    /// Sorts by domain, then important classes first, then pace.
    private func key(of gang: Int) -> (Int32, Int32, UInt128) {
        (certificate.boundBy[gang], ~problem.gangPriority[gang], pace(gang))
    }

    /// Goes through the classes of one domain, the most important first.
    ///
    /// Takes the gangs that the domain is said to have stopped, by class and pace. Those of one class
    /// and pace are checked together: one look at the GPUs that the class has in the domain for each.
    private func stopViolation(in domain: Int, of gangs: ArraySlice<Int>) -> PowerViolation? {
        let ranked = rankedMembers(of: domain)
        // Floors of everything that is not above the class in hand, and the use of what is.
        var rest = floors(of: domain)
        var (start, position) = (gangs.startIndex, 0)
        while start < gangs.endIndex {
            let priority = problem.gangPriority[gangs[start]]
            while position < ranked.count, self.priority(ofGPU: ranked[position]) > priority {
                rest += aboveFloor(ranked[position])
                position += 1
            }
            var classEnd = position
            while classEnd < ranked.count, self.priority(ofGPU: ranked[classEnd]) == priority {
                classEnd += 1
            }
            while start < gangs.endIndex, problem.gangPriority[gangs[start]] == priority {
                let pace = pace(gangs[start])
                var end = start + 1
                while end < gangs.endIndex, key(of: gangs[end]) == key(of: gangs[start]) {
                    end += 1
                }
                if let violation = stopViolation(
                    in: domain, of: gangs[start..<end], pace: pace, rest: rest,
                    peers: ranked[position..<classEnd], below: ranked[classEnd...])
                {
                    return violation
                }
                start = end
            }
        }
        return nil
    }

    /// The GPUs of a domain that have a gang, important classes first.
    func rankedMembers(of domain: Int) -> [Int32] {
        members(of: domain).filter { problem.gpuGang[Int($0)] >= 0 }
            .sorted { ~priority(ofGPU: $0) < ~priority(ofGPU: $1) }
    }

    /// All floors of a domain, in 2^-68 mW.
    func floors(of domain: Int) -> Int128 {
        members(of: domain).reduce(Int128(0)) {
            $0 + Int128(problem.gpuFloorMilliwatts[Int($1)]) << 68
        }
    }

    func priority(ofGPU gpu: Int32) -> Int32 {
        problem.gangPriority[Int(problem.gpuGang[Int(gpu)])]
    }

    /// What a GPU with a gang has above its floor.
    func aboveFloor(_ member: Int32) -> Int128 {
        let gpu = Int(member)
        let level = certificate.level[Int(problem.gpuGang[gpu])].rawValue
        return watts(gpu, level) - Int128(problem.gpuFloorMilliwatts[gpu]) << 68
    }

    /// Checks the gangs that a domain is said to have stopped at one pace.
    ///
    /// `rest` is all floors of the domain and what higher classes have above theirs; `peers` are the
    /// GPUs of the class in the domain, `below` those of lower classes.
    private func stopViolation(
        in domain: Int, of gangs: ArraySlice<Int>, pace: UInt128, rest: Int128,
        peers: ArraySlice<Int32>, below: ArraySlice<Int32>
    ) -> PowerViolation? {
        let gang = gangs[gangs.startIndex]
        var next = rest
        var grows: Set<Int> = []
        var higher: Int?
        for member in peers {
            let gpu = Int(member)
            let other = Int(problem.gpuGang[gpu])
            guard isFull(other) || self.pace(other) >= pace else {
                next += aboveFloor(member)
                continue
            }
            // This one was still free to rise when the domain became full.
            let here = watts(gpu, free(other, at: pace))
            let there = watts(gpu, free(other, at: pace + 1))
            next += there - Int128(problem.gpuFloorMilliwatts[gpu]) << 68
            guard there > here else { continue }
            grows.insert(other)
            if certificate.level[other].rawValue > free(other, at: pace) {
                higher = higher ?? other
            }
        }
        for gang in gangs where !grows.contains(gang) {
            return .doesNotBind(gang: gang, domain: domain)
        }
        if let higher { return .standsHigher(gang: gang, domain: domain, other: higher) }
        let budget = Int128(problem.domainBudgetMilliwatts[domain]) << 68
        if next > budget { return nil }
        for member in below {
            next += aboveFloor(member)
            guard next > budget else { continue }
            let other = Int(problem.gpuGang[Int(member)])
            return .lowerClass(gang: gang, domain: domain, other: other)
        }
        return .notSaturated(gang: gang, domain: domain)
    }
}
