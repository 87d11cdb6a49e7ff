// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Wire

// Replies to writes: sent once what they say is on record.
extension Coordinator {
    /// How long an answer may take when the client names no time.
    private static let defaultDeadline: Int64 = 10_000_000_000

    /// Cordons, drains or opens a node.
    func mark(_ mark: MarkNode, _ request: OperatorRequest, _ session: OperatorSession) {
        guard let node = nodeByName[mark.node] else {
            return fail(
                request, session, .notFound, "no node '\(mark.node)'", hint: "busbar get nodes")
        }
        leader.setMark(
            node, mark.mark, reason: mark.reason, actor: session.operatorName,
            now: SystemClock.unixMilliseconds())
        wait(.mark(node), request, session)
    }

    /// Answers when the job or the node is durable as it is now.
    func wait(
        _ kind: WaitingReply.Kind, _ request: OperatorRequest, _ session: OperatorSession
    ) {
        let change: UInt64
        switch kind {
        case .submit(let job), .cancel(let job): change = leader.change(of: job)
        case .mark(let node): change = leader.change(of: node)
        case .reservation(let name, _): change = leader.change(ofReservation: name)
        }
        let now = SystemClock.monotonicNanoseconds()
        let entry = WaitingReply(
            session: session.number, request: request.id, change: change,
            deadline: now + deadline(of: request), kind: kind)
        if isDurable(entry) { return answer(entry) }
        session.waitingCount += 1
        waiting.append(entry)
    }

    private func isDurable(_ entry: WaitingReply) -> Bool {
        switch entry.kind {
        case .submit(let job), .cancel(let job): leader.isDurable(job, change: entry.change)
        case .mark(let node): leader.isDurable(node, change: entry.change)
        case .reservation(let name, _):
            leader.isDurable(reservation: name, change: entry.change)
        }
    }

    private func deadline(of request: OperatorRequest) -> Int64 {
        request.deadlineMilliseconds == 0
            ? Coordinator.defaultDeadline : Int64(request.deadlineMilliseconds) * 1_000_000
    }

    /// Sends the replies whose commit has been acknowledged.
    func answerDurable() {
        guard !waiting.isEmpty else { return }
        var still: [WaitingReply] = []
        for entry in waiting {
            guard isDurable(entry) else {
                still.append(entry)
                continue
            }
            operators[entry.session]?.waitingCount -= 1
            answer(entry)
        }
        waiting = still
    }

    private func answer(_ entry: WaitingReply) {
        guard let session = operators[entry.session] else { return }
        switch entry.kind {
        case .cancel(let id):
            guard let job = leader.job(id) else { return }
            let reply = CancelReply(job: job.id, state: job.state)
            send(OperatorReply(id: entry.request, body: .cancelled(reply)), session)
        case .mark(let node):
            let reply = MarkReply(
                node: topology.nodes[node.position].name, mark: leader.mark(of: node).mark,
                jobs: leader.jobs(on: node))
            send(OperatorReply(id: entry.request, body: .marked(reply)), session)
        case .reservation(let name, let ended):
            guard let view = ended ?? reservationViews().first(where: { $0.name == name }) else {
                let error = OperatorError(
                    code: .refused, message: "reservation '\(name)' has ended meanwhile")
                return send(OperatorReply(id: entry.request, body: .error(error)), session)
            }
            send(OperatorReply(id: entry.request, body: .reservation(view)), session)
        case .submit(let id):
            guard let job = leader.job(id) else { return }
            let why =
                job.state == .queued
                ? leader.refusal(of: job.id).map {
                    explanation($0, job: job.id, state: job.state)
                } : nil
            let tasks = job.tasks.prefix(Coordinator.pageCount).enumerated().map {
                taskView($0.offset, $0.element)
            }
            let reply = SubmitReply(
                job: job.id, state: job.state, explanation: why, tasks: tasks)
            send(OperatorReply(id: entry.request, body: .submitted(reply)), session)
        }
    }
}
