// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

extension Site: Mapped {
    static var messageName: String { "PlannedSite" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedSite>) {
        busbar__v1__planned_site__init(message)
    }

    static func read(_ message: Busbar__V1__PlannedSite) throws(WireError) -> Site {
        Site(
            name: try fields.name(message.name, "name"),
            root: DomainIndex(rawValue: message.root),
            allotment: try fields.power(message.allotment_mw, "allotment_mw"))
    }

    func write(to message: inout Busbar__V1__PlannedSite, _ builder: Builder) {
        message.name = builder.text(name)
        message.root = root.rawValue
        message.allotment_mw = builder.power(allotment)
    }
}

extension PowerDomain: Mapped {
    static var messageName: String { "PlannedDomain" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedDomain>) {
        busbar__v1__planned_domain__init(message)
    }

    static func read(_ message: Busbar__V1__PlannedDomain) throws(WireError) -> PowerDomain {
        let parent = message.parent_plus_one
        return PowerDomain(
            name: try fields.path(message.name, "name"),
            level: try fields.text(message.level, "level", limit: PlanBound.wordByteCount),
            site: SiteIndex(rawValue: message.site),
            parent: parent == 0 ? nil : DomainIndex(rawValue: parent - 1),
            tree: UInt8(try fields.number(message.tree, "tree", in: 0...UInt32(UInt8.max))),
            limit: try fields.power(message.limit_mw, "limit_mw"),
            overhead: try fields.power(message.overhead_mw, "overhead_mw"))
    }

    func write(to message: inout Busbar__V1__PlannedDomain, _ builder: Builder) {
        message.name = builder.text(name)
        message.level = builder.text(level)
        message.site = site.rawValue
        message.parent_plus_one = parent.map { $0.rawValue + 1 } ?? 0
        message.tree = UInt32(tree)
        message.limit_mw = builder.power(limit)
        message.overhead_mw = builder.power(overhead)
    }
}

extension GPUModel: Mapped {
    static var messageName: String { "PlannedModel" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedModel>) {
        busbar__v1__planned_model__init(message)
    }

    static func read(_ message: Busbar__V1__PlannedModel) throws(WireError) -> GPUModel {
        GPUModel(
            name: try fields.text(message.name, "name", limit: PlanBound.wordByteCount),
            vendor: try fields.word(message.vendor, "vendor"),
            idle: try fields.power(message.idle_mw, "idle_mw"),
            minimumCap: try fields.power(message.minimum_cap_mw, "minimum_cap_mw"),
            maximumCap: try fields.power(message.maximum_cap_mw, "maximum_cap_mw"),
            defaultFloor: try fields.power(message.default_floor_mw, "default_floor_mw"),
            memoryMiB: message.memory_mib,
            isEstimate: message.is_estimate != 0,
            source: try fields.text(message.source, "source"))
    }

    func write(to message: inout Busbar__V1__PlannedModel, _ builder: Builder) {
        message.name = builder.text(name)
        message.vendor = builder.text(vendor.rawValue)
        message.idle_mw = builder.power(idle)
        message.minimum_cap_mw = builder.power(minimumCap)
        message.maximum_cap_mw = builder.power(maximumCap)
        message.default_floor_mw = builder.power(defaultFloor)
        message.memory_mib = memoryMiB
        message.is_estimate = isEstimate ? 1 : 0
        message.source = builder.text(source)
    }
}

extension NodeType: Mapped {
    static var messageName: String { "PlannedNodeType" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedNodeType>) {
        busbar__v1__planned_node_type__init(message)
    }

    static func read(_ message: Busbar__V1__PlannedNodeType) throws(WireError) -> NodeType {
        let labels: [PlannedLabel] = try fields.list(
            message.n_labels, message.labels, "labels", limit: PlanBound.labels)
        let gpuCount = try fields.number(
            message.gpu_count, "gpu_count", in: 0...UInt32(TelemetryReport.maximumGPUCount))
        return NodeType(
            name: try fields.text(message.name, "name", limit: PlanBound.wordByteCount),
            model: ModelIndex(rawValue: message.model),
            gpuCount: UInt16(gpuCount),
            cpuMilli: message.cpu_milli,
            memoryMiB: message.memory_mib,
            fallback: try fields.power(message.fallback_mw, "fallback_mw"),
            enforcementClass: try fields.word(message.enforcement_class, "enforcement_class"),
            bootState: try fields.word(message.boot_state, "boot_state"),
            settleNanoseconds: try fields.duration(message.settle_ns, "settle_ns"),
            labels: try fields.dictionary(labels.map { ($0.key, $0.value) }, "labels"))
    }

    func write(to message: inout Busbar__V1__PlannedNodeType, _ builder: Builder) {
        let sorted = labels.sorted { $0.key < $1.key }
        message.name = builder.text(name)
        message.model = model.rawValue
        message.gpu_count = UInt32(gpuCount)
        message.cpu_milli = cpuMilli
        message.memory_mib = memoryMiB
        message.fallback_mw = builder.power(fallback)
        message.enforcement_class = builder.text(enforcementClass.rawValue)
        message.boot_state = builder.text(bootState.rawValue)
        message.settle_ns = builder.duration(settleNanoseconds)
        message.n_labels = sorted.count
        message.labels = builder.list(sorted.map { PlannedLabel(key: $0.key, value: $0.value) })
    }
}

/// One label of a node type.
private struct PlannedLabel: Mapped {
    var key: String
    var value: String

    static var messageName: String { "PlannedLabel" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedLabel>) {
        busbar__v1__planned_label__init(message)
    }

    static func read(_ message: Busbar__V1__PlannedLabel) throws(WireError) -> PlannedLabel {
        PlannedLabel(
            key: try fields.text(message.key, "key", limit: PlanBound.wordByteCount),
            value: try fields.text(message.value, "value", limit: PlanBound.wordByteCount))
    }

    func write(to message: inout Busbar__V1__PlannedLabel, _ builder: Builder) {
        message.key = builder.text(key)
        message.value = builder.text(value)
    }
}

extension Node: Mapped {
    static var messageName: String { "PlannedNode" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__PlannedNode>) {
        busbar__v1__planned_node__init(message)
    }

    /// A node whose first GPU the plan fills in.
    static func read(_ message: Busbar__V1__PlannedNode) throws(WireError) -> Node {
        let leaves = try fields.column(
            message.n_leaves, message.leaves, "leaves", limit: PlanBound.leaves)
        return Node(
            name: try fields.name(message.name, "name"),
            site: SiteIndex(rawValue: message.site),
            type: Int(message.type),
            leaves: leaves.map { DomainIndex(rawValue: $0) },
            firstGPU: GPUIndex(rawValue: 0))
    }

    func write(to message: inout Busbar__V1__PlannedNode, _ builder: Builder) {
        message.name = builder.text(name)
        message.site = site.rawValue
        message.type = UInt32(type)
        message.n_leaves = leaves.count
        message.leaves = builder.map(leaves) { $0.rawValue }
    }
}

extension FieldReader {
    /// A value of an enumeration that travels as its name.
    func word<Value: RawRepresentable<String>>(
        _ pointer: UnsafePointer<CChar>?, _ field: String
    ) throws(WireError) -> Value {
        let word = try text(pointer, field, limit: PlanBound.wordByteCount)
        guard let value = Value(rawValue: word) else {
            throw error(field, .inconsistent("no such value: \"\(word)\""))
        }
        return value
    }

    /// Keys with their values; no key twice.
    func dictionary(
        _ pairs: [(String, String)], _ field: String
    ) throws(WireError) -> [String: String] {
        var result: [String: String] = [:]
        for (key, value) in pairs where result.updateValue(value, forKey: key) != nil {
            throw error(field, .inconsistent("\(key) is there twice"))
        }
        return result
    }
}
