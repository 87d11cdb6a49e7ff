// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension LedgerShard: Mapped {
    static var messageName: String { "LedgerShard" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__LedgerShard>) {
        busbar__v1__ledger_shard__init(message)
    }

    static func read(_ message: Busbar__V1__LedgerShard) throws(WireError) -> LedgerShard {
        var shard = LedgerShard(firstNode: message.first_node)
        shard.charge = try fields.powers(
            message.n_charge_mw, message.charge_mw, "charge_mw", limit: nodeCount)
        let count = shard.charge.count
        shard.unleased = try fields.powers(
            message.n_unleased_mw, message.unleased_mw, "unleased_mw", count: count)
        shard.fallback = try fields.powers(
            message.n_fallback_mw, message.fallback_mw, "fallback_mw", count: count)
        shard.fallbackVersion = try fields.column(
            message.n_fallback_version, message.fallback_version, "fallback_version", count: count)
        let proof = try fields.column(message.n_proof, message.proof, "proof", count: count)
        for value in proof { shard.proof.append(try fields.value(value, "proof")) }
        let classes = try fields.column(
            message.n_conferred_class, message.conferred_class, "conferred_class", count: count)
        for value in classes {
            let isSupervised = try fields.number(value, "conferred_class", in: 0...1) == 1
            shard.isSupervised.append(isSupervised)
        }
        shard.floors = try fields.powers(
            message.n_floors_mw, message.floors_mw, "floors_mw", count: count)
        return shard
    }

    func write(to message: inout Busbar__V1__LedgerShard, _ builder: Builder) {
        message.first_node = firstNode
        message.n_charge_mw = charge.count
        message.charge_mw = builder.powers(charge)
        message.n_unleased_mw = unleased.count
        message.unleased_mw = builder.powers(unleased)
        message.n_fallback_mw = fallback.count
        message.fallback_mw = builder.powers(fallback)
        message.n_fallback_version = fallbackVersion.count
        message.fallback_version = builder.column(fallbackVersion)
        message.n_proof = proof.count
        message.proof = builder.map(proof) { $0.wireValue }
        message.n_conferred_class = isSupervised.count
        message.conferred_class = builder.map(isSupervised) { $0 ? 1 : 0 }
        message.n_floors_mw = floors.count
        message.floors_mw = builder.powers(floors)
    }
}

extension NodeProof: WireEnum {
    init?(wireValue: UInt32) {
        guard let raw = UInt8(exactly: wireValue) else { return nil }
        self.init(rawValue: raw)
    }

    var wireValue: UInt32 { UInt32(rawValue) }
}

extension SiteRecord: Mapped {
    static var messageName: String { "SiteRecord" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__SiteRecord>) {
        busbar__v1__site_record__init(message)
    }

    static func read(_ message: Busbar__V1__SiteRecord) throws(WireError) -> SiteRecord {
        let hasLeft = try fields.column(
            message.n_has_left_commissioning, message.has_left_commissioning,
            "has_left_commissioning", limit: PlanBound.domains)
        return SiteRecord(
            epochID: try fields.message(message.epoch_id, "epoch_id"),
            epoch: message.epoch,
            heartbeat: message.heartbeat,
            leaseNanoseconds: try fields.duration(message.lease_ns, "lease_ns"),
            hasLeftCommissioning: hasLeft.map { $0 != 0 },
            effectiveLimit: try fields.powers(
                message.n_effective_limit_mw, message.effective_limit_mw, "effective_limit_mw",
                count: hasLeft.count),
            firstStartUnixMilliseconds: message.first_start_unix_ms,
            commissionedUnixMilliseconds: message.commissioned_unix_ms)
    }

    func write(to message: inout Busbar__V1__SiteRecord, _ builder: Builder) {
        message.epoch_id = builder.make(epochID)
        message.epoch = epoch
        message.heartbeat = heartbeat
        message.lease_ns = builder.duration(leaseNanoseconds)
        message.n_has_left_commissioning = hasLeftCommissioning.count
        message.has_left_commissioning = builder.map(hasLeftCommissioning) { $0 ? 1 : 0 }
        message.n_effective_limit_mw = effectiveLimit.count
        message.effective_limit_mw = builder.powers(effectiveLimit)
        message.first_start_unix_ms = firstStartUnixMilliseconds
        message.commissioned_unix_ms = commissionedUnixMilliseconds
    }
}
