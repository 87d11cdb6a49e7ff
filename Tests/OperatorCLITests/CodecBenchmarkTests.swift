// SPDX-License-Identifier: Apache-2.0

// Goal: the benchmark of the codec measures reports that are really read.
// Method: a tiny run, for what comes out; no time is asserted that a busy machine could miss.

import Testing

@testable import OperatorCLI

@Suite struct CodecBenchmarkTests {
    @Test("A tiny run encodes and decodes reports", arguments: [1, 8, 64])
    func tiny(gpuCount: Int) throws {
        let result = try CodecBenchmark(gpuCount: gpuCount, count: 10).run()
        #expect(result.byteCount > 5 * gpuCount)
        #expect(result.encodeNanoseconds > 0)
        #expect(result.decodeNanoseconds > 0)
        #expect(result.json.text.contains("\"decode_nanoseconds\""))
        #expect(result.text.hasPrefix("report   \(gpuCount) GPUs"))
    }
}
