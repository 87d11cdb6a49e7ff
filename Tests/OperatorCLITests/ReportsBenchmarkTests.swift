// SPDX-License-Identifier: Apache-2.0

// Goal: the benchmark measures what it says, so that its numbers can be believed.
// Method: a tiny run, for what comes out; no number is asserted that a busy machine could miss.

import Testing

@testable import OperatorCLI

@Suite struct ReportsBenchmarkTests {
    @Test("A tiny run takes in reports of every session, and its numbers agree")
    func tiny() async throws {
        let result = try await ReportsBenchmark(
            sessionCount: 3, gpuCount: 2, measuring: .milliseconds(100)
        ).run()
        #expect(result.reportCount > 0)
        #expect(result.seconds >= 0.1)
        #expect(result.busySeconds > 0 && result.busySeconds <= result.seconds * 1.1)
        #expect(result.handshakeBusySeconds > 0)
        #expect(result.deliveredPerSecond <= result.reportsPerSecond * 1.1)
        #expect(result.text.contains("3, 2 GPUs each"))
        #expect(result.json.text.contains("\"reports_per_second\""))
    }
}
