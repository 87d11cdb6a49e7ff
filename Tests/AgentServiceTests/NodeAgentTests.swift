// SPDX-License-Identifier: Apache-2.0

// Goal: whatever is lost or restarted, in any order, the agent finds back by itself and never says
// too much. Method: the agent as a value; events in, directives out, no sockets.

import AgentService
import FleetModel
import Testing
import Wire

private let second: Int64 = 1_000_000_000

/// One agent with the directives that it gave since they were last taken.
private final class Agent {
    private(set) var node = NodeAgent(
        name: "n1", softwareVersion: "test", reportNanoseconds: second,
        holdNanoseconds: 3 * second)
    private var directives: [NodeAgent.Directive] = []
    var now: Int64 = 100 * second

    /// Everything is there: devices, enforcer, session.
    static func inSession() -> Agent {
        let agent = Agent()
        agent.findDevices()
        agent.enforcerConnects()
        agent.openSession()
        agent.welcome()
        _ = agent.take()
        return agent
    }

    func take() -> [NodeAgent.Directive] {
        defer { directives = [] }
        return directives
    }

    func findDevices(boot: UInt8 = 1, count: Int = 2) {
        let devices = (0..<count).map {
            DeviceInventory(
                uuid: "GPU-\($0)", model: "T700", minimumCap: .watts(200), maximumCap: .watts(700))
        }
        let found = HardwareInventory(devices: devices, bootID: [boot], settleNanoseconds: 1)
        node.devicesFound(found, into: &directives)
    }

    func enforcerConnects() { node.enforcerConnected(now: now, into: &directives) }
    func loseEnforcer() { node.enforcerLost() }
    func openSession() { node.sessionOpened(into: &directives) }
    func closeSession() { node.sessionClosed() }

    func welcome() {
        hear(
            .welcome(AgentWelcome(reportIntervalMilliseconds: 1000, signerChain: [[1, 2], [3]])))
    }

    func hear(_ message: AgentMessage) { node.received(message, now: now, into: &directives) }

    func hearEnforcer(_ body: EnforcerMessage.Body) {
        node.received(body, now: now, into: &directives)
    }

    func turn(_ sample: HardwareSensors? = nil) { node.turn(sample, now: now, into: &directives) }
}

private let renewal = LeaseRenewal(
    incarnation: RandomID(high: 1, low: 1), nonce: 7, ack: nil, fence: .zero, fenceEpochID: .none,
    enforced: .watts(800), provenEnforcerNanoseconds: nil)

private func status(
    cap: Int64 = 1000, remaining: Int64 = 10 * second, caps: [UInt32] = [500_000, 500_000]
) -> EnforcerStatus {
    EnforcerStatus(
        isAtFallback: remaining == 0, cap: .watts(cap),
        order: LeaseOrder(epoch: 1, sequence: 1), remainingNanoseconds: remaining,
        requestedCapMilliwatts: caps, enforcedCapMilliwatts: caps, leaseExpiries: 0, violations: 0)
}

private func sensors(_ draws: [UInt32] = [400_000, 450_000]) -> HardwareSensors {
    HardwareSensors(
        drawMilliwatts: draws, temperatureMillidegrees: [60_000, 0],
        utilizationPPM: [900_000, 1_000_001], requestedMilliwatts: [500_000, 500_000],
        enforcedMilliwatts: [500_000, 500_000])
}

private func start(_ job: UInt64, devices: [UInt16] = [0], onLeaseEnd: LeaseEndPolicy = .keep)
    -> TaskStart
{
    TaskStart(
        task: TaskAttempt(job: JobID(job), taskIndex: 0, attempt: 1), jobName: "j",
        devices: devices, gpuMilli: 1000, profile: .steady, durationNanoseconds: 5 * second,
        onLeaseEnd: onLeaseEnd)
}

private let plan = PowerPlan(
    revision: 1, floorMilliwatts: [200_000, 200_000], fullMilliwatts: [700_000, 700_000],
    ceilingMilliwatts: [700_000, 700_000], priority: [0, 0], weight: [3, 1], gang: [0, 0])

extension NodeAgent.Directive {
    fileprivate var told: AgentMessage? {
        if case .tell(let message) = self { message } else { nil }
    }
    fileprivate var asked: EnforcerMessage.Body? {
        if case .ask(let body) = self { body } else { nil }
    }
}

@Suite("Node agent: lease")
struct NodeAgentLeaseTests {
    @Test("A session begins with a hello, and after the welcome the lease is asked for")
    func greeting() {
        let agent = Agent()
        agent.openSession()
        #expect(agent.take() == [.endSession("the devices are not known yet")])
        agent.findDevices()
        agent.enforcerConnects()
        _ = agent.take()
        agent.openSession()
        guard case .tell(.hello(let hello)) = agent.take().first else {
            Issue.record("no hello")
            return
        }
        #expect(hello.node == "n1")
        #expect(hello.bootID == [1])
        #expect(hello.devices.count == 2)
        agent.welcome()
        #expect(agent.take() == [.ask(.renewalRequest)])
        #expect(agent.node.isInSession)
    }

    @Test("Renewal, grant and verdict are relayed, and the next renewal is asked for at once")
    func relay() {
        let agent = Agent.inSession()
        agent.hearEnforcer(.renewal(renewal))
        #expect(agent.take() == [.tell(.renewal(renewal))])
        let grant = SignedGrant(payload: [9], signature: [8])
        agent.hear(.grant(grant))
        let delivery = GrantDelivery(grant: grant, signerChain: [[1, 2], [3]])
        #expect(agent.take() == [.ask(.grantDelivery(delivery))])
        agent.hearEnforcer(.grantVerdict(GrantVerdict(outcome: .accepted, order: .zero)))
        #expect(agent.take() == [.ask(.renewalRequest)])
    }

    @Test("A welcome in an open session brings a new chain for the grants that follow")
    func newChain() {
        let agent = Agent.inSession()
        agent.hear(
            .welcome(AgentWelcome(reportIntervalMilliseconds: 1000, signerChain: [[9]])))
        #expect(agent.take().isEmpty)
        let grant = SignedGrant(payload: [1], signature: [2])
        agent.hear(.grant(grant))
        let delivery = GrantDelivery(grant: grant, signerChain: [[9]])
        #expect(agent.take() == [.ask(.grantDelivery(delivery))])
    }

    @Test("A refused grant, or an answer that never comes, is asked for again after a while")
    func askingAgain() {
        let agent = Agent.inSession()
        agent.hearEnforcer(.grantVerdict(GrantVerdict(outcome: .staleOrder, order: .zero)))
        #expect(agent.take().compactMap(\.asked).isEmpty)
        agent.now += second / 5
        agent.turn()
        #expect(agent.take().compactMap(\.asked) == [.renewalRequest])
        agent.hearEnforcer(.renewal(renewal))
        agent.now += 6 * second
        agent.turn()
        #expect(agent.take().compactMap(\.asked) == [.renewalRequest])
    }

    @Test("Links may be lost and found in any order: the renewal is asked for when both are there")
    func anyOrder() {
        let agent = Agent.inSession()
        agent.loseEnforcer()
        agent.closeSession()
        agent.hearEnforcer(.renewal(renewal))
        agent.openSession()
        agent.welcome()
        #expect(agent.take().compactMap(\.asked).isEmpty)
        agent.enforcerConnects()
        #expect(agent.take() == [.ask(.renewalRequest)])

        agent.loseEnforcer()
        agent.closeSession()
        agent.enforcerConnects()
        #expect(agent.take().isEmpty)
        agent.openSession()
        agent.welcome()
        #expect(agent.take().compactMap(\.asked) == [.renewalRequest])
    }

    @Test("A coordinator that refuses, speaks too early or out of its role loses the session")
    func protocolErrors() {
        let agent = Agent.inSession()
        agent.hear(.refusal(SessionRefusal(code: .notLeader, message: "ask c2")))
        #expect(agent.take() == [.endSession("refused: ask c2")])
        agent.hear(.goodbye(reason: ""))
        #expect(agent.take() == [.endSession("a coordinator does not say that")])
        agent.closeSession()
        agent.openSession()
        _ = agent.take()
        agent.hear(.powerPlan(plan))
        #expect(agent.take() == [.endSession("the coordinator spoke before its welcome")])
    }
}

@Suite("Node agent: shares, reports, tasks")
struct NodeAgentWorkTests {
    @Test("Plan and cap make shares; the same shares are not asked for twice")
    func shares() {
        let agent = Agent.inSession()
        agent.hear(.powerPlan(plan))
        #expect(agent.take().isEmpty, "nothing is known of the cap yet")
        agent.hearEnforcer(.status(status()))
        guard case .shareRequest(let caps) = agent.take().first?.asked else {
            Issue.record("no shares")
            return
        }
        #expect(caps.reduce(0, +) <= 1_000_000)
        #expect(caps[0] > caps[1], "the heavier weight gets more")
        agent.turn(sensors())
        #expect(agent.take().compactMap(\.asked).isEmpty, "one request at a time")
        agent.hearEnforcer(.status(status(caps: caps)))
        #expect(agent.take().compactMap(\.asked).isEmpty)
    }

    @Test("Without a lease nothing is shared: the enforcer holds the fallback")
    func noLease() {
        let agent = Agent.inSession()
        agent.hear(.powerPlan(plan))
        agent.hearEnforcer(.status(status(cap: 800, remaining: 0, caps: [400_000, 400_000])))
        #expect(agent.take().compactMap(\.asked).isEmpty)
    }

    @Test("A report a second, unknown where the devices did not answer or spoke nonsense")
    func reports() {
        let agent = Agent.inSession()
        var reports: [TelemetryReport] = []
        for step in 0..<40 {
            agent.now += second / 10
            let sample = step < 20 ? sensors() : nil
            agent.turn(agent.node.wantsSample(now: agent.now) ? sample : nil)
            reports += agent.take().compactMap { directive in
                if case .tell(.report(let report)) = directive { report } else { nil }
            }
        }
        #expect(reports.count == 4)
        #expect(reports.map(\.sequence) == [1, 2, 3, 4])
        #expect(reports[0].drawMilliwatts == [400_000, 450_000])
        #expect(reports[0].drawValidity.bits == 0b11)
        #expect(reports[0].temperatureValidity.bits == 0b01, "zero degrees is no temperature")
        #expect(reports[0].utilizationValidity.bits == 0b01, "more than all is no utilization")
        #expect(reports[3].drawValidity.bits == 0)
        agent.closeSession()
        agent.now += 2 * second
        agent.turn(sensors())
        #expect(agent.take().isEmpty)
    }

    @Test("A task plays its load and ends by itself; an end without a session is told in the hello")
    func tasks() {
        let agent = Agent.inSession()
        agent.hear(.taskStart(start(1)))
        let started = agent.take()
        #expect(
            started.contains(.tell(.taskStatus(TaskStatus(task: start(1).task, state: .running)))))
        #expect(
            started.contains(
                .play(
                    device: 0,
                    DeviceDemand(profile: .steady, utilizationPPM: 1_000_000, phaseSeed: 1))))
        #expect(agent.node.wantsSample(now: agent.now))
        agent.closeSession()
        agent.now += 5 * second
        agent.turn()
        #expect(agent.take() == [.play(device: 0, .idle)])
        agent.openSession()
        guard case .tell(.hello(let hello)) = agent.take().first else {
            Issue.record("no hello")
            return
        }
        #expect(hello.tasks == [TaskStatus(task: start(1).task, state: .finished)])
    }

    @Test("When the lease ends, attempts that must not outlive it end too")
    func leaseEnd() {
        let agent = Agent.inSession()
        agent.hearEnforcer(.status(status()))
        agent.hear(.taskStart(start(1, devices: [0], onLeaseEnd: .kill)))
        agent.hear(.taskStart(start(2, devices: [1])))
        _ = agent.take()
        agent.hearEnforcer(.status(status(cap: 800, remaining: 0)))
        let directives = agent.take()
        let ends = directives.compactMap { directive in
            if case .tell(.taskStatus(let status)) = directive { status } else { nil }
        }
        #expect(ends.map(\.task.job) == [JobID(1)])
        #expect(ends.map(\.state) == [.failed])
        #expect(directives.contains(.play(device: 0, .idle)))
        #expect(!directives.contains(.play(device: 1, .idle)))
    }

    @Test("Hardware that was away is told all loads again; other devices begin a new session")
    func hardwareBack() {
        let agent = Agent.inSession()
        agent.hear(.taskStart(start(1)))
        _ = agent.take()
        agent.findDevices(boot: 2)
        let plays = agent.take()
        #expect(plays.count == 2)
        #expect(
            plays.first
                == .play(
                    device: 0,
                    DeviceDemand(profile: .steady, utilizationPPM: 1_000_000, phaseSeed: 1)))
        agent.findDevices(boot: 3, count: 4)
        #expect(agent.take().contains(.endSession("the devices have changed")))
        #expect(agent.node.taskCount == 0)
    }

    @Test("Nodes report at moments of their own, spread over the interval")
    func spread() {
        var moments: Set<Int64> = []
        for index in 0..<50 {
            var node = NodeAgent(
                name: "node-\(index)", softwareVersion: "t", reportNanoseconds: second,
                holdNanoseconds: second)
            var directives: [NodeAgent.Directive] = []
            node.devicesFound(
                HardwareInventory(devices: [], bootID: [1], settleNanoseconds: 1), into: &directives
            )
            node.sessionOpened(into: &directives)
            node.received(
                .welcome(AgentWelcome(reportIntervalMilliseconds: 1000, signerChain: [])), now: 0,
                into: &directives)
            for tenth in 0..<10 as Range<Int64> where node.wantsSample(now: tenth * second / 10) {
                moments.insert(tenth)
                break
            }
        }
        #expect(moments.count >= 8)
    }
}
