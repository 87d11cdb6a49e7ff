// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ControlPlane
internal import FleetModel
internal import Logging
internal import NIOCore
internal import SecureTransport
internal import Wire

// The sessions of operators' clients.
extension Coordinator {
    /// The most elements of one page of a list: 1,000 of the largest take a third of a frame.
    static let pageCount = 1000

    func operatorFrame(_ frame: ByteBuffer, _ session: OperatorSession) {
        let request: OperatorRequest
        do {
            request = try frame.withUnsafeReadableBytes { bytes in
                try OperatorRequest.decode(bytes.bytes, arena: &arena)
            }
        } catch {
            counts.protocolViolations += 1
            if refuse(frame, error as? WireError, session) { return }
            session.connection.reject("protocol violation: \(error)")
            connectionClosed(session.number, reason: .rejected("\(error)"))
            return
        }
        counts.requests += 1
        answer(request, session)
    }

    /// Answers a request whose form is right and whose values are not, and keeps the session.
    ///
    /// False for bytes that are no request at all.
    private func refuse(
        _ frame: ByteBuffer, _ error: WireError?, _ session: OperatorSession
    ) -> Bool {
        guard let error, error.reason.isAboutValue,
            let id = frame.withUnsafeReadableBytes({ OperatorRequest.id(of: $0.bytes) })
        else { return false }
        let answer = OperatorError(
            code: .invalid, message: "\(error)", hint: "mend that value of the request")
        send(OperatorReply(id: id, body: .error(answer)), session)
        return true
    }

    private func answer(_ request: OperatorRequest, _ session: OperatorSession) {
        switch request.body {
        case .getStatus:
            reply(.status(fleetStatus()), to: request, session)
        case .listSites:
            reply(.sites(siteViews()), to: request, session)
        case .listDomains, .listNodes, .listGPUs, .listJobs, .listEvents:
            answerList(request, session)
        case .describeJob, .describeNode, .describeDomain, .explainJob:
            answerDescribe(request, session)
        case .submitJob(let submit):
            self.submit(submit, request, session)
        case .cancelJob(_, let job):
            cancel(job, request, session)
        case .markNode(let mark):
            self.mark(mark, request, session)
        case .makeReservation(let make):
            reserve(make, request, session)
        case .endReservation(let name):
            endReservation(name, request, session)
        case .listReservations:
            page(reservationViews(), request, session) { .reservations($0) }
        case .getVersion:
            let version = VersionReply(
                version: CoordinatorVersion.current, protocolVersion: ProtocolVersion.current)
            reply(.version(version), to: request, session)
        case .watchStatus(let interval):
            watch(request, intervalMilliseconds: interval, session)
        case .stopWatch(let id):
            session.watches.removeAll { $0.id == id }
            reply(.none, to: request, session)
        case .unknown:
            fail(
                request, session, .invalid, "this coordinator does not know the request",
                hint: "the client is newer: update the coordinator")
        }
    }

    private func answerList(_ request: OperatorRequest, _ session: OperatorSession) {
        switch request.body {
        case .listDomains(let site):
            guard let sites = siteFilter(site, request, session) else { return }
            page(domainViews(of: sites), request, session) { .domains($0) }
        case .listNodes(let site, let domain):
            guard let sites = siteFilter(site, request, session) else { return }
            if !domain.isEmpty && domainByName[domain] == nil {
                return fail(request, session, .notFound, "no domain '\(domain)'")
            }
            let nodes = selectNodes(sites: sites, domain: domainByName[domain])
            page(nodes.map { nodeView($0) }, request, session) { .nodes($0) }
        case .listGPUs(let site, let node):
            guard let sites = siteFilter(site, request, session) else { return }
            if !node.isEmpty && nodeByName[node] == nil {
                return fail(request, session, .notFound, "no node '\(node)'")
            }
            let nodes = nodeByName[node].map { [$0] } ?? selectNodes(sites: sites, domain: nil)
            page(nodes.flatMap { gpuViews($0) }, request, session) { .gpus($0) }
        case .listJobs(let filter, let after, let limit):
            page(jobViews(filter, after: after, limit: limit), request, session) { .jobs($0) }
        case .listEvents(let after, let limit):
            page(eventViews(after: after, limit: limit), request, session) { .events($0) }
        default:
            preconditionFailure("not a list: \(request.body)")
        }
    }

    private func answerDescribe(_ request: OperatorRequest, _ session: OperatorSession) {
        switch request.body {
        case .describeJob(let text):
            guard let job = findJob(text, request, session) else { return }
            reply(.job(jobDetail(job)), to: request, session)
        case .explainJob(let text):
            guard let job = findJob(text, request, session) else { return }
            reply(.explanation(explanation(of: job)), to: request, session)
        case .describeNode(let name):
            guard let node = nodeByName[name] else {
                return fail(
                    request, session, .notFound, "no node '\(name)'", hint: "busbar get nodes")
            }
            reply(.node(nodeDetail(node)), to: request, session)
        case .describeDomain(let name):
            guard let domain = domainByName[name] else {
                return fail(
                    request, session, .notFound, "no domain '\(name)'",
                    hint: "busbar get domains")
            }
            reply(.domain(domainDetail(domain)), to: request, session)
        default:
            preconditionFailure("not a description: \(request.body)")
        }
    }

    /// The sites that a request is about; nil after an error reply.
    private func siteFilter(
        _ name: String, _ request: OperatorRequest, _ session: OperatorSession
    ) -> [SiteIndex]? {
        if name.isEmpty { return topology.sites.indices.map { SiteIndex($0) } }
        guard let site = topology.sites.firstIndex(where: { $0.name == name }) else {
            let known = topology.sites.map(\.name).joined(separator: ", ")
            fail(request, session, .notFound, "no site '\(name)'", hint: "there are: \(known)")
            return nil
        }
        return [SiteIndex(site)]
    }

    // MARK: - Writes

    private func submit(
        _ submit: SubmitJob, _ request: OperatorRequest, _ session: OperatorSession
    ) {
        if submit.isDryRun { return dryRun(submit.spec, request, session) }
        guard submit.requestID != .none else {
            return fail(
                request, session, .invalid, "a submit without a request id",
                hint: "make 128 random bits, and repeat them when the submit is repeated")
        }
        guard session.waitingCount < OperatorSession.maximumWaitingCount else {
            return fail(
                request, session, .overloaded,
                "\(session.waitingCount) requests wait already on this connection")
        }
        let outcome = leader.submit(
            submit.spec, request: submit.requestID, actor: session.operatorName,
            nowOrNever: submit.isNowOrNever, now: SystemClock.unixMilliseconds())
        switch outcome {
        case .accepted(let job), .repeated(let job):
            wait(.submit(job), request, session)
        case .refused(let refusal):
            let why = explanation(refusal, job: JobID(0), state: .queued)
            let message =
                why.reasons.first?.message ?? "its room is being freed for a more important job"
            fail(
                request, session, .refused, "the job does not fit: \(message)",
                hint: why.fitsIf.first ?? "")
        case .invalid(let message, let hint):
            fail(request, session, .invalid, message, hint: hint)
        case .overloaded:
            fail(
                request, session, .overloaded,
                "\(leader.queuedCount) jobs wait already", hint: "try again later")
        }
    }

    private func dryRun(
        _ spec: JobSpec, _ request: OperatorRequest, _ session: OperatorSession
    ) {
        if let problem = leader.problem(in: spec) {
            return fail(request, session, .invalid, problem.message, hint: problem.hint)
        }
        var answer = SubmitReply(job: JobID(0), state: .queued, explanation: nil, tasks: [])
        switch leader.dryRun(spec) {
        case .placed(let placement):
            answer.state = .pending
            answer.tasks = placement.prefix(Coordinator.pageCount).enumerated().map {
                taskView($0.offset, FleetTask(placement: $0.element))
            }
        case .refused(let refusal), .undecided(let refusal):
            answer.explanation = explanation(refusal, job: JobID(0), state: .queued)
            answer.explanation?.reasons += preemptionReasons(of: spec)
        }
        reply(.submitted(answer), to: request, session)
    }

    private func cancel(_ text: String, _ request: OperatorRequest, _ session: OperatorSession) {
        guard let job = findJob(text, request, session) else { return }
        let outcome = leader.cancel(
            job.id, actor: session.operatorName, now: SystemClock.unixMilliseconds())
        switch outcome {
        case .accepted, .hasEnded(.cancelled):
            wait(.cancel(job.id), request, session)
        case .hasEnded(let state):
            fail(request, session, .refused, "\(job.id) has ended already: \(state.rawValue)")
        case .notFound:
            fail(request, session, .notFound, "no job '\(text)'", hint: "busbar get jobs")
        }
    }

    /// Tells clients whose time is over.
    ///
    /// What they asked for may still happen; repeating it is safe.
    func expireWaiting(now: Int64) {
        guard waiting.contains(where: { $0.deadline <= now }) else { return }
        for entry in waiting where entry.deadline <= now {
            guard let session = operators[entry.session] else { continue }
            session.waitingCount -= 1
            let error = OperatorError(
                code: .timeout, message: "not on record in time; it may still happen",
                hint: "repeat the request with the same request id")
            send(OperatorReply(id: entry.request, body: .error(error)), session)
        }
        waiting.removeAll { $0.deadline <= now }
    }

    // MARK: - Watches

    private func watch(
        _ request: OperatorRequest, intervalMilliseconds: UInt32, _ session: OperatorSession
    ) {
        guard session.watches.count < OperatorSession.maximumWatchCount else {
            return fail(
                request, session, .overloaded,
                "\(OperatorSession.maximumWatchCount) watches are open on this connection")
        }
        let interval = Int64(min(max(intervalMilliseconds, 100), 60_000)) * 1_000_000
        session.watches.removeAll { $0.id == request.id }
        session.watches.append(
            OperatorSession.Watch(id: request.id, interval: interval, nextAt: .min / 2))
    }

    /// Sends what watches are due for.
    func serveWatches(now: Int64) {
        var status: FleetStatus?
        for session in operators.values.sorted(by: { $0.number < $1.number }) {
            for index in session.watches.indices where session.watches[index].nextAt <= now {
                let watch = session.watches[index]
                session.watches[index].nextAt = max(watch.nextAt, now) + watch.interval
                let body = status ?? fleetStatus()
                status = body
                send(OperatorReply(id: watch.id, isLast: false, body: .status(body)), session)
            }
        }
    }

    // MARK: - Replies

    /// Finds a job by id or, among those that have not ended first, by name.
    private func findJob(
        _ text: String, _ request: OperatorRequest, _ session: OperatorSession
    ) -> FleetJob? {
        if let id = JobID(text: text), let job = leader.job(id) { return job }
        for ids in [leader.activeJobs, leader.endedJobs] {
            for id in ids.reversed() {
                if let job = leader.job(id), job.spec.name == text { return job }
            }
        }
        fail(request, session, .notFound, "no job '\(text)'", hint: "busbar get jobs")
        return nil
    }

    /// Sends a list in pages.
    private func page<Element>(
        _ elements: [Element], _ request: OperatorRequest, _ session: OperatorSession,
        _ body: ([Element]) -> OperatorReply.Body
    ) {
        var start = 0
        repeat {
            let end = min(start + Coordinator.pageCount, elements.count)
            let isLast = end == elements.count
            send(
                OperatorReply(
                    id: request.id, isLast: isLast, body: body(Array(elements[start..<end]))),
                session)
            start = end
        } while start < elements.count
    }

    private func reply(
        _ body: OperatorReply.Body, to request: OperatorRequest, _ session: OperatorSession
    ) {
        send(OperatorReply(id: request.id, body: body), session)
    }

    func fail(
        _ request: OperatorRequest, _ session: OperatorSession, _ code: OperatorErrorCode,
        _ message: String, hint: String = ""
    ) {
        let error = OperatorError(code: code, message: message, hint: hint)
        send(OperatorReply(id: request.id, body: .error(error)), session)
    }

    func send(_ reply: OperatorReply, _ session: OperatorSession) {
        encodeBuffer.removeAll(keepingCapacity: true)
        reply.encode(into: &encodeBuffer, arena: &arena)
        if encodeBuffer.count > FrameLimit.large {
            log.error("a reply is too long", metadata: ["bytes": "\(encodeBuffer.count)"])
            let error = OperatorError(
                code: .unavailable, message: "the answer does not fit one message")
            encodeBuffer.removeAll(keepingCapacity: true)
            OperatorReply(id: reply.id, body: .error(error))
                .encode(into: &encodeBuffer, arena: &arena)
        }
        session.connection.send(ByteBuffer(bytes: encodeBuffer))
    }
}

/// The version of this software.
package enum CoordinatorVersion {
    package static let current = "0.1.0"
}
