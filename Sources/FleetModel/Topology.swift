// SPDX-License-Identifier: Apache-2.0

/// How the watts of a silent node come back (LEASES: classes S, B and U).
package enum EnforcementClass: String, Hashable, Sendable, CaseIterable {
    /// A proven enforcer puts the node at its fallback after its deadline, whatever the agent does.
    case supervised = "S"
    /// A cap can be set out of band, through the BMC or the PDU.
    case outOfBand = "B"
    /// Neither: the node stays charged until it speaks again or is powered off.
    case unsupervised = "U"
}

/// The caps that a node has after power-on, before any software runs.
package enum BootState: String, Hashable, Sendable, CaseIterable {
    case fallback
    case `default`
}

/// A node of a power tree.
///
/// Parents come before their children in ``Topology/domains``.
package struct PowerDomain: Hashable, Sendable {
    /// Unique in the fleet; a path such as `dublin/row1/rack3`.
    package var name: String
    /// What people call this level: `site`, `hall`, `row`, `rack`, `feed`.
    package var level: String
    package var site: SiteIndex
    /// Nil for the root of a tree.
    package var parent: DomainIndex?
    /// 0 is the primary tree; 1 and up are redundant feeds.
    package var tree: UInt8
    package var limit: Milliwatts
    package var overhead: Milliwatts

    /// The watts left for GPU caps, `limit - overhead`.
    ///
    /// Never negative in a valid topology.
    package var budget: Milliwatts { limit - overhead }

    package init(
        name: String, level: String, site: SiteIndex, parent: DomainIndex?, tree: UInt8,
        limit: Milliwatts, overhead: Milliwatts
    ) {
        self.name = name
        self.level = level
        self.site = site
        self.parent = parent
        self.tree = tree
        self.limit = limit
        self.overhead = overhead
    }
}

/// A location with its own power contract.
package struct Site: Hashable, Sendable {
    package var name: String
    /// The root of the site's primary tree; carries the site's limit.
    package var root: DomainIndex
    /// What the site holds of the fleet's budget.
    package var allotment: Milliwatts

    package init(name: String, root: DomainIndex, allotment: Milliwatts) {
        self.name = name
        self.root = root
        self.allotment = allotment
    }
}

/// What nodes of one kind have in common.
package struct NodeType: Hashable, Sendable {
    package var name: String
    package var model: ModelIndex
    package var gpuCount: UInt16
    package var cpuMilli: UInt32
    package var memoryMiB: UInt32
    /// The node's fallback cap: what all its GPUs together go to when the lease ends.
    package var fallback: Milliwatts
    package var enforcementClass: EnforcementClass
    package var bootState: BootState
    /// Time that a lowered cap needs to take hold, in nanoseconds.
    package var settleNanoseconds: Int64
    package var labels: [String: String]

    package init(
        name: String, model: ModelIndex, gpuCount: UInt16, cpuMilli: UInt32, memoryMiB: UInt32,
        fallback: Milliwatts, enforcementClass: EnforcementClass, bootState: BootState,
        settleNanoseconds: Int64, labels: [String: String] = [:]
    ) {
        self.name = name
        self.model = model
        self.gpuCount = gpuCount
        self.cpuMilli = cpuMilli
        self.memoryMiB = memoryMiB
        self.fallback = fallback
        self.enforcementClass = enforcementClass
        self.bootState = bootState
        self.settleNanoseconds = settleNanoseconds
        self.labels = labels
    }
}

/// A server.
package struct Node: Hashable, Sendable {
    /// Unique in the fleet.
    package var name: String
    package var site: SiteIndex
    /// Position in ``Topology/nodeTypes``.
    package var type: Int
    /// The leaf domain of each tree that feeds the node, primary tree first.
    ///
    /// Every one of them binds, and so do all their ancestors.
    package var leaves: [DomainIndex]
    /// The node's first GPU; its GPUs are consecutive.
    package var firstGPU: GPUIndex

    package init(
        name: String, site: SiteIndex, type: Int, leaves: [DomainIndex], firstGPU: GPUIndex
    ) {
        self.name = name
        self.site = site
        self.type = type
        self.leaves = leaves
        self.firstGPU = firstGPU
    }
}

/// The whole of a fleet that does not change from tick to tick.
///
/// Invariants, checked by ``Topology/problems()`` and by the file reader before: every index is in
/// range, parents precede children and share site and tree, names are unique.
package struct Topology: Hashable, Sendable {
    package var fleetName: String
    package var sites: [Site]
    package var domains: [PowerDomain]
    package var gpuModels: [GPUModel]
    package var nodeTypes: [NodeType]
    package var nodes: [Node]
    package var lease: LeaseParameters

    package init(
        fleetName: String, sites: [Site], domains: [PowerDomain], gpuModels: [GPUModel],
        nodeTypes: [NodeType], nodes: [Node], lease: LeaseParameters
    ) {
        self.fleetName = fleetName
        self.sites = sites
        self.domains = domains
        self.gpuModels = gpuModels
        self.nodeTypes = nodeTypes
        self.nodes = nodes
        self.lease = lease
    }

    /// The number of GPUs of all nodes.
    package var gpuCount: Int {
        guard let last = nodes.last else { return 0 }
        return last.firstGPU.position + Int(nodeTypes[last.type].gpuCount)
    }

    /// The type of a node.
    package func type(of node: NodeIndex) -> NodeType { nodeTypes[nodes[node.position].type] }

    /// The model of a node's GPUs.
    package func model(of node: NodeIndex) -> GPUModel { gpuModels[type(of: node).model.position] }

    /// The GPUs of a node, as positions in the fleet's GPU columns.
    package func gpus(of node: NodeIndex) -> Range<Int> {
        let first = nodes[node.position].firstGPU.position
        return first..<(first + Int(type(of: node).gpuCount))
    }

    /// u_n: what a node's GPUs can draw with no limit set.
    package func uncapped(_ node: NodeIndex) -> Milliwatts {
        let type = type(of: node)
        return Milliwatts(
            gpuModels[type.model.position].maximumCap.rawValue * Int64(type.gpuCount))
    }

    /// The fallback cap of one GPU of a node, by its position in the node.
    ///
    /// The node's fallback is shared equally; the first GPUs carry the odd milliwatts, so the shares
    /// sum exactly to the node's fallback.
    package func fallbackShare(of node: NodeIndex, device: Int) -> Milliwatts {
        let type = type(of: node)
        let count = Int64(type.gpuCount)
        let share = type.fallback.rawValue / count
        let odd = type.fallback.rawValue % count
        return Milliwatts(share + (Int64(device) < odd ? 1 : 0))
    }

    /// Calls `body` with every domain that carries a node: each leaf and all its ancestors.
    package func forEachDomain(of node: NodeIndex, _ body: (DomainIndex) -> Void) {
        for leaf in nodes[node.position].leaves {
            var next: DomainIndex? = leaf
            while let domain = next {
                body(domain)
                next = domains[domain.position].parent
            }
        }
    }
}
