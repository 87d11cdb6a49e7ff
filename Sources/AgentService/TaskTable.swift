// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
package import Wire

/// The tasks of one node: which attempt of each runs, on which GPUs, until when.
///
/// A value without I/O. The attempt number fences: a lower attempt never replaces a higher one, and
/// a repeated order is answered with where the attempt stands, so that a coordinator may repeat all
/// orders after a reconnect.
package struct TaskTable: Sendable {
    /// How many ended attempts are remembered, so that an end that nobody heard of can be told again.
    package static let endedCount = 256

    private struct Key: Hashable {
        var job: JobID
        var index: UInt32
    }

    private struct Running {
        var start: TaskStart
        /// Nil runs until stopped.
        var endNanoseconds: Int64?
    }

    private let gpuCount: Int
    private var running: [Key: Running] = [:]
    /// The highest attempt seen of each remembered task.
    private var ended: [Key: TaskStatus] = [:]
    private var endedOrder: [Key] = []

    /// A table without tasks.
    ///
    /// - Parameter gpuCount: the GPUs of the node.
    package init(gpuCount: Int) { self.gpuCount = gpuCount }

    /// The number of running tasks.
    package var count: Int { running.count }

    /// True when a GPU of the node is held.
    package var holdsGPUs: Bool { running.values.contains { !$0.start.devices.isEmpty } }

    /// Where every remembered attempt stands, by job and index: what a hello tells.
    package var statuses: [TaskStatus] {
        let alive = running.values.map { TaskStatus(task: $0.start.task, state: .running) }
        return (alive + ended.values).sorted { left, right in
            (left.task.job, left.task.taskIndex, left.task.attempt)
                < (right.task.job, right.task.taskIndex, right.task.attempt)
        }
    }

    /// Starts an attempt, in place of a lower one.
    ///
    /// - Parameters:
    ///   - start: the order.
    ///   - now: the agent's monotonic clock, in nanoseconds.
    /// - Returns: what to tell the coordinator, in order.
    package mutating func start(_ start: TaskStart, now: Int64) -> [TaskStatus] {
        let key = Key(job: start.task.job, index: start.task.taskIndex)
        if let known = ended[key], known.task.attempt >= start.task.attempt {
            guard known.task.attempt == start.task.attempt else {
                return [
                    TaskStatus(task: start.task, state: .stopped, message: "a later attempt ran")
                ]
            }
            return [known]
        }
        var told: [TaskStatus] = []
        if let current = running[key] {
            if current.start.task.attempt > start.task.attempt {
                return [
                    TaskStatus(task: start.task, state: .stopped, message: "a later attempt runs")
                ]
            }
            if current.start.task.attempt == start.task.attempt {
                return [TaskStatus(task: start.task, state: .running)]
            }
            told.append(end(key, .stopped, "replaced by attempt \(start.task.attempt)"))
        }
        if let problem = problem(with: start) {
            let status = TaskStatus(task: start.task, state: .failed, message: problem)
            remember(status, key)
            return told + [status]
        }
        forget(key)
        running[key] = Running(
            start: start, endNanoseconds: start.durationNanoseconds.map { now + $0 })
        return told + [TaskStatus(task: start.task, state: .running)]
    }

    /// Stops an attempt and all lower ones of its task; or forgets it, if it has ended.
    ///
    /// An end is remembered until the coordinator says, by a stop after the end, that it has it on
    /// record.
    ///
    /// - Parameter task: the attempt.
    /// - Returns: what to tell the coordinator, if anything.
    package mutating func stop(_ task: TaskAttempt) -> TaskStatus? {
        let key = Key(job: task.job, index: task.taskIndex)
        if let current = running[key] {
            guard current.start.task.attempt <= task.attempt else {
                return TaskStatus(task: task, state: .stopped, message: "a later attempt runs")
            }
            return end(key, .stopped, "")
        }
        if let known = ended[key], known.task.attempt <= task.attempt {
            forget(key)
            return nil
        }
        return TaskStatus(task: task, state: .stopped)
    }

    /// Ends what has run its time.
    ///
    /// - Parameter now: the agent's monotonic clock, in nanoseconds.
    /// - Returns: what to tell the coordinator.
    package mutating func expire(now: Int64) -> [TaskStatus] {
        endAll(.finished, "") { running in running.endNanoseconds.map { $0 <= now } ?? false }
    }

    /// Ends the attempts that are not to outlive their node's lease.
    ///
    /// - Returns: what to tell the coordinator.
    package mutating func leaseEnded() -> [TaskStatus] {
        endAll(.failed, "the node's lease ended") { $0.start.onLeaseEnd == .kill }
    }

    /// What each GPU is asked to do by the tasks on it together.
    ///
    /// A GPU that tasks share plays the profile of the first of them by job and index; their shares
    /// add up.
    package var demands: [DeviceDemand] {
        var demands = [DeviceDemand](repeating: .idle, count: gpuCount)
        let order = running.keys.sorted { ($0.job, $0.index) < ($1.job, $1.index) }
        for key in order {
            guard let start = running[key]?.start else { continue }
            for device in start.devices {
                var demand = demands[Int(device)]
                if demand.profile == nil {
                    demand.profile = start.profile
                    demand.phaseSeed = start.task.job.rawValue
                }
                demand.utilizationPPM = min(
                    demand.utilizationPPM + UInt32(start.gpuMilli) * 1000, 1_000_000)
                demands[Int(device)] = demand
            }
        }
        return demands
    }

    // MARK: - Ends

    private func problem(with start: TaskStart) -> String? {
        for device in start.devices where Int(device) >= gpuCount {
            return "GPU \(device) of \(gpuCount) was asked for"
        }
        return nil
    }

    private mutating func endAll(
        _ state: TaskState, _ message: String, where isOver: (Running) -> Bool
    ) -> [TaskStatus] {
        let over = running.filter { isOver($0.value) }.keys
        return over.sorted { ($0.job, $0.index) < ($1.job, $1.index) }
            .map { end($0, state, message) }
    }

    private mutating func end(_ key: Key, _ state: TaskState, _ message: String) -> TaskStatus {
        guard let over = running.removeValue(forKey: key) else {
            preconditionFailure("task \(key) is ended but does not run")
        }
        let status = TaskStatus(task: over.start.task, state: state, message: message)
        remember(status, key)
        return status
    }

    private mutating func remember(_ status: TaskStatus, _ key: Key) {
        if ended.updateValue(status, forKey: key) == nil { endedOrder.append(key) }
        while endedOrder.count > TaskTable.endedCount { ended[endedOrder.removeFirst()] = nil }
    }

    private mutating func forget(_ key: Key) {
        ended[key] = nil
        endedOrder.removeAll { $0 == key }
    }
}
