// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

// Jobs that are stopped for more important ones. The victims stop like cancelled jobs and are queued
// again; the job that needs their room stays in the queue, with a claim: what the victims leave is not
// given to less important jobs.
extension FleetLeader {
    /// The jobs for which a queued job still waits to stop, in order of id.
    package func victims(of id: JobID) -> [JobID] {
        active.filter { jobs[$0]!.job.preemptedBy == id && isLeaving(jobs[$0]!) }
    }

    /// Says what would be stopped for a job that does not fit; changes nothing.
    package func preemptionPlan(for spec: JobSpec, now: UInt64) -> PreemptionOutcome {
        guard spec.preemption == .lower else { return .impossible }
        return engineAfterStops(before: nil, spec.priority)
            .preemptionPlan(for: spec, among: candidates(below: spec.priority, now: now))
    }

    /// What came of looking for jobs to stop.
    enum OnPreempt {
        /// Nothing had to be searched.
        case passed
        /// A search, which takes as long as many placements, and no new victims.
        case searched
        case stopped
    }

    /// Stops less important jobs for one that does not fit, if it allows that and it helps.
    mutating func preempt(for id: JobID, now: UInt64) -> OnPreempt {
        guard let job = jobs[id]?.job, job.spec.preemption == .lower,
            reservation(of: job.spec) == nil
        else { return .passed }
        let candidates = candidates(below: job.spec.priority, now: now)
        let hasLeavers = active.contains { isLeaving(jobs[$0]!) }
        guard hasLeavers || !candidates.isEmpty else {
            dropClaim(of: id)
            return .passed
        }
        let outcome = engineAfterStops(before: id, job.spec.priority)
            .preemptionPlan(for: job.spec, among: candidates)
        guard case .possible(let plan) = outcome else {
            dropClaim(of: id)
            return .searched
        }
        if !claims.contains(id) { claims.append(id) }
        // Those that stop already are enough: wait for them.
        guard !plan.victims.isEmpty else { return .searched }
        let more = plan.victims.count > 8 ? " and \(plan.victims.count - 8) more" : ""
        let list = plan.victims.prefix(8).map(\.description).joined(separator: ", ") + more
        update(id) { $0.message = "waits for \(list) to stop for it" }
        for victim in plan.victims {
            requeue(
                victim, message: "preempted by \(id) (\(job.spec.name))", kind: .jobPreempted,
                preemptedBy: id, actor: "coordinator", now: now)
        }
        return .stopped
    }

    /// True when a placement leaves room for the jobs with claims that are more important, or as
    /// important and in the queue for longer, once the jobs that stop have gone.
    func leavesRoom(_ spec: JobSpec, _ placement: [TaskPlacement], id: JobID?) -> Bool {
        let before = claims(before: id, spec.priority)
        guard !before.isEmpty else { return true }
        var trial = engine
        releaseLeavers(&trial)
        var withClaims = trial
        // A claim that cannot be met anyway holds nobody up.
        let met = before.filter { hold($0, &withClaims) }
        if hold(JobID(.max), spec, placement, &withClaims) { return true }
        guard hold(JobID(.max), spec, placement, &trial) else { return true }
        return met.allSatisfy { hold($0, &trial) }
    }

    // MARK: - Claims

    /// Forgets the claim of a job, if it has one: jobs that made way for it may be tried again.
    mutating func dropClaim(of id: JobID) {
        guard let index = claims.firstIndex(of: id) else { return }
        claims.remove(at: index)
        capacityChanged()
    }

    /// Finds the claims of the leader before.
    mutating func restoreClaims() {
        for id in active {
            guard let by = jobs[id]!.job.preemptedBy, jobs[by]?.job.state == .queued,
                !claims.contains(by)
            else { continue }
            claims.append(by)
        }
    }

    /// The claims that come before a job; a new job comes last of its class.
    private func claims(before id: JobID?, _ priority: Int32) -> [JobID] {
        let order = claims.filter { claim in
            guard claim != id, let other = jobs[claim]?.job else { return false }
            if other.spec.priority != priority { return other.spec.priority > priority }
            return id.map { claim < $0 } ?? true
        }
        return order.sorted { left, right in
            let (first, second) = (jobs[left]!.job.spec.priority, jobs[right]!.job.spec.priority)
            return first == second ? left < right : first > second
        }
    }

    /// True for a job whose GPUs and watts come back without anything further being decided.
    private func isLeaving(_ entry: JobEntry) -> Bool {
        entry.job.state == .stopping || entry.returned != nil
    }

    private func releaseLeavers(_ engine: inout PlacementEngine) {
        for id in active where isLeaving(jobs[id]!) { engine.release(id) }
    }

    /// The fleet once all that stops has gone and the claims before a job are met.
    private func engineAfterStops(before id: JobID?, _ priority: Int32) -> PlacementEngine {
        var engine = engine
        releaseLeavers(&engine)
        for claim in claims(before: id, priority) { _ = hold(claim, &engine) }
        return engine
    }

    private func hold(_ claim: JobID, _ engine: inout PlacementEngine) -> Bool {
        guard let spec = jobs[claim]?.job.spec, let placement = engine.placement(for: spec) else {
            return false
        }
        return hold(claim, spec, placement, &engine)
    }

    private func hold(
        _ id: JobID, _ spec: JobSpec, _ placement: [TaskPlacement], _ engine: inout PlacementEngine
    ) -> Bool {
        do {
            try engine.hold(id, spec, placement)
            return true
        } catch {
            return false
        }
    }

    /// What may be stopped for a job of a class, and what it would lose: the thousandths of its GPUs
    /// times the milliseconds that it has run.
    private func candidates(below priority: Int32, now: UInt64) -> [PreemptionCandidate] {
        active.compactMap { id in
            let job = jobs[id]!.job
            // What a job of a reservation leaves goes back to the reservation.
            guard job.spec.priority < priority, reservation(of: job.spec) == nil,
                job.state == .pending || job.state == .starting || job.state == .running
            else { return nil }
            let started = job.startedUnixMilliseconds
            let age = started == 0 || started > now ? 0 : now - started
            let milli = FleetLeader.milli(of: job.spec, job.tasks)
            return PreemptionCandidate(
                job: id, priority: job.spec.priority,
                lostWork: milli.multipliedReportingOverflow(by: age).partialValue)
        }
    }
}
