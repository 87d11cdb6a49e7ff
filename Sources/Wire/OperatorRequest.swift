// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

/// A job to be run.
package struct SubmitJob: Hashable, Sendable {
    /// Made by the client, at random: the same id is the same submit, however often it is sent.
    package var requestID: RandomID
    package var spec: JobSpec
    /// Refuse rather than queue when the job does not fit now.
    package var isNowOrNever: Bool
    /// Say what would happen; change nothing.
    package var isDryRun: Bool

    package init(
        requestID: RandomID, spec: JobSpec, isNowOrNever: Bool = false, isDryRun: Bool = false
    ) {
        self.requestID = requestID
        self.spec = spec
        self.isNowOrNever = isNowOrNever
        self.isDryRun = isDryRun
    }
}

/// What a node is to do with jobs from now on; repeating it changes nothing.
package struct MarkNode: Hashable, Sendable {
    /// The node's name.
    package var node: String
    package var mark: NodeMark
    /// For people; may be empty.
    package var reason: String

    package init(node: String, mark: NodeMark, reason: String = "") {
        self.node = node
        self.mark = mark
        self.reason = reason
    }
}

/// Which jobs a list is to hold.
package enum JobFilter: Hashable, Sendable {
    /// Those that have not ended.
    case open
    /// Every job.
    case all
    /// Those in one state.
    case state(JobState)
}

/// One request of an operator's client.
package struct OperatorRequest: Hashable, Sendable {
    /// What is asked for.
    ///
    /// An empty site, domain or node does not narrow a list.
    package enum Body: Hashable, Sendable {
        case getStatus
        case listSites
        case listDomains(site: String)
        case listNodes(site: String, domain: String)
        case listGPUs(site: String, node: String)
        /// Jobs with a higher id than `after` only, at most `limit` of them (0: as many as the
        /// server gives in one page).
        case listJobs(JobFilter, after: JobID, limit: UInt32)
        case listEvents(afterRevision: UInt64, limit: UInt32)
        /// A job by its id (`j42`) or name.
        case describeJob(String)
        case describeNode(String)
        case describeDomain(String)
        case explainJob(String)
        case submitJob(SubmitJob)
        case cancelJob(requestID: RandomID, job: String)
        case markNode(MarkNode)
        case makeReservation(MakeReservation)
        /// Ends a reservation by its name.
        case endReservation(String)
        case listReservations
        case getVersion
        /// Streams ``OperatorReply/Body/status(_:)`` until the client hangs up or sends a stop.
        case watchStatus(intervalMilliseconds: UInt32)
        case stopWatch(UInt64)
        /// A request of a newer client that this version does not know: answer with an error.
        case unknown
    }

    /// Answers carry the same number; several requests may be open at once.
    package var id: UInt64
    /// Milliseconds from receipt after which the answer is of no use; 0 takes the server's default.
    package var deadlineMilliseconds: UInt32
    package var body: Body

    package init(id: UInt64, deadlineMilliseconds: UInt32 = 0, body: Body) {
        self.id = id
        self.deadlineMilliseconds = deadlineMilliseconds
        self.body = body
    }
}

extension OperatorRequest: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.large }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> OperatorRequest {
        try Codec.decode(OperatorRequest.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

/// Limits on the lists of an operator's session, which the longest frame bounds further.
enum OperatorBound {
    /// Elements of one page.
    static let elements = 65_536
    /// Jobs of a GPU or a node.
    static let jobs = 65_536
    /// Texts of a list: leaves of a node, conditions under which a job fits.
    static let texts = 256
    /// Tasks of one job.
    static let taskCount: UInt32 = 1 << 20
}

extension SubmitJob: Mapped {
    static var messageName: String { "SubmitJob" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SubmitJob>) {
        busbar__v1__submit_job__init(message)
    }

    static func read(_ message: Busbar__V1__SubmitJob) throws(WireError) -> SubmitJob {
        SubmitJob(
            requestID: try fields.message(message.request_id, "request_id"),
            spec: try fields.message(message.spec, "spec"),
            isNowOrNever: message.now_or_never != 0, isDryRun: message.dry_run != 0)
    }

    func write(to message: inout Busbar__V1__SubmitJob, _ builder: Builder) {
        message.request_id = builder.make(requestID)
        message.spec = builder.make(spec)
        message.now_or_never = isNowOrNever ? 1 : 0
        message.dry_run = isDryRun ? 1 : 0
    }
}

extension MarkNode: Mapped {
    static var messageName: String { "MarkNode" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__MarkNode>) {
        busbar__v1__mark_node__init(message)
    }

    static func read(_ message: Busbar__V1__MarkNode) throws(WireError) -> MarkNode {
        MarkNode(
            node: try fields.text(message.node, "node"),
            mark: try fields.word(message.mark, "mark"),
            reason: try fields.text(message.reason, "reason"))
    }

    func write(to message: inout Busbar__V1__MarkNode, _ builder: Builder) {
        message.node = builder.text(node)
        message.mark = builder.text(mark.rawValue)
        message.reason = builder.text(reason)
    }
}

extension JobFilter {
    /// The filter as text: empty, `all`, or a state's name.
    var text: String {
        switch self {
        case .open: ""
        case .all: "all"
        case .state(let state): state.rawValue
        }
    }

    init(text: String) throws(WireError) {
        switch text {
        case "": self = .open
        case "all": self = .all
        default:
            guard let state = JobState(rawValue: text) else {
                throw WireError(
                    message: "ListJobs", field: "state",
                    reason: .inconsistent("no such value: \"\(text)\""))
            }
            self = .state(state)
        }
    }
}
