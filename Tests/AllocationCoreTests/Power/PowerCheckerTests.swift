// SPDX-License-Identifier: Apache-2.0

// Goal: the checker accepts the optimum and nothing else. Method: one wrong solution per line of the
// definition, each planted in a problem whose optimum the checker accepts; then random damage.

import Testing

@testable import AllocationCore

@Suite("Power checker")
struct PowerCheckerTests {
    /// Two racks under a root.
    ///
    /// Gang 0 and 1 share rack A, which binds; gang 2 is alone in rack B at full; gang 3 is of a
    /// lower class over both racks; the last GPU is idle.
    struct Claim {
        var problem = PowerProblem()
        var caps: [UInt32] = []
        var certificate = PowerCertificate(level: [], boundBy: [])

        init() {
            let root = problem.addDomain(parent: -1, budgetMilliwatts: 5000)
            let rackA = problem.addDomain(parent: root, budgetMilliwatts: 1600)
            let rackB = problem.addDomain(parent: root, budgetMilliwatts: 2000)
            for (priority, weight) in [(5, 1), (5, 2), (5, 1), (1, 1)] {
                problem.addGang(priority: Int32(priority), weight: UInt32(weight))
            }
            for (gang, leaf) in [(0, rackA), (1, rackA), (2, rackB), (3, rackA), (3, rackB)] {
                problem.addGPU(
                    floorMilliwatts: 100, fullMilliwatts: 900, leaves: [leaf], gang: Int32(gang))
            }
            problem.addGPU(floorMilliwatts: 50, fullMilliwatts: 900, leaves: [rackB])
            var solver = PowerSolver()
            var solution = PowerSolution()
            _ = solver.solve(problem, into: &solution)
            caps = solution.capMilliwatts
            certificate = solution.certificate
        }

        var violation: PowerViolation? {
            PowerChecker.firstViolation(
                of: problem, capMilliwatts: caps, certificate: certificate)
        }

        /// Sets a level, and the caps that go with it.
        mutating func set(gang: Int, level: UInt64) {
            certificate.level[gang] = PowerLevel(rawValue: level)
            for gpu in 0..<problem.gpuCount where Int(problem.gpuGang[gpu]) == gang {
                caps[gpu] = 100 + UInt32((UInt128(level) * 800) >> 52)
            }
        }
    }

    private let one = PowerLevel.fullRawValue

    @Test("The optimum is accepted")
    func optimum() {
        let claim = Claim()
        #expect(claim.violation == nil)
        #expect(claim.certificate.boundBy == [1, PowerSolution.atFull, PowerSolution.atFull, 1])
        #expect(claim.caps == [600, 900, 900, 100, 100, 50])
    }

    @Test("A missing cap is seen")
    func columnLengths() {
        var claim = Claim()
        claim.caps.removeLast()
        #expect(claim.violation == .columnLengths)
    }

    @Test("A level above 1 is seen")
    func levelRange() {
        var claim = Claim()
        claim.certificate.level[2] = PowerLevel(rawValue: one + 1)
        #expect(claim.violation == .levelRange(gang: 2))
    }

    @Test("A cap one milliwatt below its level is seen")
    func lowCap() {
        var claim = Claim()
        claim.caps[0] -= 1
        #expect(claim.violation == .cap(gpu: 0, expectedMilliwatts: 600))
    }

    @Test("A cap one milliwatt above its level is seen")
    func highCap() {
        var claim = Claim()
        claim.caps[0] += 1
        #expect(claim.violation == .cap(gpu: 0, expectedMilliwatts: 600))
    }

    @Test("A floor that is cut is seen")
    func cutFloor() {
        var claim = Claim()
        claim.caps[3] = 99
        #expect(claim.violation == .floor(gpu: 3, floorMilliwatts: 100))
    }

    @Test("An idle GPU off its floor is seen")
    func idleCap() {
        var claim = Claim()
        claim.caps[5] = 51
        #expect(claim.violation == .cap(gpu: 5, expectedMilliwatts: 50))
    }

    @Test("A domain over its budget is seen, with the excess")
    func budget() {
        var claim = Claim()
        claim.set(gang: 0, level: one / 4 * 3)
        #expect(claim.violation == .budget(domain: 1, excessMilliwatts: 100))
    }

    @Test("One lattice step over the budget is seen")
    func budgetByAStep() {
        var claim = Claim()
        claim.set(gang: 0, level: claim.certificate.level[0].rawValue + 1)
        #expect(claim.violation == .budget(domain: 1, excessMilliwatts: 1))
    }

    @Test("A gang that could rise and is said to be full is seen")
    func notFull() {
        var claim = Claim()
        claim.certificate.boundBy[0] = PowerSolution.atFull
        #expect(claim.violation == .notFull(gang: 0))
    }

    @Test("A gang at full that is said to be stopped is seen")
    func notStopped() {
        var claim = Claim()
        claim.certificate.boundBy[2] = 2
        #expect(claim.violation == .notStopped(gang: 2))
    }

    @Test("A bound that is no domain is seen")
    func unknownDomain() {
        var claim = Claim()
        claim.certificate.boundBy[0] = 9
        #expect(claim.violation == .unknownDomain(gang: 0))
    }

    @Test("A level between two steps of its weight is seen")
    func offLattice() {
        var claim = Claim()
        claim.set(gang: 1, level: one / 4 + 1)
        claim.certificate.boundBy[1] = 1
        #expect(claim.violation == .offLattice(gang: 1))
    }

    @Test("A domain that the gang does not hang from cannot stop it")
    func doesNotBind() {
        var claim = Claim()
        claim.certificate.boundBy[0] = 2
        #expect(claim.violation == .doesNotBind(gang: 0, domain: 2))
    }

    @Test("Watts left behind are seen")
    func notSaturated() {
        var claim = Claim()
        claim.set(gang: 0, level: claim.certificate.level[0].rawValue - 1)
        #expect(claim.violation == .notSaturated(gang: 0, domain: 1))
    }

    @Test("A domain in which others went on is no excuse")
    func wrongBound() {
        var claim = Claim()
        claim.certificate.boundBy[0] = 0
        #expect(claim.violation == .standsHigher(gang: 0, domain: 0, other: 2))
    }

    @Test("Watts moved from one gang to a fellow that stands higher are seen")
    func standsHigher() {
        var claim = Claim()
        claim.problem.gangWeight[1] = 1
        claim.set(gang: 0, level: one / 4)
        claim.set(gang: 1, level: one / 2 + one / 4)
        claim.set(gang: 3, level: 0)
        claim.certificate.boundBy = [1, 1, PowerSolution.atFull, 1]
        claim.problem.domainBudgetMilliwatts[1] = 1100
        #expect(claim.violation == .standsHigher(gang: 0, domain: 1, other: 1))
    }

    @Test("A lower class that rises at the cost of a higher one is seen")
    func classOrder() {
        var claim = Claim()
        claim.set(gang: 0, level: one / 16 * 9)
        claim.set(gang: 3, level: one / 16)
        claim.certificate.boundBy[3] = 1
        #expect(claim.violation == .lowerClass(gang: 0, domain: 1, other: 3))
    }

    @Test("One step past a domain that was full, and that nobody names, is seen")
    func passedFull() {
        // Both domains are full at ⌊2^52 / 3⌋. Gang 0 hangs from both and is stopped by the first; so
        // the second, in which 6 of the 18 units that one more step takes are left, seems to have
        // room for one more step of gang 1.
        var problem = PowerProblem(treeCount: 2)
        let first = problem.addDomain(parent: -1, budgetMilliwatts: 4)
        let second = problem.addDomain(parent: -1, budgetMilliwatts: 6)
        for _ in 0..<2 { problem.addGang(priority: 0, weight: 1) }
        problem.addGPU(
            floorMilliwatts: 0, fullMilliwatts: 12, leaves: [first, second], gang: 0)
        problem.addGPU(floorMilliwatts: 0, fullMilliwatts: 6, leaves: [-1, second], gang: 1)
        let level = one / 3
        var certificate = PowerCertificate(
            level: [PowerLevel(rawValue: level), PowerLevel(rawValue: level)],
            boundBy: [first, second])
        func violation(_ caps: [UInt32]) -> PowerViolation? {
            PowerChecker.firstViolation(
                of: problem, capMilliwatts: caps, certificate: certificate)
        }
        #expect(violation([3, 1]) == nil)
        certificate.level[1].rawValue += 1
        #expect(violation([3, 2]) == .passedFull(gang: 1, domain: 1))
    }

    @Test("Random damage to an optimum is never accepted")
    func randomDamage() {
        var generator = SeededGenerator(seed: 5)
        var solver = PowerSolver()
        var solution = PowerSolution()
        var damaged = 0
        while damaged < 1000 {
            let problem = PowerProblem.random(PowerProblemShape(), &generator)
            guard solver.solve(problem, into: &solution) == .optimal, problem.gangCount > 0 else {
                continue
            }
            var certificate = solution.certificate
            let gang = generator.pick(0...problem.gangCount - 1)
            let step = UInt64(problem.gangWeight[gang])
            let level = certificate.level[gang].rawValue
            // A gang that wants nothing is at full by definition and has no other level.
            guard problem.gpuGang.contains(Int32(gang)) else { continue }
            let isDown = level >= step && generator.oneIn(2)
            certificate.level[gang].rawValue = isDown ? level - step : min(level + step, one)
            guard certificate != solution.certificate else { continue }
            damaged += 1
            let caps = caps(of: problem, certificate.level)
            let violation = PowerChecker.firstViolation(
                of: problem, capMilliwatts: caps, certificate: certificate)
            #expect(violation != nil, "gang \(gang) of \(problem)")
        }
    }

    private func caps(of problem: PowerProblem, _ level: [PowerLevel]) -> [UInt32] {
        var oracle = SlowPowerOracle(problem)
        oracle.level = level.map(\.rawValue)
        return oracle.caps()
    }
}
