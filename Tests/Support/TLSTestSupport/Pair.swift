// SPDX-License-Identifier: Apache-2.0

package import TLSEngine

/// One end of a TLS connection whose bytes a test carries.
package protocol TLSParty: AnyObject {
    /// Says the first thing.
    func start()
    /// Takes in bytes, cut into pieces of a size; gives the plaintext.
    func take(in bytes: [UInt8], pieces: Int) -> [UInt8]
    /// Gives up the bytes that wait to be sent.
    func takeBytes() -> [UInt8]
    /// Whether bytes wait to be sent.
    var hasBytes: Bool { get }
}

extension TLSEngine: TLSParty {
    package var hasBytes: Bool { outboundByteCount > 0 }

    package func takeBytes() -> [UInt8] {
        var bytes: [UInt8] = []
        takeOutbound { bytes = Array($0) }
        return bytes
    }

    package func take(in bytes: [UInt8], pieces: Int = .max) -> [UInt8] {
        var plaintext: [UInt8] = []
        var start = 0
        while start < bytes.count {
            let end = start + min(pieces, bytes.count - start)
            var space = [UInt8](repeating: 0, count: Self.plaintextCapacity(for: end - start))
            let count = bytes[start..<end].withUnsafeBytes { piece in
                space.withUnsafeMutableBytes { receive(piece, into: $0) }
            }
            plaintext += space[..<count]
            start = end
        }
        return plaintext
    }

    /// Sends a text.
    package func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends bytes.
    package func send(_ bytes: [UInt8]) { bytes.withUnsafeBytes { send($0) } }
}

/// A client and a server that exchange their bytes in memory.
package struct Pair<Client: TLSParty> {
    package let client: Client
    package let server: TLSEngine
    /// The plaintext that came to each.
    package var clientGot: [UInt8] = []
    package var serverGot: [UInt8] = []
    /// The ciphertext that went each way.
    package var toServerByteCount = 0
    package var toClientByteCount = 0
    private var hasStarted = false

    /// Puts two ends together.
    package init(client: Client, server: TLSEngine) {
        self.client = client
        self.server = server
    }

    /// Moves bytes both ways, in pieces, until nothing more comes.
    package mutating func exchange(pieces: Int = .max) {
        if !hasStarted { client.start() }
        hasStarted = true
        while client.hasBytes || server.hasBytes {
            let up = client.takeBytes()
            let down = server.takeBytes()
            toServerByteCount += up.count
            toClientByteCount += down.count
            serverGot += server.take(in: up, pieces: pieces)
            clientGot += client.take(in: down, pieces: pieces)
        }
    }
}

extension Pair where Client == TLSEngine {
    /// Makes both ends of their credentials.
    package init(
        client: TLSCredentials, server: TLSCredentials, speaking: ApplicationProtocol = .agent,
        understanding: [ApplicationProtocol] = [.agent, .peer, .operator],
        admitting: PeerPolicy = .roleOfProtocol, dialing: PeerPolicy = .coordinator(of: "a")
    ) throws {
        self.init(
            client: try TLSEngine(
                context: try TLSContext(client), side: .client(speaking), policy: dialing),
            server: try TLSEngine(
                context: try TLSContext(server), side: .server(understanding), policy: admitting))
    }

    /// An agent and its coordinator.
    package static func ordinary() throws -> Pair {
        let fleet = try TestFleet()
        return try Pair(
            client: fleet.credentials(.agentA1), server: fleet.credentials(.coordinatorA))
    }
}
