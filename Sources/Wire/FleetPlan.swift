// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
package import FleetModel

/// A topology as one message, for processes that read no YAML: simulated hardware, enforcers and
/// agents.
///
/// Reading checks what every user of a ``Topology`` relies on: all indices are in range, parents
/// precede their children and share their site and tree, names are valid and unique, no node has
/// more GPUs than a report can carry, no budget is negative.
package struct FleetPlan: Hashable, Sendable {
    package var topology: Topology

    package init(topology: Topology) { self.topology = topology }
}

extension FleetPlan: WireMessage {
    package static var arenaLimit: Int { ArenaLimit.plan }

    package static func decode(
        _ bytes: RawSpan, arena: inout WireArena
    ) throws(WireError) -> FleetPlan {
        try Codec.decode(FleetPlan.self, bytes, &arena)
    }

    package func encode(into bytes: inout [UInt8], arena: inout WireArena) {
        Codec.encode(self, into: &bytes, &arena)
    }
}

/// Limits on the lists of a plan.
enum PlanBound {
    static let sites = 4096
    static let domains = 1 << 20
    static let models = 4096
    static let nodeTypes = 65_536
    static let nodes = 1 << 20
    /// Trees that feed one node.
    static let leaves = 8
    static let labels = 64
    /// Levels and labels.
    static let wordByteCount = 256
}

extension FleetPlan: Mapped {
    static var messageName: String { "FleetPlan" }

    static func initialize(_ message: UnsafeMutablePointer<Busbar__V1__FleetPlan>) {
        busbar__v1__fleet_plan__init(message)
    }

    static func read(_ message: Busbar__V1__FleetPlan) throws(WireError) -> FleetPlan {
        let nodeTypes: [NodeType] = try fields.list(
            message.n_node_types, message.node_types, "node_types", limit: PlanBound.nodeTypes)
        var nodes: [Node] = try fields.list(
            message.n_nodes, message.nodes, "nodes", limit: PlanBound.nodes)
        var gpuCount = 0
        for position in nodes.indices {
            let type = nodes[position].type
            try fields.checkIndex(type, below: nodeTypes.count, "nodes.type")
            nodes[position].firstGPU = GPUIndex(gpuCount)
            gpuCount += Int(nodeTypes[type].gpuCount)
        }
        let topology = Topology(
            fleetName: try fields.name(message.fleet, "fleet"),
            sites: try fields.list(
                message.n_sites, message.sites, "sites", limit: PlanBound.sites),
            domains: try fields.list(
                message.n_domains, message.domains, "domains", limit: PlanBound.domains),
            gpuModels: try fields.list(
                message.n_models, message.models, "models", limit: PlanBound.models),
            nodeTypes: nodeTypes, nodes: nodes, lease: try lease(of: message))
        try check(topology)
        return FleetPlan(topology: topology)
    }

    private static func lease(
        of message: Busbar__V1__FleetPlan
    ) throws(WireError) -> LeaseParameters {
        LeaseParameters(
            leaseNanoseconds: try fields.duration(message.lease_ns, "lease_ns"),
            enforcerNanoseconds: try fields.duration(message.enforcer_ns, "enforcer_ns"),
            settleNanoseconds: try fields.duration(message.settle_ns, "settle_ns"),
            driftPPM: Int64(try fields.number(message.drift_ppm, "drift_ppm", in: 0...500_000)),
            tickNanoseconds: try fields.duration(message.tick_ns, "tick_ns"),
            holdNanoseconds: try fields.duration(message.hold_ns, "hold_ns"))
    }

    func write(to message: inout Busbar__V1__FleetPlan, _ builder: Builder) {
        message.fleet = builder.text(topology.fleetName)
        message.n_sites = topology.sites.count
        message.sites = builder.list(topology.sites)
        message.n_domains = topology.domains.count
        message.domains = builder.list(topology.domains)
        message.n_models = topology.gpuModels.count
        message.models = builder.list(topology.gpuModels)
        message.n_node_types = topology.nodeTypes.count
        message.node_types = builder.list(topology.nodeTypes)
        message.n_nodes = topology.nodes.count
        message.nodes = builder.list(topology.nodes)
        message.lease_ns = builder.duration(topology.lease.leaseNanoseconds)
        message.enforcer_ns = builder.duration(topology.lease.enforcerNanoseconds)
        message.settle_ns = builder.duration(topology.lease.settleNanoseconds)
        message.drift_ppm = builder.duration(topology.lease.driftPPM)
        message.tick_ns = builder.duration(topology.lease.tickNanoseconds)
        message.hold_ns = builder.duration(topology.lease.holdNanoseconds)
    }
}

// MARK: - Checks across lists

extension FleetPlan {
    private static func check(_ topology: Topology) throws(WireError) {
        for type in topology.nodeTypes {
            try fields.checkIndex(
                type.model.position, below: topology.gpuModels.count, "node_types.model")
        }
        try checkDomains(topology)
        try checkRoots(topology)
        try checkNodes(topology)
        try checkUnique(topology.sites.map(\.name), "sites.name")
        try checkUnique(topology.domains.map(\.name), "domains.name")
        try checkUnique(topology.gpuModels.map(\.name), "models.name")
        try checkUnique(topology.nodeTypes.map(\.name), "node_types.name")
        try checkUnique(topology.nodes.map(\.name), "nodes.name")
    }

    private static func checkDomains(_ topology: Topology) throws(WireError) {
        for (position, domain) in topology.domains.enumerated() {
            try fields.checkIndex(domain.site.position, below: topology.sites.count, "domains.site")
            guard domain.overhead <= domain.limit else {
                throw fields.error(
                    "domains.overhead_mw",
                    .inconsistent("the overhead of \(domain.name) is above its limit"))
            }
            guard let parent = domain.parent else { continue }
            try fields.checkIndex(parent.position, below: position, "domains.parent_plus_one")
            let above = topology.domains[parent.position]
            guard above.site == domain.site, above.tree == domain.tree else {
                throw fields.error(
                    "domains.parent_plus_one",
                    .inconsistent("\(domain.name) and its parent differ in site or tree"))
            }
        }
    }

    /// Each site's root is a root of its primary tree, and that tree has no other.
    private static func checkRoots(_ topology: Topology) throws(WireError) {
        for (position, site) in topology.sites.enumerated() {
            try fields.checkIndex(site.root.position, below: topology.domains.count, "sites.root")
            let root = topology.domains[site.root.position]
            guard root.parent == nil, root.tree == 0, root.site.position == position else {
                throw fields.error(
                    "sites.root", .inconsistent("\(root.name) is not the root of \(site.name)"))
            }
        }
        for (position, domain) in topology.domains.enumerated()
        where domain.parent == nil && domain.tree == 0 {
            let site = topology.sites[domain.site.position]
            guard site.root.position == position else {
                throw fields.error(
                    "domains.parent_plus_one",
                    .inconsistent("\(domain.name) is a second root of \(site.name)"))
            }
        }
    }

    private static func checkNodes(_ topology: Topology) throws(WireError) {
        for node in topology.nodes {
            try fields.checkIndex(node.site.position, below: topology.sites.count, "nodes.site")
            var trees: Set<UInt8> = []
            for leaf in node.leaves {
                try fields.checkIndex(
                    leaf.position, below: topology.domains.count, "nodes.leaves")
                let domain = topology.domains[leaf.position]
                guard domain.site == node.site, trees.insert(domain.tree).inserted else {
                    throw fields.error(
                        "nodes.leaves",
                        .inconsistent("\(node.name) hangs from another site, or twice from a tree"))
                }
            }
            guard let first = node.leaves.first, topology.domains[first.position].tree == 0 else {
                throw fields.error(
                    "nodes.leaves", .inconsistent("\(node.name) is not in the primary tree"))
            }
        }
    }

    private static func checkUnique(_ names: [String], _ field: String) throws(WireError) {
        var seen: Set<String> = []
        seen.reserveCapacity(names.count)
        for name in names where !seen.insert(name).inserted {
            throw fields.error(field, .inconsistent("\(name) is there twice"))
        }
    }
}

extension FieldReader {
    /// Throws when a position is not in a list of `count` elements.
    func checkIndex(_ position: Int, below count: Int, _ field: String) throws(WireError) {
        guard position < count else {
            throw error(field, .inconsistent("position \(position) is not below \(count)"))
        }
    }

    /// Names of a repeated field.
    func names(
        _ count: Int, _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
        _ field: String, limit: Int
    ) throws(WireError) -> [String] {
        try map(count, pointer, field, limit: limit) { element throws(WireError) in
            try name(element, field)
        }
    }

    /// Texts of a repeated field.
    func texts(
        _ count: Int, _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
        _ field: String, limit: Int
    ) throws(WireError) -> [String] {
        try map(count, pointer, field, limit: limit) { element throws(WireError) in
            try text(element, field)
        }
    }
}
