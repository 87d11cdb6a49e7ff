// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

// What the checker found, in the words of the file.
extension SolveCheck {
    /// Where a claim says how a gang stands.
    private func steps(_ gang: Int, _ key: String) -> [SolveFileError.Step] {
        guard let name = problem.name(ofGang: gang) else {
            return [.key("gpus"), .index(Int(problem.gangFirstGPU[gang])), .key(key)]
        }
        return [.key("gangs"), .key(name), .key(key)]
    }

    private func domain(_ domain: Int) -> String {
        SolveFileError.quoted(problem.name(ofDomain: domain))
    }

    private func gang(_ gang: Int) -> String {
        problem.name(ofGang: gang).map { "gang " + SolveFileError.quoted($0) }
            ?? "GPU \(problem.gangFirstGPU[gang])"
    }

    func describe(_ violation: PowerViolation, _ certificate: PowerCertificate) -> SolveViolation {
        switch violation {
        case .columnLengths: return SolveViolation([], "the lists do not match the problem")
        case .levelRange(let gang): return SolveViolation(steps(gang, "level"), "is above 1")
        case .floor(let gpu, let floor):
            return SolveViolation(
                [.key("caps_mw"), .index(gpu)],
                "\(claim.caps[gpu]) mW is below the floor of \(floor) mW")
        case .cap(let gpu, let expected):
            return SolveViolation(
                [.key("caps_mw"), .index(gpu)],
                "\(claim.caps[gpu]) mW; its level gives \(expected) mW")
        case .budget(let domain, let excess):
            let limit = problem.problem.domainBudgetMilliwatts[domain]
            return SolveViolation(
                [.key("caps_mw")],
                "\(self.domain(domain)) is over its limit of \(limit) mW by \(excess) mW")
        case .notFull(let gang):
            return SolveViolation(
                steps(gang, "bound_by"), "\"full\", and the level is below 1")
        case .notStopped(let gang):
            return SolveViolation(
                steps(gang, "bound_by"), "nothing stops what is at full pace or wants nothing")
        case .unknownDomain(let gang):
            return SolveViolation(steps(gang, "bound_by"), "the problem has no such domain")
        case .offLattice(let gang):
            return SolveViolation(
                steps(gang, "level"), "is no whole number of steps of the gang's weight")
        default: return describeStop(violation)
        }
    }

    /// The lines about what is said to have stopped a gang.
    private func describeStop(_ violation: PowerViolation) -> SolveViolation {
        switch violation {
        case .doesNotBind(let gang, let domain):
            return SolveViolation(
                steps(gang, "bound_by"),
                "\(self.domain(domain)) would give it nothing at the next step anyhow")
        case .notSaturated(let gang, let domain):
            return SolveViolation(
                steps(gang, "bound_by"), "\(self.domain(domain)) has watts left for the next step")
        case .lowerClass(let gang, let domain, let other):
            return SolveViolation(
                steps(gang, "level"),
                "\(self.gang(other)) is less important and has watts in \(self.domain(domain)) that "
                    + "this one can use")
        case .standsHigher(let gang, let domain, let other):
            return SolveViolation(
                steps(gang, "level"),
                "\(self.gang(other)) of the same priority stands higher by weight in "
                    + "\(self.domain(domain)), which stopped this one")
        case .passedFull(let gang, let domain):
            return SolveViolation(
                steps(gang, "level"),
                "\(self.domain(domain)) was full before this one stood so high")
        default: preconditionFailure("not about what stopped a gang: \(violation)")
        }
    }

    func describe(_ violation: ShedViolation, _ gangs: [Int32]) -> SolveViolation {
        func shed(_ place: Int, _ reason: String) -> SolveViolation {
            SolveViolation([.key("shed"), .index(place)], reason)
        }
        switch violation {
        case .gang(let place): return shed(place, "the gang stands there twice")
        case .order(let place):
            return shed(place, "is more important than the one behind it")
        case .needless(let place):
            return shed(place, "\(gang(Int(gangs[place]))) need not be paused for the rest to fit")
        case .tooImportant(let place):
            return shed(
                place,
                "pausing less important ones would do without \(gang(Int(gangs[place])))")
        case .stillShort(let domain, let missing):
            return SolveViolation(
                [.key("shed")],
                "\(self.domain(domain)) stays \(missing) mW short with all of them paused")
        }
    }
}
