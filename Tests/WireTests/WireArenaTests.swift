// SPDX-License-Identifier: Apache-2.0

import CAllocationCount
import FleetModel
import Testing
import Wire

/// Why tests that count allocations are skipped.
private let countsNothing: Comment = "the allocator is a sanitizer's, not the one that counts"

/// Goal: the memory of a connection is bounded, and a steady stream of reports takes none.
@Suite("Arena")
struct WireArenaTests {
    private func report(gpuCount: Int) -> [UInt8] {
        var source = SeededGenerator(seed: 1)
        return AgentMessage.report(.random(&source, gpuCount: gpuCount)).encoded()
    }

    @Test(
        "A thousand reports take nothing from malloc once the first is in",
        .enabled(if: CAllocationCount_is_counting(), countsNothing), arguments: [1, 8, 64])
    func reportsWithoutMalloc(gpuCount: Int) throws {
        let bytes = report(gpuCount: gpuCount)
        var arena = WireArena()
        var buffer = TelemetryReport(gpuCount: gpuCount)
        _ = try AgentMessage.decode(bytes.span.bytes, report: &buffer, arena: &arena)
        let before = CAllocationCount_value()
        for _ in 0..<1000 {
            _ = try AgentMessage.decode(bytes.span.bytes, report: &buffer, arena: &arena)
        }
        #expect(CAllocationCount_value() - before == 0)
        #expect(arena.blockCount == 1)
    }

    @Test(
        "Encoding a report into a reused buffer takes nothing from malloc",
        .enabled(if: CAllocationCount_is_counting(), countsNothing))
    func encodingWithoutMalloc() {
        var source = SeededGenerator(seed: 2)
        let message = AgentMessage.report(.random(&source, gpuCount: 8))
        var arena = WireArena()
        var bytes: [UInt8] = []
        message.encode(into: &bytes, arena: &arena)
        let before = CAllocationCount_value()
        for _ in 0..<1000 {
            bytes.removeAll(keepingCapacity: true)
            message.encode(into: &bytes, arena: &arena)
        }
        #expect(CAllocationCount_value() - before == 0)
    }

    @Test(
        "The counter sees an allocation",
        .enabled(if: CAllocationCount_is_counting(), countsNothing))
    func counterCounts() {
        let before = CAllocationCount_value()
        let values = [UInt8](repeating: 7, count: Int.random(in: 100...200))
        #expect(CAllocationCount_value() - before >= 1)
        #expect(values.count >= 100)
    }

    @Test("Blocks that a large frame adds are freed, and the next frame is read")
    func largeFrame() throws {
        var source = SeededGenerator(seed: 3)
        let nodes = (0..<800).map { _ in NodeView.random(&source) }
        let bytes = OperatorReply(id: 1, body: .nodes(nodes)).encoded()
        var arena = WireArena(limit: ArenaLimit.large)
        let decoded = try OperatorReply.decode(bytes.span.bytes, arena: &arena)
        #expect(decoded.body == .nodes(nodes))
        let blocks = arena.blockCount
        #expect(blocks > 1)
        let small = OperatorReply(id: 2, body: .none).encoded()
        #expect(try OperatorReply.decode(small.span.bytes, arena: &arena).id == 2)
        #expect(arena.blockCount == blocks)
    }

    /// Frames that take much more memory than bytes, each within the frame limit of an agent.
    static let bombs: [(String, RawMessage)] = [
        ("empty nested messages", RawMessage().field(6, []).repeated(32_000)),
        ("unknown fields", RawMessage().varint(15, 1).repeated(32_000)),
        ("empty texts in a list", RawMessage().field(5, []).repeated(32_000)),
        ("repeated bytes", RawMessage().field(4, [UInt8](repeating: 0, count: 30)).repeated(2000)),
    ]

    @Test("A frame that unpacks into more than the limit is refused, and the next one is read")
    func bombs() throws {
        var arena = WireArena(limit: 256 * 1024)
        for (name, bomb) in Self.bombs {
            let envelope = RawMessage().field(1, bomb).bytes
            #expect(envelope.count <= FrameLimit.agent + 16, "\(name)")
            let error = #expect(throws: WireError.self, "\(name)") {
                try AgentMessage.decode(envelope.span.bytes, arena: &arena)
            }
            #expect(error?.message.isEmpty == false)
            let good = AgentMessage.goodbye(reason: "x").encoded()
            #expect(
                try AgentMessage.decode(good.span.bytes, arena: &arena) == .goodbye(reason: "x"))
        }
        let exhausted = RawMessage().field(1, Self.bombs[1].1).bytes
        let error = #expect(throws: WireError.self) {
            try AgentMessage.decode(exhausted.span.bytes, arena: &arena)
        }
        #expect(error?.reason == .arenaExhausted(limit: 256 * 1024))
    }

    @Test("The largest honest hello of an agent fits in the arena of its session")
    func largestHello() throws {
        let tasks = (0..<1500).map {
            TaskStatus(
                task: TaskAttempt(job: JobID(UInt64($0)), taskIndex: 0, attempt: 1),
                state: .running)
        }
        let devices = (0..<64).map {
            DeviceInventory(
                uuid: "GPU-00000000-0000-0000-0000-0000000000\($0)", model: "H100-SXM",
                minimumCap: .watts(200), maximumCap: .watts(700))
        }
        let hello = AgentHello(
            softwareVersion: "1", node: "n1", bootID: [1], devices: devices, tasks: tasks)
        var arena = WireArena(limit: ArenaLimit.agent)
        let frame = try AgentMessage.hello(hello).frame(limit: FrameLimit.agent)
        let body = frame.span.bytes.extracting(FrameHeader.byteCount...)
        #expect(try AgentMessage.decode(body, arena: &arena) == .hello(hello))
    }
}
