// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// One message that must be refused, and what the refusal must say.
struct HostileCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var bytes: [UInt8]
    var message: String
    var field: String
    var reason: WireError.Reason

    init(
        _ description: String, _ raw: RawMessage, _ message: String, _ field: String,
        _ reason: WireError.Reason
    ) {
        testDescription = description
        bytes = raw.bytes
        self.message = message
        self.field = field
        self.reason = reason
    }
}

/// Goal: a peer's worst bytes are refused, with the place and the reason, and nothing else happens.
///
/// Method: messages put together by hand, each with one thing wrong.
@Suite("Hostile input")
struct HostileInputTests {
    // Field numbers of AgentEnvelope.
    static let hello: UInt64 = 1
    static let report: UInt64 = 2
    static let renewal: UInt64 = 3
    static let taskStatus: UInt64 = 4
    static let welcome: UInt64 = 16
    static let grant: UInt64 = 17
    static let powerPlan: UInt64 = 18
    static let taskStart: UInt64 = 19

    static func envelope(_ field: UInt64, _ body: RawMessage) -> RawMessage {
        RawMessage().field(field, body)
    }

    static let goodHello = RawMessage().varint(1, 1).field(3, "n1")
    static let goodTask = RawMessage().field(4, "job").varint(7, 1)
    static let randomID = RawMessage().fixed(1, 1).fixed(2, 2)

    static let hellos: [HostileCase] = [
        HostileCase(
            "a node without a name", envelope(hello, RawMessage().varint(1, 1)),
            "AgentHello", "node", .badName("is empty")),
        HostileCase(
            "a name with a slash", envelope(hello, RawMessage().field(3, "a/b")),
            "AgentHello", "node",
            .badName("has a character other than letters, digits, '-', '_' and '.'")),
        HostileCase(
            "a name that is too long",
            envelope(hello, RawMessage().field(3, String(repeating: "n", count: 129))),
            "AgentHello", "node", .badName("is longer than 128 bytes")),
        HostileCase(
            "a name that is not UTF-8", envelope(hello, RawMessage().field(3, [0x6E, 0xFF, 0xC0])),
            "AgentHello", "node", .notUTF8),
        HostileCase(
            "a boot id that is too long",
            envelope(hello, goodHello.field(4, [UInt8](repeating: 1, count: 65))),
            "AgentHello", "boot_id", .tooLong(byteCount: 65, limit: 64)),
        HostileCase(
            "65 devices", envelope(hello, goodHello.then(RawMessage().field(5, []).repeated(65))),
            "AgentHello", "devices", .tooMany(count: 65, limit: 64)),
        HostileCase(
            "a device of more than a terawatt",
            envelope(hello, goodHello.field(5, RawMessage().varint(4, 1_000_000_000_000_001))),
            "DeviceInventory", "maximum_cap_mw",
            .outOfRange(
                value: 1_000_000_000_000_001, minimum: 0, maximum: 1_000_000_000_000_000)),
        HostileCase(
            "a task in no state", envelope(hello, goodHello.field(6, RawMessage().varint(1, 1))),
            "TaskStatus", "state", .unknownValue(0)),
        HostileCase(
            "a task in a state of tomorrow",
            envelope(hello, goodHello.field(6, RawMessage().varint(4, 99))),
            "TaskStatus", "state", .unknownValue(99)),
    ]

    static let reports: [HostileCase] = [
        HostileCase(
            "a report of 65 GPUs",
            envelope(report, RawMessage().column(3, [UInt64](repeating: 1, count: 65))),
            "TelemetryReport", "draw_mw", .tooMany(count: 65, limit: 64)),
        HostileCase(
            "columns of different lengths",
            envelope(report, RawMessage().column(3, [1, 2]).column(5, [1])),
            "TelemetryReport", "requested_cap_mw", .wrongCount(count: 1, expected: 2)),
        HostileCase(
            "a valid bit for a GPU that is not there",
            envelope(report, RawMessage().column(3, [1, 2]).fixed(4, 0b100)),
            "TelemetryReport", "draw_mw", .bitBeyondColumn(bits: 0b100, count: 2)),
        HostileCase(
            "a valid bit in an empty report", envelope(report, RawMessage().fixed(4, 1)),
            "TelemetryReport", "draw_mw", .bitBeyondColumn(bits: 1, count: 0)),
    ]

    static let leases: [HostileCase] = [
        HostileCase(
            "a renewal without an incarnation", envelope(renewal, RawMessage().fixed(2, 1)),
            "LeaseRenewal", "incarnation", .missing),
        HostileCase(
            "an acknowledgement that is announced and not there",
            envelope(renewal, RawMessage().field(1, randomID).varint(3, 1)),
            "LeaseRenewal", "ack", .missing),
        HostileCase(
            "a proof of 600 years",
            envelope(
                renewal,
                RawMessage().field(1, randomID).field(5, []).field(6, randomID).varint(8, 1)
                    .varint(9, 1 << 62)),
            "LeaseRenewal", "proven_enforcer_ns",
            .outOfRange(value: 1 << 62, minimum: 0, maximum: 1 << 60)),
        HostileCase(
            "an enforced power with the sign bit set",
            envelope(
                renewal,
                RawMessage().field(1, randomID).field(5, []).field(6, randomID).varint(7, .max)),
            "LeaseRenewal", "enforced_mw",
            .outOfRange(value: .max, minimum: 0, maximum: 1_000_000_000_000_000)),
        HostileCase(
            "a grant of 5,000 bytes",
            envelope(grant, RawMessage().field(1, [UInt8](repeating: 0, count: 5000))),
            "SignedGrant", "payload", .tooLong(byteCount: 5000, limit: 4096)),
        HostileCase(
            "a signature of 300 bytes",
            envelope(grant, RawMessage().field(2, [UInt8](repeating: 0, count: 300))),
            "SignedGrant", "signature", .tooLong(byteCount: 300, limit: 256)),
        HostileCase(
            "nine certificates", envelope(welcome, RawMessage().field(3, [1]).repeated(9)),
            "AgentWelcome", "signer_chain", .tooMany(count: 9, limit: 8)),
    ]

    static let plans: [HostileCase] = [
        HostileCase(
            "a plan with a short column", envelope(powerPlan, RawMessage().column(2, [1])),
            "PowerPlan", "weight", .wrongCount(count: 0, expected: 1)),
        HostileCase(
            "a plan with a weight of zero",
            envelope(
                powerPlan,
                RawMessage().column(2, [1]).column(3, [1]).column(4, [1]).column(5, [0])
                    .column(6, [0]).column(7, [0])),
            "PowerPlan", "weight", .outOfRange(value: 0, minimum: 1, maximum: 4_294_967_295)),
        HostileCase(
            "a task on a device that no node has",
            envelope(taskStart, goodTask.column(5, [64])),
            "TaskStart", "devices", .outOfRange(value: 64, minimum: 0, maximum: 63)),
        HostileCase(
            "a task twice on one device", envelope(taskStart, goodTask.column(5, [3, 3])),
            "TaskStart", "devices", .inconsistent("device 3 is named twice")),
        HostileCase(
            "a task with more than the whole of a GPU",
            envelope(taskStart, goodTask.varint(6, 1001)),
            "TaskStart", "gpu_milli", .outOfRange(value: 1001, minimum: 0, maximum: 1000)),
        HostileCase(
            "a task without a demand", envelope(taskStart, RawMessage().field(4, "job")),
            "TaskStart", "profile", .unknownValue(0)),
    ]

    @Test("Agent messages", arguments: hellos + reports + leases + plans)
    func agent(hostile: HostileCase) {
        let expected = WireError(
            message: hostile.message, field: hostile.field, reason: hostile.reason)
        #expect(throws: expected) { try AgentMessage.decode(hostile.bytes) }
        #expect(throws: expected) {
            var report = TelemetryReport(gpuCount: 8)
            var arena = WireArena()
            _ = try AgentMessage.decode(
                hostile.bytes.span.bytes, report: &report, arena: &arena)
        }
    }

    @Test("No message is read from a part of itself")
    func truncated() throws {
        for kind in 0..<AgentMessage.kindCount {
            var source = SeededGenerator(seed: 7)
            let message = AgentMessage.random(&source, kind: kind)
            let bytes = message.encoded()
            for count in 0..<bytes.count {
                // A cut may leave a shorter whole message, but never the same one.
                let decoded = try? AgentMessage.decode(Array(bytes.prefix(count)))
                #expect(decoded != message, "kind \(kind), \(count) bytes of \(bytes.count)")
            }
        }
    }

    @Test("A change of one bit is refused, read as another value, or of no consequence")
    func flippedBits() {
        var arena = WireArena(limit: ArenaLimit.large)
        var readable = 0
        for kind in 0..<AgentMessage.kindCount {
            var source = SeededGenerator(seed: 8)
            let bytes = AgentMessage.random(&source, kind: kind).encoded()
            for position in bytes.indices.prefix(400) {
                for bit in 0..<8 {
                    var changed = bytes
                    changed[position] ^= 1 << UInt8(bit)
                    guard
                        let value = try? AgentMessage.decode(changed.span.bytes, arena: &arena)
                    else { continue }
                    readable += 1
                    #expect((try? AgentMessage.decode(value.encoded())) == value)
                }
            }
        }
        #expect(readable > 0)
    }

    @Test("Random bytes never do harm", arguments: [1, 2, 3, 4] as [UInt64])
    func randomBytes(seed: UInt64) {
        var source = SeededGenerator(seed: seed)
        var arena = WireArena(limit: 65_536)
        for _ in 0..<2000 {
            let bytes = source.bytes(upTo: 100)
            _ = try? AgentMessage.decode(bytes.span.bytes, arena: &arena)
            _ = try? OperatorReply.decode(bytes.span.bytes, arena: &arena)
            _ = try? FleetPlan.decode(bytes.span.bytes, arena: &arena)
        }
    }

    @Test("Bytes that are no message at all are malformed")
    func malformed() {
        #expect(throws: WireError(message: "AgentEnvelope", reason: .malformed)) {
            try AgentMessage.decode([0xFF, 0xFF, 0xFF])
        }
        // A group, which the protocol does not use.
        #expect(throws: WireError(message: "AgentEnvelope", reason: .malformed)) {
            try AgentMessage.decode([0x0B, 0x0C])
        }
    }

    @Test("Nesting without end is opaque: it is in a field that no message has")
    func deepNesting() throws {
        var nested = RawMessage().varint(1, 1)
        for _ in 0..<2000 { nested = RawMessage().field(99, nested) }
        #expect(try AgentMessage.decode(nested.bytes) == .unknown)
    }
}
