// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import ControlPlane
import FleetModel
import Testing

/// A small generator with a fixed algorithm, so that a seed means the same run on every machine.
///
/// Source: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
struct Xorshift {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state % UInt64(bound))
    }
}

/// Nodes that run what they are told, lose messages, restart, and outlive the coordinator.
struct RandomNodes {
    struct Running: Hashable {
        var job: JobID
        var task: UInt32
        var attempt: UInt64
    }

    /// What each node runs, and what has ended there and is not yet to be forgotten.
    var running: [Set<Running>]
    var ended: [[Running: TaskPhase]]
    var isConnected: [Bool]

    init(count: Int) {
        running = Array(repeating: [], count: count)
        ended = Array(repeating: [:], count: count)
        isConnected = Array(repeating: true, count: count)
    }

    /// Everything that a node lists in a hello.
    func hello(_ node: Int) -> [TaskObservation] {
        let order = { (left: Running, right: Running) in
            (left.job, left.task) < (right.job, right.task)
        }
        return running[node].sorted(by: order).map { observation($0, .running) }
            + ended[node].keys.sorted(by: order).map { observation($0, ended[node][$0]!) }
    }

    func observation(_ task: Running, _ phase: TaskPhase) -> TaskObservation {
        TaskObservation(
            job: task.job, task: task.task, attempt: task.attempt, phase: phase, message: "")
    }

    /// Carries an order out.
    ///
    /// - Returns: what the node says in answer, if anything.
    mutating func obey(_ directive: FleetDirective) -> (Int, TaskObservation)? {
        switch directive {
        case .start(let job, let task, let attempt, let node):
            let key = Running(job: job, task: task, attempt: attempt)
            guard ended[node.position][key] == nil else { return nil }
            running[node.position].insert(key)
            return (node.position, observation(key, .running))
        case .stop(let job, let task, let attempt, let node):
            let key = Running(job: job, task: task, attempt: attempt)
            if running[node.position].remove(key) != nil {
                ended[node.position][key] = .stopped
                return (node.position, observation(key, .stopped))
            }
            return ended[node.position].removeValue(forKey: key) == nil
                ? (node.position, observation(key, .stopped)) : nil
        }
    }
}

/// Goal: whatever is lost, and whenever the coordinator dies, no acknowledged job is lost, no GPU is
/// run by two jobs, nothing runs before its floors are reserved, and in the end everything is free.
///
/// Method: random histories of submits, cancels, messages, cut sessions, node restarts and crashes.
@Suite struct FleetLeaderCrashTests {
    struct World {
        var harness: LeaderHarness
        var nodes: RandomNodes
        var random: Xorshift
        var acknowledged: Set<JobID> = []
        var reserved: Set<JobID> = []
        var nextRequest: UInt64 = 1
        var crashCount = 0

        init(seed: UInt64) throws {
            harness = try LeaderHarness()
            nodes = RandomNodes(count: harness.leader.topology.nodes.count)
            random = Xorshift(seed: seed)
        }
    }

    @Test(
        "Random histories with crashes, preemptions and drains keep every promise",
        arguments: 1...40)
    func survivesCrashes(seed: UInt64) throws {
        var world = try World(seed: seed)
        for _ in 0..<300 {
            try step(&world)
            check(world, seed: seed)
        }
        try drain(&world)
        #expect(world.harness.leader.activeJobs.isEmpty, "seed \(seed)")
        #expect(world.harness.leader.heldMilliTotal == 0, "seed \(seed)")
        let isIdle = world.nodes.running.allSatisfy { $0.isEmpty }
        #expect(isIdle, "seed \(seed)")
        #expect(world.harness.leader.engine.firstBrokenInvariant() == nil, "seed \(seed)")
    }

    @Test("The histories do contain preemptions and drains, and crashes between their steps")
    func containsStops() throws {
        var kinds: [FleetEventKind: Int] = [:]
        var crashesWhileStopping = 0
        for seed in 1...UInt64(20) {
            var world = try World(seed: seed)
            for _ in 0..<300 {
                let before = world.harness.stored.values.contains { $0.isRequeued }
                let number = world.harness.leader.counters.nextEventNumber
                let crashes = world.crashCount
                try step(&world)
                if before && world.crashCount > crashes { crashesWhileStopping += 1 }
                for event in world.harness.leader.events where event.number >= number {
                    kinds[event.kind, default: 0] += 1
                }
            }
        }
        #expect(kinds[.jobPreempted, default: 0] > 20)
        #expect(kinds[.jobDrained, default: 0] > 20)
        #expect(crashesWhileStopping > 5)
    }

    private func step(_ world: inout World) throws {
        world.harness.now += 1
        switch world.random.next(20) {
        case 0...3: submit(&world)
        case 4: world.random.next(2) == 0 ? cancel(&world) : mark(&world)
        case 5...8: commit(&world)
        case 9...11: reserve(&world)
        case 12...13: endTask(&world)
        case 14: cut(&world)
        case 15...16: connect(&world)
        case 17: world.harness.leader.placeQueued(attempts: 3, now: world.harness.now)
        case 18: world.harness.leader.returnStalled(now: world.harness.now, patience: 25)
        default: if world.random.next(3) == 0 { try crash(&world) }
        }
        deliver(&world)
    }

    private func submit(_ world: inout World) {
        let spec = SmallFleet.spec(
            tasks: UInt32(1 + world.random.next(3)), gpus: UInt16(1 + world.random.next(4)),
            priority: Int32(world.random.next(3)), spread: world.random.next(2) == 0,
            preemption: world.random.next(2) == 0 ? .lower : .never)
        _ = world.harness.submit(spec, request: world.nextRequest)
        world.nextRequest += 1
    }

    private func cancel(_ world: inout World) {
        let active = world.harness.leader.activeJobs
        guard !active.isEmpty else { return }
        let id = active[world.random.next(active.count)]
        _ = world.harness.leader.cancel(id, actor: "admin", now: world.harness.now)
    }

    private func mark(_ world: inout World) {
        let node = NodeIndex(world.random.next(world.nodes.running.count))
        let mark = NodeMark.allCases[world.random.next(3)]
        world.harness.leader.setMark(
            node, mark, reason: "test", actor: "admin", now: world.harness.now)
    }

    private func commit(_ world: inout World) {
        world.harness.commitOnce()
        world.acknowledged.formUnion(world.harness.stored.keys)
    }

    /// Writes a site's ledger; it covers the floors half of the time.
    private func reserve(_ world: inout World) {
        let site = SiteIndex(world.random.next(2))
        let snapshot = world.harness.leader.floorsSnapshot(of: site)
        let isCovered = world.random.next(2) == 0
        world.harness.leader.floorsCommitted(snapshot, revision: 1) { _, _ in isCovered }
        if isCovered { world.reserved.formUnion(snapshot.requests.map(\.job)) }
    }

    private func endTask(_ world: inout World) {
        let node = world.random.next(world.nodes.running.count)
        let order = world.nodes.hello(node).filter { $0.phase == .running }
        guard !order.isEmpty else { return }
        var task = order[world.random.next(order.count)]
        task.phase = world.random.next(8) == 0 ? .failed : .finished
        let key = RandomNodes.Running(job: task.job, task: task.task, attempt: task.attempt)
        world.nodes.running[node].remove(key)
        world.nodes.ended[node][key] = task.phase
        guard world.nodes.isConnected[node] else { return }
        world.harness.leader.taskReported(
            task, by: NodeIndex(node), now: world.harness.now, into: &world.harness.directives)
    }

    /// A session ends; sometimes the node has restarted and forgotten everything.
    private func cut(_ world: inout World) {
        let node = world.random.next(world.nodes.isConnected.count)
        world.nodes.isConnected[node] = false
        if world.random.next(3) == 0 {
            world.nodes.running[node] = []
            world.nodes.ended[node] = [:]
        }
    }

    private func connect(_ world: inout World) {
        for node in world.nodes.isConnected.indices where !world.nodes.isConnected[node] {
            world.nodes.isConnected[node] = true
            world.harness.connect(NodeIndex(node), tasks: world.nodes.hello(node))
        }
    }

    /// The coordinator dies: what was not stored is gone, and every session with it.
    private func crash(_ world: inout World) throws {
        world.crashCount += 1
        world.harness = try world.harness.restarted()
        for node in world.nodes.isConnected.indices { world.nodes.isConnected[node] = false }
    }

    /// Hands orders to connected nodes and their answers back, until there are none.
    private func deliver(_ world: inout World) {
        while true {
            let orders = world.harness.take()
            if orders.isEmpty { return }
            for order in orders {
                guard world.nodes.isConnected[node(of: order)],
                    let (node, answer) = world.nodes.obey(order)
                else { continue }
                world.harness.leader.taskReported(
                    answer, by: NodeIndex(node), now: world.harness.now,
                    into: &world.harness.directives)
            }
        }
    }

    private func node(of directive: FleetDirective) -> Int {
        switch directive {
        case .start(_, _, _, let node), .stop(_, _, _, let node): node.position
        }
    }

    private func check(_ world: World, seed: UInt64) {
        let leader = world.harness.leader
        for id in world.acknowledged where leader.job(id) == nil {
            Issue.record("seed \(seed): \(id) was acknowledged and is gone")
        }
        for node in world.nodes.running.indices {
            var devices: Set<UInt16> = []
            for task in world.nodes.running[node] {
                #expect(world.reserved.contains(task.job), "seed \(seed): \(task) runs too early")
                guard let job = leader.job(task.job), !job.state.hasEnded else {
                    Issue.record("seed \(seed): \(task) runs after its job has ended")
                    continue
                }
                guard job.tasks.indices.contains(Int(task.task)), job.attempt == task.attempt
                else {
                    Issue.record("seed \(seed): \(task) runs while its job waits")
                    continue
                }
                for device in job.tasks[Int(task.task)].placement.devices {
                    #expect(
                        devices.insert(device).inserted, "seed \(seed): \(node)/\(device) twice")
                }
            }
            let floors = max(leader.held.nodeFloor[node], .watts(800))
            #expect(floors == leader.engine.charge(of: NodeIndex(node)), "seed \(seed)")
        }
    }

    /// Cancels what is left and lets everything that is on its way arrive.
    private func drain(_ world: inout World) throws {
        for id in world.harness.leader.activeJobs {
            _ = world.harness.leader.cancel(id, actor: "admin", now: world.harness.now)
        }
        for _ in 0..<4 {
            for node in world.nodes.isConnected.indices { world.nodes.isConnected[node] = false }
            connect(&world)
            deliver(&world)
            world.harness.commit()
            deliver(&world)
        }
    }
}
