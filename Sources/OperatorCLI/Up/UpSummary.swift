// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

/// What a run of `busbar up` came to.
struct UpSummary {
    var fleet: String
    var seconds: Double
    /// What the coordinator said last; nil when it never answered.
    var status: FleetStatus?
    /// What the hardware said last; nil when it did not answer, and then nothing is claimed of it.
    var hardware: HardwareSummary?
    /// From the start of the command to the first job that holds its GPUs.
    var firstPlacedSeconds: Double?
    /// Processes that were started again, by kind.
    var restarts: [ChildKind: Int]

    /// The document of `-o json`.
    var json: JSONValue {
        .object(
            [("fleet", .string(fleet)), ("seconds", .number(rounded(seconds)))]
                + fleetMembers + hardwareMembers + [("restarts", restartCounts)])
    }

    private var fleetMembers: [(String, JSONValue)] {
        let peak = status.map { JSONValue.number(Double($0.peakCommittedPPB) / 1e9) } ?? .null
        let held = status.map { JSONValue.number(Double($0.heldGPUMilli) / 1000) } ?? .null
        let first = firstPlacedSeconds.map { JSONValue.number(rounded($0)) } ?? .null
        var commissioning = JSONValue.null
        if let status, !status.isCommissioning {
            commissioning = .number(Double(status.commissioningMilliseconds) / 1000)
        }
        return [
            ("nodes", counter(status?.nodeCount)), ("nodes_live", counter(status?.liveNodeCount)),
            ("gpus", counter(status?.gpuCount)), ("gpus_held", held),
            ("jobs_placed", counter(status?.placedJobTotal)),
            ("jobs_running", counter(status?.runningJobCount)),
            ("jobs_pending", counter(status?.queuedJobCount)),
            ("peak_committed_fraction", peak), ("commissioning_seconds", commissioning),
            ("first_job_seconds", first), ("lease_expiries", counter(status?.leaseExpiries)),
            ("binding_domains", counter(status?.bindingDomainCount)),
            ("classes_proven", counter(status?.provenClassCount)),
        ]
    }

    private var hardwareMembers: [(String, JSONValue)] {
        [
            ("over_budget_instants", counter(hardware?.overBudgetInstants)),
            ("first_violations", .array((hardware?.firstViolations ?? []).map(JSONValue.string))),
            ("cap_changes", counter(hardware?.capChanges)),
        ]
    }

    private var restartCounts: JSONValue {
        .object(
            ChildKind.allCases.map { ($0.rawValue, .integer(Int64(restarts[$0] ?? 0))) })
    }

    private func counter(_ value: UInt64?) -> JSONValue {
        value.map(JSONValue.counter) ?? .null
    }

    /// The same for people.
    var text: String {
        var lines: [String] = []
        if let status {
            lines += status.lines(width: Terminal.current(descriptor: 1).columns)
            lines.append(
                "jobs: \(status.placedJobTotal) placed, \(status.queuedJobCount) waiting; "
                    + "lease expiries: \(status.leaseExpiries)")
        } else {
            lines.append("the coordinator never answered")
        }
        if let hardware {
            lines.append(
                "hardware: \(hardware.overBudgetInstants) instants over budget in "
                    + "\(hardware.capChanges) cap changes")
            lines += hardware.firstViolations.map { "  " + Terminal.printable($0) }
        } else {
            lines.append("hardware: did not answer")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func rounded(_ seconds: Double) -> Double { (seconds * 1000).rounded() / 1000 }
}
