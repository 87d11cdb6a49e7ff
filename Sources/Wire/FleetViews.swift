// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// How a node stands with its site leader.
package enum NodeCondition: String, Hashable, Sendable, CaseIterable {
    /// Its lease is renewed.
    case live
    /// Not heard of; charged at what it may hold.
    case silent
    /// Never acknowledged a grant: charged at what it can draw with no limit.
    case unproven
    /// Not heard of; proven to be at its fallback by now.
    case fallback
}

/// One site as operators see it.
package struct SiteView: Hashable, Sendable {
    package var name: String
    /// Measured; nil while a part of it is unknown.
    package var draw: Milliwatts?
    package var charged: Milliwatts
    package var limit: Milliwatts
    package var overhead: Milliwatts
    package var floors: Milliwatts
    package var nodeCount: UInt32
    package var liveNodeCount: UInt32
    package var gpuCount: UInt32
    package var heldGPUCount: UInt32
    package var runningJobCount: UInt32
    package var isCommissioning: Bool
    package var epoch: UInt64

    package init(
        name: String, draw: Milliwatts?, charged: Milliwatts, limit: Milliwatts,
        overhead: Milliwatts, floors: Milliwatts, nodeCount: UInt32, liveNodeCount: UInt32,
        gpuCount: UInt32, heldGPUCount: UInt32, runningJobCount: UInt32, isCommissioning: Bool,
        epoch: UInt64
    ) {
        self.name = name
        self.draw = draw
        self.charged = charged
        self.limit = limit
        self.overhead = overhead
        self.floors = floors
        self.nodeCount = nodeCount
        self.liveNodeCount = liveNodeCount
        self.gpuCount = gpuCount
        self.heldGPUCount = heldGPUCount
        self.runningJobCount = runningJobCount
        self.isCommissioning = isCommissioning
        self.epoch = epoch
    }
}

/// One power domain as operators see it.
package struct DomainView: Hashable, Sendable {
    package var name: String
    package var level: String
    package var site: String
    /// Nil for the root of a tree.
    package var parent: String?
    package var tree: UInt32
    package var limit: Milliwatts
    package var effectiveLimit: Milliwatts
    package var overhead: Milliwatts
    package var charged: Milliwatts
    package var floors: Milliwatts
    /// Measured; nil while a part of it is unknown.
    package var draw: Milliwatts?
    package var isCommissioning: Bool
    /// True where the last solve stopped a gang.
    package var isBinding: Bool
    package var peakCharged: Milliwatts
    package var nodeCount: UInt32

    package init(
        name: String, level: String, site: String, parent: String?, tree: UInt32, limit: Milliwatts,
        effectiveLimit: Milliwatts, overhead: Milliwatts, charged: Milliwatts, floors: Milliwatts,
        draw: Milliwatts?, isCommissioning: Bool, isBinding: Bool, peakCharged: Milliwatts,
        nodeCount: UInt32
    ) {
        self.name = name
        self.level = level
        self.site = site
        self.parent = parent
        self.tree = tree
        self.limit = limit
        self.effectiveLimit = effectiveLimit
        self.overhead = overhead
        self.charged = charged
        self.floors = floors
        self.draw = draw
        self.isCommissioning = isCommissioning
        self.isBinding = isBinding
        self.peakCharged = peakCharged
        self.nodeCount = nodeCount
    }
}

/// One node as operators see it.
package struct NodeView: Hashable, Sendable {
    package var name: String
    package var site: String
    package var type: String
    package var model: String
    package var gpuCount: UInt32
    package var state: NodeCondition
    /// The class conferred, not the one declared.
    package var enforcementClass: EnforcementClass
    package var charge: Milliwatts
    package var cap: Milliwatts
    package var enforced: Milliwatts
    /// Measured; nil while a part of it is unknown.
    package var draw: Milliwatts?
    package var fallback: Milliwatts
    package var freeGPUMilli: UInt32
    package var freeCPUMilli: UInt32
    package var freeMemoryMiB: UInt32
    package var leaseAgeMilliseconds: UInt64
    /// Names of the leaf domains, the primary tree's first.
    package var leaves: [String]
    /// Empty, `cordoned`, `draining`, or `drained` when no job is left on it.
    package var mark: String
    /// Caps that its enforcer has found raised by another hand, as far as this coordinator knows.
    package var violations: UInt64

    package init(
        name: String, site: String, type: String, model: String, gpuCount: UInt32,
        state: NodeCondition,
        enforcementClass: EnforcementClass, charge: Milliwatts, cap: Milliwatts,
        enforced: Milliwatts, draw: Milliwatts?, fallback: Milliwatts, freeGPUMilli: UInt32,
        freeCPUMilli: UInt32, freeMemoryMiB: UInt32, leaseAgeMilliseconds: UInt64,
        leaves: [String], mark: String = "", violations: UInt64
    ) {
        self.name = name
        self.site = site
        self.type = type
        self.model = model
        self.gpuCount = gpuCount
        self.state = state
        self.enforcementClass = enforcementClass
        self.charge = charge
        self.cap = cap
        self.enforced = enforced
        self.draw = draw
        self.fallback = fallback
        self.freeGPUMilli = freeGPUMilli
        self.freeCPUMilli = freeCPUMilli
        self.freeMemoryMiB = freeMemoryMiB
        self.leaseAgeMilliseconds = leaseAgeMilliseconds
        self.leaves = leaves
        self.mark = mark
        self.violations = violations
    }
}

/// One GPU as operators see it.
package struct GPUView: Hashable, Sendable {
    package var node: String
    /// The position in the node.
    package var device: UInt16
    package var model: String
    package var heldMilli: UInt32
    package var jobs: [JobID]
    package var floor: Milliwatts
    package var full: Milliwatts
    package var capTarget: Milliwatts
    package var capEnforced: Milliwatts?
    package var draw: Milliwatts?
    package var levelPPM: UInt32
    /// What stops its gang: a domain's name, or nil at full pace.
    package var boundBy: String?

    package init(
        node: String, device: UInt16, model: String, heldMilli: UInt32, jobs: [JobID],
        floor: Milliwatts, full: Milliwatts, capTarget: Milliwatts, capEnforced: Milliwatts?,
        draw: Milliwatts?, levelPPM: UInt32, boundBy: String?
    ) {
        self.node = node
        self.device = device
        self.model = model
        self.heldMilli = heldMilli
        self.jobs = jobs
        self.floor = floor
        self.full = full
        self.capTarget = capTarget
        self.capEnforced = capEnforced
        self.draw = draw
        self.levelPPM = levelPPM
        self.boundBy = boundBy
    }
}
