// SPDX-License-Identifier: Apache-2.0

internal import CertificateAuthority
internal import Configuration
internal import FleetModel
internal import Foundation
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import SecureTransport
internal import TLSEngine

/// Measures the reports that one thread takes in over TLS.
struct ReportsBenchmark {
    /// What was measured.
    struct Result {
        var sessionCount: Int
        var gpuCount: Int
        var frameByteCount: Int
        /// The time of the measurement, and what of it the receiving thread was busy.
        var seconds: Double
        var busySeconds: Double
        var reportCount: Int
        /// What the receiving thread was busy for, for all handshakes together.
        var handshakeBusySeconds: Double
    }

    /// The bytes and sockets need some time to get going.
    private static let warmUp = Duration.milliseconds(500)

    let sessionCount: Int
    let gpuCount: Int
    let measured: Duration

    init(sessionCount: Int, gpuCount: Int, measuring measured: Duration) {
        self.sessionCount = sessionCount
        self.gpuCount = gpuCount
        self.measured = measured
    }

    /// Runs the measurement.
    ///
    /// - Returns: what was measured.
    /// - Throws: `CommandFailure` when it could not be made.
    func run() async throws(CommandFailure) -> Result {
        do {
            return try await measure()
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.unavailable, "the benchmark could not be run: \(error)")
        }
    }

    private func measure() async throws -> Result {
        let topology = try makeTopology()
        let credentials = try makeCredentials(topology)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let sink = try await loop.submit {
            NIOLoopBound(ReportSink(topology), eventLoop: loop)
        }.get()
        let listener = try await SecureListener.open(
            SecureListener.Configuration(
                endpoint: Endpoint(host: "127.0.0.1", port: 0), protocols: [.agent]),
            context: try TLSContext(credentials.coordinator), group: loop,
            logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        ) { connection in
            ReportSession(connection, sink.value)
        }
        let source = ReportSource(
            port: listener.port, agents: credentials.agents, gpuCount: gpuCount)
        let beforeHandshakes = try await reading(sink, loop)
        try await source.connect()
        let afterHandshakes = try await reading(sink, loop)
        source.start()
        try await Task.sleep(for: Self.warmUp)
        let first = try await reading(sink, loop)
        try await Task.sleep(for: measured)
        let last = try await reading(sink, loop)
        try await source.stop()
        await listener.close()
        try await group.shutdownGracefully()
        if let fault = last.fault { throw CommandFailure(.negative, "a report failed: \(fault)") }
        return Result(
            sessionCount: sessionCount, gpuCount: gpuCount,
            frameByteCount: source.frameByteCount,
            seconds: Double(last.nanoseconds - first.nanoseconds) / 1e9,
            busySeconds: Double(last.busyNanoseconds - first.busyNanoseconds) / 1e9,
            reportCount: last.reportCount - first.reportCount,
            handshakeBusySeconds: Double(
                afterHandshakes.busyNanoseconds - beforeHandshakes.busyNanoseconds) / 1e9)
    }

    private func reading(
        _ sink: NIOLoopBound<ReportSink>, _ loop: any EventLoop
    ) async throws -> ReportSink.Reading {
        try await loop.submit { sink.value.reading() }.get()
    }

    // MARK: - A fleet to report for

    private func makeTopology() throws -> Topology {
        let watts = 1000 * gpuCount
        let text = """
            fleet: bench
            node_types:
              - {name: server, model: H100-SXM, gpus: \(gpuCount), cpus: 64, memory: 1 TiB, \
            fallback: \(300 * gpuCount) W, class: S}
            sites:
              - name: site
                limit: \(watts * sessionCount) W
                overhead: 0 W
                nodes:
                  - {names: "n[1-\(sessionCount)]", type: server}
            """
        return try FleetFile.parse(Array(text.utf8), name: "bench").topology
    }

    private struct Credentials {
        var coordinator: TLSCredentials
        var agents: [TLSCredentials]
    }

    private func makeCredentials(_ topology: Topology) throws -> Credentials {
        let validity = Validity.days(1, from: Int64(Date().timeIntervalSince1970))
        let authority = try FleetAuthority(fleet: topology.fleetName, validity: validity)
        func issue(_ role: SpiffeIdentity.Role) throws -> TLSCredentials {
            let issued = try authority.issue(
                SpiffeIdentity(fleet: topology.fleetName, role: role), validity: validity)
            return try TLSCredentials(
                chainPEM: Array(issued.certificatePEM.utf8), keyPEM: Array(issued.keyPEM.utf8),
                authorityPEM: Array(authority.certificatePEM.utf8))
        }
        return Credentials(
            coordinator: try issue(.coordinator(site: "site", name: "coordinator")),
            agents: try topology.nodes.map { try issue(.agent(site: "site", node: $0.name)) })
    }
}

extension ReportsBenchmark.Result {
    /// Reports for each second of a core's time: what one core takes in when it does nothing else.
    var reportsPerSecond: Double { Double(reportCount) / max(busySeconds, 1e-9) }
    /// Reports a second by the clock on the wall: less, where the sending end is the slower one or
    /// other programs run.
    var deliveredPerSecond: Double { Double(reportCount) / seconds }
    /// Handshakes for each second of a core's time.
    var handshakesPerSecond: Double {
        Double(sessionCount) / max(handshakeBusySeconds, 1e-9)
    }

    /// The lines that a person reads.
    var text: String {
        """
        sessions          \(sessionCount), \(gpuCount) GPUs each, frames of \(frameByteCount) bytes
        one core takes in \(Int(reportsPerSecond)) reports/s
        delivered         \(Int(deliveredPerSecond)) reports/s over \(Int(seconds.rounded())) s, \
        the receiving thread \(Int(100 * busySeconds / seconds)) % busy
        handshakes        \(Int(handshakesPerSecond))/s on one core
        """
    }

    /// The document for programs.
    var json: JSONValue {
        .object([
            ("sessions", .integer(Int64(sessionCount))),
            ("gpus_per_report", .integer(Int64(gpuCount))),
            ("frame_bytes", .integer(Int64(frameByteCount))),
            ("seconds", .number(seconds)), ("reports", .integer(Int64(reportCount))),
            ("reports_per_second", .number(reportsPerSecond.rounded())),
            ("busy_seconds", .number(busySeconds)),
            ("delivered_per_second", .number(deliveredPerSecond.rounded())),
            ("handshakes_per_second", .number(handshakesPerSecond.rounded())),
        ])
    }
}
