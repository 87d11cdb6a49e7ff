// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// Goal: what is encoded is what is decoded, for every message.
///
/// Method: random values of every type that travels by itself, from fixed seeds; every case of
/// every envelope comes up many times.
@Suite("Round trips")
struct RoundTripTests {
    static let rounds: UInt64 = 300

    private func roundTrip<Message: WireMessage & RandomValue & Equatable>(
        _ type: Message.Type
    ) throws {
        var arena = WireArena(limit: Message.arenaLimit)
        for seed in 1...Self.rounds {
            var source = SeededGenerator(seed: seed)
            let value = Message.random(&source)
            var bytes: [UInt8] = [0xAA]
            value.encode(into: &bytes, arena: &arena)
            #expect(bytes[0] == 0xAA, "encoding appends (seed \(seed))")
            bytes.removeFirst()
            let decoded = try Message.decode(bytes.span.bytes, arena: &arena)
            try #require(decoded == value, "seed \(seed)")
            #expect(value.encoded() == bytes, "one value has one encoding (seed \(seed))")
            #expect(try Message.decode(bytes) == value)
        }
    }

    @Test("Agent messages") func agent() throws { try roundTrip(AgentMessage.self) }
    @Test("Enforcer messages") func enforcer() throws { try roundTrip(EnforcerMessage.self) }
    @Test("Hardware requests") func hardwareRequest() throws { try roundTrip(HardwareRequest.self) }
    @Test("Hardware replies") func hardwareReply() throws { try roundTrip(HardwareReply.self) }
    @Test("Operator requests") func operatorRequest() throws { try roundTrip(OperatorRequest.self) }
    @Test("Operator replies") func operatorReply() throws { try roundTrip(OperatorReply.self) }
    @Test("Grant payloads") func grant() throws { try roundTrip(LeaseGrant.self) }
    @Test("Fleet plans") func plan() throws { try roundTrip(FleetPlan.self) }
    @Test("Ledger shards") func shard() throws { try roundTrip(LedgerShard.self) }
    @Test("Site records") func site() throws { try roundTrip(SiteRecord.self) }
    @Test("Job records") func job() throws { try roundTrip(JobRecord.self) }
    @Test("Fleet records") func fleet() throws { try roundTrip(FleetRecord.self) }
    @Test("Reservation records")
    func reservation() throws { try roundTrip(ReservationRecord.self) }
    @Test("Node records") func node() throws { try roundTrip(NodeRecord.self) }
    @Test("Event records") func event() throws { try roundTrip(EventRecord.self) }

    @Test("A report decodes into the caller's buffer to the same value")
    func reportBuffer() throws {
        var arena = WireArena()
        var buffer = TelemetryReport(gpuCount: 3)
        for seed in 1...Self.rounds {
            var source = SeededGenerator(seed: seed)
            let message = AgentMessage.random(&source)
            let bytes = message.encoded()
            let received = try AgentMessage.decode(bytes.span.bytes, report: &buffer, arena: &arena)
            if case .report(let report) = message {
                #expect(received == .report)
                #expect(buffer == report, "seed \(seed)")
            } else {
                #expect(received == .message(message), "seed \(seed)")
            }
        }
    }
}
