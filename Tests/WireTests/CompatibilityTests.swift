// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// Goal: this version talks to the next one, and the words of a peer stay words.
@Suite("Compatibility")
struct CompatibilityTests {
    @Test("Fields that a newer peer adds are ignored, in every message")
    func unknownFields() throws {
        for kind in 0..<AgentMessage.kindCount {
            var source = SeededGenerator(seed: 21)
            let message = AgentMessage.random(&source, kind: kind)
            let bytes = RawMessage().field(900, "tomorrow").then(
                RawMessage(bytes: message.encoded())
            )
            .varint(901, 5).fixed(902, 6).bytes
            #expect(try AgentMessage.decode(bytes) == message, "kind \(kind)")
        }
    }

    @Test("A field that a newer peer adds to a nested message is ignored")
    func unknownNestedFields() throws {
        let body = RawMessage().varint(1, 4).varint(77, 1).varint(2, 5).varint(3, 6)
        let bytes = RawMessage().field(20, body).bytes
        let task = TaskAttempt(job: JobID(4), taskIndex: 5, attempt: 6)
        #expect(try AgentMessage.decode(bytes) == .taskStop(task))
    }

    @Test("A body that a newer peer adds is told apart from a malformed one")
    func unknownBodies() throws {
        let body = RawMessage().field(99, RawMessage().varint(1, 1))
        #expect(try AgentMessage.decode(body.bytes) == .unknown)
        let request = RawMessage().varint(1, 17).then(body)
        #expect(
            try OperatorRequest.decode(request.bytes) == OperatorRequest(id: 17, body: .unknown))
        let reply = RawMessage().varint(1, 17).varint(2, 1).then(body)
        #expect(try OperatorReply.decode(reply.bytes) == OperatorReply(id: 17, body: .none))
    }

    @Test("A reason that a newer peer adds is read as unspecified")
    func unknownReasons() throws {
        let refusal = RawMessage().field(21, RawMessage().varint(1, 55).field(2, "later"))
        let expected = SessionRefusal(code: .unspecified, message: "later")
        #expect(try AgentMessage.decode(refusal.bytes) == .refusal(expected))
        let reply = RawMessage().varint(2, 1).field(3, RawMessage().varint(1, 55))
        let error = OperatorError(code: .unspecified, message: "")
        #expect(try OperatorReply.decode(reply.bytes).body == .error(error))
    }

    @Test("A column that is not packed is read like a packed one")
    func unpackedColumn() throws {
        let unpacked = RawMessage().varint(1, 100).varint(1, 200)
        let bytes = RawMessage().field(1, "n1").field(4, unpacked).bytes
        #expect(
            try EnforcerMessage.decode(bytes)
                == EnforcerMessage(node: "n1", body: .shareRequest(capMilliwatts: [100, 200])))
    }

    @Test("When a frame has two bodies the last one counts")
    func twoBodies() throws {
        let bytes =
            AgentMessage.goodbye(reason: "x").encoded()
            + AgentMessage.taskStop(
                TaskAttempt(job: JobID(1), taskIndex: 2, attempt: 3)
            ).encoded()
        guard case .taskStop = try AgentMessage.decode(bytes) else {
            Issue.record("not the last body")
            return
        }
    }

    @Test("The empty frame is a message without a body")
    func emptyFrame() throws {
        #expect(try AgentMessage.decode([]) == .unknown)
        #expect(throws: WireError.self) { try EnforcerMessage.decode([]) }
    }

    @Test("Control characters cannot drive a terminal; tabs and newlines stay")
    func controlCharacters() throws {
        let reason = "a\u{1B}[2J\u{9B}b\u{7F}\tc\nd\u{0}e"
        // The zero ends a C text: what follows it is not read.
        let bytes = RawMessage().field(5, RawMessage().field(1, reason)).bytes
        #expect(
            try AgentMessage.decode(bytes)
                == .goodbye(reason: "a\u{FFFD}[2J\u{FFFD}b\u{FFFD}\tc\nd"))
    }

    @Test("Letters of every script stay as they are")
    func scripts() throws {
        let reason = "Ångström 電力 🔋 Ω"
        let message = AgentMessage.goodbye(reason: reason)
        #expect(try AgentMessage.decode(message.encoded()) == message)
    }

    @Test("An error names the place and the reason in one line")
    func errorText() {
        let error = WireError(message: "AgentHello", field: "node", reason: .badName("is empty"))
        #expect("\(error)" == "AgentHello.node: name is empty")
        let frame = WireError(message: "Frame", reason: .frameTooLong(length: 9, limit: 8))
        #expect("\(frame)" == "Frame: frame of 9 bytes, at most 8 allowed")
    }

    @Test(
        "The id of a request can be read without decoding it",
        arguments: [0, 1, 127, 128, 300, UInt64.max])
    func requestID(id: UInt64) {
        let bytes = OperatorRequest(id: id, body: .getVersion).encoded()
        #expect(bytes.withUnsafeBytes { OperatorRequest.id(of: $0.bytes) } == (id == 0 ? nil : id))
        let broken: [[UInt8]] = [
            [], [8], [8, 0x80], [16, 1], [8] + Array(repeating: 0x80, count: 20),
        ]
        for bytes in broken {
            #expect(bytes.withUnsafeBytes { OperatorRequest.id(of: $0.bytes) } == nil)
        }
    }
}
