// SPDX-License-Identifier: Apache-2.0
//
// Goal: the lease protocol keeps its promise in every history that the seeded world makes, and each
// of its rules is needed. Method: the production state machines run in virtual time; a rule at a time
// is broken, and the world must find the damage within a stated number of seeds.
//
// BUSBAR_SIM_SEEDS=200 swift test -c release -Xswiftc -enable-testing --filter 'Lease world'
// runs that many seeds of every setting instead of four.

import ControlPlane
import Glibc
import Simulation
import Testing

/// A setting of the world, by name.
struct Setting: Sendable, CustomTestStringConvertible {
    var name: String
    var scenario: LeaseScenario
    var testDescription: String { name }

    static let all: [Setting] = [
        Setting(name: "running fleet", scenario: LeaseScenario()),
        Setting(name: "everything changes", scenario: LeaseScenario(features: .all)),
        Setting(
            name: "drift of a quarter, both clocks alike",
            scenario: {
                var scenario = LeaseScenario(leaseMilliseconds: 10_000, driftPPM: 250_000)
                scenario.slewPPM = 0
                return scenario
            }()),
        Setting(name: "lease of two seconds", scenario: LeaseScenario(leaseMilliseconds: 2000)),
        Setting(
            name: "settling of two seconds",
            scenario: LeaseScenario(features: .all, settleMilliseconds: 2000)),
        Setting(
            name: "killed at one step in ten",
            scenario: LeaseScenario(features: .all, killsPerMillionSteps: 100_000)),
        Setting(
            name: "disturbed every other second",
            scenario: LeaseScenario(features: .all, disturbanceMilliseconds: 2000)),
        Setting(
            name: "one read in five is stale",
            scenario: {
                var scenario = LeaseScenario(features: .all)
                scenario.staleReadsPerMillion = 200_000
                return scenario
            }()),
        Setting(
            name: "a third of the messages twice",
            scenario: {
                var scenario = LeaseScenario()
                scenario.repeatsPerMillionMessages = 300_000
                return scenario
            }()),
    ]
}

/// How many seeds of every setting are run.
private let seedCount: UInt64 = {
    guard let text = getenv("BUSBAR_SIM_SEEDS") else { return 4 }
    return max(1, UInt64(String(cString: text)) ?? 4)
}()

@Suite struct `Lease world` {
    @Test(arguments: Setting.all)
    func `All rules together break nothing`(setting: Setting) {
        for seed in 1...seedCount {
            var world = LeaseWorld(setting.scenario, seed: seed)
            let report = world.run()
            #expect(report.violations.isEmpty, "\(setting.name), seed \(seed)")
            // A stale ledger looks like one that was put back, until its first write is refused.
            if setting.scenario.staleReadsPerMillion == 0 {
                #expect(report.storeRollbackAlarms == 0, "\(setting.name), seed \(seed)")
            }
        }
    }

    @Test func `The world is rough, and watts are used all the same`() {
        var sum = LeaseRunReport()
        for seed in 1...6 as ClosedRange<UInt64> {
            var world = LeaseWorld(LeaseScenario(features: .all), seed: seed)
            let report = world.run()
            sum.peakUsePPM = max(sum.peakUsePPM, report.peakUsePPM)
            sum.takeOvers += report.takeOvers
            sum.grantsAccepted += report.grantsAccepted
            sum.kills += report.kills
            sum.resumes += report.resumes
            sum.reboots += report.reboots
            sum.resets += report.resets
            sum.reclaimsByTime += report.reclaimsByTime
            #expect(report.isCommissioned, "seed \(seed)")
        }
        #expect(sum.peakUsePPM == 1_000_000)
        #expect(sum.grantsAccepted > 1500)
        #expect(sum.takeOvers > 60)
        #expect(sum.kills > 100 && sum.resumes > 20)
        #expect(sum.reboots > 0 && sum.resets > 0 && sum.reclaimsByTime > 20)
    }

    @Test func `The same seed gives the same history`() {
        for seed in 1...2 as ClosedRange<UInt64> {
            var first = LeaseWorld(LeaseScenario(features: .all), seed: seed)
            var second = LeaseWorld(LeaseScenario(features: .all), seed: seed)
            #expect(first.run() == second.run())
        }
        var one = LeaseWorld(LeaseScenario(), seed: 1)
        var other = LeaseWorld(LeaseScenario(), seed: 2)
        #expect(one.run().stateHash != other.run().stateHash)
    }
}

/// A broken rule, the setting in which it does damage, and the seeds within which that is found.
struct Hunt: Sendable, CustomTestStringConvertible {
    var mutant: LeaseMutant
    var seeds: UInt64
    var features: LeaseFeatures = []
    var change: @Sendable (inout LeaseScenario) -> Void = { _ in }
    var testDescription: String { "\(mutant.rawValue) within \(seeds) seeds" }

    var scenario: LeaseScenario {
        var scenario = LeaseScenario(rules: LeaseRules(breaking: mutant), features: features)
        change(&scenario)
        return scenario
    }

    static let all: [Hunt] = [
        Hunt(mutant: .comparesEpochOnly, seeds: 20) { $0.repeatsPerMillionMessages = 300_000 },
        Hunt(mutant: .countsFromReceipt, seeds: 20),
        Hunt(mutant: .acceptsUnsolicited, seeds: 40) { $0.strayPerMillionMessages = 60_000 },
        Hunt(mutant: .sendsBeforeReserving, seeds: 2),
        Hunt(mutant: .skipsTakeOverWait, seeds: 5),
        Hunt(mutant: .ignoresOrder, seeds: 40),
        Hunt(mutant: .reclaimsUnsupervisedByTime, seeds: 20),
        Hunt(mutant: .keepsCapsOnRestart, seeds: 20) { $0.killsPerMillionSteps = 100_000 },
        Hunt(mutant: .extendsBeforeLowering, seeds: 5) { $0.killsPerMillionSteps = 100_000 },
        Hunt(mutant: .ignoresDrift, seeds: 40) {
            $0 = LeaseScenario(
                rules: $0.rules, leaseMilliseconds: 10_000, driftPPM: 250_000)
            $0.slewPPM = 0
        },
        Hunt(mutant: .acknowledgesBeforeSettling, seeds: 5),
        Hunt(mutant: .raisesWhileSettling, seeds: 2, features: .all),
        Hunt(mutant: .trustsCapsAtStart, seeds: 20, features: .all) {
            $0.killsPerMillionSteps = 100_000
        },
        Hunt(mutant: .lowersFallbackEarly, seeds: 20, features: .all),
        Hunt(mutant: .leavesOutFloors, seeds: 2, features: .all),
        Hunt(mutant: .lowersLimitAtOnce, seeds: 2, features: .all),
    ]
}

@Suite struct `Lease mutants` {
    @Test(arguments: Hunt.all)
    func `A broken rule is found by random histories`(hunt: Hunt) {
        var found: (seed: UInt64, violation: LeaseViolation)?
        for seed in 1...hunt.seeds where found == nil {
            var world = LeaseWorld(hunt.scenario, seed: seed)
            found = world.run().violations.first.map { (seed, $0) }
        }
        #expect(found != nil, "\(hunt.mutant.rawValue) not found within \(hunt.seeds) seeds")
        if let found { print("\(hunt.mutant.rawValue): seed \(found.seed), \(found.violation)") }
    }

    /// A deposed leader that is cut off from the store keeps answering the node that only it can hear.
    private func deposedLeader(_ rules: LeaseRules) -> LeaseScenario {
        var script: [LeaseScenario.ScriptEntry] = [
            .init(1000, .demand(0, node: 0, units: 8)),
            .init(10_000, .cut(.coordinator(0), .store, seconds: 50)),
            .init(10_000, .cut(.node(0), .coordinator(1), seconds: 50)),
            .init(10_000, .takeOver(1)),
            .init(10_000, .demand(1, node: 1, units: 10)),
        ]
        script += (1...5).map { .init(0, .cut(.node($0), .coordinator(0), seconds: 60)) }
        return .scripted(rules: rules, seconds: 60, script)
    }

    @Test func `Answers without a committed write are found by a directed schedule`() {
        let mutant = LeaseRules(breaking: .answersWithoutWrite)
        var broken = LeaseWorld(deposedLeader(mutant), seed: 1)
        #expect(broken.run(until: .budget).violation(.budget) != nil)
        var sound = LeaseWorld(deposedLeader(.production), seed: 1)
        let report = sound.run()
        #expect(report.violations.isEmpty)
        #expect(report.reclaimsByTime > 0 && report.expiries > 0)
    }

    /// A store is put back to before a class U node was raised, whose enforcer is down by then.
    ///
    /// Nodes 3 and 4, which share its rack, were away all the while: their fences show nothing.
    private func putBack(isAdmitted: Bool) -> LeaseScenario {
        func cut(_ node: Int, at: Int64, seconds: Int64) -> [LeaseScenario.ScriptEntry] {
            [0, 1].map { .init(at, .cut(.node(node), .coordinator($0), seconds: seconds)) }
        }
        var script: [LeaseScenario.ScriptEntry] = [
            .init(20_000, .backUp), .init(22_000, .demand(0, node: 5, units: 8)),
            .init(31_000, .kill(5)), .init(33_000, .putBack(isAdmitted: isAdmitted)),
            .init(34_000, .demand(0, node: 3, units: 10)),
            .init(34_000, .demand(1, node: 3, units: 10)),
        ]
        for node in 3...4 { script += cut(node, at: 15_000, seconds: 19) }
        for node in [0, 1, 2, 5] { script += cut(node, at: 30_000, seconds: 200) }
        return .scripted(rules: .production, seconds: 120, script)
    }

    @Test func `A store that was put back does no harm when the start says so`() {
        var isFound = false
        for seed in 1...8 as ClosedRange<UInt64> {
            var untold = LeaseWorld(putBack(isAdmitted: false), seed: seed)
            isFound = isFound || untold.run(until: .budget).violation(.budget) != nil
            var told = LeaseWorld(putBack(isAdmitted: true), seed: seed)
            #expect(told.run(until: .budget).violation(.budget) == nil, "seed \(seed)")
        }
        #expect(isFound)
    }

    @Test func `In a rough world most nodes tell that a store was put back`() {
        var alarmed = 0
        for seed in 1...12 as ClosedRange<UInt64> {
            var scenario = LeaseScenario(seconds: 150)
            scenario.script = [.init(50_000, .backUp), .init(90_000, .putBack(isAdmitted: true))]
            var world = LeaseWorld(scenario, seed: seed)
            let report = world.run(until: .budget)
            #expect(report.violation(.budget) == nil, "seed \(seed)")
            alarmed += report.storeRollbackAlarms > 0 ? 1 : 0
        }
        #expect(alarmed >= 8, "\(alarmed) of 12")
    }

    /// Broken rules whose damage takes one particular order of events: each has a directed test of its own
    /// among the tests of `ControlPlane`, or here.
    private static let directed: [LeaseMutant] = [
        .answersWithoutWrite, .acknowledgesBeforeRecording, .losesFenceOnResume, .provesByReport,
    ]

    @Test func `Every rule that can be broken is hunted, or has a directed schedule`() {
        let hunted = Set(Hunt.all.map(\.mutant))
        #expect(hunted.isDisjoint(with: Self.directed))
        #expect(hunted.union(Self.directed) == Set(LeaseMutant.allCases))
    }

    @Test func `The twelve basic mutants are all hunted`() {
        let hunted = Set(Hunt.all.map(\.mutant)).union([.answersWithoutWrite])
        #expect(Set(LeaseMutant.basic).isSubset(of: hunted))
        #expect(LeaseMutant.basic.count == 12)
    }
}
