// SPDX-License-Identifier: Apache-2.0

// Gangs that went on where they should have stopped, though nothing that the certificate names says so.
extension PowerChecker {
    /// A gang that went on in a domain that was full.
    func passingViolation() -> PowerViolation? {
        for domain in 0..<problem.domainCount {
            // With more free than all the stopped gangs would take, it stopped nobody.
            let most = members(of: domain).reduce(Int128(0)) { $0 + growth[Int($1)] }
            if free[domain] < most, let violation = passingViolation(domain) { return violation }
        }
        return nil
    }

    /// Goes through the classes of one domain, the most important first.
    private func passingViolation(_ domain: Int) -> PowerViolation? {
        let ranked = rankedMembers(of: domain)
        var rest = floors(of: domain)
        var start = 0
        while start < ranked.count {
            let priority = priority(ofGPU: ranked[start])
            var end = start
            while end < ranked.count, self.priority(ofGPU: ranked[end]) == priority { end += 1 }
            if let gang = gangThatPassed(domain, ranked[start..<end], rest: rest) {
                return .passedFull(gang: gang, domain: domain)
            }
            for member in ranked[start..<end] { rest += aboveFloor(member) }
            start = end
        }
        return nil
    }

    /// A gang of one class that stands above a pace at which the domain was full for the class.
    ///
    /// That can be only where others in the domain were stopped at that pace, whoever stopped them: at
    /// any other, what the domain held was no more than it holds now. And of those only where what they
    /// would have taken at the next step is more than what is free now.
    ///
    /// `peers` are the GPUs of the class, `rest` all floors and what higher classes have above theirs.
    private func gangThatPassed(
        _ domain: Int, _ peers: ArraySlice<Int32>, rest: Int128
    ) -> Int? {
        var stops: [(pace: UInt128, growth: Int128)] = []
        for gpu in peers where growth[Int(gpu)] > 0 {
            stops.append((pace(Int(problem.gpuGang[Int(gpu)])), growth[Int(gpu)]))
        }
        stops.sort { $0.pace < $1.pace }
        var start = 0
        while start < stops.count {
            let pace = stops[start].pace
            var (end, sum) = (start, Int128(0))
            while end < stops.count, stops[end].pace == pace {
                sum += stops[end].growth
                end += 1
            }
            if sum > free[domain], let gang = gangThatPassed(domain, peers, pace, rest: rest) {
                return gang
            }
            start = end
        }
        return nil
    }

    /// A gang of one class that stands above a pace, if the domain did not fit one step later.
    private func gangThatPassed(
        _ domain: Int, _ peers: ArraySlice<Int32>, _ pace: UInt128, rest: Int128
    ) -> Int? {
        var next = rest
        var passed: Int?
        for member in peers {
            let gpu = Int(member)
            let gang = Int(problem.gpuGang[gpu])
            guard isFull(gang) || self.pace(gang) >= pace else {
                next += aboveFloor(member)
                continue
            }
            let there = watts(gpu, free(gang, at: pace + 1))
            next += there - Int128(problem.gpuFloorMilliwatts[gpu]) << 68
            if certificate.level[gang].rawValue > free(gang, at: pace),
                there > watts(gpu, free(gang, at: pace))
            {
                passed = passed ?? gang
            }
        }
        return next > Int128(problem.domainBudgetMilliwatts[domain]) << 68 ? passed : nil
    }
}
