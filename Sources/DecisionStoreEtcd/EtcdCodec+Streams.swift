// SPDX-License-Identifier: Apache-2.0

internal import CEtcdProto

extension EtcdWatchRequest: EtcdRequest {
    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__watch_request__init) { message in
            message.request_union_case =
                ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST
            message.create_request = builder.message(
                etcdserverpb__watch_create_request__init
            ) { create in
                create.key = builder.bytes(key)
                create.range_end = builder.bytes(end)
                create.start_revision = startRevision
                create.fragment = 1
                create.progress_notify = 1
            }
        }
        return etcdPack(
            message, size: etcdserverpb__watch_request__get_packed_size,
            pack: etcdserverpb__watch_request__pack)
    }
}

extension EtcdWatchResponse: EtcdResponse {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdWatchResponse {
        try etcdUnpack(
            bytes, "WatchResponse", unpack: etcdserverpb__watch_response__unpack,
            free: etcdserverpb__watch_response__free_unpacked
        ) { message in
            EtcdWatchResponse(
                revision: message.header?.pointee.revision ?? 0,
                isCreated: message.created != 0, isCancelled: message.canceled != 0,
                compactRevision: message.compact_revision,
                cancelReason: etcdText(message.cancel_reason),
                isFragment: message.fragment != 0,
                events: etcdList(message.events, message.n_events) { event in
                    Event(
                        isDeletion: event.type == MVCCPB__EVENT__EVENT_TYPE__DELETE,
                        keyValue: event.kv.map { EtcdKeyValue($0.pointee) }
                            ?? EtcdKeyValue(key: [], value: [], createRevision: 0, modRevision: 0))
                })
        }
    }
}

/// Asks for a lease with an id that the asker has chosen.
struct EtcdLeaseGrant: EtcdRequest {
    var id: Int64
    /// In seconds.
    var timeToLive: Int64

    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__lease_grant_request__init) { message in
            message.id = id
            message.ttl = timeToLive
        }
        return etcdPack(
            message, size: etcdserverpb__lease_grant_request__get_packed_size,
            pack: etcdserverpb__lease_grant_request__pack)
    }
}

/// A lease that was granted.
struct EtcdLeaseGranted: EtcdResponse {
    var lease: EtcdLease

    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdLeaseGranted {
        try etcdUnpack(
            bytes, "LeaseGrantResponse", unpack: etcdserverpb__lease_grant_response__unpack,
            free: etcdserverpb__lease_grant_response__free_unpacked
        ) { EtcdLeaseGranted(lease: EtcdLease(id: $0.id, timeToLive: $0.ttl)) }
    }
}

/// Asks for the end of a lease, and of the keys that hang from it.
struct EtcdLeaseRevoke: EtcdRequest {
    var id: Int64

    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__lease_revoke_request__init) { $0.id = id }
        return etcdPack(
            message, size: etcdserverpb__lease_revoke_request__get_packed_size,
            pack: etcdserverpb__lease_revoke_request__pack)
    }
}

/// Asks for more time.
struct EtcdLeaseKeepAlive: EtcdRequest {
    var id: Int64

    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__lease_keep_alive_request__init) {
            $0.id = id
        }
        return etcdPack(
            message, size: etcdserverpb__lease_keep_alive_request__get_packed_size,
            pack: etcdserverpb__lease_keep_alive_request__pack)
    }
}

/// A lease that was renewed, or has ended.
struct EtcdLeaseKept: EtcdResponse {
    var lease: EtcdLease

    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdLeaseKept {
        try etcdUnpack(
            bytes, "LeaseKeepAliveResponse",
            unpack: etcdserverpb__lease_keep_alive_response__unpack,
            free: etcdserverpb__lease_keep_alive_response__free_unpacked
        ) { EtcdLeaseKept(lease: EtcdLease(id: $0.id, timeToLive: $0.ttl)) }
    }
}

/// Asks a member how it stands.
struct EtcdStatusRequest: EtcdRequest {
    func encoded() -> [UInt8] { [] }
}

extension EtcdStatus: EtcdResponse {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdStatus {
        try etcdUnpack(
            bytes, "StatusResponse", unpack: etcdserverpb__status_response__unpack,
            free: etcdserverpb__status_response__free_unpacked
        ) { message in
            EtcdStatus(
                version: etcdText(message.version), leader: message.leader,
                revision: message.header?.pointee.revision ?? 0,
                databaseByteCount: message.dbsize, usedByteCount: message.dbsizeinuse,
                quotaByteCount: message.dbsizequota)
        }
    }
}

/// Asks for the alarms of all members.
struct EtcdAlarmsRequest: EtcdRequest {
    // The action GET and the alarm NONE are zero: nothing is sent.
    func encoded() -> [UInt8] { [] }
}

/// The alarms of all members.
struct EtcdAlarms: EtcdResponse {
    var alarms: [EtcdAlarm]

    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdAlarms {
        try etcdUnpack(
            bytes, "AlarmResponse", unpack: etcdserverpb__alarm_response__unpack,
            free: etcdserverpb__alarm_response__free_unpacked
        ) { message in
            EtcdAlarms(
                alarms: etcdList(message.alarms, message.n_alarms) { member in
                    switch member.alarm {
                    case ETCDSERVERPB__ALARM_TYPE__NOSPACE: .noSpace
                    case ETCDSERVERPB__ALARM_TYPE__CORRUPT: .corrupt
                    default: .other(UInt32(bitPattern: Int32(member.alarm.rawValue)))
                    }
                })
        }
    }
}
