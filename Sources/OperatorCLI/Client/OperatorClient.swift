// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import NIOCore
internal import NIOPosix
internal import SecureTransport
internal import Synchronization
internal import TLSEngine
internal import Wire

/// A session with a fleet that outlives its connections.
///
/// Requests go out in the order in which they are posted, as many at once as the caller likes. When
/// a connection is lost the next coordinator is dialled, and what was not answered is sent again in
/// the same order: every request is either a question or carries a number made by the client, so
/// that doing it twice does it once.
final class OperatorClient: Sendable {
    /// What came back.
    struct Answer: Sendable {
        /// The replies to one request, pages in order; at least one.
        var pages: [OperatorReply.Body]
        /// How often the request was sent.
        ///
        /// Above 1 the fleet may have decided on requests in another order than that of posting.
        var sendCount: Int
    }

    typealias Completion = @Sendable (Result<Answer, CommandFailure>) -> Void

    struct Pending {
        var body: OperatorRequest.Body
        var deadlineAt: Int64
        var sendCount = 0
        var pages: [OperatorReply.Body] = []
        /// After an answer that asks to come back later: when to send again.
        var againAt: Int64?
        var completion: Completion
    }

    struct State {
        var nextID: UInt64 = 1
        var pending: [UInt64: Pending] = [:]
        var connection: SecureConnection?
        /// Since when there is no connection.
        var downSince: Int64
        var lastReason: CloseReason?
        var isClosed = false
    }

    /// The pause before a request is sent again that the fleet could not take just now.
    static let retryNanoseconds: Int64 = 200_000_000

    private let address: FleetAddress
    private let dialer: SecureDialer
    /// How long a request waits for a connection, in nanoseconds, before it fails as unavailable.
    private let patienceNanoseconds: Int64
    let state: Mutex<State>
    private let tasks = Mutex<[Task<Void, Never>]>([])

    /// Makes a client; ``open()`` begins to connect.
    ///
    /// - Parameters:
    ///   - address: where the fleet is, and who asks.
    ///   - patience: how long a request waits for a connection.
    /// - Throws: `CommandFailure` when the credentials cannot be used.
    init(_ address: FleetAddress, patience: Duration) throws(CommandFailure) {
        self.address = address
        patienceNanoseconds = patience.nanoseconds
        state = Mutex(State(downSince: steadyNanoseconds()))
        do {
            let context = try TLSContext(TLSCredentials(files: address.credentials))
            dialer = SecureDialer(
                context: context, speaking: .operator, policy: .coordinator(of: nil),
                group: MultiThreadedEventLoopGroup.singleton)
        } catch {
            throw CommandFailure(
                .permission, error.message,
                hint: "check --cert, --key and --ca, or the state directory")
        }
    }

    /// Begins to connect, and to keep connected until ``close()``.
    func open() {
        let (dialer, endpoints) = (dialer, address.endpoints)
        let dialling = Task { [weak self] in
            await dialer.keepConnected(to: endpoints, backoff: Backoff(longest: .seconds(1))) {
                [weak self] _, reason in
                self?.connectionEnded(reason)
            } makeReceiver: { [weak self] connection in
                let receiver = OperatorReceiver(self)
                self?.connected(connection)
                return receiver
            }
        }
        let watching = Task { [weak self] in
            while !Task.isCancelled, let self {
                self.watch(now: steadyNanoseconds())
                do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
            }
        }
        tasks.withLock { $0 = [dialling, watching] }
    }

    /// Ends the session; what is still open fails as unavailable.
    func close() async {
        let connection = state.withLock { state in
            state.isClosed = true
            return state.connection
        }
        connection?.close()
        let tasks = tasks.withLock { tasks in
            defer { tasks = [] }
            return tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        fail(.all, with: CommandFailure(.unavailable, "the session was closed"))
    }

    /// Sends a request; `completion` is called once, on any thread, and must not block.
    func post(
        _ body: OperatorRequest.Body, deadline: Duration, completion: @escaping Completion
    ) {
        let now = steadyNanoseconds()
        let isClosed = state.withLock { state in
            if state.isClosed { return true }
            let id = state.nextID
            state.nextID += 1
            state.pending[id] = Pending(
                body: body, deadlineAt: now + deadline.nanoseconds, completion: completion)
            send(id, &state, now: now)
            return false
        }
        if isClosed {
            completion(.failure(CommandFailure(.unavailable, "the session was closed")))
        }
    }

    /// Sends a request and waits for the answer.
    func request(
        _ body: OperatorRequest.Body, deadline: Duration
    ) async throws(CommandFailure) -> Answer {
        let result = await withCheckedContinuation { continuation in
            post(body, deadline: deadline) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    // MARK: - The connection

    private func connected(_ connection: SecureConnection) {
        let now = steadyNanoseconds()
        state.withLock { state in
            guard !state.isClosed else { return connection.close() }
            state.connection = connection
            for id in state.pending.keys.sorted() { send(id, &state, now: now) }
        }
    }

    private func connectionEnded(_ reason: CloseReason) {
        let now = steadyNanoseconds()
        let isFinal = state.withLock { state in
            if state.connection != nil { state.downSince = now }
            state.connection = nil
            state.lastReason = reason
            for id in state.pending.keys { state.pending[id]?.pages = [] }
            // A certificate that is refused now is refused the next time too.
            // A coordinator that dies in the handshake ends the bytes early; it will be back.
            if case .tls(.truncated) = reason { return false }
            if case .tls = reason { return true }
            return false
        }
        if isFinal { fail(.all, with: address.failure(reason)) }
    }

    /// Sends a request on the connection, if there is one; holds the state's lock.
    private func send(_ id: UInt64, _ state: inout State, now: Int64) {
        guard let connection = state.connection, let pending = state.pending[id] else { return }
        let left = max(1, (pending.deadlineAt - now) / 1_000_000)
        let request = OperatorRequest(
            id: id, deadlineMilliseconds: UInt32(clamping: left), body: pending.body)
        state.pending[id]?.sendCount += 1
        state.pending[id]?.againAt = nil
        state.pending[id]?.pages = []
        connection.send(request.encoded())
    }

    // MARK: - Answers

    /// Takes in a reply; called on the connection's loop.
    func received(_ reply: OperatorReply) {
        let now = steadyNanoseconds()
        let done = state.withLock { state -> (Completion, Result<Answer, CommandFailure>)? in
            guard var pending = state.pending[reply.id] else { return nil }
            if case .error(let error) = reply.body {
                if error.isPassing, now + OperatorClient.retryNanoseconds < pending.deadlineAt {
                    state.pending[reply.id]?.againAt = now + OperatorClient.retryNanoseconds
                    state.pending[reply.id]?.pages = []
                    return nil
                }
                state.pending[reply.id] = nil
                return (pending.completion, .failure(CommandFailure(error)))
            }
            pending.pages.append(reply.body)
            guard reply.isLast else {
                state.pending[reply.id] = pending
                return nil
            }
            state.pending[reply.id] = nil
            let answer = Answer(pages: pending.pages, sendCount: pending.sendCount)
            return (pending.completion, .success(answer))
        }
        if let (completion, result) = done { completion(result) }
    }

    private enum Which {
        case all
        case overdue(Int64)
    }

    private func fail(_ which: Which, with failure: CommandFailure) {
        let failed = state.withLock { state in
            let ids = state.pending.keys.filter { id in
                guard case .overdue(let now) = which else { return true }
                return state.pending[id].map { $0.deadlineAt <= now } ?? false
            }
            return ids.compactMap { state.pending.removeValue(forKey: $0)?.completion }
        }
        for completion in failed { completion(.failure(failure)) }
    }

    /// Sees to requests that are overdue, are to be sent again, or wait in vain for a connection.
    private func watch(now: Int64) {
        let (isDown, reason) = state.withLock { state -> (Bool, CloseReason?) in
            for id in state.pending.keys.sorted() {
                guard let againAt = state.pending[id]?.againAt, againAt <= now else { continue }
                send(id, &state, now: now)
            }
            let isDown =
                state.connection == nil && now - state.downSince > patienceNanoseconds
            return (isDown, state.lastReason)
        }
        if isDown { fail(.all, with: address.failure(reason)) }
        fail(
            .overdue(now),
            with: CommandFailure(
                .timeout, "no answer in time from \(address.text)",
                hint: "try again; a write that was sent is not done twice"))
    }
}

/// Hands the frames of one connection to the client.
private final class OperatorReceiver: FrameReceiver {
    private weak let client: OperatorClient?

    init(_ client: OperatorClient?) { self.client = client }

    func received(_ frame: ByteBuffer) {
        do {
            let reply = try frame.withUnsafeReadableBytes { try OperatorReply.decode($0) }
            client?.received(reply)
        } catch {
            client?.refused("\(error)")
        }
    }

    func closed(_ reason: CloseReason) {}
}

extension OperatorClient {
    /// Ends a connection on which something came that is no reply.
    fileprivate func refused(_ reason: String) {
        state.withLock { $0.connection }?.reject("not a reply: \(reason)")
    }
}

extension Duration {
    /// The whole time in nanoseconds; long ones are cut at the longest that fits.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? Int64.max / 2 : product + attoseconds / 1_000_000_000
    }
}

extension OperatorError {
    /// Whether the same request may be taken a moment later.
    fileprivate var isPassing: Bool {
        switch code {
        case .unavailable, .overloaded, .timeout: true
        default: false
        }
    }
}

extension CommandFailure {
    /// What the fleet said, as the command's own failure.
    init(_ error: OperatorError) {
        let status: ExitStatus =
            switch error.code {
            case .unspecified: .negative
            case .invalid: .usage
            case .refused: .refused
            case .notFound: .notFound
            case .permission: .permission
            case .unavailable, .overloaded: .unavailable
            case .timeout: .timeout
            }
        self.init(status, error.message, hint: error.hint.isEmpty ? nil : error.hint)
    }
}
