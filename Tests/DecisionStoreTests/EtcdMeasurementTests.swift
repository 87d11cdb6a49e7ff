// SPDX-License-Identifier: Apache-2.0

// Goal: how long commits take, and how long a change of leaders takes. Off unless asked for:
// BUSBAR_MEASURE=1 BUSBAR_ONLY=DecisionStore swift test -c release -Xswiftc -enable-testing \
//     --filter EtcdMeasurement
// Method: clusters of one and of three members on this machine; the numbers are printed.

import DecisionStore
import DecisionStoreEtcd
import DecisionStoreSQLite
import EtcdTestSupport
import FleetModel
import Foundation
import Testing

@Suite(
    .serialized, .enabled(if: ProcessInfo.processInfo.environment["BUSBAR_MEASURE"] != nil))
struct EtcdMeasurementTests {
    @Test("Commit latency, one after another and 64 at a time", arguments: [0, 1, 3])
    func commits(memberCount: Int) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "busbar-measure-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let server =
            memberCount == 0 ? nil : try await EtcdServer.start(.init(memberCount: memberCount))
        let store: any DecisionStore =
            if let server {
                EtcdDecisionStore(server.options(prefix: "/m/"))
            } else {
                try SQLiteDecisionStore(path: directory.path + "/m.db")
            }
        let leader = try await store.lead()
        // A fleet's commit of one placed job: two records of some hundred bytes.
        let commit = { @Sendable (number: Int) async throws in
            var batch = StoreBatch()
            batch.put("job/\(number)", .init(repeating: 1, count: 300), expecting: .anything)
            batch.put("event/\(number)", .init(repeating: 1, count: 150), expecting: .anything)
            try await store.commit(batch, under: leader)
        }
        for number in 0..<50 { try await commit(number) }
        let alone = try await times(workers: 1, count: 500, commit)
        let together = try await times(workers: 64, count: 12_800, commit)
        let name = memberCount == 0 ? "SQLite" : "etcd, \(memberCount) members"
        print("measured: \(name): one at a time \(alone); 64 at a time \(together)")
        await store.close()
    }

    private struct Summary: CustomStringConvertible {
        var sorted: [Double]
        var seconds: Double

        var description: String {
            func at(_ part: Double) -> String {
                String(
                    format: "%.1f ms",
                    sorted[min(sorted.count - 1, Int(part * Double(sorted.count)))] * 1000)
            }
            let rate = String(format: "%.0f", Double(sorted.count) / seconds)
            return "p50 \(at(0.5)), p99 \(at(0.99)), \(rate)/s"
        }
    }

    private func times(
        workers: Int, count: Int, _ commit: @escaping @Sendable (Int) async throws -> Void
    ) async throws -> Summary {
        let start = ContinuousClock.now
        let all = try await withThrowingTaskGroup(of: [Double].self) { group in
            for worker in 0..<workers {
                group.addTask {
                    var times: [Double] = []
                    for number in 0..<count / workers {
                        let start = ContinuousClock.now
                        try await commit(worker * count + number)
                        times.append((ContinuousClock.now - start) / .seconds(1))
                    }
                    return times
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        return Summary(
            sorted: all.sorted(), seconds: (ContinuousClock.now - start) / .seconds(1))
    }
}
