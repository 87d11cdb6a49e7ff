// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A placed job that may be stopped for a more important one.
package struct PreemptionCandidate: Hashable, Sendable {
    package var job: JobID
    /// Its priority class; lower is less important.
    package var priority: Int32
    /// What stopping it would throw away, in any unit that is the same for all, such as GPU-milliseconds
    /// since its start or its last checkpoint.
    package var lostWork: UInt64

    package init(job: JobID, priority: Int32, lostWork: UInt64) {
        self.job = job
        self.priority = priority
        self.lostWork = lostWork
    }
}

/// Which jobs to stop so that another one fits, with the least damage.
///
/// Damage is compared in this order: the priority class of the most important victim, the number of
/// victims, the work lost. A victim is always a whole gang.
package struct PreemptionPlan: Hashable, Sendable {
    /// The jobs to stop, in order of id; empty when the job fits without.
    package var victims: [JobID]
    /// Where the job fits once they have gone.
    package var placement: [TaskPlacement]
    /// True when no other set of victims does less damage; false when the search budget ended before
    /// that was known.
    package var isLeast: Bool

    package init(victims: [JobID], placement: [TaskPlacement], isLeast: Bool) {
        self.victims = victims
        self.placement = placement
        self.isLeast = isLeast
    }
}

/// What preemption can do for a job.
package enum PreemptionOutcome: Hashable, Sendable {
    case possible(PreemptionPlan)
    /// It fits nowhere, whichever of the candidates are stopped: exact.
    case impossible
    /// Neither found nor ruled out within the search budget.
    case undecided
}

extension PlacementEngine {
    /// Finds jobs to stop so that another one fits, with the least damage; changes nothing.
    ///
    /// - Parameters:
    ///   - spec: the job that fits nowhere; only candidates of a lower class than its own are stopped.
    ///   - candidates: what may be stopped; jobs that hold nothing are passed over.
    /// - Returns: a plan whose victims together are enough, or why there is none.
    package func preemptionPlan(
        for spec: JobSpec, among candidates: [PreemptionCandidate]
    ) -> PreemptionOutcome {
        precondition(
            PlacementEngine.problem(in: spec) == nil,
            "job '\(spec.name)' \(PlacementEngine.problem(in: spec) ?? "")")
        var search = PreemptionSearch(self, spec, candidates)
        return search.run()
    }

    /// As ``place(_:explaining:)`` without any reasons.
    mutating func searchOutcome(_ spec: JobSpec) -> SearchResult { search(request(spec)) }

    /// True when no device of a job grows its floor by the job's end: its idle floor is at most what
    /// the smallest of its holders alone is floored at.
    func isLighterWithout(_ job: JobID) -> Bool {
        guard let entry = held[job] else { return true }
        return entry.placement.allSatisfy { task in
            let type = Int(fleet.nodeType[task.node.position])
            let floor = PlacementFleet.taskFloor(
                perGPU: entry.request.floorMilliwatts[type], milli: entry.request.gpuMilli)
            return task.devices.allSatisfy {
                fleet.idleFloor(node: task.node.position, device: Int($0))
                    <= fleet.heldFloor(floor, type: type)
            }
        }
    }
}
