// SPDX-License-Identifier: Apache-2.0

package import ControlPlane
package import FleetModel

/// What differs from seed to seed besides the dice: how rough the world is, and in which ways.
///
/// Uniformly rough worlds hide faults that only show when something else is quiet. So every seed leaves
/// out some kinds of faults and turns others up.
package struct SwarmSettings: Hashable, Sendable {
    /// Mean time between two injected faults.
    package var faultNanoseconds: Int64 = 10_000_000_000
    /// The injected kinds that may strike; by position in ``FaultKind/injected``.
    package var enabled: [Bool]
    package var lossPPM = 10_000
    package var repeatPPM = 50_000
    package var strayPPM = 5_000
    /// The longest ordinary delay of a message.
    package var delayNanoseconds: Int64 = 50_000_000
    package var staleReadPPM = 0
    /// Of a million enforcer steps, how many are cut short by a kill.
    package var killPPM = 500
    /// Of a million coordinator steps, how many end in a crash.
    package var crashPPM = 200
    package var driftPPM: Int64 = 50_000
    package var slewPPM: Int64 = 100_000
    /// The drift that the clocks keep to, over what the rules allow for; 1,000,000 within the bound.
    package var driftExcessPPM: Int64 = 1_000_000
    package var leaseNanoseconds: Int64 = 10_000_000_000
    package var settleNanoseconds: Int64 = 400_000_000
    /// Renewals that go to every coordinator of a site, in a million.
    package var broadcastPPM = 50_000
    package var startsUncommissioned = false
    /// Mean time between two jobs.
    package var jobNanoseconds: Int64 = 8_000_000_000
    /// Of a million sensors' reports, how many are nonsense while the kind is not enabled.
    package var isFloorHeavy = false

    /// The settings of a seed.
    package init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed ^ 0x5A5A_0F0F_3C3C_9696)
        func pick<Value>(_ values: [Value]) -> Value {
            values[generator.index(below: values.count)]
        }
        enabled = FaultKind.injected.map { _ in generator.chance(700_000) }
        if !enabled.contains(true) { enabled[0] = true }
        faultNanoseconds = pick([3, 6, 10, 15, 20]) * 1_000_000_000
        lossPPM = pick([0, 2000, 10_000, 50_000, 200_000])
        repeatPPM = pick([0, 10_000, 50_000, 300_000])
        strayPPM = pick([0, 2000, 10_000, 40_000])
        delayNanoseconds = pick([5, 50, 50, 300]) * 1_000_000
        staleReadPPM = pick([0, 0, 100_000, 300_000])
        killPPM = pick([0, 200, 1000, 10_000])
        crashPPM = pick([0, 200, 1000, 5000])
        driftPPM = pick([10_000, 50_000, 50_000, 100_000])
        slewPPM = pick([0, 100_000, 100_000])
        leaseNanoseconds = pick([8, 12, 20, 30]) * 1_000_000_000
        settleNanoseconds = pick([100, 400, 1500]) * 1_000_000
        broadcastPPM = pick([0, 20_000, 200_000])
        startsUncommissioned = generator.chance(250_000)
        jobNanoseconds = pick([3, 8, 20]) * 1_000_000_000
        isFloorHeavy = generator.chance(300_000)
    }

    /// A calm world: nothing is lost, nobody fails.
    package static var calm: SwarmSettings {
        var settings = SwarmSettings(seed: 0)
        settings.enabled = FaultKind.injected.map { _ in false }
        settings.faultNanoseconds = 0
        settings.lossPPM = 0
        settings.repeatPPM = 0
        settings.strayPPM = 0
        settings.delayNanoseconds = 20_000_000
        settings.staleReadPPM = 0
        settings.killPPM = 0
        settings.crashPPM = 0
        settings.driftPPM = 10_000
        settings.slewPPM = 0
        settings.leaseNanoseconds = 20_000_000_000
        settings.settleNanoseconds = 200_000_000
        settings.broadcastPPM = 0
        settings.startsUncommissioned = false
        return settings
    }

    /// The constants of the lease protocol in a world with these settings.
    package var lease: LeaseParameters {
        LeaseParameters(
            leaseNanoseconds: leaseNanoseconds, enforcerNanoseconds: 800_000_000,
            settleNanoseconds: settleNanoseconds, driftPPM: driftPPM,
            tickNanoseconds: 500_000_000, holdNanoseconds: leaseNanoseconds / 6)
    }
}

/// One run of the world: everything that the dice do not decide.
package struct WorldScenario: Sendable {
    package var topology: Topology
    /// Coordinators of each site.
    package var coordinatorCounts: [Int]
    package var rules: LeaseRules
    package var settings: SwarmSettings
    /// Virtual length of the phase in which faults strike.
    package var roughSeconds: Int64
    /// Virtual length of the phase after it, in which a core heals and must converge; 0 for none.
    package var calmSeconds: Int64
    /// The most faults that are injected; shrinking lowers it.
    package var faultLimit = Int.max
    /// Domains bear so many nodes at their uncapped draw at once, above their limits.
    package var resetsPerDomain = 1
    package var script: [WorldScriptEntry] = []
    /// The assumption that does not hold; nil in an ordinary run.
    package var broken: BrokenAssumption?
    /// Meters are read, and compared with the ledger; always so with a broken assumption.
    package var readsMeters = false

    /// The built-in world with the settings of a seed.
    package init(
        seed: UInt64, rules: LeaseRules = .production, roughSeconds: Int64 = 600,
        calmSeconds: Int64 = 120
    ) {
        let settings = SwarmSettings(seed: seed)
        self.init(
            topology: BuiltInWorld.topology(lease: settings.lease),
            coordinatorCounts: BuiltInWorld.coordinatorCounts, settings: settings, rules: rules,
            roughSeconds: roughSeconds, calmSeconds: calmSeconds)
    }

    /// A world of any topology.
    package init(
        topology: Topology, coordinatorCounts: [Int], settings: SwarmSettings,
        rules: LeaseRules = .production, roughSeconds: Int64 = 600, calmSeconds: Int64 = 120
    ) {
        self.topology = topology
        self.coordinatorCounts = coordinatorCounts
        self.settings = settings
        self.rules = rules
        self.roughSeconds = roughSeconds
        self.calmSeconds = calmSeconds
    }
}

/// Something that happens at a stated time.
package struct WorldScriptEntry: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        /// A site is cut off from the others and from the fleet store.
        case cutSite(Int, seconds: Int64)
        /// A coordinator is down.
        case crash(Int, seconds: Int64)
        case killEnforcer(Int)
        case storeOutage(site: Int, seconds: Int64)
        /// A node is cut off from every coordinator.
        case cutNode(Int, seconds: Int64)
        /// A domain's limit is lowered, then put back.
        case limit(domain: Int, Milliwatts, seconds: Int64)
    }

    package var milliseconds: Int64
    package var action: Action

    package init(_ milliseconds: Int64, _ action: Action) {
        self.milliseconds = milliseconds
        self.action = action
    }
}
