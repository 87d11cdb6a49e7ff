// SPDX-License-Identifier: Apache-2.0

// Goal: `busbar bench solve` prints the members that scripts rely on, and no others.
// Method: a tiny run; no time is asserted that a busy machine could miss.

import AllocationBench
import Testing

@testable import OperatorCLI

@Suite struct SolveBenchmarkOutputTests {
    @Test("The document has the agreed members in order, the text their numbers")
    func members() throws {
        var benchmark = SolveBenchmark(
            gpuCount: 576, seed: 1, repetitions: 2, now: steadyNanoseconds)
        let result = try benchmark.run()
        guard case .object(let members) = result.json else {
            Issue.record("not an object")
            return
        }
        #expect(
            members.map(\.0) == [
                "gpus", "gangs", "domains", "cold_ms", "warm_ms", "stream_ms", "stream_gb_s",
                "bytes_per_gpu", "hash",
            ])
        #expect(result.text.contains("576 GPUs"))
        #expect(result.text.contains(result.hash.text))
    }
}
