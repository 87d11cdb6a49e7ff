// SPDX-License-Identifier: Apache-2.0

// Goal: what is short is valued as defined. Method: fleets and mixes with round numbers, worked out by hand.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Scarcity model")
struct ScarcityModelTests {
    /// Two nodes of eight GPUs "A" and one of two "B".
    private static let topology = PlacementExperiment.topology(
        of: [
            ExperimentNode(name: "a1", cpuMilli: 96_000, memoryMiB: 1, gpuCount: 8, model: "A"),
            ExperimentNode(name: "a2", cpuMilli: 96_000, memoryMiB: 1, gpuCount: 8, model: "A"),
            ExperimentNode(name: "b", cpuMilli: 104_000, memoryMiB: 1, gpuCount: 2, model: "B"),
        ])

    private static func kind(_ share: UInt32, cpu: UInt32, _ models: [String] = []) -> WorkloadKind
    {
        WorkloadKind(gpuCount: 1, gpuMilli: 1000, cpuMilli: cpu, models: models, share: share)
    }

    @Test("GPUs starve beyond what the cores feed at the mean of the mix")
    func starved() {
        // 8 and 16 cores a GPU, as often: 12 cores feed one.
        let mix = WorkloadMix(kinds: [Self.kind(1, cpu: 8000), Self.kind(1, cpu: 16_000)])
        let model = ScarcityModel(mix, Self.topology)
        #expect(abs(model.starved(freeMilli: 8000, freeCPU: 48_000) - 4000) <= 1)
        #expect(model.starved(freeMilli: 8000, freeCPU: 97_000) == 0)
        #expect(model.starved(freeMilli: 1000, freeCPU: 0) == 1000)
        #expect(model.starved(freeMilli: 0, freeCPU: 0) == 0)
    }

    @Test(
        "Few cores help a node that is short of them, many hurt it, and neither matters elsewhere")
    func gain() {
        let mix = WorkloadMix(kinds: [Self.kind(1, cpu: 12_000)])
        let model = ScarcityModel(mix, Self.topology)
        func gain(cpu: UInt32, of freeCPU: UInt32) -> Int64 {
            model.gain(type: 0, freeMilli: 4000, freeCPU: freeCPU, taking: 1000, cpu: cpu)
        }
        // Two of four GPUs starve; a GPU goes with 3, 12 or 24 of 24 cores: 1.25, 1 or 3 of three do then.
        #expect(abs(gain(cpu: 3000, of: 24_000) - 7 * 750) <= 14)
        #expect(abs(gain(cpu: 12_000, of: 24_000) - 0) <= 14)
        #expect(abs(gain(cpu: 24_000, of: 24_000) + 7 * 1000) <= 14)
        #expect(gain(cpu: 24_000, of: 104_000) == 0)
        // A task without GPUs takes cores of two.
        #expect(
            abs(
                model.gain(type: 0, freeMilli: 4000, freeCPU: 48_000, taking: 0, cpu: 24_000)
                    + 7 * 2000) <= 14)
    }

    @Test("A sought model costs by the part of it that is sought, and never more than wholly")
    func sought() {
        // Of 18 GPUs' worth of work a twelfth names B: 1.5 of its 2 GPUs.
        let mix = WorkloadMix(kinds: [Self.kind(11, cpu: 1000), Self.kind(1, cpu: 1000, ["B"])])
        let model = ScarcityModel(mix, Self.topology)
        func cost(_ model: ScarcityModel, _ type: Int) -> Int64 {
            -model.gain(type: type, freeMilli: 1000, freeCPU: 96_000, taking: 1000, cpu: 0)
        }
        #expect(cost(model, 0) == 0)
        #expect(cost(model, 1) == 2 * 750)
        let all = WorkloadMix(kinds: [Self.kind(1, cpu: 1000, ["B", "C"])])
        #expect(cost(ScarcityModel(all, Self.topology), 1) == 2 * 1000)
        // Of either model: by capacity.
        let either = WorkloadMix(kinds: [Self.kind(1, cpu: 1000, ["A", "B"])])
        #expect(cost(ScarcityModel(either, Self.topology), 0) == 2 * 1000)
    }

    @Test("Extreme mixes and nodes are finite")
    func extremes() {
        for mix in [
            WorkloadMix(kinds: []), WorkloadMix(kinds: [Self.kind(.max, cpu: 0)]),
            WorkloadMix(kinds: [Self.kind(1, cpu: .max)]),
        ] {
            let model = ScarcityModel(mix, Self.topology)
            let starved = model.starved(freeMilli: 64_000, freeCPU: .max)
            #expect((0...64_000).contains(starved))
            let gain = model.gain(
                type: 0, freeMilli: 64_000, freeCPU: .max, taking: 64_000, cpu: .max)
            #expect(abs(gain) <= 10 * 64_000)
        }
    }
}
