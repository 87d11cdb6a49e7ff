// SPDX-License-Identifier: Apache-2.0

/// The line that a claim of infeasibility, or the shed order that comes with it, breaks.
package enum PowerShortfallViolation: Hashable, Sendable {
    /// The floors fit every domain.
    case feasible
    /// The domain is short, and the claim does not say so.
    case unnamed(domain: Int, missingMilliwatts: Int64)
    /// The claim says that a domain is short that is not, or names it twice.
    case notShort(domain: Int)
    /// The domain is short by another number of milliwatts.
    case missing(domain: Int, missingMilliwatts: Int64)
}

/// The line of its promises that a shed order breaks.
package enum ShedViolation: Hashable, Sendable {
    /// The place in the list does not name a gang, or one that stands before it too.
    case gang(place: Int)
    /// The gang at this place is more important than the next one.
    case order(place: Int)
    /// With all of them paused, the floors of the rest do not fit the domain.
    case stillShort(domain: Int, missingMilliwatts: Int64)
    /// Without this one, the rest would do.
    case needless(place: Int)
    /// Pausing everything of lower classes would do without this one.
    case tooImportant(place: Int)
}

extension PowerChecker {
    /// Checks a claim that floors do not fit.
    ///
    /// - Parameters:
    ///   - problem: well-formed.
    ///   - shortfalls: the domains that are said to be short, in any order.
    /// - Returns: the first line that is broken, or nil when exactly these domains are short by exactly
    ///   these watts.
    package static func firstViolation(
        of problem: PowerProblem, shortfalls: [PowerShortfall]
    ) -> PowerShortfallViolation? {
        let floors = floorSums(
            problem, isPaused: [Bool](repeating: false, count: problem.gangCount))
        var missing = (0..<problem.domainCount).map {
            max(0, floors[$0] - problem.domainBudgetMilliwatts[$0])
        }
        if missing.allSatisfy({ $0 == 0 }) { return .feasible }
        for shortfall in shortfalls {
            let domain = Int(shortfall.domain)
            guard missing.indices.contains(domain), missing[domain] > 0 else {
                return .notShort(domain: domain)
            }
            guard shortfall.missingMilliwatts == missing[domain] else {
                return .missing(domain: domain, missingMilliwatts: missing[domain])
            }
            missing[domain] = 0
        }
        guard let domain = missing.firstIndex(where: { $0 > 0 }) else { return nil }
        return .unnamed(domain: domain, missingMilliwatts: missing[domain])
    }

    /// Checks a shed order against what ``ShedPlanner`` promises of every plan.
    ///
    /// Does not look for a less harmful choice: that is a hard problem.
    ///
    /// - Parameters:
    ///   - problem: well-formed, and such that pausing everything makes the floors fit.
    ///   - gangs: the gangs to pause, in order.
    /// - Returns: the first promise that is broken.
    package static func firstViolation(
        of problem: PowerProblem, shedding gangs: [Int32]
    ) -> ShedViolation? {
        var isPaused = [Bool](repeating: false, count: problem.gangCount)
        for (place, gang) in gangs.enumerated() {
            guard isPaused.indices.contains(Int(gang)), !isPaused[Int(gang)] else {
                return .gang(place: place)
            }
            isPaused[Int(gang)] = true
            guard place + 1 < gangs.count,
                problem.gangPriority.indices.contains(Int(gangs[place + 1]))
            else { continue }
            let next = problem.gangPriority[Int(gangs[place + 1])]
            if problem.gangPriority[Int(gang)] > next { return .order(place: place) }
        }
        let floors = floorSums(problem, isPaused: isPaused)
        let free = (0..<problem.domainCount).map { problem.domainBudgetMilliwatts[$0] - floors[$0] }
        if let domain = free.firstIndex(where: { $0 < 0 }) {
            return .stillShort(domain: domain, missingMilliwatts: -free[domain])
        }
        return needless(problem, gangs, free: free) ?? tooImportant(problem, gangs)
    }

    /// The floors in each domain, without those of paused gangs.
    private static func floorSums(_ problem: PowerProblem, isPaused: [Bool]) -> [Int64] {
        var sums = [Int64](repeating: 0, count: problem.domainCount)
        for gpu in 0..<problem.gpuCount {
            let gang = Int(problem.gpuGang[gpu])
            if gang >= 0, isPaused[gang] { continue }
            addFloor(of: gpu, problem, to: &sums)
        }
        return sums
    }

    private static func addFloor(
        of gpu: Int, _ problem: PowerProblem, to sums: inout [Int64]
    ) {
        for leaves in problem.gpuLeaf {
            var domain = Int(leaves[gpu])
            while domain >= 0 {
                sums[domain] += Int64(problem.gpuFloorMilliwatts[gpu])
                domain = Int(problem.domainParent[domain])
            }
        }
    }

    /// A paused gang whose floors would fit beside everything that runs.
    private static func needless(
        _ problem: PowerProblem, _ gangs: [Int32], free: [Int64]
    ) -> ShedViolation? {
        var places = [Int32](repeating: -1, count: problem.gangCount)
        for (place, gang) in gangs.enumerated() { places[Int(gang)] = Int32(place) }
        var gpus = [[Int32]](repeating: [], count: gangs.count)
        for gpu in 0..<problem.gpuCount where problem.gpuGang[gpu] >= 0 {
            let place = places[Int(problem.gpuGang[gpu])]
            if place >= 0 { gpus[Int(place)].append(Int32(gpu)) }
        }
        var sums = [Int64](repeating: 0, count: problem.domainCount)
        for place in gangs.indices {
            for gpu in gpus[place] { addFloor(of: Int(gpu), problem, to: &sums) }
            var isNeeded = false
            // Only the gang's own domains: looking at all for each gang would take a square.
            for gpu in gpus[place] {
                for leaves in problem.gpuLeaf {
                    var domain = Int(leaves[Int(gpu)])
                    while domain >= 0 {
                        if sums[domain] > free[domain] { isNeeded = true }
                        sums[domain] = 0
                        domain = Int(problem.domainParent[domain])
                    }
                }
            }
            if !isNeeded { return .needless(place: place) }
        }
        return nil
    }

    /// A paused gang of a class that need not be touched.
    private static func tooImportant(
        _ problem: PowerProblem, _ gangs: [Int32]
    ) -> ShedViolation? {
        // The list is in order of class, so its last gang is of the highest.
        guard let last = gangs.last else { return nil }
        let highest = problem.gangPriority[Int(last)]
        let floors = floorSums(problem, isPaused: problem.gangPriority.map { $0 < highest })
        let fits = (0..<problem.domainCount).allSatisfy {
            floors[$0] <= problem.domainBudgetMilliwatts[$0]
        }
        return fits ? .tooImportant(place: gangs.count - 1) : nil
    }
}
