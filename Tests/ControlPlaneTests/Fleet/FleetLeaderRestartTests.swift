// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel
import Testing

/// Goal: a crash between any two steps is repaired from the store and from what nodes say.
///
/// Method: the leader is thrown away after each step and rebuilt from what was written.
@Suite struct FleetLeaderRestartTests {
    @Test("A pending job asks for its floors again after a restart")
    func resumesPending() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        harness = try harness.restarted()
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(harness.leader.heldMilliTotal == 4000)
        harness.reserveFloors()
        #expect(harness.leader.job(id)?.state == .starting)
    }

    @Test("Floors reserved but not recorded are asked for again, under the first attempt")
    func repeatsFloors() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.commit()
        harness.reserveFloors()
        harness = try harness.restarted()
        #expect(harness.leader.job(id)?.state == .pending)
        harness.reserveFloors()
        harness.commit()
        #expect(harness.leader.job(id)?.attempt == 1)
        #expect(harness.take().count == 1)
    }

    @Test("A starting job is started when its node connects, once per session")
    func resendsStarts() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness = try harness.restarted()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        harness.connect(node)
        #expect(harness.take() == [.start(job: id, task: 0, attempt: 1, node: node)])
        harness.connect(NodeIndex(node.position == 0 ? 1 : 0))
        #expect(harness.take().isEmpty)
    }

    @Test("A task that runs already is not started again")
    func recognizesRunning() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness = try harness.restarted()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let running = TaskObservation(job: id, task: 0, attempt: 1, phase: .running, message: "")
        harness.connect(node, tasks: [running])
        #expect(harness.take().isEmpty)
        #expect(harness.leader.job(id)?.state == .running)
    }

    @Test("A task that ended while the coordinator was down ends its job")
    func learnsOfEnds() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()
        harness = try harness.restarted()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let ended = TaskObservation(job: id, task: 0, attempt: 1, phase: .finished, message: "")
        harness.connect(node, tasks: [ended])
        #expect(harness.leader.job(id)?.state == .finished)
        harness.commit()
        #expect(harness.take() == [.stop(job: id, task: 0, attempt: 1, node: node)])
        #expect(harness.leader.heldMilliTotal == 0)
    }

    @Test("A node that lost its tasks runs them afresh")
    func restartsLostTasks() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()
        _ = harness.take()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        harness.connect(node)
        #expect(harness.take() == [.start(job: id, task: 0, attempt: 1, node: node)])
        #expect(harness.leader.events.last?.kind == .taskRestarted)
    }

    @Test("A node that comes back without the task confirms a stop")
    func confirmsStopByAbsence() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        _ = harness.leader.cancel(id, actor: "admin", now: 2)
        harness.commit()
        harness = try harness.restarted()
        #expect(harness.leader.job(id)?.state == .stopping)
        let node = harness.leader.job(id)!.tasks[0].placement.node
        harness.connect(node)
        #expect(harness.leader.job(id)?.state == .cancelled)
    }

    @Test("A node that comes back with a cancelled task is told to stop it")
    func stopsAgain() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        _ = harness.leader.cancel(id, actor: "admin", now: 2)
        harness.commit()
        harness = try harness.restarted()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        let running = TaskObservation(job: id, task: 0, attempt: 1, phase: .running, message: "")
        harness.connect(node, tasks: [running])
        #expect(harness.take() == [.stop(job: id, task: 0, attempt: 1, node: node)])
        #expect(harness.leader.job(id)?.state == .stopping)
    }

    @Test("Unknown tasks are stopped")
    func stopsUnknown() throws {
        var harness = try LeaderHarness()
        let stray = TaskObservation(
            job: JobID(77), task: 3, attempt: 2, phase: .running, message: "")
        harness.connect(NodeIndex(0), tasks: [stray])
        #expect(
            harness.take() == [.stop(job: JobID(77), task: 3, attempt: 2, node: NodeIndex(0))])
    }

    @Test("A submit that was not written did not happen, and its number may be used again")
    func forgetsUnwritten() throws {
        var harness = try LeaderHarness()
        _ = harness.accept(SmallFleet.spec(), request: 1)
        harness = try harness.restarted()
        #expect(harness.leader.activeJobs.isEmpty)
        #expect(harness.leader.heldMilliTotal == 0)
        #expect(harness.accept(SmallFleet.spec(), request: 1) == JobID(1))
    }
}
