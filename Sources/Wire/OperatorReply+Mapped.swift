// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension OperatorReply: Mapped {
    static var messageName: String { "OperatorReply" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__OperatorReply>) {
        busbar__v1__operator_reply__init(message)
    }

    static func read(_ message: Busbar__V1__OperatorReply) throws(WireError) -> OperatorReply {
        OperatorReply(
            id: message.id, isLast: message.is_last != 0,
            body: try body(of: message))
    }

    private static func body(of message: Busbar__V1__OperatorReply) throws(WireError) -> Body {
        if let list = try list(of: message) { return list }
        return try single(of: message)
    }

    /// The body of a reply with a list; nil for any other reply.
    private static func list(of message: Busbar__V1__OperatorReply) throws(WireError) -> Body? {
        let limit = OperatorBound.elements
        switch message.body_case {
        case BUSBAR__V1__OPERATOR_REPLY__BODY_SITES:
            let list = message.sites.pointee
            return .sites(try fields.list(list.n_sites, list.sites, "sites", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_DOMAINS:
            let list = message.domains.pointee
            return .domains(try fields.list(list.n_domains, list.domains, "domains", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_NODES:
            let list = message.nodes.pointee
            return .nodes(try fields.list(list.n_nodes, list.nodes, "nodes", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_GPUS:
            let list = message.gpus.pointee
            return .gpus(try fields.list(list.n_gpus, list.gpus, "gpus", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_JOBS:
            let list = message.jobs.pointee
            return .jobs(try fields.list(list.n_jobs, list.jobs, "jobs", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_EVENTS:
            let list = message.events.pointee
            return .events(try fields.list(list.n_events, list.events, "events", limit: limit))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_RESERVATIONS:
            let list = message.reservations.pointee
            return .reservations(
                try fields.list(
                    list.n_reservations, list.reservations, "reservations", limit: limit))
        default: return nil
        }
    }

    private static func single(of message: Busbar__V1__OperatorReply) throws(WireError) -> Body {
        switch message.body_case {
        case BUSBAR__V1__OPERATOR_REPLY__BODY_ERROR:
            .error(try fields.message(message.error, "error"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_STATUS:
            .status(try fields.message(message.status, "status"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_JOB:
            .job(try fields.message(message.job, "job"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_EXPLANATION:
            .explanation(try fields.message(message.explanation, "explanation"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_SUBMITTED:
            .submitted(try fields.message(message.submitted, "submitted"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_CANCELLED:
            .cancelled(try fields.message(message.cancelled, "cancelled"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_RESERVATION:
            .reservation(try fields.message(message.reservation, "reservation"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_MARKED:
            .marked(try fields.message(message.marked, "marked"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_VERSION:
            .version(try fields.message(message.version, "version"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_NODE:
            .node(try fields.message(message.node, "node"))
        case BUSBAR__V1__OPERATOR_REPLY__BODY_DOMAIN:
            .domain(try fields.message(message.domain, "domain"))
        default: .none
        }
    }

    func write(to message: inout Busbar__V1__OperatorReply, _ builder: Builder) {
        message.id = id
        message.is_last = isLast ? 1 : 0
        switch body {
        case .sites, .domains, .nodes, .gpus, .jobs, .events, .reservations:
            writeList(to: &message, builder)
        case .error(let error):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_ERROR
            message.error = builder.make(error)
        case .status(let status):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_STATUS
            message.status = builder.make(status)
        case .job(let job):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_JOB
            message.job = builder.make(job)
        case .explanation(let explanation):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_EXPLANATION
            message.explanation = builder.make(explanation)
        case .submitted(let submitted):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_SUBMITTED
            message.submitted = builder.make(submitted)
        case .cancelled(let cancelled):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_CANCELLED
            message.cancelled = builder.make(cancelled)
        case .reservation(let reservation):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_RESERVATION
            message.reservation = builder.make(reservation)
        case .marked(let marked):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_MARKED
            message.marked = builder.make(marked)
        case .version(let version):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_VERSION
            message.version = builder.make(version)
        case .node(let node):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_NODE
            message.node = builder.make(node)
        case .domain(let domain):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_DOMAIN
            message.domain = builder.make(domain)
        case .none: break
        }
    }

    private func writeList(to message: inout Busbar__V1__OperatorReply, _ builder: Builder) {
        switch body {
        case .sites(let sites):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_SITES
            message.sites = builder.message(busbar__v1__site_list__init) {
                $0.n_sites = sites.count
                $0.sites = builder.list(sites)
            }
        case .domains(let domains):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_DOMAINS
            message.domains = builder.message(busbar__v1__domain_list__init) {
                $0.n_domains = domains.count
                $0.domains = builder.list(domains)
            }
        case .nodes(let nodes):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_NODES
            message.nodes = builder.message(busbar__v1__node_list__init) {
                $0.n_nodes = nodes.count
                $0.nodes = builder.list(nodes)
            }
        case .gpus(let gpus):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_GPUS
            message.gpus = builder.message(busbar__v1__gpu_list__init) {
                $0.n_gpus = gpus.count
                $0.gpus = builder.list(gpus)
            }
        case .jobs(let jobs):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_JOBS
            message.jobs = builder.message(busbar__v1__job_list__init) {
                $0.n_jobs = jobs.count
                $0.jobs = builder.list(jobs)
            }
        case .events(let events):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_EVENTS
            message.events = builder.message(busbar__v1__event_list__init) {
                $0.n_events = events.count
                $0.events = builder.list(events)
            }
        case .reservations(let reservations):
            message.body_case = BUSBAR__V1__OPERATOR_REPLY__BODY_RESERVATIONS
            message.reservations = builder.message(busbar__v1__reservation_list__init) {
                $0.n_reservations = reservations.count
                $0.reservations = builder.list(reservations)
            }
        default: break
        }
    }
}
