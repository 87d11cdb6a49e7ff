// SPDX-License-Identifier: Apache-2.0

package import ControlPlane
package import FleetModel

/// What the world may do besides losing messages and killing processes.
package struct LeaseFeatures: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Starts unproven and uncapped, in commissioning; else proven, at the fallback.
    package static let commissioning = LeaseFeatures(rawValue: 1)
    /// Jobs ask for floors and leave them.
    package static let floors = LeaseFeatures(rawValue: 2)
    /// Fallbacks change.
    package static let fallbacks = LeaseFeatures(rawValue: 4)
    /// Limits are lowered and raised.
    package static let limits = LeaseFeatures(rawValue: 8)
    /// Nodes are power-cycled and come up uncapped.
    package static let reboots = LeaseFeatures(rawValue: 16)
    /// Drivers are reset: every device of a node goes to its default cap behind the enforcer's back.
    package static let resets = LeaseFeatures(rawValue: 32)

    package static let all: LeaseFeatures = [
        .commissioning, .floors, .fallbacks, .limits, .reboots, .resets,
    ]
}

/// One run of the lease world: everything that a seed does not decide.
///
/// Powers are in units of 100 W. Six nodes of two devices hang from a root and two racks; the last one
/// has no class. Two coordinators contend for the site.
package struct LeaseScenario: Sendable {
    package var rules: LeaseRules
    package var features: LeaseFeatures
    /// Virtual length of a run.
    package var seconds: Int64
    package var lease: LeaseParameters
    /// Mean time between two disturbances; 0 for none.
    package var disturbanceNanoseconds: Int64
    /// In how many of a million enforcer steps the process is killed.
    package var killsPerMillionSteps: Int
    /// How far the second clock of every host may be slewed; 0 lets both clocks drift alike.
    package var slewPPM: Int64
    /// How many of a million messages arrive twice.
    package var repeatsPerMillionMessages = 50_000
    /// How many of a million messages take between 1 and 25 s.
    package var strayPerMillionMessages = 15_000
    /// How many of a million reads of the ledger show it as it was some writes ago.
    package var staleReadsPerMillion = 0
    /// No message is lost, repeated or held up for more than 50 ms.
    package var isNetworkCalm = false
    package var script: [ScriptEntry] = []
    /// Mean time between two changes of what a node is to have; 0 for none.
    package var demandNanoseconds: Int64

    /// L 5 s, σ 0.6 s, α 0.4 s, ρ 5 %, a tick of 0.5 s; a disturbance every 5 s.
    package init(
        rules: LeaseRules = .production, features: LeaseFeatures = [], seconds: Int64 = 300,
        leaseMilliseconds: Int64 = 5000, settleMilliseconds: Int64 = 400,
        driftPPM: Int64 = 50_000, disturbanceMilliseconds: Int64 = 5000,
        killsPerMillionSteps: Int = 10_000
    ) {
        self.rules = rules
        self.features = features
        self.seconds = seconds
        lease = LeaseParameters(
            leaseNanoseconds: leaseMilliseconds * 1_000_000, enforcerNanoseconds: 600_000_000,
            settleNanoseconds: settleMilliseconds * 1_000_000, driftPPM: driftPPM,
            tickNanoseconds: 500_000_000, holdNanoseconds: leaseMilliseconds * 1_000_000 / 6)
        disturbanceNanoseconds = disturbanceMilliseconds * 1_000_000
        self.killsPerMillionSteps = killsPerMillionSteps
        slewPPM = 100_000
        demandNanoseconds = 2_000_000_000
    }

    /// Something that happens at a stated time.
    package enum Action: Hashable, Sendable {
        /// Cuts both directions between two parties for some seconds.
        case cut(LeaseWorld.Party, LeaseWorld.Party, seconds: Int64)
        /// A coordinator campaigns.
        case takeOver(Int)
        /// A coordinator wants a node to have so many units.
        case demand(Int, node: Int, units: Int)
        /// A node's enforcer is killed, and started again.
        case kill(Int)
        /// Somebody copies the store.
        case backUp
        /// Somebody puts the copy back; the coordinators start again, and are told so or not.
        case putBack(isAdmitted: Bool)
    }

    /// An action and its time.
    package struct ScriptEntry: Hashable, Sendable {
        var milliseconds: Int64
        var action: Action

        package init(_ milliseconds: Int64, _ action: Action) {
            self.milliseconds = milliseconds
            self.action = action
        }
    }

    /// A scenario in which nothing happens but what the script says: the directed schedules.
    package static func scripted(
        rules: LeaseRules, seconds: Int64, _ script: [ScriptEntry]
    ) -> LeaseScenario {
        var scenario = LeaseScenario(rules: rules, seconds: seconds, killsPerMillionSteps: 0)
        scenario.disturbanceNanoseconds = 0
        scenario.demandNanoseconds = 0
        scenario.isNetworkCalm = true
        scenario.script = script
        return scenario
    }

    /// The unit of power of the world.
    static func units(_ count: Int) -> Milliwatts { .watts(Int64(count) * 100) }

    static let nodeCount = 6
    static let nodesPerShard = 2
    static let devicesPerNode = 2
    static let rootBudget = 28
    static let rackBudget = 17

    /// The power tree and the nodes.
    var topology: Topology {
        let model = GPUModel(
            name: "unit", vendor: .other, idle: .zero, minimumCap: LeaseScenario.units(1),
            maximumCap: LeaseScenario.units(5), defaultFloor: LeaseScenario.units(2), memoryMiB: 1,
            isEstimate: true, source: "the lease world")
        let types = [EnforcementClass.supervised, .unsupervised].map {
            NodeType(
                name: $0.rawValue, model: ModelIndex(0),
                gpuCount: UInt16(LeaseScenario.devicesPerNode), cpuMilli: 1000, memoryMiB: 1,
                fallback: LeaseScenario.units(2), enforcementClass: $0, bootState: .default,
                settleNanoseconds: lease.settleNanoseconds)
        }
        let budgets = [
            LeaseScenario.rootBudget, LeaseScenario.rackBudget, LeaseScenario.rackBudget,
        ]
        let domains = budgets.enumerated().map { position, budget in
            PowerDomain(
                name: ["root", "rack0", "rack1"][position],
                level: position == 0 ? "site" : "rack", site: SiteIndex(0),
                parent: position == 0 ? nil : DomainIndex(0), tree: 0,
                limit: LeaseScenario.units(budget + 1), overhead: LeaseScenario.units(1))
        }
        let nodes = (0..<LeaseScenario.nodeCount).map { node in
            Node(
                name: "n\(node)", site: SiteIndex(0),
                type: node == LeaseScenario.nodeCount - 1 ? 1 : 0,
                leaves: [DomainIndex(1 + node / 3)],
                firstGPU: GPUIndex(node * LeaseScenario.devicesPerNode))
        }
        return Topology(
            fleetName: "world",
            sites: [
                Site(
                    name: "site", root: DomainIndex(0),
                    allotment: LeaseScenario.units(LeaseScenario.rootBudget + 1))
            ], domains: domains, gpuModels: [model], nodeTypes: types, nodes: nodes, lease: lease)
    }
}

/// How a run broke the promise.
package struct LeaseViolation: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable {
        /// A domain's hardware may be enforcing more than its proven budget.
        case budget
        /// A node's hardware may be enforcing more than its charge.
        case charge
        /// The charges of a domain are above its proven budget.
        case ledger
        /// A node is charged less than the floors that are reserved on it.
        case floors
    }
    package var kind: Kind
    package var seconds: Double
    package var detail: String

    package var description: String { "\(kind.rawValue) at \(seconds) s: \(detail)" }
}

/// What a run did.
package struct LeaseRunReport: Hashable, Sendable {
    /// The first of each kind; empty when the promise held.
    package var violations: [LeaseViolation] = []
    package var takeOvers = 0
    package var grantsAccepted = 0
    package var kills = 0
    package var resumes = 0
    package var expiries = 0
    package var reboots = 0
    package var resets = 0
    package var reclaimsByTime = 0
    package var storeRollbackAlarms = 0
    package var hardwareWrites = 0
    /// The highest use of the root's budget by hardware, in millionths.
    package var peakUsePPM: Int64 = 0
    /// All domains had left commissioning at the end.
    package var isCommissioned = false
    /// Folds every hardware write: equal seeds give equal hashes.
    package var stateHash: UInt64 = 0xCBF2_9CE4_8422_2325

    /// A report of nothing yet.
    package init() {}

    /// The first violation of a kind.
    package func violation(_ kind: LeaseViolation.Kind) -> LeaseViolation? {
        violations.first { $0.kind == kind }
    }
}
