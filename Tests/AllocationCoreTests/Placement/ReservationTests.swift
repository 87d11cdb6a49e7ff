// SPDX-License-Identifier: Apache-2.0

// Goal: what is reserved is there for the jobs of the reservation and for nobody else, watts included, and
// for nobody any more once it has expired. Method: a small fleet whose books are compared at every step.

import FleetModel
import Testing

@testable import AllocationCore

@Suite("Reservations")
struct ReservationTests {
    /// Two racks of two nodes with two GPUs each.
    private func fleet() -> PlacementEngine {
        var generator = SeededGenerator(seed: 51)
        var topology = RandomFleet.topology(
            .paired, &generator, nodesPerRack: 2...2, gpusPerNode: 2...2)
        for type in topology.nodeTypes.indices {
            topology.nodeTypes[type].model = ModelIndex(0)
            topology.nodeTypes[type].fallback = Milliwatts(240)
            topology.nodeTypes[type].cpuMilli = 5000
        }
        return PlacementEngine(topology: topology)
    }

    private func spec(_ tasks: UInt32, gpus: UInt16 = 2, cpu: UInt32 = 5000) -> JobSpec {
        JobSpec(
            name: "j", taskCount: tasks,
            task: TaskRequest(gpuCount: gpus, gpuMilli: 1000, cpuMilli: cpu, memoryMiB: 8))
    }

    @Test("Reserved GPUs go to jobs of the reservation only, and come back to it until it expires")
    func keeps() throws {
        var engine = fleet()
        let empty = engine
        var book = ReservationBook()
        let outcome = try book.reserve("team", spec(3), until: 1000, now: 0, in: &engine)
        guard case .placed = outcome else { return #expect(Bool(false), "\(outcome)") }
        #expect(book.reservation("team")?.unitCount == 6)
        var other = engine.placement(for: spec(2))
        #expect(other == nil, "one node is free")
        other = engine.placement(for: spec(1))
        #expect(other != nil)
        // A job of one GPU takes one unit; the other GPU of its node stays kept.
        let small = spec(1, gpus: 1, cpu: 2500)
        guard case .placed(let place) = try book.place(small, of: "team", now: 5, in: engine) else {
            Issue.record("the reservation has room")
            return
        }
        try book.hold(JobID(1), small, place, of: "team", in: &engine)
        #expect(book.reservation("team")?.unitCount == 5)
        other = engine.placement(for: spec(1, gpus: 1, cpu: 0))
        #expect(other.map { $0[0].node } != place[0].node)
        let isTooWide = try book.place(spec(3), of: "team", now: 5, in: engine)
        guard case .placed(let wide) = isTooWide else {
            Issue.record("two reserved nodes and the free one are three")
            return
        }
        #expect(Set(wide.map(\.node)).count == 3)
        #expect(book.release(JobID(1), in: &engine) == 0)
        #expect(book.reservation("team")?.unitCount == 6)
        try book.hold(JobID(2), small, place, of: "team", in: &engine)
        #expect(book.expire(now: 999, in: &engine).isEmpty)
        #expect(book.expire(now: 1000, in: &engine) == ["team"])
        #expect(engine.placement(of: JobID(2)) == place, "who is in may stay")
        book.release(JobID(2), in: &engine)
        #expect(engine.hasSameState(as: empty))
        #expect(engine.firstBrokenInvariant() == nil)
    }

    @Test("Watts are reserved on every feed, and a reservation without room keeps nothing")
    func keepsWatts() throws {
        var engine = fleet()
        let before = engine
        var book = ReservationBook()
        // Room in the rack for the floors of one node more: 2 GPUs of 200 mW over 240 mW of fallback.
        engine.setBudget(DomainIndex(0), engine.charge(of: DomainIndex(0)) + Milliwatts(160))
        let tight = engine
        let none = try book.reserve("wide", spec(2), until: 10, now: 0, in: &engine)
        guard case .refused(let refusal) = none else { return #expect(Bool(false), "\(none)") }
        #expect(refusal.shortfalls.first?.domain == DomainIndex(0))
        #expect(engine.hasSameState(as: tight) && book.reservations.isEmpty)
        _ = try book.reserve("one", spec(1), until: 10, now: 0, in: &engine)
        #expect(engine.headroom(of: DomainIndex(0)) == .zero)
        let other = engine.placement(for: spec(1, gpus: 1, cpu: 0))
        #expect(other == nil, "GPUs are free and watts are not")
        guard case .placed = try book.place(spec(1), of: "one", now: 9, in: engine) else {
            Issue.record("its watts are kept for it")
            return
        }
        #expect(book.end("one", in: &engine))
        engine.setBudget(DomainIndex(0), before.topology.domains[0].budget)
        #expect(engine.hasSameState(as: before))
    }

    @Test("After a restart a reservation keeps the same GPUs, and gets back what its jobs have")
    func restores() throws {
        var engine = fleet()
        var book = ReservationBook()
        let wide = spec(2)
        guard case .placed(let room) = try book.reserve("a", wide, until: 9, now: 0, in: &engine)
        else { return #expect(Bool(false), "there is room") }
        let one = spec(1)
        guard case .placed(let place) = try book.place(one, of: "a", now: 1, in: engine) else {
            return #expect(Bool(false), "there is room")
        }
        try book.hold(JobID(1), one, place, of: "a", in: &engine)

        var restarted = fleet()
        try restarted.restore(JobID(1), one, place)
        var again = ReservationBook()
        again.restore("a", wide, room, until: 9, jobs: [JobID(1)], in: &restarted)
        #expect(again.reservation("a")?.unitCount == 2)
        #expect(again.release(JobID(1), in: &restarted) == 0)
        #expect(again.reservation("a")?.unitCount == 4)
        #expect(restarted.freeGPUCount(of: room[0].node) == 0)
    }

    @Test("Names, moments and placements that are wrong are refused without a trace")
    func refuses() throws {
        var engine = fleet()
        var book = ReservationBook()
        #expect(throws: ReservationBook.Problem.expired) {
            _ = try book.reserve("late", self.spec(1), until: 5, now: 5, in: &engine)
        }
        _ = try book.reserve("a", spec(1), until: 5, now: 0, in: &engine)
        #expect(throws: ReservationBook.Problem.exists) {
            _ = try book.reserve("a", self.spec(1), until: 5, now: 0, in: &engine)
        }
        #expect(throws: ReservationBook.Problem.unknown) {
            _ = try book.place(self.spec(1), of: "b", now: 0, in: engine)
        }
        #expect(throws: ReservationBook.Problem.expired) {
            _ = try book.place(self.spec(1), of: "a", now: 5, in: engine)
        }
        let held = engine
        #expect(throws: PlacementHoldError.shape) {
            try book.hold(JobID(1), self.spec(1), [], of: "a", in: &engine)
        }
        #expect(engine.hasSameState(as: held) && book.reservation("a")?.unitCount == 2)
    }
}
