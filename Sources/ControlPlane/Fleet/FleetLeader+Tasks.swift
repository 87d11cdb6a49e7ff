// SPDX-License-Identifier: Apache-2.0

package import FleetModel

// What nodes say, and what follows from it.
extension FleetLeader {
    /// A node has opened a session and listed every task it knows: those that run, and those that
    /// have ended and that it was not yet told to forget.
    ///
    /// Appended to `directives` are the starts that the node lacks, and stops for what it should not
    /// run or no longer needs to remember.
    package mutating func nodeConnected(
        _ node: NodeIndex, tasks: [TaskObservation], now: UInt64,
        into directives: inout [FleetDirective]
    ) {
        var listed: Set<TaskKey> = []
        for observation in tasks {
            listed.insert(TaskKey(job: observation.job, task: observation.task))
            taskObserved(observation, by: node, isHello: true, now: now, into: &directives)
        }
        for id in unique(held.jobsOfNode[node.position]) {
            guard let entry = jobs[id], !entry.job.state.hasEnded else { continue }
            for (index, task) in entry.job.tasks.enumerated()
            where task.placement.node == node && !task.phase.hasEnded
                && !listed.contains(TaskKey(job: id, task: UInt32(index)))
            {
                taskIsAbsent(id, index: index, now: now)
            }
            switch jobs[id]!.durableState {
            case .starting, .running:
                if [.starting, .running].contains(jobs[id]!.job.state) {
                    orderStarts(of: id, on: node, into: &directives)
                }
            case .stopping:
                let job = jobs[id]!.job
                for (index, task) in job.tasks.enumerated()
                where task.placement.node == node && !task.phase.hasEnded {
                    directives.append(
                        .stop(job: id, task: UInt32(index), attempt: job.attempt, node: node))
                }
            case .queued, .pending, .finished, .failed, .cancelled, nil:
                break
            }
        }
    }

    /// A node has said how one of its tasks stands.
    package mutating func taskReported(
        _ observation: TaskObservation, by node: NodeIndex, now: UInt64,
        into directives: inout [FleetDirective]
    ) {
        taskObserved(observation, by: node, isHello: false, now: now, into: &directives)
    }

    private struct TaskKey: Hashable {
        let job: JobID
        let task: UInt32
    }

    private func unique(_ ids: [JobID]) -> [JobID] {
        var seen: Set<JobID> = []
        return ids.filter { seen.insert($0).inserted }
    }

    /// Takes in one observation.
    ///
    /// One that fits no task placed there leads to a stop: of a task that
    /// runs, always; of one that has ended, only in answer to a hello, so that the two sides do not
    /// go on answering each other.
    private mutating func taskObserved(
        _ observation: TaskObservation, by node: NodeIndex, isHello: Bool, now: UInt64,
        into directives: inout [FleetDirective]
    ) {
        let id = observation.job
        let index = Int(observation.task)
        guard let job = jobs[id]?.job, !job.state.hasEnded, job.attempt == observation.attempt,
            job.tasks.indices.contains(index), job.tasks[index].placement.node == node
        else {
            if observation.phase == .running || isHello {
                directives.append(
                    .stop(
                        job: id, task: observation.task, attempt: observation.attempt, node: node))
            }
            return
        }
        let before = job.tasks[index].phase
        if before.hasEnded || before == observation.phase { return }
        switch observation.phase {
        case .placed:
            break
        case .running:
            taskRuns(id, index: index, now: now)
        case .finished, .failed, .stopped:
            taskEnded(id, index: index, observation, by: node, now: now)
        }
    }

    /// A node that has just listed its tasks does not have this one: it does not run.
    private mutating func taskIsAbsent(_ id: JobID, index: Int, now: UInt64) {
        let job = jobs[id]!.job
        switch job.state {
        case .stopping:
            update(id) { $0.tasks[index].phase = .stopped }
            concludeIfEnded(id, actor: "coordinator", now: now)
        case .running, .starting:
            // Started once and gone, so its node has restarted: it starts there afresh.
            guard job.tasks[index].phase == .running else { return }
            update(id) { $0.tasks[index].phase = .placed }
            let node = topology.nodes[job.tasks[index].placement.node.position].name
            record(
                .taskRestarted, subject: "\(id)",
                message: "task \(index) was no longer known on \(node)", actor: node, now: now)
        case .queued, .pending, .finished, .failed, .cancelled:
            break
        }
    }

    private mutating func taskRuns(_ id: JobID, index: Int, now: UInt64) {
        update(id) { $0.tasks[index].phase = .running }
        let job = jobs[id]!.job
        guard job.state == .starting, job.tasks.allSatisfy({ $0.phase != .placed }) else { return }
        update(id) {
            $0.state = .running
            $0.startedUnixMilliseconds = now
        }
        runningCount += 1
        record(
            .jobRunning, subject: "\(id)", message: "all tasks run", actor: "coordinator", now: now)
    }

    private mutating func taskEnded(
        _ id: JobID, index: Int, _ observation: TaskObservation, by node: NodeIndex, now: UInt64
    ) {
        update(id) { $0.tasks[index].phase = observation.phase }
        let state = jobs[id]!.job.state
        let name = topology.nodes[node.position].name
        if state != .stopping && observation.phase != .finished {
            // A gang runs whole or not at all.
            let what = observation.phase == .failed ? "failed" : "was stopped by its node"
            let detail = observation.message.isEmpty ? "" : ": \(observation.message)"
            update(id) { $0.tasks[index].phase = .failed }
            beginStopping(
                id, message: "task \(index) on \(name) \(what)\(detail)", actor: name, now: now)
        }
        concludeIfEnded(id, actor: name, now: now)
    }

    /// Asks for a job's end: its tasks are stopped once this is durable.
    mutating func beginStopping(_ id: JobID, message: String, actor: String, now: UInt64) {
        if jobs[id]!.job.state == .running { runningCount -= 1 }
        update(id) {
            $0.state = .stopping
            $0.message = message
        }
        record(.jobStopping, subject: "\(id)", message: message, actor: actor, now: now)
        concludeIfEnded(id, actor: actor, now: now)
    }

    /// Ends a job when every node has confirmed the end of its task.
    private mutating func concludeIfEnded(_ id: JobID, actor: String, now: UInt64) {
        let job = jobs[id]!.job
        guard !job.state.hasEnded, job.tasks.allSatisfy(\.phase.hasEnded) else { return }
        if job.isRequeued, job.tasks.contains(where: { $0.phase != .finished }) {
            // A task that failed meanwhile may have failed of being stopped.
            returnToQueue(id)
            record(
                .jobReturned, subject: "\(id)", message: job.message, actor: "coordinator",
                now: now)
            return
        }
        if job.tasks.contains(where: { $0.phase == .failed }) {
            conclude(id, as: .failed, message: job.message, actor: actor, now: now)
        } else if job.state == .stopping && !job.isRequeued {
            conclude(id, as: .cancelled, message: job.message, actor: actor, now: now)
        } else {
            conclude(id, as: .finished, message: "", actor: actor, now: now)
        }
    }

    /// Ends a job.
    ///
    /// What it holds is let go once the end is durable.
    mutating func conclude(
        _ id: JobID, as state: JobState, message: String, actor: String, now: UInt64
    ) {
        if jobs[id]!.job.state == .running { runningCount -= 1 }
        update(id) {
            $0.state = state
            $0.message = message
        }
        removeFromActive(id)
        dropClaim(of: id)
        ended.append(id)
        let kind: FleetEventKind
        switch state {
        case .finished:
            kind = .jobFinished
        case .failed: kind = .jobFailed
        default: kind = .jobCancelled
        }
        record(kind, subject: "\(id)", message: message, actor: actor, now: now)
    }

    /// Takes a job out of the list of active ones, which is in order of id.
    private mutating func removeFromActive(_ id: JobID) {
        var low = 0
        var high = active.count
        while low < high {
            let middle = (low + high) / 2
            if active[middle] < id { low = middle + 1 } else { high = middle }
        }
        if low < active.count, active[low] == id { active.remove(at: low) }
    }
}
