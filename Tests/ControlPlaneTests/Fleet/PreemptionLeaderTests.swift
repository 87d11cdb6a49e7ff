// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel
import Testing

/// Goal: a more important job gets the room of less important ones, whole gangs of them, once they have
/// really stopped; the same way nodes are drained; and a crash in between loses nothing.
///
/// Method: a leader of eight nodes, its store and ledgers at hand; every step is taken by the test.
@Suite struct PreemptionLeaderTests {
    /// Eight running jobs of class 0 with a whole node each, and their ids.
    private func fullFleet() throws -> (LeaderHarness, [JobID]) {
        var harness = try LeaderHarness()
        var ids: [JobID] = []
        for number in 1...8 {
            ids.append(harness.accept(SmallFleet.spec("low\(number)"), request: UInt64(number)))
        }
        harness.start()
        for (index, id) in ids.enumerated() {
            // Later ones have run for less.
            harness.now += UInt64(index)
            harness.reportAll(id, .running)
        }
        harness.commit()
        _ = harness.take()
        return (harness, ids)
    }

    private let urgent = SmallFleet.spec("urgent", tasks: 2, priority: 5, preemption: .lower)

    @Test("Victims stop, are queued again, and the job runs in their place")
    func preempts() throws {
        var (harness, ids) = try fullFleet()
        harness.now += 1000
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(id)?.state == .queued)
        let victims = harness.leader.victims(of: id)
        // The two that have run for the shortest time lose the least.
        #expect(victims == [ids[6], ids[7]])
        #expect(victims.allSatisfy { harness.leader.job($0)?.preemptedBy == id })
        #expect(harness.leader.events.count { $0.kind == .jobPreempted } == 2)
        #expect(harness.take().isEmpty, "no order before it is durable")
        harness.commit()
        #expect(harness.take().count == 2)
        harness.reportAll(victims[0], .stopped)
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(id)?.state == .queued, "one node is not enough")
        #expect(harness.leader.job(victims[0])?.state == .queued, "its room is claimed")
        harness.reportAll(victims[1], .failed)
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(harness.leader.job(victims[1])?.state == .queued, "being stopped is no failure")
        #expect(harness.leader.job(victims[1])?.message.contains("preempted by") == true)
        harness.start()
        harness.reportAll(id, .running)
        harness.reportAll(id, .finished)
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(victims.allSatisfy { harness.leader.job($0)?.state == .pending })
        #expect(victims.allSatisfy { harness.leader.job($0)?.preemptedBy == nil })
        #expect(harness.leader.engine.firstBrokenInvariant() == nil)
    }

    @Test("A job that does not ask for it, or is no more important, stops nobody")
    func asksFirst() throws {
        var (harness, _) = try fullFleet()
        var modest = urgent
        modest.preemption = .never
        _ = harness.accept(modest, request: 20)
        var equal = urgent
        equal.priority = 0
        _ = harness.accept(equal, request: 21)
        var tooLarge = urgent
        tooLarge.taskCount = 9
        _ = harness.accept(tooLarge, request: 22)
        harness.leader.capacityChanged()
        for _ in 0..<4 { harness.leader.placeQueued(attempts: 9, now: harness.now) }
        #expect(!harness.leader.hasQueueWork)
        #expect(!harness.leader.events.contains { $0.kind == .jobPreempted })
    }

    @Test("A newcomer does not take what is being freed for a more important job")
    func keepsClaims() throws {
        var (harness, _) = try fullFleet()
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        let victims = harness.leader.victims(of: id)
        harness.commit()
        harness.reportAll(victims[0], .stopped)
        harness.commit()
        let newcomer = harness.accept(SmallFleet.spec("newcomer", priority: 1), request: 21)
        #expect(harness.leader.job(newcomer)?.state == .queued)
        guard case .refused = harness.submit(SmallFleet.spec(), request: 22, nowOrNever: true)
        else {
            Issue.record("a job that must run now took claimed room")
            return
        }
        // When the claim goes, the room is free for the next.
        _ = harness.leader.cancel(id, actor: "admin", now: harness.now)
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(newcomer)?.state == .pending)
    }

    @Test("A restart at any step goes on with the same victims and adds none")
    func survivesRestart() throws {
        var (harness, _) = try fullFleet()
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        let victims = harness.leader.victims(of: id)
        harness.commit()
        for step in 0..<3 {
            harness = try harness.restarted()
            #expect(harness.leader.job(id)?.state == .queued)
            for node in harness.leader.topology.nodes.indices {
                let running = harness.leader.jobs(on: NodeIndex(node)).map {
                    TaskObservation(
                        job: $0, task: 0, attempt: 1, phase: .running, message: "")
                }
                harness.connect(NodeIndex(node), tasks: running)
            }
            harness.leader.placeQueued(attempts: 9, now: harness.now)
            let leaving = harness.leader.activeJobs.filter {
                harness.leader.job($0)?.preemptedBy == id
            }
            #expect(leaving == victims, "step \(step)")
            if step < 2 { harness.reportAll(victims[step], .stopped) }
            harness.commit()
        }
        harness.leader.capacityChanged()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(harness.leader.events.count { $0.kind == .jobPreempted } == 2)
    }

    @Test("Cancelling a job that is being preempted ends it")
    func cancelsVictim() throws {
        var (harness, _) = try fullFleet()
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        let victim = harness.leader.victims(of: id)[0]
        harness.commit()
        _ = harness.leader.cancel(victim, actor: "admin", now: harness.now)
        harness.reportAll(victim, .stopped)
        #expect(harness.leader.job(victim)?.state == .cancelled)
    }

    @Test("A job that ends by itself while it is preempted has ended")
    func finishesMeanwhile() throws {
        var (harness, _) = try fullFleet()
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        let victim = harness.leader.victims(of: id)[0]
        harness.commit()
        harness.reportAll(victim, .finished)
        #expect(harness.leader.job(victim)?.state == .finished)
    }

    @Test("A placement of which nothing was started is taken back at once")
    func preemptsPending() throws {
        var harness = try LeaderHarness()
        let low = (1...8).map { harness.accept(SmallFleet.spec("low"), request: UInt64($0)) }
        harness.commit()
        let id = harness.accept(urgent, request: 20)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(low.count { harness.leader.job($0)?.state == .queued } == 2)
        #expect(harness.take().isEmpty)
    }

    // MARK: - Cordons and drains

    @Test("A cordoned node keeps its jobs and takes no new ones, also after a restart")
    func cordons() throws {
        var harness = try LeaderHarness()
        let node = NodeIndex(0)
        let before = harness.accept(SmallFleet.spec(tasks: 8), request: 1)
        harness.leader.setMark(node, .cordoned, reason: "fan", actor: "admin", now: 5)
        let change = harness.leader.change(of: node)
        #expect(!harness.leader.isDurable(node, change: change))
        harness.commit()
        #expect(harness.leader.isDurable(node, change: change))
        #expect(harness.leader.job(before)?.state == .pending)
        _ = harness.leader.cancel(before, actor: "admin", now: 6)
        harness.commit()
        harness = try harness.restarted()
        #expect(harness.leader.mark(of: node).reason == "fan")
        let wide = harness.accept(SmallFleet.spec(tasks: 8), request: 2)
        #expect(harness.leader.job(wide)?.state == .queued)
        #expect(
            harness.leader.refusal(of: wide)?.fitsIf.contains(.nodesBack(.cordoned)) == true)
        harness.leader.setMark(node, .open, reason: "", actor: "admin", now: 7)
        harness.leader.placeQueued(attempts: 9, now: 8)
        #expect(harness.leader.job(wide)?.state == .pending)
        harness.commit()
        #expect(harness.storedMarks.isEmpty)
        let kinds = harness.leader.events.map(\.kind).filter {
            [.nodeCordoned, .nodeUncordoned, .nodeDraining].contains($0)
        }
        #expect(kinds == [.nodeCordoned, .nodeUncordoned])
    }

    @Test("Draining moves whole gangs, and a repeat or a restart moves nothing twice")
    func drains() throws {
        var harness = try LeaderHarness()
        let gang = harness.accept(SmallFleet.spec("gang", tasks: 3), request: 1)
        let other = harness.accept(SmallFleet.spec("other"), request: 2)
        harness.start()
        harness.reportAll(gang, .running)
        harness.reportAll(other, .running)
        harness.commit()
        _ = harness.take()
        let node = harness.leader.job(gang)!.tasks[1].placement.node
        for _ in 0..<2 {
            harness.leader.setMark(node, .draining, reason: "", actor: "admin", now: harness.now)
            #expect(harness.leader.job(gang)?.state == .stopping)
        }
        #expect(harness.leader.job(other)?.state == .running)
        harness.commit()
        #expect(harness.take().count == 3)
        harness = try harness.restarted()
        #expect(harness.leader.events.count { $0.kind == .jobDrained } == 1)
        harness.reportAll(gang, .stopped)
        #expect(harness.leader.jobs(on: node) == [gang], "held until it is durable")
        harness.commit()
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        let job = try #require(harness.leader.job(gang))
        #expect(job.state == .pending && job.tasks.count == 3)
        #expect(!job.tasks.contains { $0.placement.node == node })
        #expect(harness.leader.jobs(on: node).isEmpty)
        harness.start()
        #expect(harness.leader.job(gang)?.attempt == 2)
    }

    @Test("A drain whose mark alone was written is gone on with after a restart")
    func continuesDrain() throws {
        var harness = try LeaderHarness()
        let id = harness.accept(SmallFleet.spec(), request: 1)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()
        let node = harness.leader.job(id)!.tasks[0].placement.node
        harness.storedMarks[node] = FleetNodeMark(
            node: node, mark: .draining, actor: "admin", reason: "", unixMilliseconds: 1)
        harness = try harness.restarted()
        #expect(harness.leader.job(id)?.state == .stopping)
    }
}
