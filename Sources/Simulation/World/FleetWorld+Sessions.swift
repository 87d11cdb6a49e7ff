// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

// MARK: - The leader's end

extension FleetWorld {
    /// A write has shown that the leader still leads: it serves what came before the write was sent.
    mutating func welcome(_ coordinator: Int) {
        for ask in coordinators[coordinator].fleet.fencingAsks {
            coordinators[coordinator].fleet.fencedEpoch[ask.site] = ask.epoch
        }
        coordinators[coordinator].fleet.fencingAsks.removeAll()
        let hellos = coordinators[coordinator].fleet.fencingHellos
        coordinators[coordinator].fleet.fencingHellos.removeAll()
        for hello in hellos {
            if let seat = coordinators[coordinator].fleet.sessions[hello.node],
                seat.number >= hello.session
            {
                continue
            }
            coordinators[coordinator].fleet.sessions[hello.node] = SessionSeat(
                number: hello.session)
            order(.nothing, node: hello.node, coordinator)
            var directives: [FleetDirective] = []
            coordinators[coordinator].fleet.leader!.nodeConnected(
                NodeIndex(hello.node), tasks: hello.tasks, now: unixMilliseconds,
                into: &directives)
            send(directives, coordinator)
        }
    }

    /// Sends orders over the sessions that there are; the others get them when they connect.
    mutating func send(_ directives: [FleetDirective], _ coordinator: Int) {
        for directive in directives {
            switch directive {
            case .start(let id, let task, let attempt, let node):
                guard let job = coordinators[coordinator].fleet.leader!.job(id) else { continue }
                let running = RunningTask(
                    job: id, task: task, attempt: attempt,
                    devices: job.tasks[Int(task)].placement.devices,
                    gpuMilli: job.spec.task.gpuMilli,
                    floorPerGPU: HeldFloors.floorPerGPU(of: job.spec, on: node, in: topology),
                    endsAt: job.spec.durationNanoseconds ?? .max)
                order(.start(running), node: node.position, coordinator)
            case .stop(let job, let task, let attempt, let node):
                order(
                    .stop(job: job, task: task, attempt: attempt), node: node.position,
                    coordinator)
            }
        }
    }

    mutating func order(_ order: TaskOrder, node: Int, _ coordinator: Int) {
        guard var seat = coordinators[coordinator].fleet.sessions[node] else { return }
        seat.sent += 1
        seat.lastSent = now
        let message = FleetMessage.order(session: seat.number, number: seat.sent, order)
        seat.arrival = sendInOrder(
            message, from: parties.coordinator(coordinator), to: parties.node(node),
            after: seat.arrival)
        coordinators[coordinator].fleet.sessions[node] = seat
    }

    /// Sends over a connection: late perhaps, but whole and in order; a cut loses the rest.
    ///
    /// - Returns: when it arrives.
    private mutating func sendInOrder(
        _ message: FleetMessage, from: Int, to: Int, after last: Int64
    ) -> Int64 {
        var time = max(last + 1, now + generator.uniform(500_000...30_000_000))
        if !isCalm, generator.chance(scenario.settings.lossPPM) {
            time += generator.uniform(200_000_000...2_000_000_000)
        }
        if cuts[from * parties.count + to] > 0 { return time }
        agenda.add(
            .delivery(.fleet(message), from: Int32(from), to: Int32(to)), at: time)
        return time
    }

    mutating func observed(
        _ observation: TaskObservation, session: UInt64, number: UInt32, _ node: Int,
        _ coordinator: Int
    ) {
        guard coordinators[coordinator].fleet.leader != nil,
            let seat = coordinators[coordinator].fleet.sessions[node], seat.number == session
        else { return }
        guard number == seat.received + 1 else {
            // Something was lost: the agent will notice the silence and connect anew.
            coordinators[coordinator].fleet.sessions[node] = nil
            return
        }
        coordinators[coordinator].fleet.sessions[node]!.received = number
        var directives: [FleetDirective] = []
        coordinators[coordinator].fleet.leader!.taskReported(
            observation, by: NodeIndex(node), now: unixMilliseconds, into: &directives)
        send(directives, coordinator)
    }
}

// MARK: - The agent's end

extension FleetWorld {
    /// Opens a session when there is none, or nothing was heard in it for long.
    mutating func superviseSession(_ node: Int) {
        let isOpen = nodes[node].session.number != 0
        guard !isOpen || now - nodes[node].session.lastHeard > 7_000_000_000 else { return }
        if isOpen { nodes[node].session.leader += 1 }
        sessionCount += 1
        let leader = nodes[node].session.leader % coordinators.count
        nodes[node].session = NodeSession(
            number: sessionCount, lastHeard: now, leader: leader)
        let tasks = nodes[node].tasks.map {
            TaskObservation(
                job: $0.job, task: $0.task, attempt: $0.attempt, phase: $0.ended ?? .running,
                message: "")
        }
        send(
            .fleet(.hello(session: sessionCount, node: Int32(node), tasks)),
            from: parties.node(node), to: parties.coordinator(leader))
    }

    mutating func sessionReceives(_ message: FleetMessage, from: Int, node: Int) {
        guard isAgentUp(node) else { return }
        switch message {
        case .notLeading:
            guard from == parties.coordinator(nodes[node].session.leader),
                nodes[node].session.received == 0
            else { return }
            nodes[node].session.number = 0
            nodes[node].session.leader = (nodes[node].session.leader + 1) % coordinators.count
        case .order(let session, let number, let order):
            guard session == nodes[node].session.number else { return }
            guard number == nodes[node].session.received + 1 else {
                nodes[node].session.number = 0
                return
            }
            nodes[node].session.received = number
            nodes[node].session.lastHeard = now
            carryOut(order, node)
        default: break
        }
    }

    private mutating func carryOut(_ order: TaskOrder, _ node: Int) {
        switch order {
        case .nothing: break
        case .start(let task): startTask(task, node)
        case .stop(let job, let task, let attempt):
            var phase = TaskPhase.stopped
            if let place = nodes[node].tasks.firstIndex(where: {
                $0.job == job && $0.task == task && $0.attempt == attempt
            }) {
                phase = nodes[node].tasks[place].ended ?? .stopped
                nodes[node].tasks.remove(at: place)
            }
            observe(
                TaskObservation(
                    job: job, task: task, attempt: attempt, phase: phase, message: ""), node)
        }
    }

    private mutating func startTask(_ order: RunningTask, _ node: Int) {
        if let known = nodes[node].tasks.first(where: {
            $0.job == order.job && $0.task == order.task
        }) {
            guard known.attempt < order.attempt else { return }
            nodes[node].tasks.removeAll { $0.job == order.job && $0.task == order.task }
        }
        var task = order
        let length = order.endsAt
        task.endsAt = length == .max ? .max : now + length
        nodes[node].tasks.append(task)
        report.tasksStarted += 1
        fold(order.job.rawValue &* 97 &+ UInt64(node))
        tell("\(topology.nodes[node].name) starts \(order.job) task \(order.task)")
        checkTasks(node)
        if length != .max {
            after(
                length,
                .taskEnds(Int32(node), session: UInt64(nodes[node].boot), task))
        }
        observe(
            TaskObservation(
                job: order.job, task: order.task, attempt: order.attempt, phase: .running,
                message: ""), node)
    }

    mutating func taskEnds(_ node: Int, session boot: UInt64, _ task: RunningTask) {
        guard UInt64(nodes[node].boot) == boot,
            let place = nodes[node].tasks.firstIndex(of: task)
        else { return }
        nodes[node].tasks[place].ended = .finished
        observe(
            TaskObservation(
                job: task.job, task: task.task, attempt: task.attempt, phase: .finished,
                message: ""), node)
    }

    private mutating func observe(_ observation: TaskObservation, _ node: Int) {
        guard isAgentUp(node), nodes[node].session.received > 0 else {
            // Nobody can be told now: the next session's first message will.
            nodes[node].session.number = 0
            return
        }
        nodes[node].session.sent += 1
        let message = FleetMessage.observed(
            session: nodes[node].session.number, number: nodes[node].session.sent,
            node: Int32(node), observation)
        nodes[node].session.arrival = sendInOrder(
            message, from: parties.node(node),
            to: parties.coordinator(nodes[node].session.leader),
            after: nodes[node].session.arrival)
    }
}
