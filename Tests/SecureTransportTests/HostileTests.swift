// SPDX-License-Identifier: Apache-2.0

// Goal: whoever misbehaves is refused or cut with one clear log line, and others go on unharmed.
// Method: a real listener on the loopback, short limits, one misdeed at a time.

import CertificateAuthority
import NIOCore
import NIOPosix
import SecureTransport
import Synchronization
import TLSEngine
import TLSTestSupport
import Testing

@Suite(.serialized) struct HostileTests {
    // MARK: - Who is refused

    @Test("Members that are not what they should be are refused, with one line each")
    func wrongMembers() async throws {
        let site = try await Site()
        let fleet = site.fleet
        let past = Validity(start: now - 200, end: now - 100)
        let future = Validity(start: now + 1000, end: now + 2000)
        let cases: [(TLSCredentials, ApplicationProtocol, String)] = [
            (
                try TestFleet().credentials(.agentA1, trusting: fleet), .agent,
                "certificate is signed by an unknown authority"
            ),
            (
                try fleet.credentials(.agentA1, validity: past), .agent,
                "certificate has expired"
            ),
            (
                try fleet.credentials(.agentA1, validity: future), .agent,
                "certificate is not yet valid"
            ),
            (
                try fleet.credentials(.agentA1), .operator,
                "spiffe://f/agent/a/n1 is not allowed here: "
                    + "role agent does not speak busbar-operator/1"
            ),
        ]
        for (credentials, spoken, _) in cases {
            let dialer = site.dialer(try TLSContext(credentials), speaking: spoken)
            let reason = await reasonOfEnd(dialer, site.endpoint)
            guard case .tls(.alert) = reason else {
                Issue.record("the peer is not told: \(reason)")
                continue
            }
        }
        try await site.expectService()
        try await site.expectWarnings(cases.map { $0.2 })
        #expect(site.lines.warnings.allSatisfy { $0.message == "connection refused" })
        await site.listener.close()
    }

    private func reasonOfEnd(_ dialer: SecureDialer, _ endpoint: Endpoint) async -> CloseReason {
        do throws(CloseReason) {
            return await (try dialer.connect(to: endpoint)).connection.end()
        } catch {
            return error
        }
    }

    @Test("Strangers with odd certificates, versions or protocols are refused, with one line each")
    func strangers() async throws {
        let site = try await Site()
        let good = try site.fleet.pem(.agentA1)
        var old = Stranger.Look(certificate: good)
        old.isOld = true
        var silentAboutProtocol = Stranger.Look(certificate: good)
        silentAboutProtocol.applicationProtocol = nil
        var foreign = Stranger.Look(certificate: good)
        foreign.applicationProtocol = "h2"
        let two = try site.fleet.pem(.agentA1) { $0.uriNames.append("spiffe://f/operator/eve") }
        let none = try site.fleet.pem(.agentA1) { $0.uriNames = [] }
        let cases: [(Stranger.Look, String)] = [
            (old, "peer does not offer TLS 1.3"),
            (silentAboutProtocol, "no application protocol in common"),
            (foreign, "no application protocol in common"),
            (Stranger.Look(certificate: nil), "peer showed no certificate"),
            (
                Stranger.Look(certificate: two),
                "certificate has no usable identity: 2 URI names instead of one"
            ),
            (
                Stranger.Look(certificate: none),
                "certificate has no usable identity: no URI name"
            ),
        ]
        for (look, _) in cases {
            let socket = try await site.plainSocket()
            let stranger = Stranger(look)
            try await socket.introduce(stranger) { stranger.failure != nil }
            #expect(stranger.failure != nil, "the stranger is not told")
            socket.close()
        }
        try await site.expectService()
        try await site.expectWarnings(cases.map { $0.1 })
        await site.listener.close()
    }

    @Test("Plain text on the port is refused")
    func plainText() async throws {
        let site = try await Site()
        let socket = try await site.plainSocket()
        socket.write(Array("GET /healthz HTTP/1.1\r\nHost: fleet\r\n\r\n".utf8))
        try await eventually { socket.isEnded }
        try await site.expectService()
        try await site.expectWarnings(["peer does not speak TLS"])
        await site.listener.close()
    }

    @Test("A connection that ends before the handshake is one line")
    func earlyEnd() async throws {
        let site = try await Site()
        try await site.plainSocket().close()
        try await site.expectWarnings(["connection ended without a closing message"])
        await site.listener.close()
    }

    // MARK: - Who is cut

    /// Opens a verified connection by hand, so that a test can send any bytes through it.
    private func handMade(_ site: Site) async throws -> (PlainSocket, TLSEngine) {
        let socket = try await site.plainSocket()
        let engine = try TLSEngine(
            context: site.agent, side: .client(.agent), policy: .coordinator(of: "a"))
        try await socket.introduce(engine) { engine.state == .open }
        #expect(engine.state == .open)
        try await eventually { site.listener.connectionCounts.verified == 1 }
        return (socket, engine)
    }

    @Test("A record that is cut off in the middle is a truncation")
    func truncatedRecord() async throws {
        let site = try await Site()
        let (socket, engine) = try await handMade(site)
        engine.send([0, 0, 0, 2, 1, 2])
        socket.write(Array(engine.takeBytes().dropLast(3)))
        socket.close()
        try await site.expectWarnings(["connection ended without a closing message"])
        #expect(site.lines.warnings[0].message == "connection cut")
        #expect(site.lines.warnings[0].peer == "spiffe://f/agent/a/n1")
        try await site.expectService()
        await site.listener.close()
    }

    @Test(
        "A frame that is too long or empty is refused by its length alone",
        arguments: [
            (UInt32.max, "a frame of 4294967295 bytes, more than the 65536 allowed"),
            (65_537, "a frame of 65537 bytes, more than the 65536 allowed"),
            (0, "an empty frame"),
        ])
    func wrongLength(_ length: UInt32, _ reason: String) async throws {
        let site = try await Site()
        let (socket, engine) = try await handMade(site)
        engine.send(ByteBuffer(integer: length).readableBytesView.map { $0 })
        socket.write(engine.takeBytes())
        try await site.expectWarnings([reason])
        try await site.expectService()
        socket.close()
        await site.listener.close()
    }

    @Test("A peer that dribbles a handshake, a record or a frame is cut, however busy it looks")
    func dribble() async throws {
        var limits = TransportLimits()
        limits.handshake = .seconds(3)
        limits.frame = .milliseconds(300)
        let site = try await Site(limits: limits)

        // A byte every 20 ms would take longer than the limits for each of these, and every byte is
        // progress.
        let handshake = try await site.plainSocket()
        let beginner = try TLSEngine(
            context: site.agent, side: .client(.agent), policy: .coordinator(of: "a"))
        beginner.start()
        try await dribble(beginner.takeBytes(), into: handshake)

        let (record, inRecord) = try await handMade(site)
        inRecord.send([0, 0, 0, 200] + [UInt8](repeating: 1, count: 200))
        try await dribble(inRecord.takeBytes(), into: record)
        try await eventually { site.listener.connectionCounts.verified == 0 }

        let (frame, inFrame) = try await handMade(site)
        let bytes: [UInt8] = [0, 0, 0, 200] + [UInt8](repeating: 1, count: 200)
        for byte in bytes where !frame.isEnded {
            inFrame.send([byte])
            frame.write(inFrame.takeBytes())
            // The slowness is what is under test.
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(frame.isEnded)
        try await site.expectWarnings([
            "no handshake in time", "a frame did not end in time", "a frame did not end in time",
        ])
        try await site.expectService()
        await site.listener.close()
    }

    private func dribble(_ bytes: [UInt8], into socket: PlainSocket) async throws {
        for byte in bytes where !socket.isEnded {
            socket.write([byte])
            // The slowness is what is under test.
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(socket.isEnded, "the dribbling was taken to its end")
    }

    @Test("A verified peer that says nothing is cut where silence is limited")
    func silence() async throws {
        var limits = TransportLimits()
        limits.silence[.agent] = .milliseconds(150)
        let site = try await Site(limits: limits)
        let (connection, _) = try await site.dialer().connect(to: site.endpoint)
        #expect(await connection.end() == .closedByPeer)
        try await site.expectWarnings(["no frame for too long"])
        await site.listener.close()
    }

    @Test("A connection does not outlive the peer's certificate")
    func expiryWhileConnected() async throws {
        let site = try await Site()
        let short = try TLSContext(
            try site.fleet.credentials(
                .agentA1, validity: Validity(start: now - 10, end: wallClock() + 4)))
        let (connection, _) = try await site.dialer(short).connect(to: site.endpoint)
        #expect(await connection.end() == .closedByPeer)
        try await site.expectWarnings(["certificate has expired"])
        #expect(site.lines.warnings[0].message == "connection cut")
        await site.listener.close()
    }

    @Test("A peer that never reads is cut, by time or by the bytes that wait")
    func neverReads() async throws {
        final class Flood: FrameReceiver {
            let connection: SecureConnection
            init(_ connection: SecureConnection) { self.connection = connection }
            func received(_ frame: ByteBuffer) {
                let large = ByteBuffer(repeating: 1, count: 60_000)
                let count = Int(frame.getInteger(at: frame.readerIndex, as: UInt16.self) ?? 0)
                for _ in 0..<count { connection.send(large) }
            }
            func closed(_ reason: CloseReason) {}
        }
        var limits = TransportLimits()
        limits.stall = .milliseconds(200)
        limits.farewell = .milliseconds(50)
        limits.backlogByteCount = 32 << 20
        let site = try await Site(limits: limits, makeReceiver: Flood.init)
        for (count, reason) in [
            (500, CloseReason.stalled), (2_000, CloseReason.backlogFull),
        ] {
            let (socket, engine) = try await handMade(site)
            try await socket.setReading(false)
            engine.send([0, 0, 0, 2, UInt8(count >> 8), UInt8(count & 0xff)])
            socket.write(engine.takeBytes())
            try await eventually {
                site.lines.warnings.contains { $0.reason == reason.description }
            }
            try await eventually { site.listener.connectionCounts == (0, 0) }
            socket.close()
        }
        #expect(site.lines.warnings.count == 2)
        await site.listener.close()
    }

    // MARK: - Crowds

    @Test("A thousand silent connections are cut in time, and others are served meanwhile")
    func silentThousand() async throws {
        var limits = TransportLimits()
        limits.handshake = .seconds(4)
        let site = try await Site(limits: limits)
        var sockets: [PlainSocket] = []
        for _ in 0..<1000 { sockets.append(try await site.plainSocket()) }
        try await eventually { site.listener.connectionCounts.handshaking > 0 }
        try await site.expectService()
        try await site.expectWarnings(Array(repeating: "no handshake in time", count: 1000))
        #expect(sockets.allSatisfy { $0.isEnded })
        await site.listener.close()
    }

    @Test("When too many shake hands, the oldest make room for the newest")
    func crowd() async throws {
        let site = try await Site(maximumHandshakeCount: 10)
        var sockets: [PlainSocket] = []
        for _ in 0..<30 { sockets.append(try await site.plainSocket()) }
        try await eventually { site.lines.warnings.count == 20 }
        #expect(site.lines.warnings.allSatisfy { $0.reason == "too many connections" })
        #expect(site.listener.connectionCounts.handshaking <= 10)
        try await site.expectService()
        for socket in sockets { socket.close() }
        await site.listener.close()
    }
}
