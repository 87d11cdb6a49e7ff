// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension OperatorRequest: Mapped {
    static var messageName: String { "OperatorRequest" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__OperatorRequest>) {
        busbar__v1__operator_request__init(message)
    }

    static func read(_ message: Busbar__V1__OperatorRequest) throws(WireError) -> OperatorRequest {
        OperatorRequest(
            id: message.id, deadlineMilliseconds: message.deadline_ms,
            body: try body(of: message))
    }

    private static func body(of message: Busbar__V1__OperatorRequest) throws(WireError) -> Body {
        if let list = try list(of: message) { return list }
        return try single(of: message)
    }

    /// The body of a request for a list; nil for any other request.
    private static func list(of message: Busbar__V1__OperatorRequest) throws(WireError) -> Body? {
        switch message.body_case {
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_SITES: return .listSites
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_DOMAINS:
            let list = message.list_domains.pointee
            return .listDomains(site: try fields.text(list.site, "list_domains.site"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_NODES:
            let list = message.list_nodes.pointee
            return .listNodes(
                site: try fields.text(list.site, "list_nodes.site"),
                domain: try fields.text(list.domain, "list_nodes.domain"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_GPUS:
            let list = message.list_gpus.pointee
            return .listGPUs(
                site: try fields.text(list.site, "list_gpus.site"),
                node: try fields.text(list.node, "list_gpus.node"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_JOBS:
            let list = message.list_jobs.pointee
            return .listJobs(
                try JobFilter(text: try fields.text(list.state, "list_jobs.state")),
                after: JobID(list.after_id), limit: list.limit)
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_EVENTS:
            let list = message.list_events.pointee
            return .listEvents(afterRevision: list.after_revision, limit: list.limit)
        default: return nil
        }
    }

    private static func single(of message: Busbar__V1__OperatorRequest) throws(WireError) -> Body {
        switch message.body_case {
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_GET_STATUS: .getStatus
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_JOB:
            .describeJob(try fields.text(message.describe_job.pointee.job, "describe_job.job"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_NODE:
            .describeNode(try fields.text(message.describe_node.pointee.node, "describe_node.node"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_DOMAIN:
            .describeDomain(
                try fields.text(message.describe_domain.pointee.domain, "describe_domain.domain"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_EXPLAIN_JOB:
            .explainJob(try fields.text(message.explain_job.pointee.job, "explain_job.job"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_SUBMIT_JOB:
            .submitJob(try fields.message(message.submit_job, "submit_job"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_CANCEL_JOB:
            .cancelJob(
                requestID: try fields.message(
                    message.cancel_job.pointee.request_id, "cancel_job.request_id"),
                job: try fields.text(message.cancel_job.pointee.job, "cancel_job.job"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_MARK_NODE:
            .markNode(try fields.message(message.mark_node, "mark_node"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_MAKE_RESERVATION:
            .makeReservation(try fields.message(message.make_reservation, "make_reservation"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_END_RESERVATION:
            .endReservation(
                try fields.text(message.end_reservation.pointee.name, "end_reservation.name"))
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_RESERVATIONS: .listReservations
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_GET_VERSION: .getVersion
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_WATCH_STATUS:
            .watchStatus(intervalMilliseconds: message.watch_status.pointee.interval_ms)
        case BUSBAR__V1__OPERATOR_REQUEST__BODY_STOP_WATCH:
            .stopWatch(message.stop_watch.pointee.watch_id)
        default: .unknown
        }
    }

    func write(to message: inout Busbar__V1__OperatorRequest, _ builder: Builder) {
        message.id = id
        message.deadline_ms = deadlineMilliseconds
        switch body {
        case .listSites, .listDomains, .listNodes, .listGPUs, .listJobs, .listEvents:
            writeList(to: &message, builder)
        case .describeJob, .describeNode, .describeDomain, .explainJob:
            writeQuestion(to: &message, builder)
        case .getStatus:
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_GET_STATUS
            message.get_status = builder.message(busbar__v1__get_status__init) { _ in }
        case .submitJob(let submit):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_SUBMIT_JOB
            message.submit_job = builder.make(submit)
        case .cancelJob(let requestID, let job):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_CANCEL_JOB
            message.cancel_job = builder.message(busbar__v1__cancel_job__init) {
                $0.request_id = builder.make(requestID)
                $0.job = builder.text(job)
            }
        case .markNode, .makeReservation, .endReservation, .listReservations:
            writePlacement(to: &message, builder)
        case .getVersion:
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_GET_VERSION
            message.get_version = builder.message(busbar__v1__get_version__init) { _ in }
        case .watchStatus(let interval):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_WATCH_STATUS
            message.watch_status = builder.message(busbar__v1__watch_status__init) {
                $0.interval_ms = interval
            }
        case .stopWatch(let watchID):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_STOP_WATCH
            message.stop_watch = builder.message(busbar__v1__stop_watch__init) {
                $0.watch_id = watchID
            }
        case .unknown: break
        }
    }

    private func writePlacement(
        to message: inout Busbar__V1__OperatorRequest, _ builder: Builder
    ) {
        switch body {
        case .markNode(let mark):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_MARK_NODE
            message.mark_node = builder.make(mark)
        case .makeReservation(let reservation):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_MAKE_RESERVATION
            message.make_reservation = builder.make(reservation)
        case .endReservation(let name):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_END_RESERVATION
            message.end_reservation = builder.message(busbar__v1__end_reservation__init) {
                $0.name = builder.text(name)
            }
        case .listReservations:
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_RESERVATIONS
            message.list_reservations = builder.message(
                busbar__v1__list_reservations__init
            ) { _ in }
        default: break
        }
    }

    private func writeList(to message: inout Busbar__V1__OperatorRequest, _ builder: Builder) {
        switch body {
        case .listSites:
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_SITES
            message.list_sites = builder.message(busbar__v1__list_sites__init) { _ in }
        case .listDomains(let site):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_DOMAINS
            message.list_domains = builder.message(busbar__v1__list_domains__init) {
                $0.site = builder.text(site)
            }
        case .listNodes(let site, let domain):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_NODES
            message.list_nodes = builder.message(busbar__v1__list_nodes__init) {
                $0.site = builder.text(site)
                $0.domain = builder.text(domain)
            }
        case .listGPUs(let site, let node):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_GPUS
            message.list_gpus = builder.message(busbar__v1__list_gpus__init) {
                $0.site = builder.text(site)
                $0.node = builder.text(node)
            }
        case .listJobs(let filter, let after, let limit):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_JOBS
            message.list_jobs = builder.message(busbar__v1__list_jobs__init) {
                $0.state = builder.text(filter.text)
                $0.after_id = after.rawValue
                $0.limit = limit
            }
        case .listEvents(let revision, let limit):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_LIST_EVENTS
            message.list_events = builder.message(busbar__v1__list_events__init) {
                $0.after_revision = revision
                $0.limit = limit
            }
        default: break
        }
    }

    private func writeQuestion(to message: inout Busbar__V1__OperatorRequest, _ builder: Builder) {
        switch body {
        case .describeJob(let job):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_JOB
            message.describe_job = builder.message(busbar__v1__describe_job__init) {
                $0.job = builder.text(job)
            }
        case .describeNode(let node):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_NODE
            message.describe_node = builder.message(busbar__v1__describe_node__init) {
                $0.node = builder.text(node)
            }
        case .describeDomain(let domain):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_DESCRIBE_DOMAIN
            message.describe_domain = builder.message(busbar__v1__describe_domain__init) {
                $0.domain = builder.text(domain)
            }
        case .explainJob(let job):
            message.body_case = BUSBAR__V1__OPERATOR_REQUEST__BODY_EXPLAIN_JOB
            message.explain_job = builder.message(busbar__v1__explain_job__init) {
                $0.job = builder.text(job)
            }
        default: break
        }
    }
}
