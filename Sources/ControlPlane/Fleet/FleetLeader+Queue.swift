// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import FleetModel

/// Where the leader is in its walk over the queue.
struct QueuePass: Sendable {
    /// Capacity may have grown since the walk began: another one is due.
    var isWanted = false
    /// Jobs of the walk under way that are still to be tried; the next is last.
    var remaining: [JobID] = []
    /// Requests that were refused in this walk, so that their like is not tried again.
    var refused: [PlacementRequestShape: PlacementRefusal] = [:]
}

/// All of a specification that decides where a job fits.
struct PlacementRequestShape: Hashable, Sendable {
    let taskCount: UInt32
    let task: TaskRequest
    let isSpread: Bool
    let models: [String]
    let sites: [String]
    let selector: [String: String]
    let requiredLevel: String?
    let levelSpread: LevelSpread?
    let floor: Milliwatts?
    let isFullPace: Bool
    /// The priority, where it decides what may be stopped for the job.
    let preemptingPriority: Int32?
    let reservation: String?

    init(_ spec: JobSpec) {
        taskCount = spec.taskCount
        task = spec.task
        isSpread = spec.isSpread
        models = spec.models
        sites = spec.sites
        selector = spec.selector
        requiredLevel = spec.requiredLevel
        levelSpread = spec.levelSpread
        floor = spec.floor
        isFullPace = spec.isFullPace
        reservation = spec.reservation
        preemptingPriority = spec.preemption == .lower ? spec.priority : nil
    }
}

// Jobs that wait. They are tried by priority, then by age, and each one that fits is placed: a large
// job that waits does not hold up small ones.
extension FleetLeader {
    /// Says that jobs may fit now which did not before: a node came, a job ended, a limit rose.
    package mutating func capacityChanged() { queuePass.isWanted = !queue.isEmpty }

    /// True while ``placeQueued(attempts:now:)`` has something to try.
    package var hasQueueWork: Bool { queuePass.isWanted || !queuePass.remaining.isEmpty }

    /// Tries queued jobs in order.
    ///
    /// - Parameters:
    ///   - attempts: the most placements to try in this call; the walk goes on in the next.
    ///   - now: Unix time in milliseconds, for people to read.
    /// - Returns: the number of jobs placed.
    @discardableResult
    package mutating func placeQueued(attempts: Int, now: UInt64) -> Int {
        var left = attempts
        var placedCount = 0
        while left > 0 {
            if queuePass.remaining.isEmpty {
                guard queuePass.isWanted, !queue.isEmpty else {
                    queuePass.isWanted = false
                    return placedCount
                }
                queuePass = QueuePass(isWanted: false, remaining: queue.reversed())
            }
            let id = queuePass.remaining.removeLast()
            guard let spec = jobs[id]?.job.spec, jobs[id]?.job.state == .queued else { continue }
            let shape = PlacementRequestShape(spec)
            if let known = queuePass.refused[shape] {
                if jobs[id]!.refusal == nil { jobs[id]!.refusal = known }
                continue
            }
            left -= 1
            // Explaining costs as much as several searches: reasons are worked out once, and again
            // when somebody asks.
            let isExplaining = jobs[id]!.refusal == nil
            switch outcome(for: spec, explaining: isExplaining) {
            case .placed(let placement):
                // Jobs for which others are being stopped come first.
                guard leavesRoom(spec, placement, id: id) else { continue }
                queue.removeAll { $0 == id }
                place(id, at: placement, now: now)
                placedCount += 1
            case .refused(let refusal), .undecided(let refusal):
                if isExplaining { jobs[id]!.refusal = refusal }
                let preempting = preempt(for: id, now: now)
                // One such search for each call.
                if preempting != .passed { left = 0 }
                if preempting != .stopped { queuePass.refused[shape] = jobs[id]!.refusal }
            }
        }
        return placedCount
    }

    /// Puts a job in its place in the queue.
    mutating func enqueue(_ id: JobID) {
        guard let priority = jobs[id]?.job.spec.priority else { return }
        var low = 0
        var high = queue.count
        while low < high {
            let middle = (low + high) / 2
            let other = jobs[queue[middle]]!.job
            let isBefore =
                other.spec.priority > priority
                || (other.spec.priority == priority && other.id < id)
            if isBefore { low = middle + 1 } else { high = middle }
        }
        queue.insert(id, at: low)
    }

    /// Gives a queued job its GPUs; they are held from now on.
    mutating func place(_ id: JobID, at placement: [TaskPlacement], now: UInt64) {
        update(id) {
            $0.state = .pending
            $0.tasks = placement.map { FleetTask(placement: $0) }
            $0.message = ""
            $0.preemptedBy = nil
        }
        dropClaim(of: id)
        jobs[id]!.refusal = nil
        jobs[id]!.placedAt = now
        // No request made for an earlier placement speaks of this one.
        jobs[id]!.placement = 0
        let job = jobs[id]!.job
        holdResources(of: job)
        let nodes = Set(placement.map(\.node)).count
        let first = topology.nodes[placement[0].node.position].name
        record(
            .jobPlaced, subject: "\(id)",
            message: nodes == 1 ? "on \(first)" : "on \(nodes) nodes, first \(first)",
            actor: "coordinator", now: now)
    }
}
