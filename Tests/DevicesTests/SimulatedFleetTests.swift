// SPDX-License-Identifier: Apache-2.0

// Goal: the simulated devices obey the physics that the power control relies on, and their audit
// counts exactly the instants over budget. Method: a two-node fleet, explicit times.

import FleetModel
import Testing
import Wire

@testable import Devices

private let second: Int64 = 1_000_000_000
private let alpha: Int64 = 50_000_000

private func powerOn(_ bootState: BootState = .default) -> SimulatedFleet {
    SimulatedFleet(topology: smallFleet(bootState: bootState), bootID: [1, 2, 3], at: 0)
}

@Suite("Simulated fleet: caps")
struct SimulatedFleetCapTests {
    @Test("A node boots at what its type says", arguments: BootState.allCases)
    func bootState(state: BootState) throws {
        var fleet = powerOn(state)
        let caps = try fleet.caps(node: "n1", at: 0)
        let expected: UInt32 = state == .fallback ? 400_000 : 700_000
        #expect(caps.requestedMilliwatts == [expected, expected])
        #expect(caps.enforcedMilliwatts == [expected, expected])
    }

    @Test("A lowered cap may not hold until it has settled, a raised one holds at once")
    func settling() throws {
        var fleet = powerOn()
        try fleet.writeCap(300_000, node: "n1", device: 0, at: second)
        var caps = try fleet.caps(node: "n1", at: second + alpha - 1)
        #expect(caps.requestedMilliwatts[0] == 300_000)
        #expect(caps.enforcedMilliwatts[0] == 700_000)
        caps = try fleet.caps(node: "n1", at: second + alpha)
        #expect(caps.enforcedMilliwatts[0] == 300_000)
        try fleet.writeCap(500_000, node: "n1", device: 0, at: 2 * second)
        #expect(try fleet.caps(node: "n1", at: 2 * second).enforcedMilliwatts[0] == 500_000)
    }

    @Test("A cap raised in the middle of settling does not hide the older, higher one")
    func settlingUnderRaise() throws {
        var fleet = powerOn()
        try fleet.writeCap(300_000, node: "n1", device: 0, at: 0)
        try fleet.writeCap(400_000, node: "n1", device: 0, at: alpha / 2)
        #expect(try fleet.caps(node: "n1", at: alpha - 1).enforcedMilliwatts[0] == 700_000)
        #expect(try fleet.caps(node: "n1", at: alpha).enforcedMilliwatts[0] == 400_000)
    }

    @Test("Caps out of range, unknown devices and unknown nodes are refused and change nothing")
    func refusals() throws {
        var fleet = powerOn()
        let writes: [(device: Int, cap: UInt32)] = [
            (0, 199_999), (0, 700_001), (2, 300_000), (-1, 300_000),
        ]
        for write in writes {
            #expect(throws: DeviceError.self) {
                try fleet.writeCap(write.cap, node: "n1", device: write.device, at: second)
            }
        }
        #expect(throws: DeviceError.self) { try fleet.caps(node: "n3", at: second) }
        #expect(fleet.summary(at: second).capChanges == 0)
    }

    @Test("A driver reload puts every device at its highest cap")
    func driverReset() throws {
        var fleet = powerOn(.fallback)
        try fleet.resetDriver(node: "n2", at: second)
        #expect(try fleet.caps(node: "n2", at: second).enforcedMilliwatts == [700_000, 700_000])
        #expect(try fleet.caps(node: "n1", at: second).enforcedMilliwatts == [400_000, 400_000])
    }

    @Test("The register agrees with a history of all writes, at any time", arguments: 0..<50)
    func registerAgainstHistory(seed: UInt64) {
        var state = seed
        func next(_ bound: UInt64) -> UInt64 {
            state = mixed(state)
            return state % bound
        }
        var register = CapRegister(settledAt: 700)
        var history: [(cap: UInt32, from: Int64)] = [(700, Int64.min)]
        var now: Int64 = 0
        for _ in 0..<200 {
            now += Int64(next(20))
            register.settle(at: now)
            if next(2) == 0 {
                let cap = UInt32(200 + next(6) * 100)
                _ = register.write(cap, at: now, settleNanoseconds: 50)
                history.append((cap, now))
            }
            // A cap may still hold until 50 after the write that replaced it.
            let possible = history.indices.filter { index in
                index == history.count - 1 || now < history[index + 1].from + 50
            }
            let expected = possible.map { history[$0].cap }.max()
            #expect(register.enforcedMilliwatts == expected, "seed \(seed) at \(now)")
        }
    }
}

@Suite("Simulated fleet: draw")
struct SimulatedFleetDrawTests {
    private func trueDraw(_ fleet: inout SimulatedFleet, at now: Int64) -> Int64 {
        fleet.summary(at: now).domainDraw[0].rawValue
    }

    @Test("An idle device draws its idle watts")
    func idle() {
        var fleet = powerOn()
        #expect(trueDraw(&fleet, at: second) == 4 * 100_000)
    }

    @Test("Steady load draws near the maximum uncapped, exactly the cap when capped")
    func capped() throws {
        var fleet = powerOn()
        let steady = DeviceDemand(profile: .steady, utilizationPPM: 1_000_000, phaseSeed: 1)
        try fleet.setDemand(steady, node: "n1", device: 0, at: second)
        let free = trueDraw(&fleet, at: 2 * second) - 300_000
        #expect((680_000...700_000).contains(free))
        try fleet.writeCap(400_000, node: "n1", device: 0, at: 2 * second)
        #expect(trueDraw(&fleet, at: 2 * second + alpha - 1) - 300_000 == free)
        #expect(trueDraw(&fleet, at: 2 * second + alpha) - 300_000 == 400_000)
    }

    @Test("Draw follows a change of load over the averaging span, not at once")
    func averaging() throws {
        var fleet = powerOn()
        let steady = DeviceDemand(profile: .steady, utilizationPPM: 1_000_000, phaseSeed: 1)
        try fleet.setDemand(steady, node: "n1", device: 0, at: second)
        let half = trueDraw(&fleet, at: second + SimulatedFleet.averagingNanoseconds / 2) - 300_000
        #expect((380_000...400_000).contains(half))
    }

    @Test("Half a device held asks for half of the swing")
    func fraction() throws {
        var fleet = powerOn()
        let steady = DeviceDemand(profile: .steady, utilizationPPM: 500_000, phaseSeed: 1)
        try fleet.setDemand(steady, node: "n1", device: 0, at: 0)
        let draw = trueDraw(&fleet, at: second) - 300_000
        #expect((390_000...400_000).contains(draw))
    }

    @Test("The GPUs of a training gang dip together, and those of another gang do not")
    func coherentDips() {
        let first = LoadShape(profile: .training, seed: 7)
        let same = LoadShape(profile: .training, seed: 7)
        let other = LoadShape(profile: .training, seed: 8)
        var dips = 0
        var differences = 0
        for step in 1..<300 as Range<Int64> {
            let end = step * 100_000_000
            let level = first.meanPPM(from: end - 100_000_000, to: end)
            #expect(level == same.meanPPM(from: end - 100_000_000, to: end))
            if level < 1_000_000 { dips += 1 }
            if level != other.meanPPM(from: end - 100_000_000, to: end) { differences += 1 }
        }
        #expect((5...90).contains(dips), "\(dips) of 299 samples in a dip")
        #expect(differences > 0)
    }

    @Test(
        "The mean of an interval is that of its parts",
        arguments: [DemandProfile.training, .inference, .steady])
    func meanIsAdditive(profile: DemandProfile) {
        let shape = LoadShape(profile: profile, seed: 3)
        for start in stride(from: 0, to: 20 * second, by: 333_333_333) {
            let whole = shape.meanPPM(from: start, to: start + 100_000_000)
            let left = shape.meanPPM(from: start, to: start + 50_000_000)
            let right = shape.meanPPM(from: start + 50_000_000, to: start + 100_000_000)
            #expect(abs(whole - (left + right) / 2) <= 1)
            #expect((200_000...1_000_000).contains(whole))
        }
    }

    @Test("Inference bursts come at different times on different devices")
    func inferenceBursts() throws {
        var fleet = powerOn()
        for node in ["n1", "n2"] {
            for device in 0..<2 {
                let load = DeviceDemand(
                    profile: .inference, utilizationPPM: 1_000_000, phaseSeed: 1)
                try fleet.setDemand(load, node: node, device: device, at: 0)
            }
        }
        var distinct = 0
        for step in 2..<100 as Range<Int64> {
            let sample = try fleet.sensors(node: "n1", at: step * 37_000_000)
            if sample.utilizationPPM[0] != sample.utilizationPPM[1] { distinct += 1 }
        }
        #expect(distinct > 30)
    }

    @Test("Sensors err by a fixed gain of at most 5 % per board")
    func sensorGain() throws {
        var fleet = powerOn()
        for second in 1...3 as ClosedRange<Int64> {
            let sample = try fleet.sensors(node: "n1", at: second * 1_000_000_000)
            #expect(sample.drawMilliwatts.allSatisfy { (95_000...105_000).contains($0) })
            #expect(sample.drawMilliwatts[0] != sample.drawMilliwatts[1])
            let again = try fleet.sensors(node: "n1", at: second * 1_000_000_000)
            #expect(again.drawMilliwatts == sample.drawMilliwatts)
        }
    }

    @Test("A loaded device warms up, and cools when the load ends")
    func temperature() throws {
        var fleet = powerOn()
        func read(_ at: Int64) throws -> UInt32 {
            try fleet.sensors(node: "n1", at: at).temperatureMillidegrees[0]
        }
        let cold = try read(second)
        try fleet.setDemand(
            DeviceDemand(profile: .steady, utilizationPPM: 1_000_000, phaseSeed: 0), node: "n1",
            device: 0, at: second)
        var hot = cold
        for step in 2..<60 as Range<Int64> { hot = try read(step * second) }
        #expect((60_000...80_000).contains(hot))
        try fleet.setDemand(
            DeviceDemand(profile: nil, utilizationPPM: 0, phaseSeed: 0), node: "n1", device: 0,
            at: 60 * second)
        #expect(try read(90 * second) < hot - 10_000)
    }
}

@Suite("Simulated fleet: audit")
struct BudgetAuditTests {
    private func write(
        _ fleet: inout SimulatedFleet, _ watts: UInt32, _ node: String, at now: Int64
    )
        throws
    {
        for device in 0..<2 {
            try fleet.writeCap(
                watts * 1000, node: node, device: device, at: now)
        }
    }

    @Test("A domain that has never fitted is not judged; the site that fits at once is")
    func arming() {
        var fleet = powerOn()
        let summary = fleet.summary(at: 0)
        #expect(summary.domainArmed == [true, false, false])
        #expect(summary.domainEnforced == [.watts(2800), .watts(2800), .watts(2800)])
        #expect(summary.overBudgetInstants == 0)
    }

    @Test("A domain is armed when settling ends, not when the lower cap is written")
    func armingWaitsForSettling() throws {
        var fleet = powerOn()
        try write(&fleet, 400, "n1", at: second)
        #expect(fleet.summary(at: second + alpha - 1).domainArmed[1] == false)
        let summary = fleet.summary(at: second + alpha)
        #expect(summary.domainArmed == [true, true, true])
        #expect(summary.domainPeakEnforced[1].rawValue == 2_500_000 - 300_000)
        #expect(summary.overBudgetInstants == 0)
    }

    @Test("A planted violation is counted in every domain that it breaks, at every change")
    func plantedViolation() throws {
        var fleet = powerOn(.fallback)
        // 1,600 W in all. Both nodes at 620 W per GPU: 2,480 W against 2,400 in rack and feed.
        try write(&fleet, 620, "n1", at: second)
        #expect(fleet.summary(at: second).overBudgetInstants == 0)
        try write(&fleet, 620, "n2", at: second)
        let summary = fleet.summary(at: second)
        #expect(summary.domainOverBudgetInstants == [0, 1, 1])
        #expect(summary.overBudgetInstants == 2)
        #expect(summary.domainPeakEnforced[1].rawValue == 2_480_000)
        #expect(summary.firstViolations.count == 2)
        #expect(summary.firstViolations[0].hasPrefix("s/rack: 2.48 kW enforced, 80 W over"))
    }

    @Test("Raising one node before another has settled is over budget")
    func settlingCounts() throws {
        var fleet = powerOn(.fallback)
        try write(&fleet, 700, "n1", at: second)
        // 1,400 + 800. Lower n1 to 1,000, and raise n2 to 1,400 too early: 2,800 until settled.
        try write(&fleet, 500, "n1", at: 2 * second)
        try write(&fleet, 700, "n2", at: 2 * second + alpha - 1)
        #expect(fleet.summary(at: 2 * second + alpha).domainOverBudgetInstants[1] > 0)

        var patient = powerOn(.fallback)
        try write(&patient, 700, "n1", at: second)
        try write(&patient, 500, "n1", at: 2 * second)
        try write(&patient, 700, "n2", at: 2 * second + alpha)
        #expect(patient.summary(at: 3 * second).overBudgetInstants == 0)
        #expect(patient.summary(at: 3 * second).domainPeakEnforced[1].rawValue == 2_400_000)
    }

    @Test("Counts start anew, and armed domains stay armed")
    func reset() throws {
        var fleet = powerOn(.fallback)
        try write(&fleet, 700, "n1", at: second)
        try write(&fleet, 700, "n2", at: second)
        #expect(fleet.summary(at: second).overBudgetInstants > 0)
        fleet.resetSummary(at: second)
        var summary = fleet.summary(at: second)
        #expect(summary.overBudgetInstants == 0)
        #expect(summary.capChanges == 0)
        #expect(summary.domainPeakEnforced[0].rawValue == 2_800_000)
        try write(&fleet, 700, "n2", at: 2 * second)
        summary = fleet.summary(at: 2 * second)
        #expect(summary.overBudgetInstants == 4, "two writes, two domains over")
    }

    @Test("Reading a large fleet's summary is lazy work: 6,000 GPUs, thousands of writes")
    func largeFleet() throws {
        var topology = smallFleet(bootState: .fallback)
        topology.nodes = (0..<3000).map { index in
            Node(
                name: "n\(index)", site: SiteIndex(rawValue: 0), type: 0,
                leaves: topology.nodes[0].leaves, firstGPU: GPUIndex(2 * index))
        }
        var fleet = SimulatedFleet(topology: topology, bootID: [], at: 0)
        for step in 0..<3000 {
            try fleet.writeCap(
                300_000, node: "n\(step)", device: 1, at: Int64(step) * 1000)
        }
        let summary = fleet.summary(at: second)
        #expect(summary.domainEnforced[0].rawValue == 3000 * 700_000)
        #expect(summary.capChanges == 6000, "each write and each end of settling")
    }
}
