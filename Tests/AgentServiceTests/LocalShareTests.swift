// SPDX-License-Identifier: Apache-2.0

// Goal: the node shares its watts with the very solver that the coordinator solves fleets with, and
// moves them as load moves. Method: one node's problem written by hand and given to PowerSolver, as
// the coordinator does, beside what LocalShare makes of the same plan.

import AgentService
import AllocationCore
import FleetModel
import Testing
import Wire

private let second: Int64 = 1_000_000_000

private func devices(_ count: Int) -> [DeviceInventory] {
    (0..<count).map {
        DeviceInventory(
            uuid: "GPU-\($0)", model: "T700", minimumCap: .watts(200), maximumCap: .watts(700))
    }
}

private func plan(
    floors: [UInt32], fulls: [UInt32], ceilings: [UInt32]? = nil, priorities: [Int32]? = nil,
    weights: [UInt32]? = nil, gangs: [UInt32]? = nil, revision: UInt64 = 1
) -> PowerPlan {
    PowerPlan(
        revision: revision, floorMilliwatts: floors, fullMilliwatts: fulls,
        ceilingMilliwatts: ceilings ?? fulls,
        priority: priorities ?? fulls.map { _ in 0 }, weight: weights ?? fulls.map { _ in 1 },
        gang: gangs ?? fulls.map { _ in 0 })
}

private func sample(draws: [UInt32], caps: [UInt32]) -> HardwareSensors {
    HardwareSensors(
        drawMilliwatts: draws, temperatureMillidegrees: draws.map { _ in 50_000 },
        utilizationPPM: draws.map { _ in 500_000 }, requestedMilliwatts: caps,
        enforcedMilliwatts: caps)
}

/// A share as a reference, so that expectations may call what changes it.
private final class Shared {
    private var share: LocalShare

    init(_ count: Int) { share = LocalShare(devices: devices(count)) }

    func adopt(_ plan: PowerPlan) -> Bool { share.adopt(plan) }
    func forgetRevision() { share.forgetRevision() }
    func caps(_ watts: Int64) -> [UInt32]? { share.caps(of: .watts(watts)) }
    func observe(_ sample: HardwareSensors, now: Int64) { share.observe(sample, now: now) }
}

@Suite("Local share")
struct LocalShareTests {
    @Test("Agent and coordinator solve one node to the same caps, with the same solver")
    func sameSolver() throws {
        let shared = plan(
            floors: [300_000, 300_000, 250_000, 200_000],
            fulls: [700_000, 650_000, 700_000, 400_000], priorities: [1, 1, 0, 0],
            weights: [1, 1, 3, 1], gangs: [4, 4, 0, 0])
        for watts in stride(from: 1050, through: 2500, by: 50) as StrideThrough<Int64> {
            var problem = PowerProblem()
            let root = problem.addDomain(parent: -1, budgetMilliwatts: watts * 1000)
            let gang = problem.addGang(priority: 1, weight: 1)
            let third = problem.addGang(priority: 0, weight: 3)
            let fourth = problem.addGang(priority: 0, weight: 1)
            for (gpu, gang) in [gang, gang, third, fourth].enumerated() {
                problem.addGPU(
                    floorMilliwatts: shared.floorMilliwatts[gpu],
                    fullMilliwatts: shared.fullMilliwatts[gpu], leaves: [root], gang: gang)
            }
            var solver = PowerSolver()
            var solution = PowerSolution()
            try #require(solver.solve(problem, into: &solution) == .optimal)

            let share = Shared(4)
            #expect(share.adopt(shared))
            let caps = try #require(share.caps(watts))
            #expect(caps.reduce(0, +) <= UInt32(watts * 1000))
            // What is left after the solver's rounding (less than 1 mW per GPU) may be spread.
            for (cap, solved) in zip(caps, solution.capMilliwatts) {
                #expect((solved...solved + 3).contains(cap), "\(watts) W")
            }
        }
    }

    @Test("A GPU that stays below its cap leaves its watts to one that wants them")
    func movesWatts() throws {
        let share = Shared(2)
        #expect(share.adopt(plan(floors: [200_000, 200_000], fulls: [700_000, 700_000])))
        let even = try #require(share.caps(1000))
        #expect(even == [500_000, 500_000])
        for step in 0..<30 as Range<Int64> {
            share.observe(sample(draws: [250_000, 500_000], caps: even), now: step * second / 10)
        }
        let moved = try #require(share.caps(1000))
        #expect(moved[1] == 700_000)
        #expect(moved[0] >= 275_000)
        #expect(moved[0] + moved[1] <= 1_000_000)
        share.observe(sample(draws: [290_000, 690_000], caps: moved), now: 4 * second)
        let back = try #require(share.caps(1000))
        #expect(back == even, "draw near the cap takes the watts back at once")
    }

    @Test("Where every full fits, nobody is held below it, however little it draws")
    func plenty() throws {
        let share = Shared(2)
        #expect(share.adopt(plan(floors: [200_000, 200_000], fulls: [600_000, 700_000])))
        for step in 0..<50 as Range<Int64> {
            share.observe(
                sample(draws: [150_000, 150_000], caps: [600_000, 700_000]), now: step * second / 10
            )
        }
        #expect(share.caps(1400) == [600_000, 700_000])
    }

    @Test("The ceiling of a gang that spans nodes is kept, whatever is left")
    func ceilings() throws {
        let share = Shared(2)
        let limited = plan(
            floors: [200_000, 200_000], fulls: [700_000, 700_000], ceilings: [450_000, 700_000],
            gangs: [1, 0])
        #expect(share.adopt(limited))
        #expect(share.caps(1400) == [450_000, 700_000])
    }

    @Test("Below the floors, at the fallback, the sum still is at most the cap")
    func belowFloors() throws {
        let share = Shared(2)
        #expect(share.adopt(plan(floors: [600_000, 300_000], fulls: [700_000, 700_000])))
        let caps = try #require(share.caps(600))
        #expect(caps.reduce(0, +) <= 600_000)
        #expect(caps.allSatisfy { $0 >= 200_000 })
        #expect(share.caps(399) == nil)
    }

    @Test("Older plans and plans for other devices are refused")
    func refusedPlans() {
        let share = Shared(2)
        #expect(share.caps(1000) == nil)
        let good = plan(floors: [200_000, 200_000], fulls: [700_000, 700_000], revision: 5)
        #expect(share.adopt(good))
        var older = good
        older.revision = 4
        #expect(!share.adopt(older))
        share.forgetRevision()
        #expect(share.adopt(older), "another coordinator counts its revisions anew")
        #expect(!share.adopt(plan(floors: [200_000], fulls: [700_000], revision: 9)))
    }

    @Test("Differences below two watts are not worth a write")
    func deadband() {
        #expect(!LocalShare.isWorthWriting([500_000, 401_999], over: [500_000, 400_000]))
        #expect(LocalShare.isWorthWriting([500_000, 402_000], over: [500_000, 400_000]))
        #expect(!LocalShare.isWorthWriting([500_000], over: [500_000, 400_000]))
    }
}
