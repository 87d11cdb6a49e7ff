// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension LedgerShard: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> LedgerShard {
        try Codec.decode(LedgerShard.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension SiteRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> SiteRecord {
        try Codec.decode(SiteRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension JobRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> JobRecord {
        try Codec.decode(JobRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension FleetRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> FleetRecord {
        try Codec.decode(FleetRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension EventRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> EventRecord {
        try Codec.decode(EventRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

extension NodeRecord: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.record }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> NodeRecord {
        try Codec.decode(NodeRecord.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}
