// SPDX-License-Identifier: Apache-2.0

// Goal: orders may be repeated, delayed and lost with their session, and a node still runs each task
// at most once, in its latest attempt, and tells every end until it is on record.

import AgentService
import FleetModel
import Testing
import Wire

private let second: Int64 = 1_000_000_000

private func attempt(_ number: UInt64, job: UInt64 = 1, index: UInt32 = 0) -> TaskAttempt {
    TaskAttempt(job: JobID(job), taskIndex: index, attempt: number)
}

private func start(
    _ task: TaskAttempt, devices: [UInt16] = [0], milli: UInt16 = 1000, seconds: Int64? = nil,
    profile: DemandProfile = .training, onLeaseEnd: LeaseEndPolicy = .keep
) -> TaskStart {
    TaskStart(
        task: task, jobName: "job", devices: devices, gpuMilli: milli, profile: profile,
        durationNanoseconds: seconds.map { $0 * second }, onLeaseEnd: onLeaseEnd)
}

/// A table as a reference, so that expectations may call what changes it.
private final class Tasks {
    private var table: TaskTable

    init(gpuCount: Int) { table = TaskTable(gpuCount: gpuCount) }

    var count: Int { table.count }
    var holdsGPUs: Bool { table.holdsGPUs }
    var statuses: [TaskStatus] { table.statuses }
    var demands: [DeviceDemand] { table.demands }
    func start(_ start: TaskStart, now: Int64) -> [TaskStatus] { table.start(start, now: now) }
    func stop(_ task: TaskAttempt) -> TaskStatus? { table.stop(task) }
    func expire(now: Int64) -> [TaskStatus] { table.expire(now: now) }
    func leaseEnded() -> [TaskStatus] { table.leaseEnded() }
}

@Suite("Task table")
struct TaskTableTests {
    @Test("A start that is repeated starts once and is answered twice")
    func repeatedStart() {
        let table = Tasks(gpuCount: 2)
        let running = [TaskStatus(task: attempt(1), state: .running)]
        #expect(table.start(start(attempt(1), seconds: 5), now: 0) == running)
        #expect(table.start(start(attempt(1), seconds: 5), now: 4 * second) == running)
        #expect(table.count == 1)
        #expect(table.expire(now: 5 * second).map(\.state) == [.finished])
    }

    @Test("A higher attempt replaces a lower one; a lower one never replaces a higher")
    func fencing() {
        let table = Tasks(gpuCount: 2)
        _ = table.start(start(attempt(2)), now: 0)
        #expect(table.start(start(attempt(1)), now: 0).map(\.state) == [.stopped])
        let told = table.start(start(attempt(3), devices: [1]), now: 0)
        #expect(told.map(\.state) == [.stopped, .running])
        #expect(told.map(\.task.attempt) == [2, 3])
        #expect(table.demands.map(\.profile) == [nil, .training])
        #expect(table.stop(attempt(2))?.state == .stopped)
        #expect(table.count == 1, "a stop of a lower attempt leaves the higher one running")
    }

    @Test("An end is told again until a stop says that it is on record")
    func endsAreKept() {
        let table = Tasks(gpuCount: 2)
        _ = table.start(start(attempt(1), seconds: 1), now: 0)
        let ended = TaskStatus(task: attempt(1), state: .finished)
        #expect(table.expire(now: second) == [ended])
        #expect(table.statuses == [ended])
        #expect(table.start(start(attempt(1), seconds: 1), now: second) == [ended])
        #expect(table.stop(attempt(1)) == nil)
        #expect(table.statuses.isEmpty)
    }

    @Test("A stop ends a running task and is remembered; of an unknown task it is confirmed")
    func stops() {
        let table = Tasks(gpuCount: 2)
        _ = table.start(start(attempt(1)), now: 0)
        #expect(table.stop(attempt(1))?.state == .stopped)
        #expect(table.statuses.map(\.state) == [.stopped])
        #expect(table.stop(attempt(4, job: 9))?.state == .stopped)
        #expect(table.statuses.count == 1)
    }

    @Test("Only attempts that are not to outlive the lease end with it")
    func leaseEnd() {
        let table = Tasks(gpuCount: 2)
        _ = table.start(start(attempt(1, job: 1), onLeaseEnd: .keep), now: 0)
        _ = table.start(start(attempt(1, job: 2), devices: [1], onLeaseEnd: .kill), now: 0)
        let told = table.leaseEnded()
        #expect(told.map(\.task.job) == [JobID(2)])
        #expect(told.map(\.state) == [.failed])
        #expect(table.count == 1)
    }

    @Test("Fractions of a GPU add up; a GPU that the node lacks fails the task")
    func demands() {
        let table = Tasks(gpuCount: 2)
        _ = table.start(start(attempt(1, job: 5), milli: 300, profile: .inference), now: 0)
        _ = table.start(start(attempt(1, job: 6), milli: 500, profile: .steady), now: 0)
        #expect(
            table.demands[0]
                == DeviceDemand(profile: .inference, utilizationPPM: 800_000, phaseSeed: 5))
        #expect(table.demands[1] == .idle)
        #expect(
            table.start(start(attempt(1, job: 7), devices: [2]), now: 0).map(\.state) == [.failed])
    }

    @Test("A task without GPUs runs and ends, and plays nothing")
    func cpuOnly() {
        let table = Tasks(gpuCount: 1)
        _ = table.start(start(attempt(1), devices: [], seconds: 2), now: 0)
        #expect(!table.holdsGPUs)
        #expect(table.demands == [.idle])
        #expect(table.expire(now: 2 * second).map(\.state) == [.finished])
    }

    @Test("Only the last ends are remembered")
    func bounded() {
        let table = Tasks(gpuCount: 1)
        for job in 0..<400 as Range<UInt64> {
            _ = table.start(start(attempt(1, job: job), devices: []), now: 0)
            _ = table.stop(attempt(1, job: job))
        }
        #expect(table.statuses.count == TaskTable.endedCount)
        #expect(table.statuses.first?.task.job == JobID(400 - UInt64(TaskTable.endedCount)))
    }
}
