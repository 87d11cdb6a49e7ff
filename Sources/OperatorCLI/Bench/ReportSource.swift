// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Foundation
internal import Glibc
internal import NIOPosix
internal import Synchronization
internal import TLSEngine
internal import Wire

/// The sending end of the reports' benchmark: agents on blocking sockets, all on one thread.
///
/// It does as little as it can for each report, so that the receiving end is what is measured: the
/// frames are made beforehand, encrypted one by one, and written one by one, in turns.
final class ReportSource: Sendable {
    private struct Agents: ~Copyable {
        var sessions: [Session] = []
    }

    /// The bytes of one frame, its length included.
    let frameByteCount: Int

    private let port: Int
    private let agents: [TLSCredentials]
    private let frames: [[UInt8]]
    private let state = Mutex(Agents())
    private let isStopping = Atomic(false)
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let sending = Mutex<Task<Void, any Error>?>(nil)

    init(port: Int, agents: [TLSCredentials], gpuCount: Int) {
        self.port = port
        self.agents = agents
        let bodies = (0..<16).map { Self.frame(gpuCount: gpuCount, variant: $0) }
        frames = bodies
        frameByteCount = bodies[0].count
        thread.start()
    }

    /// Opens every session; one handshake after the other.
    func connect() async throws {
        try await thread.runIfActive {
            for credentials in self.agents {
                let port = self.port
                try self.state.withLock { agents in
                    agents.sessions.append(try Session(TLSContext(credentials), port: port))
                }
            }
        }
    }

    /// Begins to send, as fast as the other end takes it.
    func start() {
        sending.withLock { task in
            task = Task { try await thread.runIfActive { try self.sendAll() } }
        }
    }

    /// Ends it, and every session.
    func stop() async throws {
        isStopping.store(true, ordering: .relaxed)
        let task = sending.withLock { $0 }
        try await task?.value
        state.withLock { $0.sessions = [] }
        try await thread.shutdownGracefully()
    }

    private func sendAll() throws {
        try state.withLock { agents in
            var turn = 0
            while !isStopping.load(ordering: .relaxed) {
                for session in agents.sessions {
                    try session.send(frames[turn & 15])
                    turn &+= 1
                }
            }
        }
    }

    /// A report of GPUs that all work, a little different in each variant.
    private static func frame(gpuCount: Int, variant: Int) -> [UInt8] {
        var report = TelemetryReport(
            gpuCount: gpuCount, sequence: UInt64(1000 + variant),
            sampledNanoseconds: 1_000_000_000_000)
        let all = ValidityBitmap(bits: gpuCount == 64 ? .max : (1 << UInt64(gpuCount)) - 1)
        for gpu in 0..<gpuCount {
            report.drawMilliwatts[gpu] = UInt32(500_000 + 1_000 * variant + gpu)
            report.requestedCapMilliwatts[gpu] = 600_000
            report.enforcedCapMilliwatts[gpu] = 600_000
            report.temperatureMillidegrees[gpu] = UInt32(60_000 + gpu)
            report.utilizationPPM[gpu] = 900_000
        }
        report.drawValidity = all
        report.requestedCapValidity = all
        report.enforcedCapValidity = all
        report.temperatureValidity = all
        report.utilizationValidity = all
        let body = AgentMessage.report(report).encoded()
        return withUnsafeBytes(of: UInt32(body.count).bigEndian, Array.init) + body
    }
}

/// One agent's session at the sending end.
private final class Session {
    private let socket: Int32
    private let engine: TLSEngine

    init(_ context: TLSContext, port: Int) throws {
        engine = try TLSEngine(
            context: context, side: .client(.agent), policy: .coordinator(of: "site"))
        socket = try Self.connect(port)
        engine.start()
        try flush()
        var ciphertext = [UInt8](repeating: 0, count: 8192)
        var plaintext = [UInt8](
            repeating: 0, count: TLSEngine.plaintextCapacity(for: ciphertext.count))
        while engine.state == .handshaking {
            let count = read(socket, &ciphertext, ciphertext.count)
            guard count > 0 else { throw Self.failure("the handshake ended") }
            _ = ciphertext[..<count].withUnsafeBytes { bytes in
                plaintext.withUnsafeMutableBytes { engine.receive(bytes, into: $0) }
            }
            try flush()
        }
        guard engine.state == .open else { throw Self.failure("\(engine.state)") }
    }

    deinit { close(socket) }

    func send(_ frame: [UInt8]) throws {
        frame.withUnsafeBytes { engine.send($0) }
        try flush()
    }

    private func flush() throws {
        var isWritten = true
        engine.takeOutbound { bytes in
            var done = 0
            while done < bytes.count {
                let count = write(socket, bytes.baseAddress! + done, bytes.count - done)
                guard count > 0 else {
                    isWritten = false
                    return
                }
                done += count
            }
        }
        guard isWritten else { throw Self.failure(String(cString: strerror(errno))) }
    }

    private static func connect(_ port: Int) throws -> Int32 {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw failure(String(cString: strerror(errno))) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw failure(String(cString: strerror(errno)))
        }
        var one: Int32 = 1
        setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        return descriptor
    }

    private static func failure(_ text: String) -> CommandFailure {
        CommandFailure(.unavailable, "an agent of the benchmark: \(text)")
    }
}
