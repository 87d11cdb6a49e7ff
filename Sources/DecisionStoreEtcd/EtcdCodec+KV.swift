// SPDX-License-Identifier: Apache-2.0

internal import CEtcdProto

extension EtcdRange: EtcdRequest {
    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        return etcdPack(
            built(builder), size: etcdserverpb__range_request__get_packed_size,
            pack: etcdserverpb__range_request__pack)
    }

    fileprivate func built(
        _ builder: borrowing EtcdBuilder
    ) -> UnsafeMutablePointer<Etcdserverpb__RangeRequest> {
        builder.message(etcdserverpb__range_request__init) { message in
            message.key = builder.bytes(key)
            message.range_end = builder.bytes(end)
            message.limit = limit
            message.revision = revision
            message.keys_only = isKeysOnly ? 1 : 0
            message.min_mod_revision = minimumModRevision
            message.max_create_revision = maximumCreateRevision
            if isNewestFirst {
                message.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND
                message.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE
            }
        }
    }
}

extension EtcdRangeResult: EtcdResponse {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdRangeResult {
        try etcdUnpack(
            bytes, "RangeResponse", unpack: etcdserverpb__range_response__unpack,
            free: etcdserverpb__range_response__free_unpacked
        ) { message in
            EtcdRangeResult(
                keyValues: keyValues(message), hasMore: message.more != 0,
                revision: message.header?.pointee.revision ?? 0)
        }
    }

    fileprivate static func keyValues(_ message: Etcdserverpb__RangeResponse) -> [EtcdKeyValue] {
        etcdList(message.kvs, message.n_kvs) { EtcdKeyValue($0) }
    }
}

extension EtcdKeyValue {
    init(_ message: Mvccpb__KeyValue) {
        self.init(
            key: [UInt8](message.key), value: [UInt8](message.value),
            createRevision: message.create_revision, modRevision: message.mod_revision)
    }
}

extension EtcdTransaction: EtcdRequest {
    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__txn_request__init) { message in
            message.n_compare = compares.count
            message.compare = builder.list(compares) { $0.built(builder) }
            message.n_success = success.count
            message.success = builder.list(success) { $0.built(builder) }
            message.n_failure = failure.count
            message.failure = builder.list(failure) { $0.built(builder) }
        }
        return etcdPack(
            message, size: etcdserverpb__txn_request__get_packed_size,
            pack: etcdserverpb__txn_request__pack)
    }
}

extension EtcdCompare {
    fileprivate func built(
        _ builder: borrowing EtcdBuilder
    ) -> UnsafeMutablePointer<Etcdserverpb__Compare> {
        builder.message(etcdserverpb__compare__init) { message in
            message.key = builder.bytes(key)
            message.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL
            message.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD
            message.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION
            message.mod_revision = modRevision
        }
    }
}

extension EtcdOperation {
    fileprivate func built(
        _ builder: borrowing EtcdBuilder
    ) -> UnsafeMutablePointer<Etcdserverpb__RequestOp> {
        builder.message(etcdserverpb__request_op__init) { message in
            switch self {
            case .range(let range):
                message.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE
                message.request_range = range.built(builder)
            case .put(let key, let value, let lease):
                message.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT
                message.request_put = builder.message(etcdserverpb__put_request__init) { put in
                    put.key = builder.bytes(key)
                    put.value = builder.bytes(value)
                    put.lease = lease
                }
            case .delete(let key):
                message.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE
                message.request_delete_range = builder.message(
                    etcdserverpb__delete_range_request__init
                ) { $0.key = builder.bytes(key) }
            }
        }
    }
}

extension EtcdTransactionResult: EtcdResponse {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdTransactionResult {
        try etcdUnpack(
            bytes, "TxnResponse", unpack: etcdserverpb__txn_response__unpack,
            free: etcdserverpb__txn_response__free_unpacked
        ) { message in
            let ranges = etcdList(message.responses, message.n_responses) { response in
                guard
                    response.response_case
                        == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE,
                    let range = response.response_range
                else { return [EtcdKeyValue]() }
                return EtcdRangeResult.keyValues(range.pointee)
            }
            return EtcdTransactionResult(
                isSuccess: message.succeeded != 0,
                revision: message.header?.pointee.revision ?? 0, ranges: ranges)
        }
    }
}

/// Asks etcd to forget what was overwritten before a revision.
struct EtcdCompaction: EtcdRequest {
    var revision: Int64

    func encoded() -> [UInt8] {
        let builder = EtcdBuilder()
        let message = builder.message(etcdserverpb__compaction_request__init) {
            $0.revision = revision
        }
        return etcdPack(
            message, size: etcdserverpb__compaction_request__get_packed_size,
            pack: etcdserverpb__compaction_request__pack)
    }
}

/// An answer of which only the arrival matters.
struct EtcdAcknowledgement: EtcdResponse {
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> EtcdAcknowledgement {
        EtcdAcknowledgement()
    }
}
