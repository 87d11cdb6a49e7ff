// SPDX-License-Identifier: Apache-2.0

// Goal: agent, enforcer and hardware work together over real sockets and TLS, and find each other
// again after any of them, or the coordinator, was away. Method: each is a thread of this process;
// the test waits for what it can see at the coordinator and at the hardware.

import FleetModel
import SecureTransport
import Synchronization
import Testing
import Wire

@Suite("Agent with its enforcer, hardware and coordinator", .serialized)
struct AgentProgramTests {
    /// Runs with everything started, in the order of the letters: hardware, enforcer, agent.
    private func withFleet(
        order: String = "hea", _ body: (TestFleet) async throws -> Void
    ) async throws {
        let fleet = try await TestFleet()
        do {
            for letter in order {
                switch letter {
                case "h": fleet.startHardware()
                case "e": fleet.startEnforcer()
                default: try fleet.startAgent()
                }
            }
            try await body(fleet)
        } catch {
            try await fleet.tearDown()
            throw error
        }
        try await fleet.tearDown()
    }

    private func isEnforced(_ watts: UInt32, _ fleet: TestFleet) async throws {
        try await eventually("\(watts) W enforced") {
            ((try? fleet.enforcedWatts()) ?? 0) == watts
        }
    }

    private func isAcknowledged(_ watts: Int64, _ fleet: TestFleet) async throws {
        try await eventually("\(watts) W acknowledged") {
            fleet.coordinator.state.withLock { $0.renewals.last?.ack?.cap == .watts(watts) }
        }
    }

    @Test("A grant is relayed, carried out and acknowledged; reports tell draw and caps")
    func wholeWay() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            #expect(try fleet.enforcedWatts() == 1000)
            fleet.coordinator.state.withLock { $0.cap = .watts(900) }
            try await isAcknowledged(900, fleet)
            #expect(try fleet.enforcedWatts() == 900)
            try await eventually("a report with the cap") {
                fleet.coordinator.state.withLock { state in
                    guard let report = state.reports.last else { return false }
                    return report.drawValidity.bits == 0b11
                        && report.enforcedCapMilliwatts.reduce(0, +) == 900_000
                }
            }
        }
    }

    @Test("A task draws what plan and cap allow, and stops when it is told to")
    func task() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            let task = TaskAttempt(job: JobID(1), taskIndex: 0, attempt: 1)
            fleet.coordinator.send(
                .powerPlan(
                    PowerPlan(
                        revision: 1, floorMilliwatts: [350_000, 250_000],
                        fullMilliwatts: [700_000, 250_000], ceilingMilliwatts: [700_000, 250_000],
                        priority: [1, 0], weight: [1, 1], gang: [0, 0])))
            fleet.coordinator.send(
                .taskStart(
                    TaskStart(
                        task: task, jobName: "train", devices: [0], gpuMilli: 1000,
                        profile: .steady, durationNanoseconds: nil, onLeaseEnd: .keep)))
            try await eventually("the task draws its share") {
                fleet.coordinator.state.withLock { state in
                    guard let report = state.reports.last else { return false }
                    return report.drawMilliwatts[0] > 600_000
                        && report.enforcedCapMilliwatts[0] == 700_000
                }
            }
            fleet.coordinator.send(.taskStop(task))
            try await eventually("the task has stopped") {
                fleet.coordinator.state.withLock { state in
                    state.statuses.contains(TaskStatus(task: task, state: .stopped))
                }
            }
            try await eventually("the GPU is idle") {
                fleet.coordinator.state.withLock { state in
                    (state.reports.last?.drawMilliwatts[0] ?? .max) < 120_000
                }
            }
        }
    }

    @Test("Started in any order, they come together", arguments: ["aeh", "eah", "ahe"])
    func anyOrder(order: String) async throws {
        try await withFleet(order: order) { try await isAcknowledged(1000, $0) }
    }

    @Test("The enforcer restarts: it resumes its lease and is asked for renewals again")
    func enforcerRestart() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            let incarnation = fleet.coordinator.state.withLock { $0.renewals.last?.incarnation }
            try await fleet.stopEnforcer()
            fleet.startEnforcer()
            try await eventually("a renewal of the new incarnation") {
                fleet.coordinator.state.withLock { state in
                    guard let renewal = state.renewals.last else { return false }
                    return renewal.incarnation != incarnation && renewal.ack?.cap == .watts(1000)
                }
            }
            #expect(try fleet.enforcedWatts() == 1000)
        }
    }

    @Test("The hardware restarts uncapped: it is taken to its fallback and gets a new lease")
    func hardwareRestart() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            let before = fleet.coordinator.state.withLock { $0.renewals.last?.incarnation }
            try await fleet.stopHardware()
            fleet.startHardware()
            try await eventually("a lease for the new boot") {
                fleet.coordinator.state.withLock { state in
                    guard let renewal = state.renewals.last else { return false }
                    return renewal.incarnation != before && renewal.ack?.cap == .watts(1000)
                }
            }
            try await isEnforced(1000, fleet)
        }
    }

    @Test("The coordinator restarts: the session comes back and tells the tasks that run")
    func coordinatorRestart() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            let task = TaskAttempt(job: JobID(7), taskIndex: 3, attempt: 2)
            fleet.coordinator.send(
                .taskStart(
                    TaskStart(
                        task: task, jobName: "j", devices: [1], gpuMilli: 500,
                        profile: .inference, durationNanoseconds: nil, onLeaseEnd: .keep)))
            try await eventually("the task runs") {
                fleet.coordinator.state.withLock { !$0.statuses.isEmpty }
            }
            await fleet.coordinator.close()
            fleet.coordinator.state.withLock { $0.cap = .watts(1200) }
            try await fleet.coordinator.start()
            try await isAcknowledged(1200, fleet)
            let hello = fleet.coordinator.state.withLock { $0.hellos.last }
            #expect(hello?.tasks == [TaskStatus(task: task, state: .running)])
        }
    }

    @Test("The agent restarts: the lease goes on meanwhile, and its end was announced")
    func agentRestart() async throws {
        try await withFleet { fleet in
            try await isAcknowledged(1000, fleet)
            fleet.stopAgent()
            try await eventually("a goodbye") {
                fleet.coordinator.state.withLock { $0.goodbyes == 1 }
            }
            #expect(try fleet.enforcedWatts() == 1000)
            fleet.coordinator.state.withLock { $0.cap = .watts(850) }
            try fleet.startAgent()
            try await isAcknowledged(850, fleet)
        }
    }
}
