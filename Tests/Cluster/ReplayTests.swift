// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Foundation
import Glibc
import Testing

@testable import OperatorCLI

/// Goal: a client that submits a trace loses nothing and gets no wrong answer, whatever happens to
/// the coordinator meanwhile.
@Suite("Replays", .serialized, .timeLimit(.minutes(4 * Slowness.factor)))
struct ReplayTests {
    /// A pod list as the production trace has it: mostly parts of a GPU, some whole nodes.
    private func pods(_ count: Int, seed: UInt64) -> String {
        var generator = SplitMix(state: seed)
        var text = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,creation_time\n"
        for index in 0..<count {
            let kind = Int.random(in: 0..<20, using: &generator)
            let gpus = kind == 0 ? 4 : kind == 1 ? 2 : kind < 5 ? 0 : 1
            let milli =
                gpus == 0 ? 0 : gpus > 1 ? 1000 : Int.random(in: 20...120, using: &generator)
            let cpu = Int.random(in: 100...900, using: &generator)
            text += "pod-\(index),\(cpu),\(cpu),\(gpus),\(milli),,LS,\(index)\n"
        }
        return text
    }

    @Test("Every answer to a replay is right, half cancelled and gangs included")
    func verified() async throws {
        let fleet = try await RunningFleet.start(Topologies.racks)
        let list = try fleet.write(pods(250, seed: 7), as: "pods.csv")
        let outcome = try await fleet.busbar(
            "replay", "--pods", list, "--verify", "--cancel-fraction", "0.5", "--gangs", "12",
            "--seed", "7")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let summary = try outcome.json()
        #expect(summary["submitted"] as? Int == 250)
        #expect(summary["wrong_refusals"] as? Int == 0, "\(summary)")
        #expect(summary["contradictions"] as? Int == 0, "\(summary)")
        #expect((summary["lost_jobs"] as? [String])?.isEmpty == true)
        #expect(try #require(summary["refusals_checked"] as? Int) > 0)
        #expect(summary["over_budget_instants"] as? Int == 0)
        let gangs = try #require(summary["gangs"] as? [String: Any])
        #expect(gangs["submitted"] as? Int == 12)
        _ = try await fleet.stop()
    }

    @Test("The coordinator killed ten times during a replay: nothing acknowledged is lost")
    func kills() async throws {
        let seed: UInt64 = 20_261_122
        var generator = SplitMix(state: seed)
        let fleet = try await RunningFleet.start(Topologies.racks)
        let list = try fleet.write(pods(600, seed: seed), as: "pods.csv")
        let replay = try fleet.begin([
            "replay", "--pods", list, "--verify", "--rate", "\(30 / Slowness.factor)",
        ])
        var killed = 0
        while killed < 10 && replay.isRunning {
            let process = try await fleet.child("coordinator")
            // Not a wait for something: the moment of the blow is what is random here.
            let pause = Int.random(in: 50...900, using: &generator)
            try await Task.sleep(for: .milliseconds(pause))
            guard replay.isRunning else { break }
            kill(process, SIGKILL)
            killed += 1
            _ = try await eventually("the coordinator to come back", seconds: 30) {
                let now = try await fleet.child("coordinator")
                return now == process ? nil : now
            }
        }
        let outcome = await replay.outcome()
        #expect(outcome.status == 0, "seed \(seed): \(outcome.errors)")
        let summary = try outcome.json()
        #expect(killed == 10, "seed \(seed): only \(killed) kills before the replay ended")
        #expect(summary["submitted"] as? Int == 600)
        #expect((summary["lost_jobs"] as? [String])?.isEmpty == true, "seed \(seed): \(summary)")
        #expect(summary["contradictions"] as? Int == 0, "seed \(seed): \(summary)")
        #expect(summary["wrong_refusals"] as? Int == 0, "seed \(seed): \(summary)")
        #expect(summary["over_budget_instants"] as? Int == 0, "seed \(seed)")
        let total = try await fleet.stop()
        #expect(total["over_budget_instants"] as? Int == 0, "seed \(seed)")
        #expect(total["restarts"] as? [String: Int] != nil)
    }
}
