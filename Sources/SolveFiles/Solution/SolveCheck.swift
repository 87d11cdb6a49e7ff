// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore

/// The line of a claimed answer that is wrong.
package struct SolveViolation: Hashable, Sendable, CustomStringConvertible {
    /// Where the claim says it: `$.gangs.llama.level`.
    package var path: String
    package var reason: String

    init(_ steps: [SolveFileError.Step], _ reason: String) {
        path = SolveFileError.path(steps)
        self.reason = reason
    }

    package var description: String { "\(path): \(reason)" }
}

extension SolveProblem {
    /// Checks a file that claims to be the answer to this problem.
    ///
    /// Shares nothing with the solver: the claim is held against the definition, line by line
    /// (``PowerChecker``), and so is what the file says about it.
    ///
    /// - Parameter bytes: the whole file.
    /// - Returns: the first line that is wrong; nil when the answer is the right one.
    /// - Throws: when the file is no answer at all.
    package func firstViolation(
        inClaim bytes: UnsafeRawBufferPointer
    ) throws(SolveFileError) -> SolveViolation? {
        let claim = try SolveClaimReader.read(bytes, for: self)
        let check = SolveCheck(problem: self, claim: claim)
        return claim.isOptimal ? check.optimalViolation() : check.infeasibleViolation()
    }

    /// Checks a claim that is held as an array.
    package func firstViolation(inClaim bytes: [UInt8]) throws(SolveFileError) -> SolveViolation? {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(SolveFileError) in try firstViolation(inClaim: buffer) }
        }
        return try result.get()
    }
}

/// One claim against one problem.
struct SolveCheck {
    let problem: SolveProblem
    let claim: SolveClaim

    private var columns: PowerProblem { problem.problem }

    // MARK: - A claimed optimum

    func optimalViolation() -> SolveViolation? {
        if let violation = shapeViolation() ?? statusViolation() { return violation }
        let certificate: PowerCertificate
        switch standings() {
        case .success(let found): certificate = found
        case .failure(let found): return found.violation
        }
        let caps = claim.caps.map { UInt32($0) }
        if let violation = memberViolation() { return violation }
        if let violation = PowerChecker.firstViolation(
            of: columns, capMilliwatts: caps, certificate: certificate)
        {
            return describe(violation, certificate)
        }
        return fullDomainViolation(certificate)
    }

    private func shapeViolation() -> SolveViolation? {
        if let gang = claim.extraGang {
            return SolveViolation([.key("gangs"), .key(gang)], "the problem has no such gang")
        }
        if let missing = claim.gangs.firstIndex(of: nil) {
            let name = problem.gangNames.text(missing)
            return SolveViolation([.key("gangs"), .key(name)], "the gang is missing")
        }
        for (key, count) in [("caps_mw", claim.caps.count), ("gpus", claim.gpus.count)]
        where count != columns.gpuCount {
            return SolveViolation(
                [.key(key)], "\(count) entries for \(columns.gpuCount) GPUs")
        }
        for (key, isThere) in [
            ("shed", claim.shed != nil), ("shortfalls", claim.shortfalls != nil),
        ] where isThere {
            return SolveViolation([.key(key)], "nothing is short in an optimal answer")
        }
        return nil
    }

    private func statusViolation() -> SolveViolation? {
        guard
            case .unnamed(let domain, let missing)? = PowerChecker.firstViolation(
                of: columns, shortfalls: [])
        else { return nil }
        return SolveViolation(
            [.key("status")],
            "the floors do not fit: \(name(domain)) is \(missing) mW short")
    }

    private struct Found: Error { var violation: SolveViolation }

    /// The level and bound of each gang of the problem.
    private func standings() -> Result<PowerCertificate, Found> {
        var certificate = PowerCertificate(level: [], boundBy: [])
        for gang in 0..<columns.gangCount {
            let name = Int(problem.gangName[gang])
            let standing: SolveClaim.Standing
            let steps: [SolveFileError.Step]
            if name >= 0, let claimed = claim.gangs[name] {
                standing = claimed
                steps = [.key("gangs"), .key(problem.gangNames.text(name))]
            } else {
                let gpu = Int(problem.gangFirstGPU[gang])
                standing = claim.gpus[gpu]
                steps = [.key("gpus"), .index(gpu)]
            }
            guard standing.levelUnits <= LevelText.unit else {
                return failure(steps + [.key("level")], "the level is above 1")
            }
            guard let level = LevelText.level(units: standing.levelUnits) else {
                return failure(steps + [.key("level")], "no level is written like this")
            }
            guard standing.boundBy != SolveClaim.Standing.unknown else {
                return failure(steps + [.key("bound_by")], "the problem has no such domain")
            }
            certificate.level.append(level)
            certificate.boundBy.append(standing.boundBy)
        }
        return .success(certificate)
    }

    private func failure(
        _ steps: [SolveFileError.Step], _ reason: String
    ) -> Result<PowerCertificate, Found> {
        .failure(Found(violation: SolveViolation(steps, reason)))
    }

    /// A GPU that does not stand where its gang stands.
    private func memberViolation() -> SolveViolation? {
        for gpu in 0..<columns.gpuCount {
            let name = Int(problem.gangName[Int(columns.gpuGang[gpu])])
            guard name >= 0, let gang = claim.gangs[name], claim.gpus[gpu] != gang else { continue }
            let isLevel = claim.gpus[gpu].levelUnits != gang.levelUnits
            let title = SolveFileError.quoted(problem.gangNames.text(name))
            return SolveViolation(
                [.key("gpus"), .index(gpu), .key(isLevel ? "level" : "bound_by")],
                isLevel
                    ? "its gang \(title) stands at another level"
                    : "its gang \(title) is said to be stopped by something else")
        }
        return nil
    }

    /// What the certificate says about the domains that stop gangs, against the caps and bounds.
    private func fullDomainViolation(_ certificate: PowerCertificate) -> SolveViolation? {
        let path: [SolveFileError.Step] = [.key("certificate"), .key("full_domains")]
        guard let claimed = claim.fullDomains else { return SolveViolation(path, "is missing") }
        var stops = [Int64](repeating: 0, count: columns.domainCount)
        for domain in certificate.boundBy where domain >= 0 { stops[Int(domain)] += 1 }
        var sums = [Int64](repeating: 0, count: columns.domainCount)
        for gpu in 0..<columns.gpuCount {
            for leaves in columns.gpuLeaf {
                var domain = Int(leaves[gpu])
                while domain >= 0 {
                    sums[domain] += claim.caps[gpu]
                    domain = Int(columns.domainParent[domain])
                }
            }
        }
        for (place, entry) in claimed.enumerated() {
            let steps = path + [.index(place)]
            guard entry.domain >= 0, stops[Int(entry.domain)] > 0 else {
                return SolveViolation(
                    steps + [.key("domain")], "stops no gang, or is named twice")
            }
            let domain = Int(entry.domain)
            for (key, value, expected) in [
                ("limit_mw", entry.limit, columns.domainBudgetMilliwatts[domain]),
                ("caps_mw", entry.capSum, sums[domain]), ("stops", entry.stopCount, stops[domain]),
            ] where value != expected {
                return SolveViolation(steps + [.key(key)], "\(value) should be \(expected)")
            }
            stops[domain] = 0
        }
        guard let missing = stops.firstIndex(where: { $0 > 0 }) else { return nil }
        return SolveViolation(path, "\(name(missing)) stops gangs, and is missing")
    }

    // MARK: - A claim that nothing fits

    func infeasibleViolation() -> SolveViolation? {
        if !claim.caps.isEmpty || !claim.gpus.isEmpty || claim.extraGang != nil
            || claim.gangs.contains(where: { $0 != nil })
        {
            return SolveViolation([.key("status")], "an infeasible answer gives no caps")
        }
        if claim.fullDomains != nil {
            return SolveViolation(
                [.key("certificate"), .key("full_domains")], "an infeasible answer stops no gang")
        }
        return shortfallViolation() ?? shedViolation()
    }

    private func shortfallViolation() -> SolveViolation? {
        let path: [SolveFileError.Step] = [.key("certificate"), .key("shortfalls")]
        let claimed = claim.shortfalls ?? []
        let shortfalls = claimed.map {
            PowerShortfall(domain: $0.domain, missingMilliwatts: $0.missing)
        }
        switch PowerChecker.firstViolation(of: columns, shortfalls: shortfalls) {
        case nil: break
        case .feasible: return SolveViolation([.key("status")], "the floors fit every domain")
        case .unnamed(let domain, let missing):
            return SolveViolation(path, "\(name(domain)) is \(missing) mW short, and is missing")
        case .notShort(let domain):
            let place = claimed.lastIndex { Int($0.domain) == domain } ?? 0
            return SolveViolation(
                path + [.index(place), .key("domain")], "is not short, or is named twice")
        case .missing(let domain, let missing):
            let place = claimed.firstIndex { Int($0.domain) == domain } ?? 0
            return SolveViolation(
                path + [.index(place), .key("missing_mw")], "should be \(missing)")
        }
        for (place, entry) in claimed.enumerated() {
            let limit = columns.domainBudgetMilliwatts[Int(entry.domain)]
            for (key, value, expected) in [
                ("limit_mw", entry.limit, limit),
                ("floors_mw", entry.floors, limit + entry.missing),
            ] where value != expected {
                return SolveViolation(
                    path + [.index(place), .key(key)], "\(value) should be \(expected)")
            }
        }
        return nil
    }

    private func shedViolation() -> SolveViolation? {
        guard let shed = claim.shed else { return SolveViolation([.key("shed")], "is missing") }
        var gangs: [Int32] = []
        for (place, entry) in shed.enumerated() {
            guard let gang = entry.gang else {
                return SolveViolation(
                    [.key("shed"), .index(place)], "the problem has no such gang and first GPU")
            }
            gangs.append(gang)
        }
        if let violation = PowerChecker.firstViolation(of: columns, shedding: gangs) {
            return describe(violation, gangs)
        }
        var floors = [Int64](repeating: 0, count: columns.gangCount)
        for gpu in 0..<columns.gpuCount {
            floors[Int(columns.gpuGang[gpu])] += Int64(columns.gpuFloorMilliwatts[gpu])
        }
        for (place, entry) in shed.enumerated() {
            let gang = Int(gangs[place])
            for (key, value, expected) in [
                ("priority", entry.priority, Int64(columns.gangPriority[gang])),
                ("gpus", entry.gpuCount, Int64(problem.gangGPUCount[gang])),
                ("frees_mw", entry.frees, floors[gang]),
            ] where value != expected {
                return SolveViolation(
                    [.key("shed"), .index(place), .key(key)], "\(value) should be \(expected)")
            }
        }
        return nil
    }

    private func name(_ domain: Int) -> String {
        SolveFileError.quoted(problem.name(ofDomain: domain))
    }
}
