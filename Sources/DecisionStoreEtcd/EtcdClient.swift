// SPDX-License-Identifier: Apache-2.0

internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
internal import Synchronization

/// The connections to the members of one cluster, and single calls on them.
///
/// One call goes to one member, once: whether it may be made again is for the caller to know. The
/// transport takes messages of up to 4 MiB; a larger one is ``EtcdFailure/tooLarge(_:)``.
final class EtcdClient: Sendable {
    typealias Transport = HTTP2ClientTransport.Posix

    private let options: EtcdOptions
    private let state: Mutex<State>

    private struct State {
        var members: [Member?]
        /// The member that calls go to.
        var current = 0
        var isClosed = false
        /// When the files of the credentials were last changed.
        var credentialsStamp: String
    }

    /// The connection to one member.
    private struct Member {
        var client: GRPCClient<Transport>
        var run: Task<Void, Never>
    }

    init(_ options: EtcdOptions) {
        precondition(!options.endpoints.isEmpty, "no endpoint of etcd")
        self.options = options
        state = Mutex(
            State(
                members: Array(repeating: nil, count: options.endpoints.count),
                credentialsStamp: EtcdCredentials.stamp(options.credentials)))
    }

    /// How many members are known.
    var memberCount: Int { options.endpoints.count }

    /// The member that calls go to.
    var currentMember: Int { state.withLock { $0.current } }

    /// Turns to the next member, unless another call has done so since `member` was asked.
    func turn(from member: Int) {
        state.withLock { state in
            if state.current == member {
                state.current = (member + 1) % options.endpoints.count
            }
        }
    }

    /// Makes one call.
    ///
    /// `member` is the position of the one to ask; after `timeout` the outcome is unknown.
    ///
    /// - Throws: ``EtcdFailure``.
    func call<Request: EtcdRequest, Response: EtcdResponse>(
        _ method: EtcdMethod, _ request: Request, returning: Response.Type, member: Int,
        timeout: Duration? = nil
    ) async throws(EtcdFailure) -> Response {
        let client = try client(of: member)
        var call = CallOptions.defaults
        call.timeout = timeout ?? options.callTimeout
        do {
            return try await client.unary(
                request: ClientRequest(message: request, metadata: method.metadata),
                descriptor: method.descriptor, serializer: EtcdSerializer<Request>(),
                deserializer: EtcdDeserializer<Response>(), options: call
            ) { try $0.message }
        } catch {
            throw EtcdFailure(error)
        }
    }

    /// Opens a stream that sends requests as `send` makes them and hands each response to `receive`,
    /// until either throws or etcd ends it.
    ///
    /// - Throws: ``EtcdFailure``; it also returns normally when etcd has ended the stream.
    func stream<Request: EtcdRequest, Response: EtcdResponse>(
        _ method: EtcdMethod, member: Int,
        send: @escaping @Sendable (RPCWriter<Request>) async throws -> Void,
        receive: @escaping @Sendable (Response) async throws -> Void
    ) async throws(EtcdFailure) {
        let client = try client(of: member)
        do {
            try await client.bidirectionalStreaming(
                request: StreamingClientRequest(metadata: method.metadata, producer: send),
                descriptor: method.descriptor, serializer: EtcdSerializer<Request>(),
                deserializer: EtcdDeserializer<Response>(), options: .defaults
            ) { response in
                for try await message in response.messages { try await receive(message) }
            }
        } catch {
            throw EtcdFailure(error)
        }
    }

    /// Ends all calls and connections.
    func close() async {
        let members = state.withLock { state in
            state.isClosed = true
            let members = state.members.compactMap(\.self)
            state.members = []
            return members
        }
        for member in members {
            member.client.beginGracefulShutdown()
            member.run.cancel()
        }
        for member in members { await member.run.value }
    }

    /// Makes new connections when the files of the credentials have changed; calls under way end on
    /// the old ones.
    func renewCredentials() {
        let stamp = EtcdCredentials.stamp(options.credentials)
        let old = state.withLock { state -> [Member] in
            guard !state.isClosed, stamp != state.credentialsStamp else { return [] }
            state.credentialsStamp = stamp
            let old = state.members.compactMap(\.self)
            state.members = Array(repeating: nil, count: options.endpoints.count)
            return old
        }
        if old.isEmpty { return }
        options.log.info("etcd: the credentials have changed, connecting anew")
        for member in old { member.client.beginGracefulShutdown() }
    }

    // MARK: - Connections

    private func client(of member: Int) throws(EtcdFailure) -> GRPCClient<Transport> {
        let found: Result<GRPCClient<Transport>, EtcdFailure> = state.withLock { state in
            if state.isClosed { return .failure(.notApplied("the store is closed")) }
            if let open = state.members[member] { return .success(open.client) }
            do {
                let client = GRPCClient(transport: try makeTransport(options.endpoints[member]))
                let log = options.log
                let run = Task {
                    do {
                        try await client.runConnections()
                    } catch is CancellationError {
                        // Closed: nobody waits for it.
                    } catch {
                        log.debug("etcd: a connection ended", metadata: ["reason": "\(error)"])
                    }
                }
                state.members[member] = Member(client: client, run: run)
                return .success(client)
            } catch {
                return .failure(.notApplied("\(error)"))
            }
        }
        return try found.get()
    }

    private func makeTransport(_ endpoint: EtcdOptions.Endpoint) throws -> Transport {
        let security: Transport.TransportSecurity =
            options.credentials.map { .tls(EtcdCredentials.tls($0)) } ?? .plaintext
        let configuration = Transport.Config.defaults { configuration in
            configuration.backoff.initial = .milliseconds(100)
            configuration.backoff.max = .seconds(1)
            // etcd punishes pings more often than every 5 s.
            configuration.connection.keepalive = .init(
                time: .seconds(10), timeout: .seconds(5), allowWithoutCalls: false)
            configuration.connection.flushCoalescing = nil
        }
        func make(_ target: some ResolvableTarget) throws -> Transport {
            try Transport(target: target, transportSecurity: security, config: configuration)
        }
        // An address is verified as an address: it must not be sent as the server's name.
        if endpoint.host.contains(":") {
            return try make(.ipv6(address: endpoint.host, port: endpoint.port))
        }
        if EtcdCredentials.isIPv4(endpoint.host) {
            return try make(.ipv4(address: endpoint.host, port: endpoint.port))
        }
        return try make(.dns(host: endpoint.host, port: endpoint.port))
    }
}

/// A method of etcd's services.
struct EtcdMethod: Sendable {
    var descriptor: MethodDescriptor
    /// A member without a leader refuses the call, and ends the stream, instead of hanging.
    var metadata: Metadata = ["hasleader": "true"]

    private init(_ service: String, _ method: String) {
        descriptor = MethodDescriptor(
            fullyQualifiedService: "etcdserverpb." + service, method: method)
    }

    static let range = EtcdMethod("KV", "Range")
    static let transaction = EtcdMethod("KV", "Txn")
    static let compact = EtcdMethod("KV", "Compact")
    static let watch = EtcdMethod("Watch", "Watch")
    static let leaseGrant = EtcdMethod("Lease", "LeaseGrant")
    static let leaseRevoke = EtcdMethod("Lease", "LeaseRevoke")
    static let leaseKeepAlive = EtcdMethod("Lease", "LeaseKeepAlive")
    static let status = EtcdMethod("Maintenance", "Status")
    static let alarm = EtcdMethod("Maintenance", "Alarm")
}
