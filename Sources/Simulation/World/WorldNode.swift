// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// A task that a node's agent has started.
struct RunningTask: Hashable {
    var job: JobID
    var task: UInt32
    var attempt: UInt64
    /// Positions in the node.
    var devices: [UInt16]
    var gpuMilli: UInt16
    /// What each of its GPUs was promised.
    var floorPerGPU: Milliwatts
    var endsAt: Int64
    /// The node has said how it ended; kept until it is told to forget.
    var ended: TaskPhase?
}

/// A node: its hardware, its stored record, its enforcer when it runs, and its agent.
struct WorldNode {
    let number: Int
    let site: Int
    let configuration: LeaseHolder.Configuration
    let isSupervised: Bool
    let maximumCap: Milliwatts
    var hardware: SimulatedHardware
    var clock: SimulatedClock
    /// What the enforcer keeps in storage; only another boot makes it void.
    var record: LeaseRecord?
    var boot: Int32 = 0
    var isPowered = true
    /// The boot that somebody has asked to end.
    var bootToEnd: Int32 = -1
    /// The site leader does not know yet that the node is powered on again.
    var isPowerOnUntold = false
    var holder: LeaseHolder?
    /// Counts starts and deaths of the enforcer: events of earlier ones are void.
    var generation: Int32 = 0
    /// A step is being carried out.
    var isBusy = false
    /// Grants that came meanwhile.
    var waitingGrants: [LeaseGrant] = []
    /// When the enforcer is to be woken; 0 for never.
    var wakeAt: Int64 = 0
    var lastKill: Int64 = -10_000_000_000
    var startedAt: Int64 = 0
    var resetAt: Int64?
    /// The last order that the enforcer accepted in this boot.
    var lastOrder = LeaseOrder.zero

    // MARK: The agent

    var isAgentDown = false
    /// The coordinator of its site that it sends renewals to, counted from the site's first.
    var favourite = 0
    /// It was sent on, and has not asked the next one yet.
    var hasMoved = false
    var lastGrant: Int64 = 0
    var lastRenewal: Int64 = -10_000_000_000
    var session = NodeSession()
    var tasks: [RunningTask] = []
    /// Until when its sensors report nonsense.
    var liesUntil: Int64 = 0

    init(number: Int, topology: Topology, isRunning: Bool, clock: SimulatedClock) {
        let index = NodeIndex(number)
        let type = topology.type(of: index)
        let model = topology.model(of: index)
        self.number = number
        self.clock = clock
        site = topology.nodes[number].site.position
        isSupervised = type.enforcementClass == .supervised
        maximumCap = model.maximumCap
        let range = CapRange(minimum: model.minimumCap, maximum: model.maximumCap)
        configuration = LeaseHolder.Configuration(
            node: topology.nodes[number].name,
            bootID: RandomID(high: UInt64(number) + 1, low: 1), fallback: type.fallback,
            devices: Array(repeating: range, count: Int(type.gpuCount)),
            settleNanoseconds: type.settleNanoseconds, driftPPM: topology.lease.driftPPM)
        hardware = SimulatedHardware(
            limits: (0..<Int(type.gpuCount)).map {
                isRunning ? topology.fallbackShare(of: index, device: $0) : model.maximumCap
            }, settleNanoseconds: type.settleNanoseconds)
    }
}
