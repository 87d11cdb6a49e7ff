// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

// Nodes that operators keep jobs away from, and jobs that are moved off them.
extension FleetLeader {
    /// A node beyond what the topology says of it.
    struct NodeEntry: Sendable {
        var mark: FleetNodeMark
        /// Counts the changes of `mark`.
        var change: UInt64 = 0
        /// The newest change that is known to be in the store.
        var durableChange: UInt64 = 0
        /// Why the node can take no jobs, whatever operators say.
        var condition: NodeIneligibility?

        init(_ node: NodeIndex) {
            mark = FleetNodeMark(
                node: node, mark: .open, actor: "", reason: "", unixMilliseconds: 0)
        }
    }

    /// What operators want of a node.
    package func mark(of node: NodeIndex) -> FleetNodeMark { nodes[node.position].mark }

    /// The number of changes that a node's mark has seen, as ``change(of:)-(JobID)`` for jobs.
    package func change(of node: NodeIndex) -> UInt64 { nodes[node.position].change }

    /// True when the store holds a node's mark as it was at a change, or later.
    package func isDurable(_ node: NodeIndex, change: UInt64) -> Bool {
        nodes[node.position].durableChange >= change
    }

    /// The jobs that hold something of a node, in order of id.
    package func jobs(on node: NodeIndex) -> [JobID] {
        Set(held.jobsOfNode[node.position]).sorted()
    }

    /// Cordons, drains or opens a node; what it is already changes nothing.
    ///
    /// Draining stops every gang with a task on the node and queues it again, to be placed elsewhere.
    ///
    /// - Parameters:
    ///   - node: the node.
    ///   - mark: what is wanted.
    ///   - reason: for people.
    ///   - actor: the operator's name.
    ///   - now: Unix time in milliseconds.
    package mutating func setMark(
        _ node: NodeIndex, _ mark: NodeMark, reason: String, actor: String, now: UInt64
    ) {
        let former = nodes[node.position].mark.mark
        guard former != mark else { return }
        nodes[node.position].mark = FleetNodeMark(
            node: node, mark: mark, actor: actor, reason: reason, unixMilliseconds: now)
        nodes[node.position].change += 1
        if !dirtyMarks.contains(node) { dirtyMarks.append(node) }
        setCondition(node, nodes[node.position].condition)
        let kind: FleetEventKind
        switch mark {
        case .open: kind = .nodeUncordoned
        case .cordoned: kind = .nodeCordoned
        case .draining: kind = .nodeDraining
        }
        record(
            kind, subject: topology.nodes[node.position].name, message: reason, actor: actor,
            now: now)
        if mark == .open { capacityChanged() }
        if mark == .draining { drain(node, now: now) }
    }

    /// Says whether a node could take jobs if no operator kept them away; nil says that it could.
    package mutating func setCondition(_ node: NodeIndex, _ condition: NodeIneligibility?) {
        nodes[node.position].condition = condition
        let marked: NodeIneligibility?
        switch nodes[node.position].mark.mark {
        case .open: marked = nil
        case .cordoned: marked = .cordoned
        case .draining: marked = .draining
        }
        engine.setEligible(node, condition ?? marked)
    }

    /// Goes on with draining after a restart: a mark and the jobs that it moves are not written in one
    /// batch.
    package mutating func continueDrains(now: UInt64) {
        for entry in nodes where entry.mark.mark == .draining {
            drain(entry.mark.node, now: now)
        }
    }

    private mutating func drain(_ node: NodeIndex, now: UInt64) {
        let name = topology.nodes[node.position].name
        let actor = nodes[node.position].mark.actor
        for id in jobs(on: node) {
            guard let job = jobs[id]?.job, job.tasks.contains(where: { $0.placement.node == node })
            else { continue }
            requeue(
                id, message: "moved off \(name), which is drained", kind: .jobDrained,
                actor: actor, now: now)
        }
    }

    // MARK: - Back into the queue

    /// Stops a placed job and queues it again; does nothing for one that ends or stops already.
    ///
    /// A job of which nothing was started goes back at once.
    mutating func requeue(
        _ id: JobID, message: String, kind: FleetEventKind, preemptedBy: JobID? = nil,
        actor: String, now: UInt64
    ) {
        guard let state = jobs[id]?.job.state else { return }
        guard state == .pending || state == .starting || state == .running else { return }
        update(id) {
            $0.preemptedBy = preemptedBy
            $0.isRequeued = true
            $0.message = message
        }
        record(kind, subject: "\(id)", message: message, actor: actor, now: now)
        if state == .pending {
            // Nothing was started: a start follows a durable `starting` only.
            returnToQueue(id)
        } else {
            beginStopping(id, message: message, actor: actor, now: now)
        }
    }

    /// Puts a job that runs nowhere back into the queue; it is tried again, and what it holds is let
    /// go, once that is durable.
    mutating func returnToQueue(_ id: JobID) {
        jobs[id]!.returned = jobs[id]!.job.tasks
        jobs[id]!.refusal = nil
        update(id) {
            $0.state = .queued
            $0.tasks = []
            $0.isRequeued = false
            $0.startedUnixMilliseconds = 0
        }
    }
}
