// SPDX-License-Identifier: Apache-2.0

// Goal: a node's cap is shared by the fleet's solver, never over the cap, floors kept while they fit.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Node share")
struct NodeShareTests {
    private func plan(
        floor: [UInt32], full: [UInt32], ceiling: [UInt32]? = nil, gang: [UInt32]? = nil
    ) -> NodeSharePlan {
        NodeSharePlan(
            floorMilliwatts: floor, fullMilliwatts: full, ceilingMilliwatts: ceiling ?? full,
            priority: [Int32](repeating: 0, count: floor.count),
            weight: [UInt32](repeating: 1, count: floor.count),
            gang: gang ?? [UInt32](repeating: 0, count: floor.count))
    }

    private func share(gpuCount: Int) -> NodeShare {
        NodeShare(
            minimumCapMilliwatts: [UInt32](repeating: 100, count: gpuCount),
            maximumCapMilliwatts: [UInt32](repeating: 700, count: gpuCount))
    }

    @Test("Watts above the floors go to the GPUs at one level")
    func aboveFloors() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        let isTaken = share.adopt(plan(floor: [200, 200], full: [700, 300]))
        #expect(isTaken)
        let outcome = share.share(Milliwatts(700), into: &caps)
        #expect(outcome == .aboveFloors)
        #expect(caps == [450, 250])
    }

    @Test("As load moves, watts follow it without a new plan")
    func loadMoves() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        _ = share.adopt(plan(floor: [200, 200], full: [700, 700]))
        _ = share.share(Milliwatts(650), into: &caps)
        #expect(caps == [325, 325])
        share.setFull(gpu: 0, milliwatts: 200)
        _ = share.share(Milliwatts(650), into: &caps)
        #expect(caps == [200, 450])
    }

    @Test("A GPU of a gang that spans nodes does not pass its ceiling")
    func ceiling() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        _ = share.adopt(plan(floor: [200, 200], full: [700, 700], ceiling: [300, 700]))
        share.setFull(gpu: 0, milliwatts: 700)
        _ = share.share(Milliwatts(1200), into: &caps)
        #expect(caps == [300, 700])
    }

    @Test("Below the floors, what there is goes above the devices' least caps")
    func belowFloors() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        _ = share.adopt(plan(floor: [300, 500], full: [700, 700]))
        let outcome = share.share(Milliwatts(500), into: &caps)
        #expect(outcome == .belowFloors)
        #expect(caps == [200, 300])
    }

    @Test("Below the devices' least caps, each is at its least cap and the answer says so")
    func belowDevices() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        _ = share.adopt(plan(floor: [300, 500], full: [700, 700]))
        let outcome = share.share(Milliwatts(150), into: &caps)
        #expect(outcome == .belowDevices)
        #expect(caps == [100, 100])
    }

    @Test("A malformed plan changes nothing")
    func malformed() {
        var share = share(gpuCount: 2)
        var caps: [UInt32] = []
        _ = share.adopt(plan(floor: [200, 200], full: [700, 300]))
        var wrong = plan(floor: [100, 100], full: [700, 700])
        wrong.weight = [0, 1]
        let isWrongTaken = share.adopt(wrong)
        let isShortTaken = share.adopt(plan(floor: [100], full: [700]))
        #expect(!isWrongTaken && !isShortTaken)
        _ = share.share(Milliwatts(700), into: &caps)
        #expect(caps == [450, 250])
    }

    @Test("Whatever the plan, the sum stays within the cap and each device within its range")
    func random() {
        var generator = SeededGenerator(seed: 31)
        var caps: [UInt32] = []
        for _ in 0..<500 {
            let count = generator.pick(1...8)
            var share = share(gpuCount: count)
            var plan = plan(
                floor: (0..<count).map { _ in UInt32(generator.pick(0...900)) },
                full: (0..<count).map { _ in UInt32(generator.pick(0...900)) },
                gang: (0..<count).map { _ in UInt32(generator.pick(0...2)) })
            plan.weight = (0..<count).map { _ in UInt32(generator.pick(1...3)) }
            // Members of a gang agree on priority and weight.
            for gpu in 0..<count where plan.gang[gpu] != 0 { plan.weight[gpu] = plan.gang[gpu] }
            let isTaken = share.adopt(plan)
            #expect(isTaken)
            let cap = Int64(generator.pick(0...6000))
            let outcome = share.share(Milliwatts(cap), into: &caps)
            let sum = caps.reduce(0) { $0 + Int64($1) }
            #expect(outcome == .belowDevices || sum <= cap)
            #expect(outcome != .belowDevices || cap < 100 * Int64(count))
            #expect(caps.allSatisfy { (100...700).contains($0) })
            guard outcome == .aboveFloors else { continue }
            for gpu in 0..<count { #expect(caps[gpu] >= min(plan.floorMilliwatts[gpu], 700)) }
        }
    }
}
