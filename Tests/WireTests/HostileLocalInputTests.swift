// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing
import Wire

/// Goal: operators, local processes and stores are no more trusted than agents are.
///
/// Method: messages put together by hand, each with one thing wrong.
@Suite("Hostile input from operators, local sockets and stores")
struct HostileLocalInputTests {
    private func expectRefusal<Message: WireMessage>(
        _ hostile: HostileCase, of type: Message.Type
    ) {
        let expected = WireError(
            message: hostile.message, field: hostile.field, reason: hostile.reason)
        #expect(throws: expected) { try Message.decode(hostile.bytes) }
    }

    // MARK: - Operators

    static let randomID = RawMessage().fixed(1, 1).fixed(2, 2)
    static let goodSpec = RawMessage().field(1, "job").varint(3, 1).varint(4, 1).varint(15, 1)

    static func submit(_ spec: RawMessage) -> RawMessage {
        RawMessage().field(12, RawMessage().field(1, randomID).field(2, spec))
    }

    static let requests: [HostileCase] = [
        HostileCase(
            "a submit without its id", RawMessage().field(12, RawMessage().field(2, goodSpec)),
            "SubmitJob", "request_id", .missing),
        HostileCase(
            "a submit without a job", RawMessage().field(12, RawMessage().field(1, randomID)),
            "SubmitJob", "spec", .missing),
        HostileCase(
            "a job without weight", submit(RawMessage().field(1, "job").varint(4, 1)),
            "JobSpec", "weight", .outOfRange(value: 0, minimum: 1, maximum: 4_294_967_295)),
        HostileCase(
            "a job without tasks", submit(RawMessage().field(1, "job").varint(3, 1)),
            "JobSpec", "task_count", .outOfRange(value: 0, minimum: 1, maximum: 1_048_576)),
        HostileCase(
            "a job of two million tasks", submit(goodSpec.varint(4, 2_000_000)),
            "JobSpec", "task_count",
            .outOfRange(value: 2_000_000, minimum: 1, maximum: 1_048_576)),
        HostileCase(
            "a task of 65 GPUs", submit(goodSpec.varint(5, 65)),
            "JobSpec", "gpu_count", .outOfRange(value: 65, minimum: 0, maximum: 64)),
        HostileCase(
            "two halves of a GPU", submit(goodSpec.varint(5, 2).varint(6, 500)),
            "JobSpec", "gpu_milli", .inconsistent("only a single GPU can be shared")),
        HostileCase(
            "nothing of a GPU", submit(goodSpec.varint(5, 1)),
            "JobSpec", "gpu_milli", .inconsistent("no part of a GPU is asked for")),
        HostileCase(
            "one label twice",
            submit(goodSpec.then(RawMessage().field(12, RawMessage().field(1, "k")).repeated(2))),
            "JobSpec", "selector", .inconsistent("k is there twice")),
        HostileCase(
            "65 labels",
            submit(goodSpec.then(RawMessage().field(12, []).repeated(65))),
            "JobSpec", "selector", .tooMany(count: 65, limit: 64)),
        HostileCase(
            "a job of no demand", submit(RawMessage().field(1, "job").varint(3, 1).varint(4, 1)),
            "JobSpec", "profile", .unknownValue(0)),
        HostileCase(
            "jobs in a state that is none",
            RawMessage().field(8, RawMessage().field(1, "asleep")),
            "ListJobs", "state", .inconsistent("no such value: \"asleep\"")),
        HostileCase(
            "a question of 5,000 letters",
            RawMessage().field(11, RawMessage().field(1, String(repeating: "j", count: 5000))),
            "OperatorRequest", "explain_job.job", .tooLong(byteCount: 5000, limit: 4096)),
        HostileCase(
            "a cancel without its id", RawMessage().field(13, RawMessage().field(2, "j1")),
            "OperatorRequest", "cancel_job.request_id", .missing),
    ]

    @Test("Operator requests", arguments: requests)
    func operatorRequest(hostile: HostileCase) {
        expectRefusal(hostile, of: OperatorRequest.self)
    }

    static let replies: [HostileCase] = [
        HostileCase(
            "a node in a state that is none",
            RawMessage().field(
                7,
                RawMessage().field(
                    1, RawMessage().field(1, "n1").field(2, "s1").field(6, "asleep"))),
            "NodeView", "state", .inconsistent("no such value: \"asleep\"")),
        HostileCase(
            "a detail without its job", RawMessage().field(11, RawMessage()),
            "JobDetail", "job", .missing),
    ]

    @Test("Operator replies", arguments: replies)
    func operatorReply(hostile: HostileCase) {
        expectRefusal(hostile, of: OperatorReply.self)
    }

    // MARK: - Local sockets

    static let enforcer: [HostileCase] = [
        HostileCase(
            "no node", RawMessage().field(2, []), "EnforcerEnvelope", "node",
            .badName("is empty")),
        HostileCase(
            "caps of 65 GPUs",
            RawMessage().field(1, "n1").field(
                4, RawMessage().column(1, [UInt64](repeating: 1, count: 65))),
            "EnforcerEnvelope", "share_request.cap_mw", .tooMany(count: 65, limit: 64)),
        HostileCase(
            "a delivery without a grant", RawMessage().field(1, "n1").field(3, []),
            "GrantDelivery", "grant", .missing),
        HostileCase(
            "a verdict of no outcome", RawMessage().field(1, "n1").field(17, []),
            "GrantVerdict", "outcome", .unknownValue(0)),
        HostileCase(
            "a verdict of tomorrow",
            RawMessage().field(1, "n1").field(17, RawMessage().varint(1, 9)),
            "GrantVerdict", "outcome", .unknownValue(9)),
        HostileCase(
            "a status whose columns differ",
            RawMessage().field(1, "n1").field(18, RawMessage().field(3, []).column(5, [1])),
            "EnforcerStatus", "enforced_cap_mw", .wrongCount(count: 0, expected: 1)),
    ]

    @Test("Enforcer messages", arguments: enforcer)
    func enforcerMessage(hostile: HostileCase) {
        expectRefusal(hostile, of: EnforcerMessage.self)
    }

    static let hardwareRequests: [HostileCase] = [
        HostileCase(
            "a cap for device 64", RawMessage().field(5, RawMessage().varint(1, 64)),
            "HardwareRequest", "write_cap.device",
            .outOfRange(value: 64, minimum: 0, maximum: 63)),
        HostileCase(
            "more than all of a device", RawMessage().field(7, RawMessage().varint(3, 1_000_001)),
            "HardwareRequest", "set_demand.utilization_ppm",
            .outOfRange(value: 1_000_001, minimum: 0, maximum: 1_000_000)),
        HostileCase(
            "a demand of tomorrow", RawMessage().field(7, RawMessage().varint(2, 4)),
            "HardwareRequest", "set_demand.profile", .unknownValue(4)),
    ]

    @Test("Hardware requests", arguments: hardwareRequests)
    func hardwareRequest(hostile: HostileCase) {
        expectRefusal(hostile, of: HardwareRequest.self)
    }

    static let hardwareReplies: [HostileCase] = [
        HostileCase(
            "sensors whose columns differ", RawMessage().field(5, RawMessage().column(1, [1, 2])),
            "HardwareSensors", "temperature_mc", .wrongCount(count: 0, expected: 2)),
        HostileCase(
            "65 violations",
            RawMessage().field(6, RawMessage().field(8, "x").repeated(65)),
            "HardwareSummary", "first_violations", .tooMany(count: 65, limit: 64)),
    ]

    @Test("Hardware replies", arguments: hardwareReplies)
    func hardwareReply(hostile: HostileCase) {
        expectRefusal(hostile, of: HardwareReply.self)
    }

    // MARK: - Stores

    static let shards: [HostileCase] = [
        HostileCase(
            "a shard of 257 nodes", RawMessage().column(2, [UInt64](repeating: 1, count: 257)),
            "LedgerShard", "charge_mw", .tooMany(count: 257, limit: 256)),
        HostileCase(
            "a shard with a short column", RawMessage().column(2, [1, 2]).column(3, [1]),
            "LedgerShard", "unleased_mw", .wrongCount(count: 1, expected: 2)),
        HostileCase(
            "a proof of no kind",
            RawMessage().column(2, [1]).column(3, [1]).column(4, [1]).column(5, [1]).column(6, [99])
                .column(7, [0]).column(8, [1]),
            "LedgerShard", "proof", .unknownValue(99)),
        HostileCase(
            "a class of no kind",
            RawMessage().column(2, [1]).column(3, [1]).column(4, [1]).column(5, [1]).column(6, [1])
                .column(7, [2]),
            "LedgerShard", "conferred_class", .outOfRange(value: 2, minimum: 0, maximum: 1)),
    ]

    @Test("Ledger shards", arguments: shards)
    func shard(hostile: HostileCase) { expectRefusal(hostile, of: LedgerShard.self) }

    static let grants: [HostileCase] = [
        HostileCase("a grant to nobody", RawMessage(), "LeaseGrant", "node", .badName("is empty")),
        HostileCase(
            "a grant without an order",
            RawMessage().field(1, "n1").field(2, randomID).fixed(3, 1),
            "LeaseGrant", "order", .missing),
        HostileCase(
            "a grant for 36 years and more",
            RawMessage().field(1, "n1").field(2, randomID).field(4, []).field(5, randomID)
                .varint(7, 1 << 61),
            "LeaseGrant", "lease_ns", .outOfRange(value: 1 << 61, minimum: 0, maximum: 1 << 60)),
    ]

    @Test("Grant payloads", arguments: grants)
    func grant(hostile: HostileCase) { expectRefusal(hostile, of: LeaseGrant.self) }
}
