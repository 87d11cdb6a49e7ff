// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel
import Testing

/// Goal: reserved room is on record, serves the jobs of its name, and is free again when its time is
/// over, whatever is restarted in between.
///
/// Method: a leader of eight nodes, its store and ledgers at hand; time is what the test says.
@Suite struct ReservationLeaderTests {
    private func reserve(
        _ name: String, _ spec: JobSpec, for milliseconds: UInt64 = 1000,
        _ harness: inout LeaderHarness
    ) -> FleetLeader.OnReserve {
        harness.leader.reserve(
            name, spec, milliseconds: milliseconds, actor: "admin", now: harness.now)
    }

    private func isAccepted(_ outcome: FleetLeader.OnReserve) -> Bool {
        if case .accepted = outcome { return true }
        return false
    }

    @Test("Jobs of a reservation run on its room, others wait until it has expired")
    func serves() throws {
        var harness = try LeaderHarness()
        let isMade = isAccepted(reserve("team", SmallFleet.spec(tasks: 7), &harness))
        #expect(isMade)
        let change = harness.leader.change(ofReservation: "team")
        #expect(!harness.leader.isDurable(reservation: "team", change: change))
        harness.commit()
        #expect(harness.leader.isDurable(reservation: "team", change: change))
        let other = harness.accept(SmallFleet.spec("other", tasks: 2), request: 1)
        #expect(harness.leader.job(other)?.state == .queued)
        var member = SmallFleet.spec("member", tasks: 3)
        member.reservation = "team"
        let id = harness.accept(member, request: 2)
        #expect(harness.leader.job(id)?.state == .pending)
        #expect(harness.leader.keptGPUCount(of: "team") == 16)
        harness.start()
        harness.reportAll(id, .running)
        harness.commit()

        harness = try harness.restarted()
        #expect(harness.leader.keptGPUCount(of: "team") == 16)
        #expect(harness.leader.reservations.map(\.name) == ["team"])
        harness.reportAll(id, .finished)
        harness.commit()
        #expect(harness.leader.keptGPUCount(of: "team") == 28, "it is kept again")
        harness.leader.expireReservations(now: harness.now + 999)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(other)?.state == .queued)
        harness.leader.expireReservations(now: harness.now + 1000)
        harness.leader.placeQueued(attempts: 9, now: harness.now)
        #expect(harness.leader.job(other)?.state == .pending)
        harness.commit()
        #expect(harness.storedReservations.isEmpty)
        #expect(harness.leader.events.last { $0.subject == "team" }?.kind == .reservationEnded)
        #expect(harness.leader.engine.firstBrokenInvariant() == nil)
    }

    @Test(
        "The same reservation again is the same; another of its name, or one without room, is not")
    func refuses() throws {
        var harness = try LeaderHarness()
        let spec = SmallFleet.spec(tasks: 2)
        let wasMade = isAccepted(reserve("a", spec, &harness))
        #expect(wasMade)
        let wasRepeated = isAccepted(reserve("a", spec, &harness))
        #expect(wasRepeated)
        #expect(harness.leader.reservations.count == 1)
        guard case .invalid = reserve("a", SmallFleet.spec(tasks: 3), &harness) else {
            Issue.record("a name was taken twice")
            return
        }
        guard case .refused(let refusal) = reserve("b", SmallFleet.spec(tasks: 7), &harness) else {
            Issue.record("six nodes are free, not seven")
            return
        }
        #expect(refusal.tasksThatFit == 6)
        var lost = SmallFleet.spec()
        lost.reservation = "c"
        guard case .invalid(let message, _) = harness.submit(lost, request: 1) else {
            Issue.record("there is no reservation c")
            return
        }
        #expect(message.contains("'c'"))
        let hasEnded = harness.leader.endReservation("a", actor: "admin", now: 5)
        #expect(hasEnded)
        let hasNotEnded = harness.leader.endReservation("a", actor: "admin", now: 5)
        #expect(!hasNotEnded)
        let isFree = isAccepted(reserve("b", SmallFleet.spec(tasks: 8), &harness))
        #expect(isFree)
    }

    @Test("A job of a reservation is not preempted, and a crash between its steps keeps its room")
    func isSafe() throws {
        var harness = try LeaderHarness()
        let isReserved = isAccepted(reserve("team", SmallFleet.spec(tasks: 8), &harness))
        #expect(isReserved)
        var member = SmallFleet.spec("member", tasks: 8)
        member.reservation = "team"
        let id = harness.accept(member, request: 1)
        harness.commit()
        harness = try harness.restarted()
        #expect(harness.leader.job(id)?.state == .pending)
        let urgent = SmallFleet.spec("urgent", priority: 9, preemption: .lower)
        let waiting = harness.accept(urgent, request: 2)
        #expect(harness.leader.job(waiting)?.state == .queued)
        #expect(harness.leader.job(id)?.state == .pending)
        _ = harness.leader.cancel(id, actor: "admin", now: harness.now)
        harness.commit()
        #expect(harness.leader.keptGPUCount(of: "team") == 32)
        #expect(harness.leader.job(waiting)?.state == .queued)
    }
}
