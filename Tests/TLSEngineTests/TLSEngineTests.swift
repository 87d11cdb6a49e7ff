// SPDX-License-Identifier: Apache-2.0

// Goal: two engines find each other, or refuse each other for the right reason.
// Method: a client and a server in memory, without a socket.

import Foundation
import TLSEngine
import TLSTestSupport
import Testing

@Suite struct TLSEngineTests {
    @Test("Two members of one fleet are introduced to each other")
    func introduction() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        #expect(pair.client.state == .open)
        #expect(pair.server.state == .open)
        #expect(pair.server.peer?.uri == "spiffe://f/agent/a/n1")
        #expect(pair.client.peer?.uri == "spiffe://f/coordinator/a/c1")
        #expect(pair.client.applicationProtocol == .agent)
        #expect(pair.server.applicationProtocol == .agent)
        let left = try #require(pair.server.peerSecondsToExpiry(at: now))
        #expect((86_300...86_400).contains(left))
    }

    @Test("Messages arrive whole, however the bytes are cut", arguments: [1, 2, 7, 100, .max])
    func pieces(_ pieces: Int) throws {
        var pair = try Pair.ordinary()
        pair.exchange(pieces: pieces)
        let long = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        pair.client.send("hello")
        pair.client.send(long)
        pair.server.send("welcome")
        pair.exchange(pieces: pieces)
        #expect(pair.serverGot == Array("hello".utf8) + long)
        #expect(pair.clientGot == Array("welcome".utf8))
        #expect(pair.client.hasPartialRecord == false)
    }

    @Test("Data that comes with the end of the handshake is delivered with it")
    func earlyMessage() throws {
        var pair = try Pair.ordinary()
        pair.client.start()
        _ = pair.server.take(in: pair.client.takeBytes())
        _ = pair.client.take(in: pair.server.takeBytes())
        #expect(pair.client.state == .open)
        pair.client.send("at once")
        #expect(pair.server.take(in: pair.client.takeBytes()) == Array("at once".utf8))
        pair.exchange()
        #expect(pair.server.state == .open)
    }

    @Test("A handshake is a few kilobytes and is never repeated by a ticket")
    func noTickets() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        #expect(pair.toServerByteCount + pair.toClientByteCount < 4_000)
        // A server that issued tickets would have sent them with, or after, its last flight.
        #expect(pair.server.takeBytes().isEmpty)
        #expect(pair.server.hasPartialRecord == false)
    }

    @Test("A close is orderly, and the other direction stays open")
    func orderlyClose() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        pair.client.send("last words")
        pair.client.close()
        pair.exchange()
        #expect(pair.serverGot == Array("last words".utf8))
        #expect(pair.server.state == .closed)
        pair.server.inputEnded()
        #expect(pair.server.state == .closed)
        pair.server.send("goodbye")
        pair.exchange()
        #expect(pair.clientGot == Array("goodbye".utf8))
    }

    @Test("A connection that just ends is a truncation")
    func truncation() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        pair.client.send("never whole")
        let record = pair.client.takeBytes()
        #expect(pair.server.take(in: Array(record.dropLast())).isEmpty)
        #expect(pair.server.hasPartialRecord)
        pair.server.inputEnded()
        #expect(pair.server.state == .failed(.truncated))
    }

    @Test("A partial record is noticed from its first byte")
    func partialRecord() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        pair.client.send("slow")
        let record = pair.client.takeBytes()
        for byte in record.dropLast() {
            #expect(pair.server.take(in: [byte]).isEmpty)
            #expect(pair.server.hasPartialRecord)
        }
        #expect(pair.server.take(in: [record[record.count - 1]]) == Array("slow".utf8))
        #expect(pair.server.hasPartialRecord == false)
    }

    @Test("A changed byte anywhere in a record breaks the connection and yields no data")
    func alteredRecord() throws {
        var pair = try Pair.ordinary()
        pair.exchange()
        pair.client.send("pay 100")
        var record = pair.client.takeBytes()
        record[record.count - 3] ^= 1
        #expect(pair.server.take(in: record).isEmpty)
        guard case .failed(.protocolViolation) = pair.server.state else {
            Issue.record("\(pair.server.state)")
            return
        }
        // The peer is told.
        #expect(pair.server.outboundByteCount > 0)
    }

    @Test(
        "What is no TLS is refused as such",
        arguments: [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n", "\0\0\0\u{10}abcdefgh",
        ])
    func plainText(_ text: String) throws {
        let pair = try Pair.ordinary()
        _ = pair.server.take(in: Array(text.utf8))
        #expect(pair.server.state == .failed(.notTLS))
    }

    @Test("Random bytes never open a connection")
    func randomBytes() throws {
        var generator = Generator(seed: 7470)
        let context = try TLSContext(try TestFleet().credentials(.coordinatorA))
        for _ in 0..<200 {
            let server = try TLSEngine(
                context: context, side: .server([.agent]), policy: .roleOfProtocol)
            let bytes = (0..<Int.random(in: 1...600, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            #expect(server.take(in: bytes, pieces: 50).isEmpty)
            #expect(server.state != .open)
        }
    }

    @Test("Mutated handshakes never open a connection with a wrong peer")
    func mutatedHandshake() throws {
        var generator = Generator(seed: 1307)
        let fleet = try TestFleet()
        let client = try TLSContext(try fleet.credentials(.agentA1))
        let server = try TLSContext(try fleet.credentials(.coordinatorA))
        for _ in 0..<100 {
            let dialer = try TLSEngine(
                context: client, side: .client(.agent), policy: .coordinator(of: "a"))
            let acceptor = try TLSEngine(
                context: server, side: .server([.agent]), policy: .roleOfProtocol)
            dialer.start()
            _ = acceptor.take(in: dialer.takeBytes())
            var flight = acceptor.takeBytes()
            flight[Int.random(in: 0..<flight.count, using: &generator)] ^=
                UInt8.random(in: 1...255, using: &generator)
            _ = dialer.take(in: flight)
            _ = acceptor.take(in: dialer.takeBytes())
            #expect(acceptor.state != .open)
        }
    }
}

@Suite struct FootprintTests {
    @Test(
        "An idle connection holds little memory at its server's end",
        .disabled(
            if: ProcessInfo.processInfo.environment["BUSBAR_SANITIZER"] != nil,
            "a sanitizer's shadow memory is not the connection's"))
    func idle() async {
        // In a process of its own, for the heap belongs to all tests of a process.
        await #expect(processExitsWith: .success) {
            let count = 200
            let fleet = try TestFleet()
            let server = try TLSContext(try fleet.credentials(.coordinatorA))
            let client = try TLSContext(try fleet.credentials(.agentA1))
            var servers: [TLSEngine] = []
            let before = residentByteCount()
            for _ in 0..<count {
                var pair = Pair(
                    client: try TLSEngine(
                        context: client, side: .client(.agent), policy: .coordinator(of: "a")),
                    server: try TLSEngine(
                        context: server, side: .server([.agent]), policy: .roleOfProtocol))
                pair.exchange()
                pair.client.send([UInt8](repeating: 1, count: 10_000))
                pair.exchange()
                try #require(pair.server.state == .open)
                servers.append(pair.server)
            }
            let each = (residentByteCount() - before) / count
            #expect(each > 1_000 && each < 48_000, "\(each) bytes for each idle connection")
            #expect(servers.count == count)
        }
    }
}

/// The memory of this process, in bytes.
private func residentByteCount() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?
        .split(separator: " ").compactMap { Int($0) }
    return (fields?[1] ?? 0) * 4096
}
