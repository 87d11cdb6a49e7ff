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
    private let problem: PowerProblem
    private let capMilliwatts: [UInt32]
    private let certificate: PowerCertificate
    /// The GPUs of each domain: slices of `members`.
    private var memberStarts: [Int] = []
    private var members: [Int32] = []
    /// What each domain has free, and what each GPU whose gang was stopped would have used more at the
    /// next step, in units of 2^-68 mW; both once the budgets are known to hold.
    private var free: [Int128] = []
    private var growth: [Int128] = []

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

    private func members(of domain: Int) -> ArraySlice<Int32> {
        members[memberStarts[domain]..<memberStarts[domain + 1]]
    }

    // MARK: - What a GPU uses

    private static let one: UInt64 = 1 << 52

    /// Watts at a level, in units of 2^-68 mW: floor included, nothing rounded.
    private func watts(_ gpu: Int, _ level: UInt64) -> Int128 {
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
    private func free(_ gang: Int, at pace: UInt128) -> UInt64 {
        UInt64(min(UInt128(PowerChecker.one), pace * UInt128(problem.gangWeight[gang])))
    }

    private func isFull(_ gang: Int) -> Bool {
        certificate.level[gang].rawValue == PowerChecker.one
    }

    /// The pace at which a stopped gang stands.
    private func pace(_ gang: Int) -> UInt128 {
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

    /// A gang that went on in a domain that was full.
    private func passingViolation() -> PowerViolation? {
        for domain in 0..<problem.domainCount {
            // With more free than all the stopped gangs would take, it stopped nobody.
            let most = members(of: domain).reduce(Int128(0)) { $0 + growth[Int($1)] }
            if free[domain] < most, let violation = passingViolation(domain) { return violation }
        }
        return nil
    }

    /// A gang that went on in a domain at a pace at which the domain was full.
    ///
    /// That can be only where others in the domain were stopped at that pace, whoever stopped them: at
    /// any other, what the domain held was no more than it holds now. And of those only where what they
    /// would have taken at the next step is more than what is free now.
    private func passingViolation(_ domain: Int) -> PowerViolation? {
        var stops: [(class: Int32, pace: UInt128, growth: Int128)] = []
        for gpu in members(of: domain) where growth[Int(gpu)] > 0 {
            let gang = Int(problem.gpuGang[Int(gpu)])
            stops.append((~problem.gangPriority[gang], pace(gang), growth[Int(gpu)]))
        }
        stops.sort { ($0.class, $0.pace) < ($1.class, $1.pace) }
        var start = 0
        while start < stops.count {
            let (rank, pace) = (stops[start].class, stops[start].pace)
            var (end, sum) = (start, Int128(0))
            while end < stops.count, (stops[end].class, stops[end].pace) == (rank, pace) {
                sum += stops[end].growth
                end += 1
            }
            if sum > free[domain], let gang = gangThatPassed(domain, priority: ~rank, pace) {
                return .passedFull(gang: gang, domain: domain)
            }
            start = end
        }
        return nil
    }

    /// A gang of a class that stands above a pace at which the domain was full for the class.
    private func gangThatPassed(_ domain: Int, priority: Int32, _ pace: UInt128) -> Int? {
        var next: Int128 = 0
        var passed: Int?
        for member in members(of: domain) {
            let gpu = Int(member)
            let gang = Int(problem.gpuGang[gpu])
            guard gang >= 0, problem.gangPriority[gang] >= priority else {
                next += Int128(problem.gpuFloorMilliwatts[gpu]) << 68
                continue
            }
            let level = certificate.level[gang].rawValue
            guard problem.gangPriority[gang] == priority, isFull(gang) || self.pace(gang) >= pace
            else {
                next += watts(gpu, level)
                continue
            }
            let there = watts(gpu, free(gang, at: pace + 1))
            next += there
            if level > free(gang, at: pace), there > watts(gpu, free(gang, at: pace)) {
                passed = passed ?? gang
            }
        }
        return next > Int128(problem.domainBudgetMilliwatts[domain]) << 68 ? passed : nil
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
        let ranked = members(of: domain).filter { problem.gpuGang[Int($0)] >= 0 }
            .sorted { ~priority(ofGPU: $0) < ~priority(ofGPU: $1) }
        // Floors of everything that is not above the class in hand, and the use of what is.
        var rest: Int128 = 0
        for gpu in members(of: domain) {
            rest += Int128(problem.gpuFloorMilliwatts[Int(gpu)]) << 68
        }
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

    private func priority(ofGPU gpu: Int32) -> Int32 {
        problem.gangPriority[Int(problem.gpuGang[Int(gpu)])]
    }

    /// What a GPU with a gang has above its floor.
    private func aboveFloor(_ member: Int32) -> Int128 {
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
