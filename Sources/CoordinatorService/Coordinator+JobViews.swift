// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ControlPlane
internal import FleetModel
internal import Wire

// What operators see of jobs and events, and why a job is where it is.
extension Coordinator {
    /// The most jobs or events of one answer when the client names no number.
    private static let defaultCount = 10_000

    /// Jobs in order of id.
    func jobViews(_ filter: JobFilter, after: JobID, limit: UInt32) -> [JobView] {
        let ids: [JobID] =
            switch filter {
            case .open: leader.activeJobs
            case .all: (leader.activeJobs + leader.endedJobs).sorted()
            case .state(let state):
                state.hasEnded ? leader.endedJobs.sorted() : leader.activeJobs
            }
        let count = limit == 0 ? Coordinator.defaultCount : Int(limit)
        var views: [JobView] = []
        for id in ids where id > after {
            guard let job = leader.job(id) else { continue }
            if case .state(let state) = filter, job.state != state { continue }
            if views.count == count { break }
            views.append(jobView(job))
        }
        return views
    }

    func jobView(_ job: FleetJob) -> JobView {
        let power = power(of: job)
        return JobView(
            id: job.id, name: job.spec.name, state: job.state, priority: job.spec.priority,
            taskCount: job.spec.taskCount,
            gpuCount: UInt32(job.spec.task.gpuCount) * job.spec.taskCount,
            gpuMilli: UInt32(job.spec.task.gpuMilli), floor: power.floor, cap: power.cap,
            levelPPM: power.levelPPM, reason: shortReason(of: job),
            submittedUnixMilliseconds: job.submittedUnixMilliseconds, nodes: nodeList(of: job),
            submittedBy: job.submittedBy)
    }

    /// The nodes of a job in short form, cut where a reader would not read on.
    private func nodeList(of job: FleetJob) -> String {
        guard !job.tasks.isEmpty else { return "" }
        var seen: Set<NodeIndex> = []
        let nodes = job.tasks.map(\.placement.node).filter { seen.insert($0).inserted }
        let text = HostList.compress(nodes.map { topology.nodes[$0.position].name })
        return text.utf8.count <= 256 ? text : String(text.prefix(253)) + "..."
    }

    private struct JobPower {
        var floor = Milliwatts.zero
        var cap = Milliwatts.zero
        var levelPPM: UInt32 = 0
        var boundBy: DomainIndex?
    }

    /// The watts of a job over all its sites; its level is the least of them.
    private func power(of job: FleetJob) -> JobPower {
        var power = JobPower()
        var least: UInt32?
        guard job.state.isPlaced else { return power }
        for task in job.tasks {
            let node = task.placement.node
            let site = runtime(of: node)
            guard let local = site.loop.local(node) else { continue }
            let share = HeldFloors.floorPerGPU(of: job.spec, on: node, in: topology)
            for device in task.placement.devices {
                let gpu = site.loop.power(ofLocal: local, device: Int(device))
                power.floor += share
                power.cap += Milliwatts(
                    gpu.capTarget.rawValue * Int64(job.spec.task.gpuMilli) / 1000)
                if gpu.levelPPM < least ?? .max {
                    least = gpu.levelPPM
                    power.boundBy = gpu.boundBy
                }
            }
        }
        power.levelPPM = least ?? 0
        return power
    }

    /// One line that says why a job is where it is.
    private func shortReason(of job: FleetJob) -> String {
        switch job.state {
        case .queued:
            if !job.message.isEmpty { return job.message }
            guard let refusal = leader.refusal(of: job.id) else { return "waits for its turn" }
            let reasons = explanation(refusal, job: job.id, state: job.state).reasons
            return reasons.first?.message ?? "does not fit"
        case .pending: return "waits for its floors in the ledger"
        case .starting: return "waits for its nodes"
        case .running: return ""
        case .stopping: return "waits for its nodes to stop it: \(job.message)"
        case .finished, .failed, .cancelled: return job.message
        }
    }

    func taskView(_ index: Int, _ task: FleetTask) -> TaskView {
        TaskView(
            index: UInt32(index), node: topology.nodes[task.placement.node.position].name,
            devices: task.placement.devices, state: task.phase.rawValue)
    }

    func jobDetail(_ job: FleetJob) -> JobDetail {
        let subject = "\(job.id)"
        // A job of more tasks than fit a message is shown by its first ones.
        let tasks = job.tasks.prefix(8 * Coordinator.pageCount)
        return JobDetail(
            job: jobView(job), spec: job.spec,
            tasks: tasks.enumerated().map { taskView($0.offset, $0.element) },
            events: leader.events.filter { $0.subject == subject }.suffix(100).map { view($0) },
            boundBy: power(of: job).boundBy.map { topology.domains[$0.position].name })
    }

    // MARK: - Events

    /// Events after a number, oldest first; the newest ones when no number is named.
    func eventViews(after: UInt64, limit: UInt32) -> [EventView] {
        let count = limit == 0 ? Coordinator.defaultCount : Int(limit)
        if after == 0 { return leader.events.suffix(count).map { view($0) } }
        return leader.events.lazy.filter { $0.number > after }.prefix(count).map { self.view($0) }
    }

    private func view(_ event: FleetEvent) -> EventView {
        EventView(
            revision: event.number, unixMilliseconds: event.unixMilliseconds, actor: event.actor,
            kind: event.kind.rawValue, subject: event.subject, message: event.message)
    }

    // MARK: - Explanations

    /// Why a job is not placed, or what bounds it.
    func explanation(of job: FleetJob) -> JobExplanation {
        guard job.state == .queued else {
            let power = power(of: job)
            var answer = JobExplanation(
                job: job.id, state: job.state, reasons: [], shortfalls: [], fitsIf: [],
                levelPPM: power.levelPPM,
                boundBy: power.boundBy.map { topology.domains[$0.position].name })
            let reason = shortReason(of: job)
            if !reason.isEmpty {
                answer.reasons = [
                    ReasonView(kind: job.state.rawValue, nodeCount: 0, message: reason)
                ]
            }
            return answer
        }
        var before: [ReasonView] = []
        if !job.message.isEmpty {
            let kind = job.preemptedBy == nil ? "queue" : "preempted"
            before.append(ReasonView(kind: kind, nodeCount: 0, message: job.message))
        }
        // Asked anew: the reasons of the last attempt may be old.
        switch leader.dryRun(job.spec) {
        case .placed:
            var answer = explanation(PlacementRefusal(), job: job.id, state: job.state)
            answer.reasons =
                before + [
                    ReasonView(
                        kind: "queue", nodeCount: 0,
                        message: "it fits now and waits for its turn"
                            + (leader.queuePosition(of: job.id).map { ", place \($0)" } ?? ""))
                ]
            return answer
        case .refused(let refusal), .undecided(let refusal):
            var answer = explanation(refusal, job: job.id, state: job.state)
            if leader.victims(of: job.id).isEmpty { before += preemptionReasons(of: job.spec) }
            answer.reasons = before + answer.reasons
            return answer
        }
    }

    /// What would be stopped for a job that does not fit, if anything.
    func preemptionReasons(of spec: JobSpec) -> [ReasonView] {
        guard spec.preemption == .lower else { return [] }
        let text: String
        switch leader.preemptionPlan(for: spec, now: SystemClock.unixMilliseconds()) {
        case .possible(let plan) where plan.victims.isEmpty:
            text = "it fits once the jobs that are stopping have stopped"
        case .possible(let plan):
            let list = plan.victims.prefix(8).map(\.description).joined(separator: ", ")
            let more = plan.victims.count > 8 ? " and \(plan.victims.count - 8) more" : ""
            text = "it fits when \(list)\(more) of lower priority are stopped for it"
        case .impossible: text = "stopping every job of lower priority would not make it fit"
        case .undecided: text = "no jobs were found whose stopping makes it fit"
        }
        return [ReasonView(kind: "preemption", nodeCount: 0, message: text)]
    }

    /// A refusal in words, the most common reason first.
    func explanation(
        _ refusal: PlacementRefusal, job: JobID, state: JobState
    ) -> JobExplanation {
        let reasons = refusal.reasons.sorted { $0.nodeCount > $1.nodeCount }
            .map { reason in
                ReasonView(
                    kind: kind(of: reason.obstacle), nodeCount: UInt32(reason.nodeCount),
                    message: sentence(reason))
            }
        let shortfalls = refusal.shortfalls.map { shortfall in
            let headroom = leader.engine.headroom(of: shortfall.domain)
            return ShortfallView(
                domain: topology.domains[shortfall.domain.position].name,
                headroom: max(headroom, .zero), needed: max(headroom, .zero) + shortfall.missing,
                nodeCount: 0)
        }
        return JobExplanation(
            job: job, state: state, reasons: reasons, shortfalls: shortfalls,
            fitsIf: refusal.fitsIf.map { sentence($0) }, levelPPM: 0, boundBy: nil)
    }

    private func kind(of obstacle: PlacementObstacle) -> String {
        switch obstacle {
        case .ineligible(.silent): "silent"
        case .ineligible(.unproven): "commissioning"
        case .ineligible(.cordoned): "cordoned"
        case .ineligible(.draining): "draining"
        case .site: "site"
        case .model: "model"
        case .selector: "selector"
        case .tooSmall: "size"
        case .gpus: "gpus"
        case .cpu: "cpu"
        case .memory: "memory"
        case .power: "power"
        }
    }

    private func sentence(_ reason: PlacementReason) -> String {
        let nodes = reason.nodeCount == 1 ? "1 node" : "\(reason.nodeCount) nodes"
        return switch reason.obstacle {
        case .ineligible(.silent): "\(nodes): no word from the agent"
        case .ineligible(.unproven): "\(nodes): not yet proven at the fallback"
        case .ineligible(.cordoned): "\(nodes): cordoned"
        case .ineligible(.draining): "\(nodes): draining"
        case .site: "\(nodes): in a site that the job does not name"
        case .model: "\(nodes): a GPU model that the job does not name"
        case .selector: "\(nodes): labels that the job asks for are missing"
        case .tooSmall: "\(nodes): too small even when empty"
        case .gpus: "\(nodes): too few free GPUs"
        case .cpu: "\(nodes): too few free CPUs"
        case .memory: "\(nodes): too little free memory"
        case .power: "\(nodes): no watts for the floors in a power domain"
        }
    }

    private func sentence(_ change: PlacementChange) -> String {
        switch change {
        case .fewerTasks(let count): "it had at most \(count) tasks"
        case .nodesBack(.silent): "silent nodes came back"
        case .nodesBack(.unproven): "the nodes in commissioning were proven"
        case .nodesBack(.cordoned): "cordoned nodes were put back"
        case .nodesBack(.draining): "draining nodes were put back"
        case .anyModel: "it took any GPU model"
        case .anySite: "it could run in any site"
        case .noSelector: "it asked for no labels"
        case .noRequiredLevel: "it could lie in several domains of the level it names"
        case .noLevelSpread: "more of its tasks could lie in one domain of the level named"
        case .sharedNodes: "several of its tasks could share a node"
        case .lowerFloor(let floor): "its floor were at most \(floor) per GPU"
        case .morePower(let shortfall):
            "\(topology.domains[shortfall.domain.position].name) had \(shortfall.missing) more"
        case .jobsEnd: "jobs that run now had ended"
        }
    }
}
