// SPDX-License-Identifier: Apache-2.0

// Goal: `busbar bench place` prints the members that scripts rely on, and no others, also where the large
// gang does not fit. Method: a tiny run; no time is asserted that a busy machine could miss.

import AllocationBench
import Testing

@testable import OperatorCLI

@Suite struct PlaceBenchmarkOutputTests {
    @Test("The document has the agreed members in order, the text their numbers")
    func members() {
        var benchmark = PlaceBenchmark(
            nodeCount: 16, gangNodes: 2, seed: 1, now: steadyNanoseconds)
        let result = benchmark.run()
        guard case .object(let members) = result.json else {
            Issue.record("not an object")
            return
        }
        #expect(
            members.map(\.0) == [
                "policy", "nodes", "gpus", "decisions_per_second", "latency_us", "gang_16384_ms",
                "hash",
            ])
        guard case .null? = members.first(where: { $0.0 == "gang_16384_ms" })?.1,
            case .integer(128)? = members.first(where: { $0.0 == "gpus" })?.1
        else {
            Issue.record("a gang that does not fit is null, and 16 nodes have 128 GPUs")
            return
        }
        #expect(result.text.contains("16 nodes, 128 GPUs"))
        #expect(result.text.contains("does not fit"))
        #expect(result.text.contains(result.hash.text))
    }
}
