// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel
import Testing

/// Goal: every step of a job's life happens in order, once, and only when what it rests on is durable.
///
/// Method: a leader with a store and ledgers that answer at once; outputs are compared.
@Suite struct FleetLeaderTests {
    @Test("A job that fits is pending at once, and starts only after its floors are reserved")
    func startsAfterFloors() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(tasks: 2), request: 1)
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(!harness.leader.needsFloors(in: SiteIndex(0)), "pending is not durable yet")
        harness.commit()
        #expect(harness.leader.needsFloors(in: SiteIndex(0)))
        #expect(harness.take().isEmpty)
        harness.reserveFloors()
        #expect(harness.leader.job(id)?.state == .starting)
        #expect(harness.take().isEmpty, "starting is not durable yet")
        harness.commit()
        let starts = harness.take()
        #expect(starts.count == 2)
        #expect(harness.leader.job(id)?.attempt == 1)
    }

    @Test("A ledger that does not cover the floors holds the job back")
    func waitsForUncoveredFloors() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let site = harness.leader.topology.nodes[node.position].site
        let snapshot = harness.leader.floorsSnapshot(of: site)
        harness.leader.floorsCommitted(snapshot, revision: 1) { _, _ in false }
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(harness.leader.needsFloors(in: site))
        harness.leader.floorsCommitted(snapshot, revision: 2) { _, _ in true }
        #expect(harness.leader.job(id)?.state == .starting)
        #expect(harness.leader.job(id)?.ledgerRevision == 2)
    }

    @Test("A job runs when every task runs, and ends when every task has ended")
    func runsAndFinishes() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(tasks: 2), request: 1)
        harness.start()
        harness.report(id, task: 0, .running)
        #expect(harness.leader.job(id)?.state == .starting)
        harness.report(id, task: 1, .running)
        #expect(harness.leader.job(id)?.state == .running)
        #expect(harness.leader.runningCount == 1)
        harness.commit()
        harness.report(id, task: 1, .finished)
        #expect(harness.leader.job(id)?.state == .running)
        harness.report(id, task: 0, .finished)
        #expect(harness.leader.job(id)?.state == .finished)
        #expect(harness.leader.heldMilliTotal == 8000, "the end is not durable yet")
        _ = harness.take()
        harness.commit()
        #expect(harness.leader.heldMilliTotal == 0)
        #expect(harness.take().count == 2, "each node may forget its task")
        #expect(harness.leader.runningCount == 0)
    }

    @Test("The same request is the same job, before and after a restart")
    func repeatsSubmits() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 9)
        guard case .repeated(let again) = harness.submit(SmallFleet.spec(), request: 9) else {
            Issue.record("a second job was made")
            return
        }
        #expect(again == id)
        harness.commit()
        var restarted = try harness.restarted()
        guard case .repeated(let later) = restarted.submit(SmallFleet.spec(), request: 9) else {
            Issue.record("a second job was made after the restart")
            return
        }
        #expect(later == id)
    }

    @Test("A job that does not fit waits, and is placed when another one ends")
    func placesQueuedJobs() throws {
        var harness = try LeaderHarness()
        let large = (1...8).map { harness.accept(SmallFleet.spec("big\($0)"), request: $0) }
        let waiting = harness.accept(SmallFleet.spec("late"), request: 100)
        #expect(harness.leader.job(waiting)?.state == .queued)
        #expect(harness.leader.refusal(of: waiting) != nil)
        harness.start()
        harness.reportAll(large[3], .running)
        harness.reportAll(large[3], .finished)
        #expect(harness.leader.placeQueued(attempts: 10, now: 2) == 0)
        harness.commit()
        #expect(harness.leader.placeQueued(attempts: 10, now: 2) == 1)
        #expect(harness.leader.job(waiting)?.state == .pending)
        #expect(
            harness.leader.job(waiting)?.tasks.map(\.placement)
                == harness.leader.job(large[3])?.tasks.map(\.placement))
    }

    @Test("A more important job is tried before an older one")
    func triesByPriority() throws {
        var harness = try LeaderHarness()
        for number in 1...8 {
            _ = harness.accept(SmallFleet.spec("f\(number)"), request: UInt64(number))
        }
        let old = harness.accept(SmallFleet.spec("old"), request: 20)
        let important = harness.accept(SmallFleet.spec("important", priority: 5), request: 21)
        #expect(harness.leader.queuePosition(of: important) == 1)
        #expect(harness.leader.queuePosition(of: old) == 2)
    }

    @Test("Now or never is refused without a trace")
    func refusesNowOrNever() throws {
        var harness = try LeaderHarness()
        let outcome = harness.submit(SmallFleet.spec(tasks: 100), request: 1, nowOrNever: true)
        guard case .refused = outcome else {
            Issue.record("accepted: \(outcome)")
            return
        }
        #expect(harness.leader.activeJobs.isEmpty)
        #expect(!harness.leader.hasUnwrittenChanges)
    }

    @Test("Cancelling a job that was not started ends it at once")
    func cancelsPending() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        #expect(harness.leader.cancel(id, actor: "admin", now: 3) == .accepted(.cancelled))
        harness.reserveFloors()
        harness.commit()
        #expect(harness.take().isEmpty)
        #expect(harness.leader.heldMilliTotal == 0)
        #expect(harness.leader.cancel(id, actor: "admin", now: 4) == .hasEnded(.cancelled))
        #expect(harness.leader.cancel(JobID(99), actor: "admin", now: 4) == .notFound)
    }

    @Test("A running job keeps what it holds until every node has confirmed the stop")
    func keepsFloorsUntilConfirmed() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(tasks: 2, spread: true), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()
        _ = harness.take()
        #expect(harness.leader.cancel(id, actor: "admin", now: 3) == .accepted(.stopping))
        harness.commit()
        #expect(harness.take().count == 2)
        harness.report(id, task: 0, .stopped)
        harness.commit()
        #expect(harness.leader.job(id)?.state == .stopping)
        #expect(harness.leader.heldMilliTotal == 8000)
        harness.report(id, task: 1, .stopped)
        #expect(harness.leader.job(id)?.state == .cancelled)
        harness.commit()
        #expect(harness.leader.heldMilliTotal == 0)
    }

    @Test("One failed task stops its whole gang, and the job has failed")
    func failsWhole() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(tasks: 2), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()
        _ = harness.take()
        harness.report(id, task: 0, .failed, message: "out of memory")
        harness.commit()
        #expect(harness.leader.job(id)?.state == .stopping)
        #expect(harness.take().count == 1)
        harness.report(id, task: 1, .stopped)
        #expect(harness.leader.job(id)?.state == .failed)
        #expect(harness.leader.job(id)?.message.contains("out of memory") == true)
    }

    @Test("Reports under another attempt change nothing, and what still runs is stopped")
    func ignoresOtherAttempts() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        _ = harness.take()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let stale = TaskObservation(job: id, task: 0, attempt: 7, phase: .running, message: "")
        harness.leader.taskReported(stale, by: node, now: 2, into: &harness.directives)
        #expect(harness.take() == [.stop(job: id, task: 0, attempt: 7, node: node)])
        #expect(harness.leader.job(id)?.tasks[0].phase == .placed)
        var ended = stale
        ended.phase = .finished
        harness.leader.taskReported(ended, by: node, now: 2, into: &harness.directives)
        #expect(harness.take().isEmpty, "an end that nobody waits for needs no answer")
    }

    @Test(
        "Wrong specifications are refused with a reason",
        arguments: [
            SmallFleet.spec("bad name"), SmallFleet.spec(tasks: 0), SmallFleet.spec(gpus: 65),
            SmallFleet.spec(gpus: 2, milli: 500), SmallFleet.spec(gpus: 1, milli: 0),
        ])
    func refusesBadSpecs(spec: JobSpec) throws {
        var harness = try LeaderHarness()
        guard case .invalid(let message, let hint) = harness.submit(spec, request: 1) else {
            Issue.record("accepted \(spec)")
            return
        }
        #expect(!message.isEmpty && !hint.isEmpty)
        #expect(!harness.leader.hasUnwrittenChanges)
    }

    @Test("History is bounded, in memory and in the store")
    func boundsHistory() throws {
        var harness = try LeaderHarness()
        harness.leader = try FleetLeader(
            topology: harness.leader.topology,
            limits: FleetHistoryLimits(eventCount: 20, endedJobCount: 10, queuedJobCount: 5))
        for node in 0..<8 { harness.makeEligible(NodeIndex(node)) }
        for number in 1...40 {
            let id = harness.accept(SmallFleet.spec("j\(number)"), request: UInt64(number))
            _ = harness.leader.cancel(id, actor: "admin", now: 1)
            harness.commit()
        }
        #expect(harness.leader.endedJobs.count <= 11)
        #expect(harness.leader.events.count <= 22)
        #expect(harness.stored.count <= 12)
        #expect(harness.leader.heldMilliTotal == 0)
    }
}

extension FleetLeaderTests {
    @Test("A job whose floors no ledger takes goes back into the queue, and may be placed again")
    func returnsStalled() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let site = harness.leader.topology.nodes[node.position].site
        let old = harness.leader.floorsSnapshot(of: site)
        harness.leader.returnStalled(now: harness.now + 9, patience: 10)
        #expect(harness.leader.job(id)?.state == .pending)
        harness.leader.returnStalled(now: harness.now + 10, patience: 10)
        #expect(harness.leader.job(id)?.state == .queued)
        #expect(harness.leader.heldMilliTotal == 4000, "the return is not durable yet")
        #expect(harness.leader.placeQueued(attempts: 5, now: 1) == 0)
        harness.commit()
        #expect(harness.leader.heldMilliTotal == 0)
        #expect(harness.leader.placeQueued(attempts: 5, now: harness.now + 20) == 1)
        harness.leader.floorsCommitted(old, revision: 9) { _, _ in true }
        #expect(harness.leader.job(id)?.state == .pending, "an old write proves nothing")
        harness.start()
        #expect(harness.leader.job(id)?.state == .starting)
        #expect(harness.leader.counters.jobsPlacedTotal == 2)
    }

    @Test("A returned job that is cancelled before its return is durable lets everything go")
    func cancelsReturned() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        harness.leader.returnStalled(now: harness.now + 10, patience: 10)
        #expect(harness.leader.cancel(id, actor: "admin", now: 1) == .accepted(.cancelled))
        harness.commit()
        #expect(harness.leader.heldMilliTotal == 0)
        #expect(harness.leader.queuedCount == 0)
    }
}
