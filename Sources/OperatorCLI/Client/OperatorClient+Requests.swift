// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

// The requests as functions: each waits for its whole answer, all pages of it.
extension OperatorClient {
    /// Who waits, and for how long.
    static func unexpected(_ body: OperatorReply.Body?) -> CommandFailure {
        CommandFailure(
            .unavailable, "the coordinator gave an answer that does not fit the question",
            hint: "are both of the same version? see `busbar version`")
    }

    /// One request whose answer is one value.
    private func one<Value>(
        _ body: OperatorRequest.Body, _ deadline: Duration,
        _ value: (OperatorReply.Body) -> Value?
    ) async throws(CommandFailure) -> Value {
        let answer = try await request(body, deadline: deadline)
        guard let last = answer.pages.last, let value = value(last) else {
            throw OperatorClient.unexpected(answer.pages.last)
        }
        return value
    }

    /// One request whose answer is a list, in as many pages as it takes.
    private func list<Element>(
        _ body: OperatorRequest.Body, _ deadline: Duration,
        _ elements: (OperatorReply.Body) -> [Element]?
    ) async throws(CommandFailure) -> [Element] {
        let answer = try await request(body, deadline: deadline)
        var result: [Element] = []
        for page in answer.pages {
            guard let part = elements(page) else { throw OperatorClient.unexpected(page) }
            result += part
        }
        return result
    }

    func status(_ deadline: Duration) async throws(CommandFailure) -> FleetStatus {
        try await one(.getStatus, deadline) {
            if case .status(let value) = $0 { value } else { nil }
        }
    }

    func version(_ deadline: Duration) async throws(CommandFailure) -> VersionReply {
        try await one(.getVersion, deadline) {
            if case .version(let value) = $0 { value } else { nil }
        }
    }

    func sites(_ deadline: Duration) async throws(CommandFailure) -> [SiteView] {
        try await list(.listSites, deadline) {
            if case .sites(let value) = $0 { value } else { nil }
        }
    }

    func domains(site: String, _ deadline: Duration) async throws(CommandFailure) -> [DomainView] {
        try await list(.listDomains(site: site), deadline) {
            if case .domains(let value) = $0 { value } else { nil }
        }
    }

    func nodes(
        site: String, domain: String, _ deadline: Duration
    ) async throws(CommandFailure) -> [NodeView] {
        try await list(.listNodes(site: site, domain: domain), deadline) {
            if case .nodes(let value) = $0 { value } else { nil }
        }
    }

    func gpus(
        site: String, node: String, _ deadline: Duration
    ) async throws(CommandFailure) -> [GPUView] {
        try await list(.listGPUs(site: site, node: node), deadline) {
            if case .gpus(let value) = $0 { value } else { nil }
        }
    }

    /// All jobs of a filter, however many: asked for page after page.
    func jobs(
        _ filter: JobFilter, limit: Int?, _ deadline: Duration
    ) async throws(CommandFailure) -> [JobView] {
        var result: [JobView] = []
        while true {
            let left = limit.map { $0 - result.count } ?? 0
            let after = result.last?.id ?? JobID(0)
            let page = try await list(
                .listJobs(filter, after: after, limit: UInt32(clamping: left)), deadline
            ) { if case .jobs(let value) = $0 { value } else { nil } }
            // A page that does not go on would be asked for again and again.
            guard let last = page.last, last.id > after else { return result }
            result += page
            if let limit, result.count >= limit { return Array(result.prefix(limit)) }
        }
    }

    func events(
        after revision: UInt64, limit: UInt32, _ deadline: Duration
    ) async throws(CommandFailure) -> [EventView] {
        try await list(.listEvents(afterRevision: revision, limit: limit), deadline) {
            if case .events(let value) = $0 { value } else { nil }
        }
    }

    func job(_ name: String, _ deadline: Duration) async throws(CommandFailure) -> JobDetail {
        try await one(.describeJob(name), deadline) {
            if case .job(let value) = $0 { value } else { nil }
        }
    }

    func node(_ name: String, _ deadline: Duration) async throws(CommandFailure) -> NodeDetail {
        try await one(.describeNode(name), deadline) {
            if case .node(let value) = $0 { value } else { nil }
        }
    }

    func domain(
        _ name: String, _ deadline: Duration
    ) async throws(CommandFailure) -> DomainDetail {
        try await one(.describeDomain(name), deadline) {
            if case .domain(let value) = $0 { value } else { nil }
        }
    }

    func explanation(
        of job: String, _ deadline: Duration
    ) async throws(CommandFailure) -> JobExplanation {
        try await one(.explainJob(job), deadline) {
            if case .explanation(let value) = $0 { value } else { nil }
        }
    }

    func submit(_ job: SubmitJob, _ deadline: Duration) async throws(CommandFailure) -> SubmitReply
    {
        try await one(.submitJob(job), deadline) {
            if case .submitted(let value) = $0 { value } else { nil }
        }
    }

    func reserve(
        _ make: MakeReservation, _ deadline: Duration
    ) async throws(CommandFailure) -> ReservationView {
        try await one(.makeReservation(make), deadline) {
            if case .reservation(let value) = $0 { value } else { nil }
        }
    }

    func endReservation(
        _ name: String, _ deadline: Duration
    ) async throws(CommandFailure) -> ReservationView {
        try await one(.endReservation(name), deadline) {
            if case .reservation(let value) = $0 { value } else { nil }
        }
    }

    func reservations(_ deadline: Duration) async throws(CommandFailure) -> [ReservationView] {
        try await list(.listReservations, deadline) {
            if case .reservations(let value) = $0 { value } else { nil }
        }
    }

    func mark(_ mark: MarkNode, _ deadline: Duration) async throws(CommandFailure) -> MarkReply {
        try await one(.markNode(mark), deadline) {
            if case .marked(let value) = $0 { value } else { nil }
        }
    }

    func cancel(
        _ job: String, request: RandomID, _ deadline: Duration
    ) async throws(CommandFailure) -> CancelReply {
        try await one(.cancelJob(requestID: request, job: job), deadline) {
            if case .cancelled(let value) = $0 { value } else { nil }
        }
    }
}
