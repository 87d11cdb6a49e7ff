// SPDX-License-Identifier: Apache-2.0

// Goal: the benchmark of placement fills the fleet that it describes, with watts that bind, and names its
// decisions. Method: small runs with a clock that ticks once a look; no time is asserted that a busy
// machine could miss.

import AllocationBench
import FleetModel
import Testing

@Suite("Benchmark of placement")
struct PlaceBenchmarkTests {
    private func run(nodeCount: Int, seed: UInt64) -> PlaceBenchmark.Result {
        var ticks: Int64 = 0
        var benchmark = PlaceBenchmark(nodeCount: nodeCount, gangNodes: 4, seed: seed) {
            ticks += 1000
            return ticks
        }
        return benchmark.run()
    }

    @Test("A run fills the fleet, and the hash names its decisions")
    func small() {
        let result = run(nodeCount: 64, seed: 1)
        #expect(result.gpuCount == 512)
        // A gang of an eighth of so small a fleet may have been the last to leave.
        #expect((800...1000).contains(result.allocatedPermille))
        #expect(result.decisionCount > 200)
        #expect(result.gangCount > 0)
        #expect(result.departedCount > 50)
        #expect(result.latency.count == result.decisionCount)
        #expect(result.gang.count > 0)
        #expect(result.largeGang.count == 0)
        #expect(result.plannedCount > 0)
        #expect(run(nodeCount: 64, seed: 1).hash == result.hash)
        #expect(run(nodeCount: 64, seed: 2).hash != result.hash)
    }

    @Test("These decisions are made on every machine")
    func known() {
        #expect(run(nodeCount: 16, seed: 1).hash.text == "9dba25462559bb64")
    }

    @Test("The fleet has five levels, two feeds that cross, and one domain in forty that binds")
    func fleet() {
        let topology = PlaceFleet.topology(nodeCount: 16_384)
        #expect(topology.problems().isEmpty)
        let levels = topology.domains.filter { $0.tree == 0 }.map(\.level)
        #expect(Set(levels) == ["site", "building", "hall", "row", "rack"])
        #expect(Set(topology.domains.map(\.tree)) == [0, 1, 2])
        #expect(topology.nodes.allSatisfy { $0.leaves.count == 3 })
        // Feed B of a node is not told by its feed A, nor the other way round.
        let pairs = Set(topology.nodes.map { [$0.leaves[1], $0.leaves[2]] })
        let feedsA = Set(topology.nodes.map { $0.leaves[1] })
        let feedsB = Set(topology.nodes.map { $0.leaves[2] })
        #expect(pairs.count == 2 * feedsA.count)
        #expect(pairs.count == 2 * feedsB.count)
        let racks = topology.domains.filter { $0.level == "rack" }
        let most = racks.map(\.limit).max() ?? .zero
        #expect(racks.count == 2048)
        #expect(racks.filter { $0.limit < most }.count == 51)
    }

    @Test("Percentiles of latencies are within a sixty-fourth")
    func latencies() {
        var histogram = LatencyHistogram()
        #expect(histogram.percentile(50) == 0)
        for value in Int64(1)...100_000 { histogram.append(value) }
        for percent in [1, 50, 99, 100] {
            let exact = Double(percent)
            #expect(histogram.percentile(percent) >= exact)
            #expect(histogram.percentile(percent) <= exact * (1 + 1.0 / 64) + 0.001)
        }
    }
}
