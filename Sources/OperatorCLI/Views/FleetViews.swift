// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

/// A kind of thing that is listed: how it looks in a table, and in JSON.
///
/// JSON names are those of the protocol: powers in milliwatts end in `_mw`; what is unknown is
/// `null`, never 0.
protocol Listed {
    /// The columns of the table, in order.
    static var columns: [Table.Column] { get }
    /// One cell for each column.
    var cells: [String] { get }
    var json: JSONValue { get }
}

extension Listed {
    /// All of them as a table.
    static func table(_ items: [Self]) -> Table {
        var table = Table(columns)
        for item in items { table.append(item.cells) }
        return table
    }
}

extension Milliwatts {
    /// As a person reads it; an unknown one is a dash.
    static func text(_ value: Milliwatts?) -> String { value?.description ?? Format.unknown }

    /// As milliwatts, or null.
    static func json(_ value: Milliwatts?) -> JSONValue {
        value.map { .integer($0.rawValue) } ?? .null
    }

    var json: JSONValue { .integer(rawValue) }
}

extension Optional where Wrapped == String {
    var json: JSONValue { map(JSONValue.string) ?? .null }
}

extension SiteView: Listed {
    /// What is left for charges, or what is missing.
    var headroom: Milliwatts { limit - overhead - charged }

    static var columns: [Table.Column] {
        [
            .init("SITE", yield: .flexible), .init("DRAW", .right), .init("CHARGED", .right),
            .init("LIMIT", .right), .init("HEADROOM", .right), .init("GPUS", .right),
            .init("JOBS", .right), .init("NODES", .right, yield: .droppable),
            .init("STATE", yield: .droppable), .init("OVERHEAD", .right, isWideOnly: true),
            .init("FLOORS", .right, isWideOnly: true), .init("EPOCH", .right, isWideOnly: true),
        ]
    }

    var cells: [String] {
        let silent = nodeCount - min(nodeCount, liveNodeCount)
        let state =
            isCommissioning ? "commissioning" : silent == 0 ? "healthy" : "\(silent) silent"
        return [
            name, Milliwatts.text(draw), charged.description, limit.description,
            headroom.description, "\(heldGPUCount)/\(gpuCount)", String(runningJobCount),
            "\(liveNodeCount)/\(nodeCount)", state, overhead.description, floors.description,
            String(epoch),
        ]
    }

    var json: JSONValue {
        .object([
            ("name", .string(name)), ("draw_mw", Milliwatts.json(draw)),
            ("charged_mw", charged.json), ("limit_mw", limit.json),
            ("overhead_mw", overhead.json), ("headroom_mw", headroom.json),
            ("floors_mw", floors.json), ("nodes", .integer(Int64(nodeCount))),
            ("nodes_live", .integer(Int64(liveNodeCount))), ("gpus", .integer(Int64(gpuCount))),
            ("gpus_held", .integer(Int64(heldGPUCount))),
            ("jobs_running", .integer(Int64(runningJobCount))),
            ("commissioning", .bool(isCommissioning)), ("epoch", .counter(epoch)),
        ])
    }
}

extension DomainView: Listed {
    /// What is left for charges under the limit that is proven.
    var headroom: Milliwatts { effectiveLimit - overhead - charged }

    static var columns: [Table.Column] {
        [
            .init("DOMAIN", yield: .flexible), .init("LEVEL", yield: .droppable),
            .init("DRAW", .right), .init("CHARGED", .right), .init("LIMIT", .right),
            .init("HEADROOM", .right), .init("PEAK", .right, yield: .droppable),
            .init("NODES", .right, yield: .droppable), .init("STATE", yield: .droppable),
            .init("EFFECTIVE", .right, isWideOnly: true),
            .init("OVERHEAD", .right, isWideOnly: true), .init("FLOORS", .right, isWideOnly: true),
            .init("TREE", .right, isWideOnly: true), .init("SITE", isWideOnly: true),
        ]
    }

    var cells: [String] {
        let state = isCommissioning ? "commissioning" : isBinding ? "binding" : ""
        return [
            name, level, Milliwatts.text(draw), charged.description, limit.description,
            headroom.description, peakCharged.description, String(nodeCount), state,
            effectiveLimit.description, overhead.description, floors.description, String(tree),
            site,
        ]
    }

    var json: JSONValue {
        .object([
            ("name", .string(name)), ("level", .string(level)), ("site", .string(site)),
            ("parent", parent.json), ("tree", .integer(Int64(tree))), ("limit_mw", limit.json),
            ("effective_limit_mw", effectiveLimit.json), ("overhead_mw", overhead.json),
            ("charged_mw", charged.json), ("headroom_mw", headroom.json),
            ("floors_mw", floors.json), ("draw_mw", Milliwatts.json(draw)),
            ("commissioning", .bool(isCommissioning)), ("binding", .bool(isBinding)),
            ("peak_charged_mw", peakCharged.json), ("nodes", .integer(Int64(nodeCount))),
        ])
    }
}

extension NodeView: Listed {
    static var columns: [Table.Column] {
        [
            .init("NODE", yield: .flexible), .init("STATE"), .init("CLASS", yield: .droppable),
            .init("MODEL", yield: .flexible), .init("FREE", .right), .init("DRAW", .right),
            .init("CAP", .right), .init("CHARGE", .right),
            .init("LEASE", .right, yield: .droppable), .init("ENFORCED", .right, isWideOnly: true),
            .init("FALLBACK", .right, isWideOnly: true),
            .init("CPU FREE", .right, isWideOnly: true),
            .init("MEMORY FREE", .right, isWideOnly: true), .init("SITE", isWideOnly: true),
            .init("TYPE", isWideOnly: true), .init("FEEDS", isWideOnly: true),
        ]
    }

    var cells: [String] {
        [
            name, mark.isEmpty ? state.rawValue : "\(state.rawValue),\(mark)",
            enforcementClass.rawValue, model,
            "\(Format.gpus(milli: UInt64(freeGPUMilli)))/\(gpuCount)", Milliwatts.text(draw),
            cap.description, charge.description,
            state == .unproven
                ? Format.unknown : Format.duration(milliseconds: leaseAgeMilliseconds),
            enforced.description, fallback.description, Format.gpus(milli: UInt64(freeCPUMilli)),
            "\(freeMemoryMiB / 1024) GiB", site, type, leaves.joined(separator: ","),
        ]
    }

    var json: JSONValue {
        .object([
            ("name", .string(name)), ("site", .string(site)), ("type", .string(type)),
            ("model", .string(model)), ("gpus", .integer(Int64(gpuCount))),
            ("state", .string(state.rawValue)), ("class", .string(enforcementClass.rawValue)),
            ("charge_mw", charge.json), ("cap_mw", cap.json), ("enforced_mw", enforced.json),
            ("draw_mw", Milliwatts.json(draw)), ("fallback_mw", fallback.json),
            ("gpu_milli_free", .integer(Int64(freeGPUMilli))),
            ("cpu_milli_free", .integer(Int64(freeCPUMilli))),
            ("memory_mib_free", .integer(Int64(freeMemoryMiB))),
            ("lease_age_ms", .counter(leaseAgeMilliseconds)),
            ("leaves", .array(leaves.map(JSONValue.string))), ("mark", .string(mark)),
            ("violations", .counter(violations)),
        ])
    }
}

extension GPUView: Listed {
    static var columns: [Table.Column] {
        [
            .init("NODE", yield: .flexible), .init("GPU", .right), .init("MODEL", yield: .flexible),
            .init("HELD", .right), .init("DRAW", .right), .init("CAP", .right),
            .init("LEVEL", .right), .init("JOBS", yield: .droppable),
            .init("BOUND BY", yield: .droppable), .init("TARGET", .right, isWideOnly: true),
            .init("FLOOR", .right, isWideOnly: true), .init("FULL", .right, isWideOnly: true),
        ]
    }

    var cells: [String] {
        let isHeld = heldMilli > 0
        return [
            node, String(device), model, Format.percent(ppm: UInt64(heldMilli) * 1000),
            Milliwatts.text(draw), Milliwatts.text(capEnforced),
            isHeld ? Format.percent(ppm: UInt64(levelPPM)) : Format.unknown,
            jobs.map(\.description).joined(separator: ","), boundBy ?? "", capTarget.description,
            floor.description, full.description,
        ]
    }

    var json: JSONValue {
        .object([
            ("node", .string(node)), ("device", .integer(Int64(device))),
            ("model", .string(model)), ("milli_held", .integer(Int64(heldMilli))),
            ("jobs", .array(jobs.map { .string($0.description) })), ("floor_mw", floor.json),
            ("full_mw", full.json), ("cap_target_mw", capTarget.json),
            ("cap_enforced_mw", Milliwatts.json(capEnforced)), ("draw_mw", Milliwatts.json(draw)),
            ("level_ppm", .integer(Int64(levelPPM))), ("bound_by", boundBy.json),
        ])
    }
}
