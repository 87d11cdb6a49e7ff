// SPDX-License-Identifier: Apache-2.0

/// What many runs did together.
package struct CampaignSummary: Hashable, Sendable {
    package var seeds: ClosedRange<UInt64>
    package var runCount = 0
    package var virtualNanoseconds: Int64 = 0
    package var violations = 0
    package var grants = 0
    package var siteTakeOvers = 0
    package var fleetTakeOvers = 0
    package var expiries = 0
    package var reclaimsByTime = 0
    package var hardwareWrites = 0
    package var ledgerWrites = 0
    package var jobs = 0
    package var tasks = 0
    package var eventCount = 0
    package var faults = FaultCounts()
    package var peakUsePPM: Int64 = 0
    /// Folds the hashes of all runs in the order of their seeds.
    package var stateHash: UInt64 = 0xCBF2_9CE4_8422_2325
    /// The first seeds that failed, and how; at most ten.
    package var failures: [Failure] = []

    /// A run that broke a promise.
    package struct Failure: Hashable, Sendable {
        package var seed: UInt64
        package var violation: WorldViolation
    }

    package init(seeds: ClosedRange<UInt64>) { self.seeds = seeds }

    /// Counts a run in; runs come in the order of their seeds.
    package mutating func add(_ report: WorldReport, seed: UInt64) {
        runCount += 1
        virtualNanoseconds += report.virtualNanoseconds
        grants += report.grantsAccepted
        siteTakeOvers += report.siteTakeOvers
        fleetTakeOvers += report.fleetTakeOvers
        expiries += report.expiries
        reclaimsByTime += report.reclaimsByTime
        hardwareWrites += report.hardwareWrites
        ledgerWrites += report.ledgerWrites
        jobs += report.jobsSubmitted
        tasks += report.tasksStarted
        eventCount += report.eventCount
        faults.add(report.faults)
        peakUsePPM = max(peakUsePPM, report.peakUsePPM)
        stateHash = (stateHash ^ report.stateHash) &* 0x0000_0100_0000_01B3
        guard let violation = report.violation else { return }
        violations += 1
        if failures.count < 10 { failures.append(Failure(seed: seed, violation: violation)) }
    }

    /// Virtual hours, for people.
    package var virtualHours: Double { Double(virtualNanoseconds / 1_000_000) / 3_600_000 }
}

/// What runs with broken assumptions did together.
package struct BeyondSummary: Hashable, Sendable {
    /// The runs in which one assumption was broken.
    package struct Kind: Hashable, Sendable {
        package var assumption: BrokenAssumption
        package var runs = 0
        /// Runs in which a domain's hardware stood above its budget.
        package var violations = 0
        /// Those that nothing had noticed five seconds later.
        package var undetected = 0
    }

    package private(set) var kinds = BrokenAssumption.allCases.map { Kind(assumption: $0) }
    /// At most ten.
    package private(set) var undetectedSeeds: [UInt64] = []

    package init() {}

    package mutating func add(_ report: WorldReport, _ broken: BrokenAssumption, seed: UInt64) {
        guard let place = kinds.firstIndex(where: { $0.assumption == broken }) else { return }
        kinds[place].runs += 1
        guard report.violation != nil else { return }
        kinds[place].violations += 1
        if report.isDetected { return }
        kinds[place].undetected += 1
        if undetectedSeeds.count < 10 { undetectedSeeds.append(seed) }
    }

    package var runs: Int { kinds.reduce(0) { $0 + $1.runs } }
    package var violations: Int { kinds.reduce(0) { $0 + $1.violations } }
    package var undetected: Int { kinds.reduce(0) { $0 + $1.undetected } }
}

/// Makes failing runs smaller.
package enum Shrinking {
    /// The least scenario found in which a seed still fails in the same way.
    ///
    /// Tries, in turn: to end right after the violation, to leave out whole kinds of faults, to inject
    /// fewer, to do without jobs and without bad luck on the network. Every attempt runs the world anew;
    /// at most `attempts` of them.
    package static func shrink(
        _ scenario: WorldScenario, seed: UInt64, kind: WorldViolation.Kind, attempts: Int = 60
    ) -> WorldScenario {
        var best = scenario
        var left = attempts
        func fails(_ candidate: WorldScenario) -> Int64? {
            guard left > 0 else { return nil }
            left -= 1
            var world = FleetWorld(candidate, seed: seed)
            let report = world.run()
            guard report.violation?.kind == kind else { return nil }
            return report.virtualNanoseconds
        }
        func attempt(_ change: (inout WorldScenario) -> Void) {
            var candidate = best
            change(&candidate)
            if fails(candidate) != nil { best = candidate }
        }
        for kind in best.settings.enabled.indices where best.settings.enabled[kind] {
            attempt { $0.settings.enabled[kind] = false }
        }
        for change in simplifications { attempt(change) }
        var world = FleetWorld(best, seed: seed)
        var limit = world.run().injected
        while limit > 0, left > 0 {
            let before = best.faultLimit
            attempt { $0.faultLimit = limit - 1 }
            if best.faultLimit == before { break }
            limit = best.faultLimit
        }
        return best
    }

    private static let simplifications: [@Sendable (inout WorldScenario) -> Void] = [
        { $0.settings.jobNanoseconds = 0 }, { $0.settings.lossPPM = 0 },
        { $0.settings.repeatPPM = 0 }, { $0.settings.strayPPM = 0 },
        { $0.settings.staleReadPPM = 0 }, { $0.settings.killPPM = 0 },
        { $0.settings.crashPPM = 0 }, { $0.settings.broadcastPPM = 0 },
        { $0.settings.slewPPM = 0 }, { $0.settings.startsUncommissioned = false },
    ]
}
