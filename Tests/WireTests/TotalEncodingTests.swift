// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// Goal: no value, however wrong, stops the process that encodes it, and none that is wrong passes
/// for a right one on the other side.
@Suite("Encoding is total")
struct TotalEncodingTests {
    private static let limit: UInt64 = 1_000_000_000_000_000

    @Test(
        "A negative power goes out, and is refused by name", arguments: [-1, -700_000, Int64.min])
    func negativePowers(milliwatts: Int64) {
        let power = Milliwatts(milliwatts)
        let sent = UInt64(bitPattern: milliwatts)
        func refusal(_ message: String, _ field: String) -> WireError {
            WireError(
                message: message, field: field,
                reason: .outOfRange(value: sent, minimum: 0, maximum: Self.limit))
        }
        let renewal = LeaseRenewal(
            incarnation: .none, nonce: 1, ack: nil, fence: .zero, fenceEpochID: .none,
            enforced: power, provenEnforcerNanoseconds: nil)
        #expect(throws: refusal("LeaseRenewal", "enforced_mw")) {
            try AgentMessage.decode(AgentMessage.renewal(renewal).encoded())
        }
        let grant = LeaseGrant(
            node: "n1", incarnation: .none, nonce: 1, order: .zero, epochID: .none, cap: power,
            leaseNanoseconds: 1, fallback: .watts(1), fallbackVersion: 1, holdNanoseconds: 1)
        #expect(throws: refusal("LeaseGrant", "cap_mw")) {
            try LeaseGrant.decode(grant.encoded())
        }
        var shard = LedgerShard(firstNode: 0)
        shard.charge = [.watts(1), power]
        shard.unleased = [.zero, .zero]
        shard.fallback = [.zero, .zero]
        shard.fallbackVersion = [0, 0]
        shard.proof = [.proven, .proven]
        shard.isSupervised = [false, false]
        shard.floors = [.zero, .zero]
        #expect(throws: refusal("LedgerShard", "charge_mw")) {
            try LedgerShard.decode(shard.encoded())
        }
    }

    @Test("A negative time span goes out, and is refused by name")
    func negativeDurations() {
        let grant = LeaseGrant(
            node: "n1", incarnation: .none, nonce: 1, order: .zero, epochID: .none,
            cap: .watts(1), leaseNanoseconds: -1, fallback: .watts(1), fallbackVersion: 1,
            holdNanoseconds: 1)
        let expected = WireError(
            message: "LeaseGrant", field: "lease_ns",
            reason: .outOfRange(value: .max, minimum: 0, maximum: 1 << 60))
        #expect(throws: expected) { try LeaseGrant.decode(grant.encoded()) }
    }
}
