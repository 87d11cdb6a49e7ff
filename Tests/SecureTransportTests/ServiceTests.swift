// SPDX-License-Identifier: Apache-2.0

// Goal: frames travel both ways between verified peers, whatever their number and size.
// Method: a real listener and dialers on the loopback.

import CertificateAuthority
import Foundation
import NIOCore
import NIOPosix
import SecureTransport
import Synchronization
import TLSEngine
import TLSTestSupport
import Testing

@Suite struct ServiceTests {
    @Test("Frames of every size come back as they were sent, in order")
    func echo() async throws {
        let site = try await Site()
        let (connection, frames) = try await site.dialer().connect(to: site.endpoint)
        #expect(connection.peer.uri == "spiffe://f/coordinator/a/c1")
        #expect(connection.applicationProtocol == .agent)
        let limit = ApplicationProtocol.agent.maximumFrameByteCount
        let sizes = [1, 2, 3, 255, 4096, 16_380, 16_384, 16_385, 40_000, limit]
        for (number, size) in sizes.enumerated() {
            connection.send([UInt8](repeating: UInt8(number), count: size))
        }
        var iterator = frames.makeAsyncIterator()
        for (number, size) in sizes.enumerated() {
            let frame = try #require(try await iterator.next())
            #expect(frame.readableBytes == size)
            #expect(frame.readableBytesView.allSatisfy { $0 == UInt8(number) })
        }
        connection.close()
        #expect(await connection.end() == .closedHere)
        #expect(try await iterator.next() == nil)
        await site.listener.close()
        #expect(site.lines.warnings.isEmpty)
    }

    @Test("Operators may send and get a megabyte")
    func largeFrames() async throws {
        let site = try await Site()
        let operators = try TLSContext(try site.fleet.credentials(.operator(name: "admin")))
        let (connection, frames) = try await site.dialer(operators, speaking: .operator)
            .connect(to: site.endpoint)
        let limit = ApplicationProtocol.operator.maximumFrameByteCount
        let large = (0..<limit).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var iterator = frames.makeAsyncIterator()
        for _ in 0..<5 {
            connection.send(large)
            let answer = try #require(try await iterator.next())
            #expect(answer == ByteBuffer(bytes: large))
        }
        connection.close()
        _ = await connection.end()
        await site.listener.close()
        #expect(site.lines.warnings.isEmpty)
    }

    @Test("Ten thousand frames from many threads at once are neither lost nor mixed")
    func manyFrames() async throws {
        let site = try await Site()
        let (connection, frames) = try await site.dialer().connect(to: site.endpoint)
        let count = 10_000
        let sender = Task {
            await withTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for number in 0..<(count / 4) {
                            connection.send(Array("\(lane) \(number)".utf8))
                        }
                    }
                }
            }
        }
        var next = [0, 0, 0, 0]
        var got = 0
        for try await frame in frames {
            let words = String(buffer: frame).split(separator: " ").compactMap { Int($0) }
            try #require(words.count == 2)
            #expect(next[words[0]] == words[1])
            next[words[0]] += 1
            got += 1
            if got == count { break }
        }
        await sender.value
        #expect(next == [2500, 2500, 2500, 2500])
        connection.close()
        _ = await connection.end()
        await site.listener.close()
        #expect(site.lines.warnings.isEmpty)
    }

    @Test("A receiver learns of batches and of the end, once")
    func batches() async throws {
        final class Recorder: FrameReceiver {
            static let log = Mutex<[String]>([])
            init(_ connection: SecureConnection) { note("opened by \(connection.peer)") }
            func received(_ frame: ByteBuffer) { note(String(buffer: frame)) }
            func receivedAll() { note("all") }
            func closed(_ reason: CloseReason) { note("\(reason)") }
            private func note(_ text: String) { Self.log.withLock { $0.append(text) } }
        }
        let site = try await Site(makeReceiver: Recorder.init)
        let (connection, _) = try await site.dialer().connect(to: site.endpoint)
        connection.send(Array("one".utf8))
        connection.close()
        _ = await connection.end()
        await site.listener.close()
        let log = Recorder.log.withLock { $0 }
        #expect(log.first == "opened by spiffe://f/agent/a/n1")
        #expect(log.last == "closed by the peer")
        #expect(log.filter { $0 == "one" }.count == 1)
        #expect(log.firstIndex(of: "one")! < log.lastIndex(of: "all")!)
        #expect(log.filter { $0.hasPrefix("closed") }.count == 1)
    }

    @Test("A listener that closes says goodbye to all")
    func listenerCloses() async throws {
        let site = try await Site()
        var connections: [SecureConnection] = []
        for _ in 0..<20 {
            connections.append(try await site.dialer().connect(to: site.endpoint).connection)
        }
        try await eventually { site.listener.connectionCounts.verified == 20 }
        await site.listener.close()
        for connection in connections { #expect(await connection.end() == .closedByPeer) }
        #expect(site.lines.warnings.isEmpty)
        await #expect(throws: CloseReason.self) {
            try await site.dialer().connect(to: site.endpoint)
        }
    }

    @Test("A frame that must not be sent ends the connection instead of being dropped")
    func unsendable() async throws {
        let site = try await Site()
        for count in [0, 65_537] {
            let (connection, _) = try await site.dialer().connect(to: site.endpoint)
            #expect(connection.send([UInt8](repeating: 1, count: count)) == false)
            #expect(await connection.end() == .unsendable(byteCount: count, limit: 65_536))
            #expect(connection.send([1]) == false)
        }
        await site.listener.close()
    }

    @Test("A port where nobody listens, and a name that nobody has, are said to be so")
    func nobody() async throws {
        let site = try await Site()
        // Port 1 is of a service that nobody runs, and no test's listener gets it by chance.
        await #expect(throws: CloseReason.lost("Connection refused")) {
            try await site.dialer().connect(to: Endpoint(host: "127.0.0.1", port: 1))
        }
        await #expect(throws: CloseReason.lost("the host's name is not known")) {
            try await site.dialer().connect(to: Endpoint(host: "no-such-host.invalid", port: 1))
        }
        await site.listener.close()
    }

    @Test("A host with several addresses is connected to on the one that answers")
    func severalAddresses() async throws {
        let site = try await Site()
        let (connection, _) = try await site.dialer()
            .connect(to: Endpoint(host: "localhost", port: site.listener.port))
        #expect(connection.peer.uri == "spiffe://f/coordinator/a/c1")
        connection.close()
        #expect(await connection.end() == .closedHere)
        await site.listener.close()
        #expect(site.lines.warnings.isEmpty)
    }

    @Test("New credentials are used from the next connection on, at both ends")
    func replacedCredentials() async throws {
        let directory = NSTemporaryDirectory() + "busbar-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let fleet = try TestFleet()
        func issue(_ name: String, _ role: SpiffeIdentity.Role, days: Int) throws {
            try fleet.authority.issue(
                SpiffeIdentity(fleet: "f", role: role), validity: .days(days, from: now),
                certificatePath: "\(directory)/\(name).pem",
                keyPath: "\(directory)/\(name).key")
            try fleet.authority.certificatePEM.write(
                toFile: "\(directory)/ca.pem", atomically: true, encoding: .utf8)
        }
        func context(_ name: String) throws -> TLSContext {
            try TLSContext(
                files: TLSCredentials.Files(
                    certificate: "\(directory)/\(name).pem", key: "\(directory)/\(name).key",
                    authority: "\(directory)/ca.pem"))
        }
        try issue("server", .coordinatorA, days: 2)
        try issue("client", .agentA1, days: 2)
        let validities = Mutex<[Int64]>([])
        var configuration = SecureListener.Configuration(
            endpoint: Endpoint(host: "127.0.0.1", port: 0), protocols: [.agent])
        configuration.credentialsPause = .zero
        let lines = LogLines()
        let listener = try await SecureListener.open(
            configuration, context: try context("server"),
            group: NIOSingletons.posixEventLoopGroup, logger: lines.logger
        ) { connection in
            validities.withLock { $0.append(connection.peerSecondsToExpiry) }
            return Echo(connection)
        }
        let dialer = SecureDialer(
            context: try context("client"), speaking: .agent, policy: .coordinator(of: "a"),
            group: NIOSingletons.posixEventLoopGroup, logger: lines.logger)
        func days() async throws -> (server: Int64, client: Int64) {
            let (connection, _) = try await dialer.connect(
                to: Endpoint(host: "127.0.0.1", port: listener.port))
            connection.send([1])
            try await eventually { validities.withLock { !$0.isEmpty } }
            connection.close()
            _ = await connection.end()
            let client = validities.withLock { $0.removeLast() }
            return ((connection.peerSecondsToExpiry + 3600) / 86_400, (client + 3600) / 86_400)
        }
        #expect(try await days() == (2, 2))
        try issue("server", .coordinatorA, days: 9)
        try issue("client", .agentA1, days: 7)
        #expect(try await days() == (9, 7))
        // What cannot be used changes nothing, and is said.
        try "rubbish".write(
            toFile: "\(directory)/client.pem", atomically: true, encoding: .utf8)
        #expect(try await days() == (9, 7))
        #expect(
            lines.warnings.map(\.reason) == ["the certificate file holds no certificate"])
        await listener.close()
    }

    @Test("A dialer that keeps connected comes back after every end, until it is cancelled")
    func keepConnected() async throws {
        final class Hangup: FrameReceiver {
            let connection: SecureConnection
            init(_ connection: SecureConnection) {
                self.connection = connection
                connection.send(Array("welcome".utf8))
            }
            func received(_ frame: ByteBuffer) { connection.reject("enough") }
            func closed(_ reason: CloseReason) {}
        }
        final class Caller: FrameReceiver {
            let connection: SecureConnection
            init(_ connection: SecureConnection) { self.connection = connection }
            func received(_ frame: ByteBuffer) { connection.send(Array("thanks".utf8)) }
            func closed(_ reason: CloseReason) {}
        }
        let site = try await Site(makeReceiver: Hangup.init)
        let ends = Mutex<[CloseReason]>([])
        let dialer = site.dialer()
        let nobody = Endpoint(host: "127.0.0.1", port: 1)
        let endpoint = site.endpoint
        let keeper = Task {
            await dialer.keepConnected(
                to: [nobody, endpoint],
                backoff: Backoff(first: .milliseconds(1), longest: .milliseconds(4)),
                ended: { _, reason in ends.withLock { $0.append(reason) } },
                makeReceiver: Caller.init)
        }
        try await eventually { ends.withLock { $0.count } >= 6 }
        keeper.cancel()
        await keeper.value
        await site.listener.close()
        #expect(ends.withLock { $0.filter { $0 == .closedByPeer }.count } >= 2)
        let reasons = Set(site.lines.warnings.map(\.reason))
        #expect(reasons.isSubset(of: ["enough"]))
    }

    @Test("Waits double, within jitter, and begin anew")
    func backoff() {
        var generator = Generator(seed: 1)
        var backoff = Backoff(first: .milliseconds(100), longest: .seconds(1))
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next(using: &generator)
            #expect(wait >= .milliseconds(expected / 2) && wait <= .milliseconds(expected))
        }
        backoff.reset()
        #expect(backoff.next(using: &generator) <= .milliseconds(100))
    }

    @Test(
        "Endpoints are read as people write them",
        arguments: [
            ("localhost:7470", Endpoint(host: "localhost", port: 7470)),
            ("[::1]:1", Endpoint(host: "::1", port: 1)), ("::1:7470", nil), ("host", nil),
            (":80", nil), ("host:", nil), ("host:65536", nil), ("host:-1", nil), ("[]:1", nil),
        ] as [(String, Endpoint?)])
    func endpoints(_ text: String, _ expected: Endpoint?) {
        #expect(Endpoint(text: text) == expected)
        if let expected { #expect(expected.description == text) }
    }
}
