// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Glibc
internal import NIOCore
internal import SecureTransport
internal import TLSEngine
internal import Wire

/// The receiving end of the reports' benchmark: a site's power loop, as a coordinator has it.
///
/// **Isolation:** one event loop.
final class ReportSink {
    /// The clocks and counts at one moment.
    struct Reading: Sendable {
        var nanoseconds: Int64
        /// What this thread has been busy for, in the kernel and outside.
        var busyNanoseconds: Int64
        var reportCount: Int
        var fault: String?
    }

    private var site: SitePowerLoop
    private var arena = WireArena()
    private var scratch = TelemetryReport(gpuCount: 0)
    private var reportCount = 0
    private var fault: String?
    private let nodes: [String: NodeIndex]

    init(_ topology: Topology) {
        site = SitePowerLoop(topology: topology, site: SiteIndex(0))
        nodes = Dictionary(
            uniqueKeysWithValues: topology.nodes.enumerated().map { ($1.name, NodeIndex($0)) })
    }

    /// The node that a peer speaks for.
    func node(of peer: SpiffeIdentity) -> NodeIndex? {
        guard case .agent(_, let name) = peer.role else { return nil }
        return nodes[name]
    }

    /// Takes in a frame of a node.
    func received(_ frame: ByteBuffer, from node: NodeIndex) {
        do {
            let received = try frame.withUnsafeReadableBytes { bytes in
                try AgentMessage.decode(bytes.bytes, report: &scratch, arena: &arena)
            }
            guard received == .report,
                site.reportReceived(scratch, from: node, now: steadyNanoseconds())
            else { return fault = "not a report of the node" }
            reportCount += 1
        } catch {
            fault = "\(error)"
        }
    }

    /// Reads clocks and counts; on the loop, for the thread's own clock is one of them.
    func reading() -> Reading {
        var busy = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &busy)
        return Reading(
            nanoseconds: steadyNanoseconds(),
            busyNanoseconds: Int64(busy.tv_sec) * 1_000_000_000 + Int64(busy.tv_nsec),
            reportCount: reportCount, fault: fault)
    }
}

/// One agent's session at the receiving end.
final class ReportSession: FrameReceiver {
    private let sink: ReportSink
    private let node: NodeIndex?

    init(_ connection: SecureConnection, _ sink: ReportSink) {
        self.sink = sink
        node = sink.node(of: connection.peer)
        if node == nil { connection.reject("not a node of the benchmark") }
    }

    func received(_ frame: ByteBuffer) {
        if let node { sink.received(frame, from: node) }
    }

    func closed(_ reason: CloseReason) {}
}
