// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto

/// The memory in which one connection unpacks and builds its messages, one frame at a time.
///
/// The first block is allocated once and reused for every frame, so a steady stream of small
/// messages takes nothing from malloc. A larger frame adds blocks, freed when that frame is done.
/// All blocks that one frame is unpacked into hold at most `limit` bytes together.
///
/// One arena serves any number of connections of one thread, one after the other.
//
// `@unchecked Sendable`: the arena is the only owner of the C arena, nothing points into it between
// two calls, and every use is exclusive (`inout`), so whoever holds the value may use it on any
// thread.
package struct WireArena: ~Copyable, @unchecked Sendable {
    /// Owns the C arena: created in init, destroyed in deinit.
    let handle: OpaquePointer
    /// The most bytes that one frame may unpack into.
    package let limit: Int

    /// Makes an arena.
    ///
    /// - Parameters:
    ///   - blockByteCount: the size of the block that stays; 4 KiB hold a report of 64 GPUs.
    ///   - limit: the most bytes that one frame may unpack into, see ``ArenaLimit``.
    package init(blockByteCount: Int = 4096, limit: Int = ArenaLimit.agent) {
        handle = CBusbar_arena_create(blockByteCount, limit)
        self.limit = limit
    }

    deinit { CBusbar_arena_destroy(handle) }

    /// How many blocks the arena has taken from malloc in its life, the first included.
    package var blockCount: UInt64 { CBusbar_arena_block_count(handle) }
}

/// The most memory that one frame may unpack into, for each protocol.
///
/// Honest messages unpack into at most some 10 bytes for each byte on the wire (a list of task
/// states); unknown fields and repeated empty messages would take 36 to 96.
package enum ArenaLimit {
    /// For frames of an agent's session: 16 times the frame limit.
    package static let agent = 16 * FrameLimit.agent
    /// For frames between coordinators, operators and local processes: 16 times the frame limit.
    package static let large = 16 * FrameLimit.large
    /// For records read from a store of one's own.
    package static let record = 1 << 28
    /// For plans read from files of one's own.
    package static let plan = 1 << 30
}
