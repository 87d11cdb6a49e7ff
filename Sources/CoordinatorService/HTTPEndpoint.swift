// SPDX-License-Identifier: Apache-2.0

internal import MetricsText
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import SecureTransport

/// What the HTTP endpoint asks the coordinator; called on the coordinator's event loop.
struct HTTPContent: Sendable {
    /// Whether the coordinator serves, and one line that says so.
    var health: @Sendable () -> (isHealthy: Bool, text: String)
    /// The page of metrics.
    var metrics: @Sendable () -> [UInt8]
}

/// The plain HTTP endpoint: `/healthz` and `/metrics`, for probes on the same machine.
enum HTTPEndpoint {
    /// Starts to listen on the coordinator's own event loop.
    ///
    /// - Returns: the listening channel; its local address has the port.
    static func start(
        at endpoint: Endpoint, on loop: any EventLoop, content: HTTPContent
    ) async throws -> any Channel {
        try await ServerBootstrap(group: loop)
            .serverChannelOption(ChannelOptions.backlog, value: 64)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
                    try pipeline.addHandler(
                        IdleStateHandler(allTimeout: HTTPEndpoint.idleTime))
                    try pipeline.addHandler(HTTPRequestHandler(content: content))
                }
            }
            .bind(host: endpoint.host, port: endpoint.port)
            .get()
    }

    /// A connection without a complete request or answer for this long is closed.
    private static let idleTime = TimeAmount.seconds(10)
}

/// Answers the requests of one HTTP connection.
private final class HTTPRequestHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let content: HTTPContent
    private var head: HTTPRequestHead?

    init(content: HTTPContent) { self.content = content }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
        case .body:
            break
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context: context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        let isHead = head.method == .HEAD
        guard head.method == .GET || isHead else {
            return send(.methodNotAllowed, "text/plain", Array("only GET\n".utf8), head, context)
        }
        let path = head.uri.split(separator: "?", maxSplits: 1).first.map(String.init) ?? "/"
        switch path {
        case "/healthz":
            let health = content.health()
            send(
                health.isHealthy ? .ok : .serviceUnavailable, "text/plain; charset=utf-8",
                Array((health.text + "\n").utf8), head, context)
        case "/metrics":
            send(.ok, MetricsText.contentType, content.metrics(), head, context)
        default:
            send(
                .notFound, "text/plain", Array("there are /healthz and /metrics\n".utf8), head,
                context)
        }
    }

    private func send(
        _ status: HTTPResponseStatus, _ type: String, _ body: [UInt8], _ request: HTTPRequestHead,
        _ context: ChannelHandlerContext
    ) {
        var headers = HTTPHeaders()
        headers.add(name: "content-type", value: type)
        headers.add(name: "content-length", value: "\(body.count)")
        headers.add(name: "cache-control", value: "no-store")
        let head = HTTPResponseHead(version: request.version, status: status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            let buffer = context.channel.allocator.buffer(bytes: body)
            context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        if !request.isKeepAlive { context.close(promise: nil) }
    }
}
