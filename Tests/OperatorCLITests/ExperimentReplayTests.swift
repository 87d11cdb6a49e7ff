// SPDX-License-Identifier: Apache-2.0

// Goal: `busbar replay --protocol fgd` reads any list of the trace's form, says what is wrong with others
// and where, and writes the document that programs rely on.
// Method: lists so small that the result is known.

import ArgumentParser
import Foundation
import Testing

@testable import AllocationCore
@testable import OperatorCLI

@Suite("Experiment replay")
struct ExperimentReplayTests {
    private static let nodeHeader = "sn,cpu_milli,memory_mib,gpu,model\n"
    private static let podHeader = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"

    /// Writes both lists to a directory of their own, calls `body` with their paths, and removes it.
    private func withLists<Result>(
        nodes: String, pods: String, _ body: (String, String) async throws -> Result
    ) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "busbar-experiment-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let paths = ["n.csv", "p.csv"].map { folder.appending(path: $0).path }
        for (path, text) in zip(paths, [nodes, pods]) {
            try Data(text.utf8).write(to: URL(filePath: path))
        }
        return try await body(paths[0], paths[1])
    }

    private func report(
        nodes: String, pods: String, policy: ExperimentPolicy = .busbar, ratio: Double = 1.3
    ) async throws -> ExperimentReport {
        try await withLists(nodes: Self.nodeHeader + nodes, pods: pods) { nodes, pods in
            try ExperimentReplay(
                policy: policy, seed: 7, ratio: ratio, nodeList: nodes, podList: pods
            ).run()
        }
    }

    @Test("The document has the policy, the seed and the allocation by arrival")
    func document() async throws {
        // Two GPUs, pods of one each: a third arrival would be half the cluster too much.
        let report = try await report(
            nodes: "n,64000,1024,2,G2\n", pods: Self.podHeader + "p,1,1,1,1000\n")
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json.text.utf8))
                as? [String: Any])
        #expect(
            Set(document.keys) == [
                "policy", "seed", "unallocated_gpu_percent", "allocation_by_arrival",
            ])
        #expect(document["policy"] as? String == "busbar")
        #expect(document["seed"] as? Int == 7)
        #expect(document["unallocated_gpu_percent"] as? Double == 0)
        let columns = try #require(document["allocation_by_arrival"] as? [String: Double])
        #expect(columns["50"] == 50)
        // Between arrivals the last one counts.
        #expect(columns["99"] == 50)
        #expect(columns["100"] == 100)
        #expect(columns["49"] == nil)
        #expect(columns["101"] == nil)
        #expect(
            report.text.contains(
                "policy busbar, seed 7: 2 pods arrived, 0 fitted nowhere, 0 placed"))
    }

    @Test("A list that asks for more than the ratio is thinned, and what fits nowhere is dropped")
    func thinned() async throws {
        let pods = Self.podHeader + (1...40).map { "p\($0),1,1,1,1000\n" }.joined()
        let report = try await report(nodes: "n,8000,1024,10,G2\n", pods: pods)
        #expect(report.result.arrivals == 13)
        #expect(report.result.refused == 3)
        #expect(report.unallocatedPercent == 0)
        #expect(report.result.allocated(atArrival: 130) == 100)
        #expect(report.result.allocated(atArrival: 131) == nil)
    }

    @Test(
        "Further columns, quotes, CRLF, empty and unknown models, and servers without GPUs are read",
        arguments: ExperimentPolicy.allCases)
    func forms(policy: ExperimentPolicy) async throws {
        let pods =
            "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,note\r\n"
            + "\"a\",1,1,1,1000,,LS,\"x, y\"\r\n" + "b,1,1,1,1000,T4|G2,BE,\r\n"
            + "c,1,1,1,1000,H9,BE,\r\n" + "d,1,1,0,0,,BE,\r\n"
        let report = try await report(
            nodes: "c,64000,1024,0,\nn,64000,1024,2,G2\nm,64000,1024,1,P100\n", pods: pods,
            policy: policy, ratio: 1)
        #expect(report.result.arrivals >= 4)
        #expect(report.result.refused >= 1, "no server has the model H9")
        let allocated = try #require(report.result.allocated(atArrival: 100))
        #expect(allocated < 67)
    }

    @Test(
        "The same seed gives the same document, byte for byte", arguments: ExperimentPolicy.allCases
    )
    func deterministic(policy: ExperimentPolicy) async throws {
        let nodes = (1...6).map { "n\($0),\(32_000 * $0),65536,\($0),G2\n" }.joined()
        let pods = (1...60).map { "p\($0),\(4000 + 500 * $0),1024,1,\(100 + 15 * $0)\n" }.joined()
        let first = try await report(nodes: nodes, pods: Self.podHeader + pods, policy: policy)
        let second = try await report(nodes: nodes, pods: Self.podHeader + pods, policy: policy)
        #expect(first.json.text == second.json.text)
    }

    @Test("A policy that looks at watts answers them, and refuses a model that it does not know")
    func watts() async throws {
        let pods = Self.podHeader + "p,1,1,1,1000\n"
        let report = try await report(
            nodes: "n,64000,1024,2,G2\n", pods: pods, policy: .busbarPower)
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(report.json.text.utf8))
                as? [String: Any])
        let watts = try #require(document["power_kw_by_arrival"] as? [String: Double])
        // 32 cores are two packages; one of two GPUs busy, then both, and a core of the first package.
        #expect(watts["50"] == 0.315)
        #expect(watts["100"] == 0.435)
        await #expect(throws: CommandFailure.self) {
            try await self.report(
                nodes: "n,64000,1024,2,X9\n", pods: pods, policy: .busbarPower)
        }
    }

    @Test(
        "A list that cannot be used is refused with its place and what is expected",
        arguments: [
            (
                nodeHeader + "n,1,1,1,G2\n", podHeader + "p,1,1,1,x\n",
                "p.csv:2:9: gpu_milli: 'x' is not a whole number"
            ),
            (
                nodeHeader + "n,1,1,65,G2\n", podHeader + "p,1,1,1,1\n",
                "n.csv:2:7: gpu: '65' is not between 1 and 64"
            ),
            (
                nodeHeader + "n,1,1,0,\n", podHeader + "p,1,1,1,1\n",
                "n.csv: the list has no servers with GPUs"
            ),
            (
                nodeHeader + "n,1,1,1,G2\n", podHeader + "p,1,1,0,0\n",
                "p.csv: no pod of the list asks for a GPU"
            ),
            (
                nodeHeader + "n,1,1,1,G2\n", "name,cpu_milli\n",
                "p.csv:1: the list has no column 'memory_mib'"
            ),
        ])
    func refused(nodes: String, pods: String, expected: String) async throws {
        try await withLists(nodes: nodes, pods: pods) { nodes, pods in
            let failure = #expect(throws: CommandFailure.self) {
                _ = try ExperimentReplay(
                    policy: .busbar, seed: 1, ratio: 1.3, nodeList: nodes, podList: pods)
            }
            #expect(failure?.status == .refused)
            let message = try #require(failure?.message)
            #expect(message.contains(expected), "\(message)")
        }
    }

    @Test(
        "The two ways to replay do not mix",
        arguments: [
            (["--nodes", "n"], "--nodes needs --protocol fgd"),
            (["--policy", "fgd"], "--policy needs --protocol fgd"),
            (["--ratio", "1"], "--ratio needs --protocol fgd"),
            (["--protocol", "fgd"], "--protocol fgd needs --nodes"),
            (["--protocol", "xyz", "--nodes", "n"], "there is no protocol 'xyz'"),
            (["--protocol", "fgd", "--nodes", "n", "--ratio", "0"], "--ratio is from 0.01 to 10"),
            (
                ["--protocol", "fgd", "--nodes", "n", "--policy", "worst"],
                "there is no policy 'worst': --policy is one of random, best-fit, fgd, busbar"
            ),
            (
                ["--protocol", "fgd", "--nodes", "n", "--watt-price", "3"],
                "--watt-price is for --policy pwr-busbar"
            ),
            (
                ["--protocol", "fgd", "--nodes", "n", "--verify"],
                "--verify is for a running fleet: not with --protocol"
            ),
            (
                ["--protocol", "fgd", "--nodes", "n", "--gangs", "0"],
                "--gangs is for a running fleet: not with --protocol"
            ),
            (
                ["--protocol", "fgd", "--nodes", "n", "--state", "d"],
                "--state is for a running fleet: not with --protocol"
            ),
        ] as [([String], String)])
    func exclusive(options: [String], expected: String) {
        do {
            _ = try ReplayCommand.parse(["--pods", "p"] + options)
            Issue.record("accepted")
        } catch {
            let message = ReplayCommand.message(for: error)
            #expect(message.contains(expected), "\(message)")
        }
    }
}
