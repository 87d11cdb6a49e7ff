// SPDX-License-Identifier: Apache-2.0

// Goal: the benchmark measures solves that are right, and names their result. Method: a tiny run with a
// clock that ticks once a look; no time is asserted that a busy machine could miss.

import AllocationBench
import Testing

@Suite("Benchmark of the power solver")
struct SolveBenchmarkTests {
    private func run(gpuCount: Int, seed: UInt64) throws -> SolveBenchmark.Result {
        var ticks: Int64 = 0
        var benchmark = SolveBenchmark(gpuCount: gpuCount, seed: seed, repetitions: 3) {
            ticks += 1_000_000
            return ticks
        }
        return try benchmark.run()
    }

    @Test("A run has as many samples as repetitions, and the hash names the instance")
    func tiny() throws {
        let result = try run(gpuCount: 576, seed: 1)
        #expect(result.gpuCount == 576)
        #expect([result.cold, result.warm, result.stream].allSatisfy { $0.count == 3 })
        #expect(result.cold.percentile(50) == 1)
        #expect(result.bytesPerGPU > 24)
        let again = try run(gpuCount: 576, seed: 1)
        let other = try run(gpuCount: 576, seed: 2)
        #expect(again.hash == result.hash)
        #expect(other.hash != result.hash)
    }

    @Test("The hash is FNV-1a over little-endian bytes")
    func knownHash() {
        var hash = ResultHash()
        #expect(hash.text == "cbf29ce484222325")
        // "foob" as a little-endian word.
        hash.combine(0x626F_6F66)
        var byByte: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "foob".utf8 { byByte = (byByte ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        #expect(hash.value == byByte)
    }

    @Test("Percentiles are samples: the least that enough of them are not above")
    func percentiles() {
        var samples = TimeSamples()
        #expect(samples.percentile(50) == 0)
        for value: Int64 in [5, 1, 4, 2, 3] { samples.append(value * 1_000_000) }
        #expect(samples.percentile(50) == 3)
        #expect(samples.percentile(99) == 5)
        #expect(samples.percentile(20) == 1)
    }
}
