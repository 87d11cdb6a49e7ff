// SPDX-License-Identifier: Apache-2.0

import Logging
import NIOCore
import NIOPosix
import SecureTransport
import Synchronization
import TLSEngine
import TLSTestSupport
import Testing

/// Keeps the lines of a logger.
final class LogLines: Sendable {
    struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var reason: String
        var peer: String?
    }

    private let lines = Mutex<[Line]>([])

    func append(_ line: Line) { lines.withLock { $0.append(line) } }

    /// The lines that an operator sees.
    var warnings: [Line] { lines.withLock { $0.filter { $0.level >= .warning } } }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let metadata = event.metadata ?? [:]
            lines.append(
                Line(
                    level: event.level, message: "\(event.message)",
                    reason: metadata["reason"].map { "\($0)" } ?? "",
                    peer: metadata["peer"].map { "\($0)" }))
        }
    }
}

/// Sends every frame back.
final class Echo: FrameReceiver {
    private let connection: SecureConnection

    init(_ connection: SecureConnection) { self.connection = connection }

    func received(_ frame: ByteBuffer) { connection.send(frame) }

    func closed(_ reason: CloseReason) {}
}

/// A listener that echoes, and what it takes to dial it.
struct Site {
    let fleet: TestFleet
    let listener: SecureListener
    let lines = LogLines()
    let group: any EventLoopGroup
    let agent: TLSContext

    init(
        limits: TransportLimits = TransportLimits(), maximumHandshakeCount: Int = 4096,
        makeReceiver: @escaping @Sendable (SecureConnection) -> any FrameReceiver = Echo.init
    ) async throws {
        fleet = try TestFleet()
        group = NIOSingletons.posixEventLoopGroup
        agent = try TLSContext(try fleet.credentials(.agentA1))
        var configuration = SecureListener.Configuration(
            endpoint: Endpoint(host: "127.0.0.1", port: 0), protocols: [.agent, .peer, .operator])
        configuration.limits = limits
        configuration.maximumHandshakeCount = maximumHandshakeCount
        listener = try await SecureListener.open(
            configuration, context: try TLSContext(try fleet.credentials(.coordinatorA)),
            group: group, logger: lines.logger, makeReceiver: makeReceiver)
    }

    var endpoint: Endpoint { Endpoint(host: "127.0.0.1", port: listener.port) }

    func dialer(
        _ context: TLSContext? = nil, speaking: ApplicationProtocol = .agent
    ) -> SecureDialer {
        SecureDialer(
            context: context ?? agent, speaking: speaking, policy: .coordinator(of: "a"),
            group: group)
    }

    /// Sends a frame and expects it back: the site is alive and well.
    func expectService() async throws {
        let (connection, frames) = try await dialer().connect(to: endpoint)
        connection.send(Array("are you there".utf8))
        var iterator = frames.makeAsyncIterator()
        let answer = try await iterator.next()
        #expect(answer == ByteBuffer(string: "are you there"))
        connection.close()
        _ = await connection.end()
    }

    /// Waits for warnings and for every connection to be gone, and expects exactly these reasons.
    func expectWarnings(_ reasons: [String]) async throws {
        try await eventually { lines.warnings.count >= reasons.count }
        try await eventually { listener.connectionCounts == (0, 0) }
        #expect(lines.warnings.map(\.reason).sorted() == reasons.sorted())
    }

    /// Connects a plain socket, which a test then speaks through.
    func plainSocket() async throws -> PlainSocket {
        try await PlainSocket(endpoint, group)
    }
}

/// Waits for a condition, thirty seconds at most.
func eventually(
    _ what: String = "condition", _ condition: () async throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        try #require(
            ContinuousClock.now < deadline, "\(what) was not met in time",
            sourceLocation: sourceLocation)
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// A TCP connection without TLS.
final class PlainSocket: Sendable {
    private let channel: any Channel
    private let bytes: Collector

    final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let bytes = Mutex<[UInt8]>([])
        let ended = Mutex(false)

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            bytes.withLock { $0 += Array(buffer.readableBytesView) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { ended.withLock { $0 = true } }
    }

    init(_ endpoint: Endpoint, _ group: any EventLoopGroup) async throws {
        let collector = Collector()
        bytes = collector
        channel = try await ClientBootstrap(group: group)
            .channelInitializer { $0.pipeline.addHandler(collector) }
            .connect(host: endpoint.host, port: endpoint.port).get()
    }

    func write(_ bytes: [UInt8]) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    func takeBytes() -> [UInt8] {
        bytes.bytes.withLock { bytes in
            defer { bytes = [] }
            return bytes
        }
    }

    var isEnded: Bool { bytes.ended.withLock { $0 } }

    func setReading(_ isReading: Bool) async throws {
        try await channel.setOption(.autoRead, value: isReading).get()
    }

    func close() { channel.close(promise: nil) }

    /// Lets a client speak through the socket until the handshake is done or fails.
    func introduce(_ party: some TLSParty, until done: () -> Bool) async throws {
        party.start()
        write(party.takeBytes())
        try await eventually("handshake") {
            // In this order: what came before the end is looked at before the end is.
            let ended = isEnded
            let more = takeBytes()
            if !more.isEmpty { _ = party.take(in: more, pieces: .max) }
            if party.hasBytes { write(party.takeBytes()) }
            return done() || ended
        }
    }
}
