// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Logging
internal import NIOCore
internal import SecureTransport
internal import TLSEngine
internal import Wire

/// The service that leads a fleet and all of its sites: sessions, stores, timers around the state
/// machines of `ControlPlane`.
///
/// ```
///   agents, operators ──frames──►┌───────────── one event loop ─────────────┐
///                                │ FleetLeader   SiteGrantor + SitePowerLoop │──► frames
///              timers ──────────►│  (values, changed by one input at a time) │
///                                └──────┬──────────────────────────▲─────────┘
///                                   batches                 acknowledgements
///                                       ▼                          │
///                                fleet.db, site-NAME.db  (threads of their own)
/// ```
///
/// Isolation: the actor's executor is the event loop of every connection, so a frame is taken in
/// without a hop; nothing here blocks. Commits run elsewhere and come back to the loop.
///
/// A store that fails, a leadership that is lost or a history that contradicts itself ends the
/// process (``run()`` throws): the next start rebuilds everything from what is durable.
package actor Coordinator {
    /// The event loop, also of all connections.
    nonisolated let eventLoop: any EventLoop

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        eventLoop.executor.asUnownedSerialExecutor()
    }

    let options: CoordinatorOptions
    let topology: Topology
    let log: Logger
    let context: TLSContext
    let signer: GrantSigner
    let fleetStore: any DecisionStore
    let fleetLeadership: Leadership
    let fingerprint: UInt64
    let startedAt: Int64

    var leader: FleetLeader
    var sites: [SiteRuntime]
    /// The version of the fleet record, as acknowledged last.
    var fleetRecordVersion: UInt64?
    var isFleetCommitting = false

    // MARK: Sessions

    var agents: [UInt64: AgentSession] = [:]
    var operators: [UInt64: OperatorSession] = [:]
    /// The session of each node, by its position.
    var sessionOfNode: [UInt64?]
    var nextSession: UInt64 = 1
    /// What the enforcer of each node has found, by the node's position.
    var violations: [NodeViolations]
    let nodeByName: [String: NodeIndex]
    let domainByName: [String: DomainIndex]
    /// Replies that wait for a commit.
    var waiting: [WaitingReply] = []

    var arena = WireArena(blockByteCount: 65_536, limit: ArenaLimit.large)
    var reportScratch = TelemetryReport(gpuCount: 0)
    var encodeBuffer: [UInt8] = []
    var directives: [FleetDirective] = []
    var grants: [IssuedGrant] = []
    var counts = CoordinatorCounts()

    // MARK: Life

    let notifier = ServiceNotifier()
    var listener: SecureListener?
    var httpChannel: (any Channel)?
    var beat: RepeatedTask?
    var lastWatchdog: Int64 = .min / 2
    var lastCredentialsLook: Int64 = .min / 2
    /// Completes when the coordinator has to end: with nil when it was asked to.
    let ended: EventLoopPromise<CoordinatorError?>
    var isEnding = false

    init(
        _ parts: CoordinatorParts, options: CoordinatorOptions, eventLoop: any EventLoop,
        log: Logger
    ) {
        self.options = options
        self.eventLoop = eventLoop
        self.log = log
        topology = parts.topology
        context = parts.context
        signer = parts.signer
        fleetStore = parts.fleetStore
        fleetLeadership = parts.fleetLeadership
        fingerprint = parts.topology.fingerprint
        leader = parts.leader
        fleetRecordVersion = parts.fleetRecordVersion
        sites = parts.sites
        sessionOfNode = Array(repeating: nil, count: parts.topology.nodes.count)
        violations = Array(repeating: NodeViolations(), count: parts.topology.nodes.count)
        nodeByName = Dictionary(
            uniqueKeysWithValues: parts.topology.nodes.indices.map {
                (parts.topology.nodes[$0].name, NodeIndex($0))
            })
        domainByName = Dictionary(
            uniqueKeysWithValues: parts.topology.domains.indices.map {
                (parts.topology.domains[$0].name, DomainIndex($0))
            })
        startedAt = SystemClock.monotonicNanoseconds()
        ended = eventLoop.makePromise(of: CoordinatorError?.self)
    }

    /// The runtime of the site of a node.
    func runtime(of node: NodeIndex) -> SiteRuntime {
        sites[topology.nodes[node.position].site.position]
    }

    /// Ends the coordinator because it cannot go on safely.
    func fail(_ error: CoordinatorError) {
        guard !isEnding else { return }
        isEnding = true
        log.critical("the coordinator stops", metadata: ["reason": "\(error)"])
        for site in sites { site.grantor.stepDown() }
        ended.succeed(error)
    }
}

/// What a coordinator is made of, opened and led.
struct CoordinatorParts {
    var topology: Topology
    var context: TLSContext
    var signer: GrantSigner
    var fleetStore: any DecisionStore
    var fleetLeadership: Leadership
    var fleetRecordVersion: UInt64?
    var leader: FleetLeader
    var sites: [SiteRuntime]
}

/// Counts since the start; for metrics.
struct CoordinatorCounts: Hashable, Sendable {
    var reports: UInt64 = 0
    var grantsSent: UInt64 = 0
    var plansSent: UInt64 = 0
    var requests: UInt64 = 0
    var protocolViolations: UInt64 = 0
    var fleetCommits: UInt64 = 0
    var siteCommits: UInt64 = 0
    var solves: UInt64 = 0
    var solveNanoseconds: UInt64 = 0
}

/// The session of one agent.
///
/// Isolation: owned by the coordinator.
final class AgentSession {
    let number: UInt64
    let connection: SecureConnection
    /// The node that the certificate speaks for.
    let node: NodeIndex
    /// False until a hello was accepted.
    var isOpen = false
    /// The plan revision that was sent last.
    var sentPlan: UInt64 = 0

    init(number: UInt64, connection: SecureConnection, node: NodeIndex) {
        self.number = number
        self.connection = connection
        self.node = node
    }
}

/// The session of one operator's client.
///
/// Isolation: owned by the coordinator.
final class OperatorSession {
    /// The most watches of one session.
    static let maximumWatchCount = 8
    /// The most requests of one session that may wait for a commit.
    static let maximumWaitingCount = 1024

    let number: UInt64
    let connection: SecureConnection
    let operatorName: String
    var watches: [Watch] = []
    var waitingCount = 0

    struct Watch {
        var id: UInt64
        var interval: Int64
        var nextAt: Int64
    }

    init(number: UInt64, connection: SecureConnection, operatorName: String) {
        self.number = number
        self.connection = connection
        self.operatorName = operatorName
    }
}

/// A reply that is sent when what it says is durable.
struct WaitingReply {
    enum Kind {
        case submit(JobID)
        case cancel(JobID)
        case mark(NodeIndex)
        /// What the reservation was at the end, for one that has ended.
        case reservation(String, ReservationView?)
    }

    var session: UInt64
    var request: UInt64
    /// The change of the job or the node that must be durable.
    var change: UInt64
    /// When the answer is of no use any more, in the coordinator's nanoseconds.
    var deadline: Int64
    var kind: Kind
}
