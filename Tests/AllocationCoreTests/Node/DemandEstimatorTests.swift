// SPDX-License-Identifier: Apache-2.0

// Goal: the estimate falls only after a calm period, rises at once, and unknown is never 0 W.

import Testing

@testable import AllocationCore

@Suite("Demand estimator")
struct DemandEstimatorTests {
    private let second: Int64 = 1_000_000_000

    /// An estimator of one GPU of 700 W that has seen `draw` under a cap of 600 W for `seconds`.
    private func estimator(draw: UInt32, seconds: Int64) -> DemandEstimator {
        var estimator = DemandEstimator(mostMilliwatts: [700_000])
        for time in 0...seconds { observe(&estimator, draw, 600_000, time) }
        return estimator
    }

    private func observe(
        _ estimator: inout DemandEstimator, _ draw: UInt32?, _ cap: UInt32?, _ seconds: Int64
    ) {
        estimator.observe(
            gpu: 0, DemandSample(drawMilliwatts: draw, capMilliwatts: cap), now: seconds * second)
    }

    @Test("It starts at the most and stays there until a calm period is over")
    func start() {
        #expect(DemandEstimator(mostMilliwatts: [700_000]).full(gpu: 0) == 700_000)
        #expect(estimator(draw: 300_000, seconds: 9).full(gpu: 0) == 700_000)
    }

    @Test("After a calm period it is the highest draw of the period plus the margin")
    func falls() {
        var estimator = DemandEstimator(mostMilliwatts: [700_000])
        for time: Int64 in 0...10 {
            observe(&estimator, time == 4 ? 400_000 : 300_000, 600_000, time)
        }
        #expect(estimator.full(gpu: 0) == 440_000)
    }

    @Test("Draw near the cap restores the most at once")
    func nearCap() {
        var estimator = estimator(draw: 300_000, seconds: 10)
        #expect(estimator.full(gpu: 0) == 330_000)
        observe(&estimator, 325_000, 330_000, 11)
        #expect(estimator.full(gpu: 0) == 700_000)
    }

    @Test("Draw that grows clear of the cap raises the estimate at once")
    func grows() {
        var estimator = estimator(draw: 300_000, seconds: 10)
        observe(&estimator, 400_000, 600_000, 11)
        #expect(estimator.full(gpu: 0) == 440_000)
    }

    @Test(
        "A reading that is missing, zero or absurd is unknown and restores the most",
        arguments: [nil, 0, 4_000_000] as [UInt32?])
    func unknown(draw: UInt32?) {
        var estimator = estimator(draw: 300_000, seconds: 10)
        observe(&estimator, draw, 600_000, 11)
        #expect(estimator.full(gpu: 0) == 700_000)
    }

    @Test("A gap in the readings restores the most, seen late or by the clock")
    func gap() {
        var late = estimator(draw: 300_000, seconds: 10)
        observe(&late, 300_000, 600_000, 20)
        #expect(late.full(gpu: 0) == 700_000)
        var expired = estimator(draw: 300_000, seconds: 10)
        expired.expire(now: 15 * second)
        #expect(expired.full(gpu: 0) == 330_000)
        expired.expire(now: 16 * second)
        #expect(expired.full(gpu: 0) == 700_000)
    }

    @Test("A new load starts from its own most")
    func reset() {
        var estimator = estimator(draw: 300_000, seconds: 10)
        estimator.reset(gpu: 0, mostMilliwatts: 500_000)
        #expect(estimator.full(gpu: 0) == 500_000)
    }

    @Test("The estimate never passes the most")
    func bounded() {
        var estimator = DemandEstimator(mostMilliwatts: [310_000])
        for time: Int64 in 0...10 { observe(&estimator, 300_000, 600_000, time) }
        #expect(estimator.full(gpu: 0) == 310_000)
    }
}
