// SPDX-License-Identifier: Apache-2.0

package import FleetModel

// Group commit: what changed while one batch was on its way to the store goes into the next.
extension FleetLeader {
    /// The number of changes that a job has seen; a reply that rests on the last of them waits until
    /// ``isDurable(_:change:)`` is true for it.
    package func change(of id: JobID) -> UInt64 { jobs[id]?.change ?? 0 }

    /// True when the store holds a job as it was at a change, or later.
    package func isDurable(_ id: JobID, change: UInt64) -> Bool {
        guard let entry = jobs[id] else { return true }
        return entry.durableChange >= change
    }

    /// True while there is anything that a batch must carry.
    package var hasUnwrittenChanges: Bool {
        !dirtyJobs.isEmpty || !newEvents.isEmpty || !forgottenJobs.isEmpty || isCountersDirty
            || !dirtyMarks.isEmpty || !dirtyReservations.isEmpty
    }

    /// Hands out what is to be written next; nil when there is nothing, or a batch is in flight.
    ///
    /// A batch is bounded (``FleetBatch/maximumJobCount``); what does not fit goes into the next.
    package mutating func takeBatch() -> FleetBatch? {
        guard inFlight == nil, hasUnwrittenChanges else { return nil }
        trimHistory()
        let ids = dirtyJobs.prefix(FleetBatch.maximumJobCount)
        let gone = forgottenJobs.prefix(FleetBatch.maximumForgottenCount)
        let events = newEvents.prefix(FleetBatch.maximumEventCount)
        let marked = dirtyMarks.prefix(FleetBatch.maximumMarkCount)
        let names = Array(dirtyReservations.prefix(FleetBatch.maximumReservationCount))
        for id in ids { count(jobs[id]!) }
        let batch = FleetBatch(
            jobs: ids.map { jobs[$0]!.job }, forgottenJobs: Array(gone),
            marks: marked.map { nodes[$0.position].mark },
            reservations: names.compactMap { reservationEntries[$0]?.record },
            endedReservations: names.filter { reservationEntries[$0]?.record == nil },
            events: Array(events),
            counters: counters, changes: ids.map { jobs[$0]!.change },
            markChanges: marked.map { nodes[$0.position].change }, reservationNames: names,
            reservationChanges: names.map { reservationEntries[$0]?.change ?? 0 })
        for id in ids { jobs[id]!.isDirty = false }
        dirtyJobs.removeFirst(ids.count)
        forgottenJobs.removeFirst(gone.count)
        dirtyMarks.removeFirst(marked.count)
        dirtyReservations.removeFirst(names.count)
        newEvents.removeFirst(events.count)
        isCountersDirty = false
        inFlight = batch
        return batch
    }

    /// Counts what a record says for the first time, so that the totals in the store never run ahead
    /// of the records beside them.
    private mutating func count(_ entry: JobEntry) {
        let before = entry.durableState ?? .queued
        if !before.isPlaced && !before.hasEnded && !entry.job.tasks.isEmpty {
            counters.jobsPlacedTotal += 1
        }
        if entry.job.state == .finished && before != .finished {
            counters.jobsFinishedTotal += 1
        }
    }

    /// The batch in flight is durable: do what has waited for it.
    ///
    /// - Parameter directives: orders to nodes are appended; one for a node without a session may be
    ///   dropped, because ``nodeConnected(_:tasks:now:into:)`` gives it again.
    /// - Precondition: a batch is in flight. A batch whose commit failed is never reported here: the
    ///   shell stops, and the next start rebuilds from what the store holds.
    package mutating func batchCommitted(into directives: inout [FleetDirective]) {
        guard let batch = inFlight else { preconditionFailure("no batch is in flight") }
        inFlight = nil
        for (mark, change) in zip(batch.marks, batch.markChanges) {
            nodes[mark.node.position].durableChange = change
        }
        for (name, change) in zip(batch.reservationNames, batch.reservationChanges) {
            reservationWritten(name, change: change)
        }
        for (written, change) in zip(batch.jobs, batch.changes) {
            // Cannot have been forgotten meanwhile: only durably ended jobs are.
            let before = jobs[written.id]!.durableState
            jobs[written.id]!.durableState = written.state
            jobs[written.id]!.durableChange = change
            if before != written.state { becameDurable(written, into: &directives) }
        }
    }

    /// Carries out what a state that has just become durable allows.
    private mutating func becameDurable(
        _ job: FleetJob, into directives: inout [FleetDirective]
    ) {
        switch job.state {
        case .queued:
            releaseReturned(job, into: &directives)
            if jobs[job.id]?.job.state == .queued, !queue.contains(job.id) {
                enqueue(job.id)
                capacityChanged()
            }
        case .running:
            break
        case .pending:
            if jobs[job.id]?.job.state == .pending { awaitFloors(of: job.id) }
        case .starting:
            if jobs[job.id]?.job.state == .starting {
                orderStarts(of: job.id, on: nil, into: &directives)
            }
        case .stopping:
            orderStops(of: job, onlyUnended: true, into: &directives)
        case .finished, .failed, .cancelled:
            releaseReturned(job, into: &directives)
            if !job.tasks.isEmpty {
                // Tells the nodes that the end is recorded, so that they may forget the tasks.
                if job.attempt > 0 { orderStops(of: job, onlyUnended: false, into: &directives) }
                releaseResources(of: job, tasks: job.tasks)
            }
        }
    }

    /// Lets go of what a job held before it went back into the queue, and tells the nodes where it
    /// ran that they may forget its tasks.
    private mutating func releaseReturned(
        _ job: FleetJob, into directives: inout [FleetDirective]
    ) {
        guard let tasks = jobs[job.id]?.returned else { return }
        jobs[job.id]!.returned = nil
        if tasks.contains(where: \.phase.hasEnded) {
            var former = job
            former.tasks = tasks
            orderStops(of: former, onlyUnended: false, into: &directives)
        }
        releaseResources(of: job, tasks: tasks)
    }

    /// Appends a start for every task that its node has not confirmed, on one node or on all.
    func orderStarts(
        of id: JobID, on node: NodeIndex?, into directives: inout [FleetDirective]
    ) {
        guard let job = jobs[id]?.job else { return }
        for (index, task) in job.tasks.enumerated() where task.phase == .placed {
            if let node, task.placement.node != node { continue }
            directives.append(
                .start(
                    job: id, task: UInt32(index), attempt: job.attempt,
                    node: task.placement.node))
        }
    }

    /// Appends a stop for the tasks of a job.
    func orderStops(
        of job: FleetJob, onlyUnended: Bool, into directives: inout [FleetDirective]
    ) {
        for (index, task) in job.tasks.enumerated() {
            if onlyUnended && task.phase.hasEnded { continue }
            directives.append(
                .stop(
                    job: job.id, task: UInt32(index), attempt: job.attempt,
                    node: task.placement.node))
        }
    }

    /// Drops the oldest history above the limits.
    private mutating func trimHistory() {
        // In steps of a tenth, so that the arrays are not moved for every event.
        if events.count > limits.eventCount + limits.eventCount / 10 {
            events.removeFirst(events.count - limits.eventCount)
        }
        let excess = ended.count - limits.endedJobCount
        guard excess > limits.endedJobCount / 10 else { return }
        // Only what is durable as ended may go: its resources have been released.
        let old = ended.prefix(excess).filter {
            jobs[$0]!.durableState?.hasEnded == true && !jobs[$0]!.isDirty
        }
        for id in old {
            if let job = jobs.removeValue(forKey: id)?.job { requests[job.requestID] = nil }
            forgottenJobs.append(id)
        }
        let gone = Set(old)
        ended.removeAll { gone.contains($0) }
    }
}
