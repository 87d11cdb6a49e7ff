// SPDX-License-Identifier: Apache-2.0

// Goal: no input crashes a reader, and whatever a reader accepts is a valid topology.
// Method: seeded random damage to good files: bytes changed, cut, doubled and moved, lines swapped,
// words replaced by words that mean something elsewhere.

import Configuration
import FleetModel
import Foundation
import Testing

@Suite struct MutationTests {
    @Test("Damaged topology files never crash the reader", arguments: 0..<12 as Range<UInt64>)
    func topologies(seed: UInt64) throws {
        let quickstart = try Data(
            contentsOf: repository.appending(path: "cluster/topologies/quickstart.yaml"))
        var random = SplitMix(seed: seed)
        for source in [Array(goodFile.utf8), Array(quickstart)] {
            for _ in 0..<60 {
                var bytes = source
                for _ in 0...random.below(4) { mutate(&bytes, &random) }
                do throws(ConfigurationError) {
                    let read = try FleetFile.parse(bytes, name: "f.yaml")
                    #expect(read.topology.problems() == [], "seed \(seed)")
                    for job in read.sampleJobs { #expect(job.problem() == nil, "seed \(seed)") }
                } catch {
                    #expect(!error.problems.isEmpty)
                    for problem in error.problems {
                        #expect(!problem.description.contains("\n"), "seed \(seed): \(problem)")
                    }
                }
            }
        }
    }

    @Test("Damaged lists never crash the reader", arguments: 0..<4 as Range<UInt64>)
    func lists(seed: UInt64) throws {
        let pods = try Data(
            contentsOf: repository.appending(
                path: "Tests/Data/openb/openb_pod_list_gpuspec20.csv")
        ).prefix(4000)
        let nodes = try Data(
            contentsOf: repository.appending(path: "Tests/Data/openb/openb_node_list_gpu_node.csv")
        ).prefix(4000)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            var bytes = Array(random.below(2) == 0 ? pods : nodes)
            for _ in 0...random.below(3) { mutate(&bytes, &random) }
            do throws(ConfigurationError) {
                for pod in try PodList.parse(bytes, name: "l") {
                    #expect(pod.job().problem() == nil)
                }
            } catch {
                #expect(error.problems.count == 1)
            }
            do throws(ConfigurationError) {
                let nodes = try NodeList.parse(bytes, name: "l")
                _ = try OpenbTopology.yaml(nodes: nodes, listName: "l")
            } catch {
                #expect(error.problems.count == 1)
            }
        }
    }

    private static let words = [
        "name", "limit", "overhead", "parent", "nodes", "domains", "feeds", "carries", "r1",
        "n[1-9]",
        "n[0-99999999]", "[", "]", "{", "}", "&a", "*a", "!!binary", "|", ">", "- ", ": ", "? ",
        "#",
        "\"", "'", "\n", "\t", "0", "-1", "1e9", "99999999999999999999", "W", "0.5", "\u{0}",
        "\u{85}",
        "---\n", "%YAML 9.9\n", "~", "<<: ", "\r\n", ",",
    ]

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix) {
        guard bytes.count > 4 else { return }
        let start = random.below(bytes.count - 2)
        let end = min(bytes.count, start + 1 + random.below(40))
        switch random.below(6) {
        case 0: bytes[start] = UInt8(random.below(256))
        case 1: bytes.removeSubrange(start..<end)
        case 2: bytes.insert(contentsOf: bytes[start..<end], at: random.below(bytes.count))
        case 3:
            bytes.replaceSubrange(
                start..<end, with: Self.words[random.below(Self.words.count)].utf8)
        case 4: bytes.insert(contentsOf: Self.words[random.below(Self.words.count)].utf8, at: start)
        default:
            var lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
            lines.swapAt(random.below(lines.count), random.below(lines.count))
            bytes = Array(lines.joined(separator: [10]))
        }
    }
}

/// A small seeded generator: the same seed gives the same test.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
