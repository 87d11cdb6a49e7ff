// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

/// Reads a topology file: first every part by itself, then the trees that they make together.
struct TopologyReader {
    /// The role of a coordinator that serves every site has this site in its identity.
    static let reservedSiteName = "fleet"

    let diagnostics: Diagnostics
    var models = ModelTable()
    var nodeTypes: [NodeType] = []
    var nodeTypePositions: [String: Int] = [:]

    /// Reads a whole file.
    static func read(_ root: YAMLNode, name: String) throws(ConfigurationError) -> FleetFile {
        let diagnostics = Diagnostics(file: name)
        var reader = TopologyReader(diagnostics: diagnostics)
        let known = ["fleet", "lease", "gpu_models", "node_types", "sites", "jobs"]
        guard let fields = Fields(root, what: "the file", known: known, diagnostics) else {
            try diagnostics.throwIfAny()
            throw ConfigurationError(file: name, "the file is not a mapping")
        }
        let fleetName = fields.text("fleet", required: true)
        if let fleetName { reader.checkName(fleetName, of: "the fleet") }
        for node in fields.list("gpu_models") { reader.readModel(node) }
        for node in fields.list("node_types") { reader.readNodeType(node) }
        let lease = reader.readLease(fields)
        var sites = SiteReader(diagnostics: diagnostics, nodeTypes: reader.nodeTypePositions)
        for node in fields.list("sites") { sites.read(node) }
        if fields.list("sites").isEmpty {
            diagnostics.report("there are no sites", at: fields.mark(of: "sites"))
        }
        var jobs = JobReader(diagnostics)
        for node in fields.list("jobs") { jobs.read(node) }
        // The trees are built from parts that are good by themselves.
        try diagnostics.throwIfAny()
        let topology = try reader.assemble(
            fleetName: fleetName?.value ?? "", sites: sites.sites, lease: lease)
        JobReferences(topology: topology, diagnostics: diagnostics).check(&jobs.entries)
        try diagnostics.throwIfAny()
        return FleetFile(topology: topology, sampleJobs: jobs.entries.map(\.spec))
    }

    private func assemble(
        fleetName: String, sites: [RawSite], lease: LeaseParameters
    ) throws(ConfigurationError) -> Topology {
        var builder = TreeBuilder(diagnostics: diagnostics, nodeTypes: nodeTypes)
        builder.build(sites)
        try diagnostics.throwIfAny()
        let topology = Topology(
            fleetName: fleetName, sites: builder.sites, domains: builder.domains,
            gpuModels: models.used, nodeTypes: nodeTypes, nodes: builder.nodes, lease: lease)
        for problem in topology.problems() { diagnostics.report(problem, at: nil) }
        try diagnostics.throwIfAny()
        return topology
    }

    func checkName(_ name: Located<String>, of what: String) {
        if let problem = Name.problem(in: name.value) {
            diagnostics.report("the name of \(what) \(problem)", at: name.mark)
        }
    }

    /// Reads the constants of the lease protocol, after the node types: the slowest to settle counts.
    private func readLease(_ fields: Fields) -> LeaseParameters {
        var lease = LeaseParameters()
        lease.settleNanoseconds = nodeTypes.map(\.settleNanoseconds).max() ?? 0
        var takeover = LeaseParameters.defaultTakeoverNanoseconds
        if let node = fields.node("lease") {
            let known = ["term", "enforcer", "drift", "tick", "hold", "takeover"]
            guard let fields = Fields(node, what: "'lease'", known: known, diagnostics) else {
                return lease
            }
            lease.leaseNanoseconds = fields.quantity(
                "term", default: lease.leaseNanoseconds, Quantity.duration)
            lease.enforcerNanoseconds = fields.quantity(
                "enforcer", default: lease.enforcerNanoseconds, Quantity.duration)
            lease.driftPPM = fields.quantity(
                "drift", default: lease.driftPPM, Quantity.partsPerMillion)
            lease.tickNanoseconds = fields.quantity(
                "tick", default: lease.tickNanoseconds, Quantity.duration)
            lease.holdNanoseconds = fields.quantity(
                "hold", default: lease.leaseNanoseconds / 6, Quantity.duration)
            takeover = fields.quantity("takeover", default: takeover, Quantity.duration)
        }
        if let problem = lease.problem(takeoverNanoseconds: takeover) {
            diagnostics.report(problem, at: fields.mark(of: "lease"))
        }
        return lease
    }
}

/// The GPU models that a file may name: its own before those of the catalogue.
struct ModelTable {
    /// Models in use, in the order of their first use: the table of the topology.
    private(set) var used: [GPUModel] = []
    private var own: [GPUModel] = []

    /// Adds a model of the file; false when the file has one of that name already.
    mutating func define(_ model: GPUModel) -> Bool {
        let name = model.name.lowercased()
        if own.contains(where: { $0.name.lowercased() == name }) { return false }
        own.append(model)
        return true
    }

    /// The position in ``used`` of the model of a name, or nil when there is none.
    mutating func use(_ name: String) -> ModelIndex? {
        let wanted = name.lowercased()
        let found = own.first { $0.name.lowercased() == wanted } ?? GPUCatalogue.model(named: name)
        guard let model = found else { return nil }
        if let position = used.firstIndex(where: { $0.name == model.name }) {
            return ModelIndex(position)
        }
        used.append(model)
        return ModelIndex(used.count - 1)
    }

    /// Every name that may be used.
    var names: [String] { own.map(\.name) + GPUCatalogue.models.map(\.name) }
}
