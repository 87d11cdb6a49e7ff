// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

// What operators ask for. Replies are sent once ``isDurable(_:change:)`` says so.
extension FleetLeader {
    /// The outcome of a submit.
    package enum OnSubmit: Sendable {
        /// The job has a number and a record; it is placed, or it waits.
        case accepted(JobID)
        /// The same request was accepted before: the same job.
        case repeated(JobID)
        /// It does not fit now, and was to be placed at once or not at all. Nothing is kept.
        case refused(PlacementRefusal)
        /// The request itself is wrong: what, and what would be right.
        case invalid(message: String, hint: String)
        /// Too many jobs wait already.
        case overloaded
    }

    /// Takes a job: places it when it fits, else lets it wait.
    ///
    /// - Parameters:
    ///   - spec: what to run.
    ///   - request: made by the client; a known one changes nothing.
    ///   - actor: the operator's name.
    ///   - nowOrNever: refuse rather than let it wait.
    ///   - now: Unix time in milliseconds, for people to read.
    /// - Returns: what became of it; an accepted job is acknowledged once it is durable.
    package mutating func submit(
        _ spec: JobSpec, request: RandomID, actor: String, nowOrNever: Bool, now: UInt64
    ) -> OnSubmit {
        if let known = requests[request] { return .repeated(known) }
        if let problem = problem(in: spec) {
            return .invalid(message: problem.message, hint: problem.hint)
        }
        let outcome = outcome(for: spec, explaining: true)
        var refusal: PlacementRefusal?
        var placement: [TaskPlacement]?
        switch outcome {
        case .placed(let found):
            if leavesRoom(spec, found, id: nil) {
                placement = found
            } else if nowOrNever {
                return .refused(PlacementRefusal())
            }
        case .refused(let reasons), .undecided(let reasons):
            if nowOrNever { return .refused(reasons) }
            refusal = reasons
        }
        if placement == nil {
            if queue.count >= limits.queuedJobCount { return .overloaded }
        }
        let id = JobID(counters.nextJobID)
        counters.nextJobID += 1
        isCountersDirty = true
        let job = FleetJob(
            id: id, requestID: request, spec: spec, state: .queued,
            submittedUnixMilliseconds: now, submittedBy: actor)
        jobs[id] = JobEntry(job: job, refusal: refusal)
        requests[request] = id
        active.append(id)
        markDirty(id)
        record(.jobSubmitted, subject: "\(id)", message: spec.name, actor: actor, now: now)
        if let placement {
            place(id, at: placement, now: now)
        } else {
            enqueue(id)
            // Who might be stopped for it is looked for with the queue: that takes its time.
            if spec.preemption == .lower { capacityChanged() }
        }
        return .accepted(id)
    }

    /// Says what a submit would do; changes nothing.
    package mutating func dryRun(_ spec: JobSpec) -> PlacementOutcome {
        outcome(for: spec, explaining: true)
    }

    /// The outcome of a cancel.
    package enum OnCancel: Hashable, Sendable {
        /// The job is cancelled, or its tasks are being stopped.
        case accepted(JobState)
        /// It had ended before.
        case hasEnded(JobState)
        case notFound
    }

    /// Ends a job: at once when nothing of it can be running, else once every node has confirmed.
    package mutating func cancel(_ id: JobID, actor: String, now: UInt64) -> OnCancel {
        guard let job = jobs[id]?.job else { return .notFound }
        switch job.state {
        case .finished, .failed, .cancelled:
            return .hasEnded(job.state)
        case .stopping:
            if job.isRequeued {
                update(id) {
                    $0.isRequeued = false
                    $0.message = "cancelled by \(actor)"
                }
            }
            return .accepted(.stopping)
        case .queued, .pending:
            // Nothing was started: a start follows a durable `starting` only.
            queue.removeAll { $0 == id }
            conclude(id, as: .cancelled, message: "cancelled by \(actor)", actor: actor, now: now)
            return .accepted(.cancelled)
        case .starting, .running:
            beginStopping(id, message: "cancelled by \(actor)", actor: actor, now: now)
            return .accepted(.stopping)
        }
    }

    /// What is wrong with a job's specification, if anything.
    package func problem(in spec: JobSpec) -> (message: String, hint: String)? {
        if let problem = Name.problem(in: spec.name) {
            return ("job name '\(spec.name)' \(problem)", "use letters, digits, '-', '_', '.'")
        }
        if spec.taskCount < 1 || spec.taskCount > 100_000 {
            return ("a job has 1 to 100000 tasks, not \(spec.taskCount)", "change the task count")
        }
        if spec.weight < 1 || spec.weight > 1_000_000 {
            return ("a weight is 1 to 1000000, not \(spec.weight)", "leave it out for 1")
        }
        if let problem = problem(in: spec.task) { return problem }
        for model in spec.models where !topology.gpuModels.contains(where: { $0.name == model }) {
            let known = topology.gpuModels.map(\.name).joined(separator: ", ")
            return ("no node of this fleet has a GPU of model '\(model)'", "there are: \(known)")
        }
        for site in spec.sites where !topology.sites.contains(where: { $0.name == site }) {
            let known = topology.sites.map(\.name).joined(separator: ", ")
            return ("this fleet has no site '\(site)'", "there are: \(known)")
        }
        for level in [spec.requiredLevel, spec.preferredLevel, spec.levelSpread?.level] {
            guard let level, let problem = problem(inLevel: level) else { continue }
            return problem
        }
        if let problem = spec.problem() { return (problem, "see `busbar submit --help`") }
        if let name = spec.reservation, reservationEntries[name]?.record == nil {
            return ("there is no reservation '\(name)'", "see `busbar get reservations`")
        }
        if let floor = spec.floor, floor <= .zero || floor > .maximum {
            return ("a floor of \(floor) per GPU", "leave it out for the model's own floor")
        }
        return nil
    }

    private func problem(inLevel level: String) -> (message: String, hint: String)? {
        var known: [String] = []
        for domain in topology.domains where domain.tree == 0 && !known.contains(domain.level) {
            known.append(domain.level)
        }
        if known.contains(level) { return nil }
        let list = known.joined(separator: ", ")
        return ("the power tree has no level '\(level)'", "there are: \(list)")
    }

    private func problem(in task: TaskRequest) -> (message: String, hint: String)? {
        if task.gpuCount == 0 {
            if task.cpuMilli == 0 && task.memoryMiB == 0 {
                return ("a task asks for nothing", "ask for GPUs, CPUs or memory")
            }
            return nil
        }
        if task.gpuCount > TelemetryReport.maximumGPUCount {
            return (
                "\(task.gpuCount) GPUs in one task; a node has at most "
                    + "\(TelemetryReport.maximumGPUCount)", "split the job into more tasks"
            )
        }
        if task.gpuMilli < 1 || task.gpuMilli > 1000 {
            return ("a share of \(task.gpuMilli) thousandths of a GPU", "use 1 to 1000")
        }
        if task.gpuMilli < 1000 && task.gpuCount > 1 {
            return (
                "a share of several GPUs", "ask for a fraction of one GPU, or for whole GPUs"
            )
        }
        return nil
    }
}
