// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// What the fleet leader, the fleet store, the site leaders and the agents tell each other.
enum FleetMessage {
    // The fleet store.
    case raiseEpoch(token: Int32)
    case epochRaised(token: Int32, epoch: UInt64)
    case read(token: Int32)
    case records(token: Int32, SimulatedFleetStore)
    case commit(FleetBatch?, number: UInt64, epoch: UInt64, version: UInt64)
    case committed(number: UInt64, epoch: UInt64, SimulatedFleetStore.Outcome)
    // Site leaders.
    case siteState(SiteStateMessage)
    case plan(FleetPlanMessage)
    case floorsHeld(FloorsHeldMessage)
    case notLeading
    // Sessions of agents.
    case hello(session: UInt64, node: Int32, [TaskObservation])
    case order(session: UInt64, number: UInt32, TaskOrder)
    case observed(session: UInt64, number: UInt32, node: Int32, TaskObservation)
}

/// How a site stands, from its leader to the fleet's.
struct SiteStateMessage {
    var site: Int
    /// The epoch of the site's leadership; the fleet leader answers it with a plan once a write of its
    /// own, made after this came, has shown that it still leads.
    var epoch: UInt64
    var revision: UInt64
    /// By the site's domains: what may be counted on.
    var budgets: [Milliwatts]
    /// By the site's positions.
    var states: [NodeLeaseState]
    var charges: [Milliwatts]
    /// By the site's domains.
    var hasLeftCommissioning: [Bool]
}

/// What a site's ledger must reserve and whom it serves, from the fleet's leader to the site's.
struct FleetPlanMessage {
    var fleetEpoch: UInt64
    /// Counts the plans of a fleet leadership.
    var number: UInt64
    /// The site leadership that asked.
    var siteEpoch: UInt64
    var held: HeldFloors
    var awaitsFloors: Bool

    func isAfter(_ other: FleetPlanMessage) -> Bool {
        (fleetEpoch, number) > (other.fleetEpoch, other.number)
    }
}

/// The floors that a committed ledger write holds.
struct FloorsHeldMessage {
    var site: Int
    var fleetEpoch: UInt64
    var number: UInt64
    var revision: UInt64
    /// By the site's positions.
    var reserved: [Milliwatts]
}

/// An order of the fleet leader to an agent, or a sign of life.
enum TaskOrder {
    case nothing
    case start(RunningTask)
    case stop(job: JobID, task: UInt32, attempt: UInt64)
}

/// An agent's end of a session with the fleet leader.
struct NodeSession {
    /// 0 for none.
    var number: UInt64 = 0
    var received: UInt32 = 0
    var sent: UInt32 = 0
    var lastHeard: Int64 = 0
    /// The coordinator that it last tried.
    var leader = 0
    /// When its last message to the leader arrives: messages of a session keep their order.
    var arrival: Int64 = 0
}

/// The leader's end of it.
struct SessionSeat {
    var number: UInt64
    var received: UInt32 = 0
    var sent: UInt32 = 0
    var arrival: Int64 = 0
    var lastSent: Int64 = 0
}

/// The fleet store: job records behind an epoch and a version.
struct SimulatedFleetStore {
    enum Outcome {
        case committed(version: UInt64)
        case deposed
        case conflict
    }

    private(set) var epoch: UInt64 = 0
    private(set) var version: UInt64 = 0
    private(set) var jobs: [JobID: FleetJob] = [:]
    private(set) var counters = FleetCounters()

    mutating func raiseEpoch() -> UInt64 {
        epoch += 1
        return epoch
    }

    /// Takes a batch, or a sign of life when there is none.
    mutating func commit(
        _ batch: FleetBatch?, epoch writer: UInt64, expecting: UInt64
    ) -> Outcome {
        guard writer == epoch else { return .deposed }
        guard expecting == version else { return .conflict }
        version += 1
        guard let batch else { return .committed(version: version) }
        for job in batch.jobs { jobs[job.id] = job }
        for id in batch.forgottenJobs { jobs[id] = nil }
        counters = batch.counters
        return .committed(version: version)
    }
}

/// What a coordinator keeps while it leads the fleet, or campaigns for it.
struct FleetSeat {
    var leader: FleetLeader?
    var epoch: UInt64 = 0
    var version: UInt64 = 0
    var token: Int32 = 0
    var campaignedAt: Int64?
    var wonEpoch: UInt64?
    /// Counts commits; the number of the one in flight.
    var commitCount: UInt64 = 0
    var inFlight: UInt64?
    var isBatchInFlight = false
    /// Hellos and site leaderships that wait for a write to be sent, and for its acknowledgement.
    var waitingHellos: [Hello] = []
    var fencingHellos: [Hello] = []
    /// By site: the coordinator that leads it and its epoch.
    var siteLeader: [(coordinator: Int, epoch: UInt64, revision: UInt64)?] = []
    var waitingAsks: [(site: Int, epoch: UInt64)] = []
    var fencingAsks: [(site: Int, epoch: UInt64)] = []
    /// By site: the site leadership that may be sent plans.
    var fencedEpoch: [UInt64] = []
    var planCount: UInt64 = 0
    /// The last plans of each site that wait for an answer.
    var snapshots: [(number: UInt64, FleetLeader.FloorsSnapshot)] = []
    /// By site: what the last plan was made from, and when.
    var planned: [(version: UInt64, requests: UInt64, at: Int64)] = []
    var sessions: [SessionSeat?] = []
    /// By node: what the placement engine was last told.
    var minimumCharges: [Milliwatts] = []
    var isEligible: [Bool] = []
    /// Submissions and cancels whose outcome is not durable yet.
    var unacknowledged: [(job: JobID, request: RandomID, change: UInt64)] = []
    var directives: [FleetDirective] = []

    struct Hello {
        var session: UInt64
        var node: Int
        var tasks: [TaskObservation]
    }
}

/// What clients want, and what they were promised.
struct JobTraffic {
    struct Wish {
        var request: RandomID
        var spec: JobSpec
    }

    var submitted: UInt64 = 0
    /// Submissions that no leader has acknowledged.
    var wishes: [Wish] = []
    var acknowledged: [(job: JobID, request: RandomID)] = []
    var cancels: [(job: JobID, at: Int64)] = []
    /// By node, as the site's store has it.
    var reservedFloors: [Milliwatts] = []
    var isProven: [Bool] = []
    /// By GPU, thousandths that the fleet store's records hold.
    var recordedMilli: [Int32] = []
}
