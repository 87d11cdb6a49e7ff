// SPDX-License-Identifier: Apache-2.0

import FleetModel
import NIOCore
import SecureTransport
import Synchronization
import TLSEngine
import Testing
import Wire

/// An operator's client that keeps every reply.
final class TestClient: FrameReceiver, Sendable {
    private struct State {
        var nextID: UInt64 = 1
        var replies: [UInt64: [OperatorReply]] = [:]
        var closed: CloseReason?
    }

    private let state = Mutex(State())
    private let connection: SecureConnection

    private init(_ connection: SecureConnection) { self.connection = connection }

    static func connect(
        files: TLSCredentials.Files, port: Int, group: any EventLoopGroup
    ) async throws -> TestClient {
        let dialer = SecureDialer(
            context: try TLSContext(files: files), speaking: .operator,
            policy: .coordinator(of: nil), group: group)
        let made = Mutex<TestClient?>(nil)
        _ = try await dialer.connect(to: Endpoint(host: "127.0.0.1", port: port)) { connection in
            let client = TestClient(connection)
            made.withLock { $0 = client }
            return client
        }
        guard let client = made.withLock({ $0 }) else { throw CloseReason.lost("no receiver") }
        return client
    }

    var closedReason: CloseReason? { state.withLock { $0.closed } }

    /// Sends a request and goes on.
    @discardableResult
    func send(_ body: OperatorRequest.Body, deadline: UInt32 = 0) -> UInt64 {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
        connection.send(
            OperatorRequest(id: id, deadlineMilliseconds: deadline, body: body).encoded())
        return id
    }

    func send(bytes: [UInt8]) { connection.send(bytes) }

    /// The replies to a request so far.
    func replies(to id: UInt64) -> [OperatorReply] { state.withLock { $0.replies[id] ?? [] } }

    /// Sends a request and waits for its last reply.
    func ask(_ body: OperatorRequest.Body, deadline: UInt32 = 0) async throws -> [OperatorReply] {
        let id = send(body, deadline: deadline)
        let isAnswered = await wait { self.replies(to: id).last?.isLast == true }
        try #require(isAnswered, "no answer to \(body)")
        return replies(to: id)
    }

    /// Submits a job and waits for the answer.
    func submit(
        _ spec: JobSpec, request: RandomID, nowOrNever: Bool = false
    ) async throws -> SubmitReply {
        let replies = try await ask(
            .submitJob(SubmitJob(requestID: request, spec: spec, isNowOrNever: nowOrNever)))
        switch replies[0].body {
        case .submitted(let reply): return reply
        case .error(let error): throw error
        default:
            Issue.record("a submit was answered with \(replies[0].body)")
            throw CloseReason.lost("unexpected answer")
        }
    }

    func cancel(_ job: JobID) async throws -> CancelReply {
        let replies = try await ask(
            .cancelJob(requestID: RandomID(high: 3, low: job.rawValue), job: "\(job)"))
        switch replies[0].body {
        case .cancelled(let reply): return reply
        case .error(let error): throw error
        default:
            Issue.record("a cancel was answered with \(replies[0].body)")
            throw CloseReason.lost("unexpected answer")
        }
    }

    func status() async throws -> FleetStatus {
        let replies = try await ask(.getStatus)
        guard case .status(let status) = replies[0].body else {
            throw CloseReason.lost("unexpected answer \(replies[0].body)")
        }
        return status
    }

    func jobs(_ filter: JobFilter = .all) async throws -> [JobView] {
        try await ask(.listJobs(filter, after: JobID(0), limit: 0)).flatMap { reply in
            if case .jobs(let jobs) = reply.body { return jobs }
            return []
        }
    }

    func job(_ id: JobID) async throws -> JobView {
        try #require(try await jobs().first { $0.id == id })
    }

    func events() async throws -> [EventView] {
        try await ask(.listEvents(afterRevision: 0, limit: 0)).flatMap { reply in
            if case .events(let events) = reply.body { return events }
            return []
        }
    }

    /// Waits until a job is in a state.
    func waitFor(_ job: JobID, _ state: JobState) async throws {
        let isThere = try await wait {
            try await self.job(job).state == state
        }
        #expect(isThere, "\(job) is not \(state.rawValue)")
    }

    /// Waits until every node has left commissioning.
    func waitUntilCommissioned() async throws {
        let isThere = try await wait {
            let status = try await self.status()
            return !status.isCommissioning && status.liveNodeCount == status.nodeCount
        }
        #expect(isThere, "the fleet stays in commissioning")
    }

    func received(_ frame: ByteBuffer) {
        do {
            let reply = try OperatorReply.decode(Array(frame.readableBytesView))
            state.withLock { $0.replies[reply.id, default: []].append(reply) }
        } catch {
            connection.reject("\(error)")
        }
    }

    func closed(_ reason: CloseReason) { state.withLock { $0.closed = reason } }
}
