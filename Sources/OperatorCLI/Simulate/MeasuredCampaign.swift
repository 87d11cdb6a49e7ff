// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Simulation

/// A campaign and the processor time that it took.
struct MeasuredCampaign {
    let summary: CampaignSummary
    let processorNanoseconds: Int64
    /// The campaign with broken assumptions; nil when there was none.
    var beyond: BeyondSummary?

    /// The processor time of this process so far: what one core would have taken, whoever else runs.
    static func processorNanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Virtual time over processor time.
    private var speedup: Double {
        let ratio = Double(summary.virtualNanoseconds) / Double(max(processorNanoseconds, 1))
        return ratio.rounded()
    }

    private var hash: String {
        let digits = String(summary.stateHash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    var json: JSONValue {
        let faults = summary.faults.struck.map {
            ($0.kind.rawValue, JSONValue.integer(Int64($0.count)))
        }
        var members: [(String, JSONValue)] = [
            ("seeds", .integer(Int64(summary.runCount))),
            ("first_seed", .counter(summary.seeds.lowerBound)),
            ("last_seed", .counter(summary.seeds.upperBound)),
            ("virtual_hours", .number((summary.virtualHours * 1000).rounded() / 1000)),
            ("violations", .integer(Int64(summary.violations))), ("speedup", .number(speedup)),
            ("grants", .integer(Int64(summary.grants))),
            ("takeovers", .integer(Int64(summary.siteTakeOvers + summary.fleetTakeOvers))),
            ("site_takeovers", .integer(Int64(summary.siteTakeOvers))),
            ("fleet_takeovers", .integer(Int64(summary.fleetTakeOvers))),
            ("lease_expiries", .integer(Int64(summary.expiries))),
            ("reclaims_by_time", .integer(Int64(summary.reclaimsByTime))),
            ("hardware_writes", .integer(Int64(summary.hardwareWrites))),
            ("ledger_writes", .integer(Int64(summary.ledgerWrites))),
            ("jobs", .integer(Int64(summary.jobs))),
            ("tasks_started", .integer(Int64(summary.tasks))),
            ("steps", .integer(Int64(summary.eventCount))),
            ("peak_use_ppm", .integer(summary.peakUsePPM)),
            ("fault_count", .integer(Int64(summary.faults.total))), ("faults", .object(faults)),
            ("failures", .array(summary.failures.map(MeasuredCampaign.json))),
            ("state_hash", .string(hash)),
        ]
        if let beyond { members.append(("beyond", MeasuredCampaign.json(beyond))) }
        return .object(members)
    }

    private static func json(_ beyond: BeyondSummary) -> JSONValue {
        let kinds = beyond.kinds.map { kind in
            (
                kind.assumption.rawValue,
                JSONValue.object([
                    ("runs", .integer(Int64(kind.runs))),
                    ("violations", .integer(Int64(kind.violations))),
                    ("undetected", .integer(Int64(kind.undetected))),
                ])
            )
        }
        return .object([
            ("runs", .integer(Int64(beyond.runs))),
            ("violations", .integer(Int64(beyond.violations))),
            ("undetected", .integer(Int64(beyond.undetected))), ("kinds", .object(kinds)),
            ("undetected_seeds", .array(beyond.undetectedSeeds.map { .counter($0) })),
        ])
    }

    private static func json(_ failure: CampaignSummary.Failure) -> JSONValue {
        .object([
            ("seed", .counter(failure.seed)), ("kind", .string(failure.violation.kind.rawValue)),
            ("at_ms", .integer(failure.violation.milliseconds)),
            ("detail", .string(failure.violation.detail)),
        ])
    }

    /// A table for people.
    var text: String {
        var table = Table([.init("WHAT"), .init("HOW MUCH", .right)])
        let hours = (summary.virtualHours * 10).rounded() / 10
        table.append(["seeds", String(summary.runCount)])
        table.append(["virtual hours", "\(hours)"])
        table.append(["times real time, one core", "\(Int(speedup))"])
        table.append(["violations", String(summary.violations)])
        table.append(["grants", String(summary.grants)])
        table.append(["take-overs of sites", String(summary.siteTakeOvers)])
        table.append(["take-overs of the fleet", String(summary.fleetTakeOvers)])
        table.append(["leases that ended", String(summary.expiries)])
        table.append(["jobs", String(summary.jobs)])
        table.append(["state hash", hash])
        for entry in summary.faults.struck {
            table.append(["fault: \(entry.kind.rawValue)", String(entry.count)])
        }
        if let beyond {
            table.append(["beyond: runs", String(beyond.runs)])
            table.append(["beyond: violations", String(beyond.violations)])
            table.append(["beyond: unnoticed", String(beyond.undetected)])
        }
        return table.text(width: nil)
    }
}
