// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Why a node takes no new jobs; what it holds stays held and charged.
package enum NodeIneligibility: UInt8, Hashable, Sendable, CaseIterable {
    /// Its agent has not been heard for a while.
    case silent
    /// It has not been proven to be at its fallback.
    case unproven
    /// An operator keeps jobs away.
    case cordoned
    /// An operator is emptying it.
    case draining
}

/// The first test that a node fails for a task, in the order of the tests.
package enum PlacementObstacle: Hashable, Sendable {
    case ineligible(NodeIneligibility)
    /// Another site than the job names.
    case site
    /// Another GPU model than the job names, or GPUs that cannot carry its floor.
    case model
    /// Labels that the job asks for are missing.
    case selector
    /// Too few GPUs of its kind at all, however empty the node.
    case tooSmall
    /// Too few GPUs that are free now.
    case gpus
    case cpu
    case memory
    /// The floors do not fit a power domain of the node.
    case power
}

/// How many nodes failed one test first.
package struct PlacementReason: Hashable, Sendable {
    package var obstacle: PlacementObstacle
    package var nodeCount: Int

    package init(obstacle: PlacementObstacle, nodeCount: Int) {
        self.obstacle = obstacle
        self.nodeCount = nodeCount
    }
}

/// What a power domain lacks for a job.
package struct PlacementShortfall: Hashable, Sendable {
    package var domain: DomainIndex
    /// The least that is missing for one more task there.
    package var missing: Milliwatts

    package init(domain: DomainIndex, missing: Milliwatts) {
        self.domain = domain
        self.missing = missing
    }
}

/// One change after which a refused job would fit, all else being as it is.
package enum PlacementChange: Hashable, Sendable {
    /// Fewer tasks; this many fit now.
    case fewerTasks(UInt32)
    /// Nodes back in service that now take no jobs for this reason.
    case nodesBack(NodeIneligibility)
    /// Any GPU model instead of those named.
    case anyModel
    /// Any site instead of those named.
    case anySite
    /// No selector.
    case noSelector
    /// No required level: the gang spread over more of the tree.
    case noRequiredLevel
    /// More tasks of the gang in one domain of the level that it is spread over.
    case noLevelSpread
    /// Several tasks of the gang on one node.
    case sharedNodes
    /// A lower floor for each whole GPU: at most this.
    case lowerFloor(Milliwatts)
    /// More watts in one domain.
    case morePower(PlacementShortfall)
    /// The running jobs gone: it fits the empty fleet.
    case jobsEnd
}

/// Why a job was refused.
package struct PlacementRefusal: Hashable, Sendable {
    /// Nodes by the first test they fail, in the order of the tests.
    ///
    /// For a gang, nodes that could take at least one task are in no row.
    package var reasons: [PlacementReason]
    /// The most tasks found to fit together.
    package var tasksThatFit: UInt32
    /// Domains whose watts stopped tasks, most missing first; at most
    /// ``PlacementEngine/maximumShortfallCount``.
    package var shortfalls: [PlacementShortfall]
    /// Single changes after which the job fits, easiest first; empty when no single one does.
    package var fitsIf: [PlacementChange]

    package init(
        reasons: [PlacementReason] = [], tasksThatFit: UInt32 = 0,
        shortfalls: [PlacementShortfall] = [], fitsIf: [PlacementChange] = []
    ) {
        self.reasons = reasons
        self.tasksThatFit = tasksThatFit
        self.shortfalls = shortfalls
        self.fitsIf = fitsIf
    }
}

/// What the engine answers to a job.
package enum PlacementOutcome: Hashable, Sendable {
    /// One entry for each task.
    ///
    /// Nothing is held yet.
    case placed([TaskPlacement])
    /// It fits nowhere.
    case refused(PlacementRefusal)
    /// No placement was found within the search budget, and none was ruled out: only for gangs over
    /// several trees whose domains cross.
    ///
    /// Carries what is known.
    case undecided(PlacementRefusal)
}

/// Why a placement cannot be held.
package enum PlacementHoldError: Error, Hashable, Sendable {
    /// The job holds a placement already.
    case alreadyHeld(JobID)
    /// The request is malformed: see ``PlacementEngine/problem(in:)``.
    case malformed(String)
    /// Another number of tasks than the job has, or a node or device out of range.
    case shape
    /// A device, CPUs or memory of the node are taken.
    case taken(NodeIndex)
    /// The floors do not fit a domain.
    case power(PlacementShortfall)
}

/// A point to which a ``PlacementEngine`` can be rolled back.
package struct PlacementCheckpoint: Hashable, Sendable {
    var depth: Int
}
