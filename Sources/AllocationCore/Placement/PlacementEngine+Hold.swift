// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Taking and giving back.
extension PlacementEngine {
    // MARK: - Under the id of a job

    /// Marks what a placement names as taken by a job, and charges its floors.
    ///
    /// - Throws: why it cannot be held; nothing has changed then.
    package mutating func hold(
        _ job: JobID, _ spec: JobSpec, _ placement: [TaskPlacement]
    ) throws(PlacementHoldError) {
        try hold(job, spec, placement, checkingPower: true)
    }

    /// Marks a placement as taken that was decided before, without asking whether its floors still fit:
    /// for a restart, where the store has the jobs and a budget may have been lowered since.
    ///
    /// - Throws: as ``hold(_:_:_:)``, but never for power.
    package mutating func restore(
        _ job: JobID, _ spec: JobSpec, _ placement: [TaskPlacement]
    ) throws(PlacementHoldError) {
        try hold(job, spec, placement, checkingPower: false)
    }

    /// Gives back all that a job holds.
    ///
    /// - Returns: false when it holds nothing.
    @discardableResult
    package mutating func release(_ job: JobID) -> Bool {
        guard let slot = jobs.slot(of: job) else { return false }
        release(PlacementTicket(slot: slot))
        return true
    }

    /// What a job holds, or nil.
    package func placement(of job: JobID) -> [TaskPlacement]? {
        guard let slot = jobs.slot(of: job) else { return nil }
        return jobs.tasks(slot).map { jobs.task($0).placement }
    }

    /// The jobs that are held under an id.
    var held: HeldView { HeldView(jobs: jobs, kinds: kinds) }

    private mutating func hold(
        _ job: JobID, _ spec: JobSpec, _ placement: [TaskPlacement], checkingPower: Bool
    ) throws(PlacementHoldError) {
        if let problem = PlacementEngine.problem(in: spec) { throw .malformed(problem) }
        guard jobs.slot(of: job) == nil else { throw .alreadyHeld(job) }
        let kind = kind(spec)
        let gpuCount = Int(spec.task.gpuCount)
        // A mask cannot tell a device that is named twice, or one that is out of its range.
        guard
            placement.allSatisfy({ task in
                task.devices.count == gpuCount && task.devices.allSatisfy { $0 < 64 }
            })
        else { throw .shape }
        try hold(kind, placement.map { PlannedTask($0) }, job: job, checkingPower: checkingPower)
        learn(spec)
    }

    // MARK: - Under a ticket

    /// Compiles a job once for deciding about many like it.
    ///
    /// A malformed one (``problem(in:)``) breaks a precondition. Its name, priority, weight, profile and
    /// duration do not matter.
    package mutating func prepare(_ spec: JobSpec) -> PlacementKind {
        precondition(
            PlacementEngine.problem(in: spec) == nil,
            "job '\(spec.name)' \(PlacementEngine.problem(in: spec) ?? "")")
        let kind = kind(spec)
        kinds.retain(kind)
        _ = request(kind)
        return PlacementKind(index: kind)
    }

    /// Takes what a plan names, and charges its floors.
    ///
    /// Allocates nothing once as many jobs have been held before. Jobs held this way are not learned
    /// from.
    ///
    /// - Throws: why it cannot be held; nothing has changed then.
    @discardableResult
    package mutating func hold(_ plan: PlacementPlan) throws(PlacementHoldError) -> PlacementTicket
    {
        guard let kind = plan.kind else { throw .shape }
        return try hold(kind.index, plan.tasks, job: nil, checkingPower: true)
    }

    /// Gives back all that a ticket stands for; the ticket must not be used again.
    package mutating func release(_ ticket: PlacementTicket) {
        giveBack(ticket.slot)
        jobs.detach(ticket.slot)
        if openCheckpoints > 0 {
            undo.append(.released(slot: ticket.slot))
        } else {
            forget(ticket.slot)
        }
    }

    // MARK: - Compiled jobs

    /// The compiled form of a well-formed job, with a shape if scores are kept for it.
    mutating func kind(_ spec: JobSpec) -> Int32 {
        let key = KindTable.key(spec)
        if let kind = kinds.find(key) { return kind }
        return kinds.add(key, PlacementRequest(spec, topology, levels: levels))
    }

    /// The compiled form of a well-formed job, its scores kept.
    mutating func request(_ spec: JobSpec) -> PlacementRequest { request(kind(spec)) }

    /// A kind's request, its scores kept.
    mutating func request(_ kind: Int32) -> PlacementRequest {
        let request = kinds.request(kind)
        if request.shape >= 0, request.shapeEpoch == scores.epoch { return request }
        let key = PlacementScores.ShapeKey(kinds.spec(kind))
        let shape = scores.shape(key) ?? scores.add(key, request, fleet, tree.ranks)
        kinds.setShape(kind, shape, scores.epoch)
        return kinds.request(kind)
    }

    // MARK: - Private

    @discardableResult
    private mutating func hold(
        _ kind: Int32, _ tasks: [PlannedTask], job: JobID?, checkingPower: Bool
    ) throws(PlacementHoldError) -> PlacementTicket {
        let request = kinds.request(kind)
        guard tasks.count == request.taskCount else { throw .shape }
        for task in tasks {
            guard isInRange(task, request) else { throw .shape }
        }
        for index in tasks.indices {
            let task = tasks[index]
            guard isFree(task, request) else {
                takeBack(tasks[..<index], request)
                throw .taken(NodeIndex(Int(task.node)))
            }
            // Nothing is refused for power before the whole gang is on: floors may also fall.
            fleet.take(request, node: Int(task.node), mask: task.devices)
            scores.nodeChanged(Int(task.node))
        }
        if checkingPower, let shortfall = shortfall(after: tasks, request) {
            takeBack(tasks[...], request)
            throw .power(shortfall)
        }
        let slot = jobs.add(kind, tasks, job: job)
        kinds.retain(kind)
        if openCheckpoints > 0 { undo.append(.held(slot: slot)) }
        return PlacementTicket(slot: slot)
    }

    /// Counts a job toward the mix.
    ///
    /// Jobs held on trial do not count: they may be taken back.
    private mutating func learn(_ spec: JobSpec) {
        guard openCheckpoints == 0, learned?.add(spec) == true, let learned else { return }
        scores = PlacementScores(scores.policy, learned.mix, topology, fleet, after: scores)
    }

    private func isInRange(_ task: PlannedTask, _ request: PlacementRequest) -> Bool {
        guard task.node >= 0, Int(task.node) < fleet.nodeCount,
            task.devices.nonzeroBitCount == request.gpuCount
        else { return false }
        let count = Int(fleet.typeGPUCount[Int(fleet.nodeType[Int(task.node)])])
        return task.devices & ~PlacementFleet.mask(count: count) == 0
    }

    private func isFree(_ task: PlannedTask, _ request: PlacementRequest) -> Bool {
        let node = Int(task.node)
        guard fleet.freeCPU[node] >= request.cpuMilli, fleet.freeMemory[node] >= request.memoryMiB
        else { return false }
        guard request.isShared else { return task.devices & ~fleet.freeDevices[node] == 0 }
        let gpu = Int(fleet.firstGPU[node]) + task.devices.trailingZeroBitCount
        return fleet.gpuFreeMilli[gpu] >= request.gpuMilli
    }

    /// The worst domain that a gang, already taken, has pushed over its budget.
    ///
    /// A domain that was over before counts only if the gang made its charge grow.
    private mutating func shortfall(
        after tasks: [PlannedTask], _ request: PlacementRequest
    ) -> PlacementShortfall? {
        var over: [(domain: Int32, charge: Int64)] = []
        for task in tasks {
            for position in fleet.domains(of: Int(task.node)) {
                let domain = fleet.nodeDomains[position]
                let charge = fleet.domainCharge[Int(domain)]
                guard charge > fleet.domainBudget[Int(domain)],
                    !over.contains(where: { $0.domain == domain })
                else { continue }
                over.append((domain, charge))
            }
        }
        guard !over.isEmpty else { return nil }
        takeBack(tasks[...], request)
        defer {
            for task in tasks { fleet.take(request, node: Int(task.node), mask: task.devices) }
        }
        var worst: PlacementShortfall?
        for entry in over where entry.charge > fleet.domainCharge[Int(entry.domain)] {
            let missing = Milliwatts(entry.charge - fleet.domainBudget[Int(entry.domain)])
            guard missing > worst?.missing ?? .zero else { continue }
            worst = PlacementShortfall(domain: DomainIndex(Int(entry.domain)), missing: missing)
        }
        return worst
    }

    private mutating func takeBack(_ tasks: ArraySlice<PlannedTask>, _ request: PlacementRequest) {
        for task in tasks.reversed() {
            fleet.take(request, node: Int(task.node), mask: task.devices, giveBack: true)
        }
    }

    private mutating func giveBack(_ slot: Int32) {
        let request = kinds.request(jobs.kind(slot))
        for position in jobs.tasks(slot).reversed() {
            let task = jobs.task(position)
            fleet.take(request, node: Int(task.node), mask: task.devices, giveBack: true)
            scores.nodeChanged(Int(task.node))
        }
    }

    /// Drops a detached slot for good.
    private mutating func forget(_ slot: Int32) {
        kinds.release(jobs.kind(slot))
        jobs.recycle(slot)
    }

    // MARK: - Taking back

    mutating func revert(_ entry: UndoEntry) {
        switch entry {
        case .held(let slot):
            giveBack(slot)
            jobs.detach(slot)
            forget(slot)
        case .released(let slot):
            let request = kinds.request(jobs.kind(slot))
            for position in jobs.tasks(slot) {
                let task = jobs.task(position)
                fleet.take(request, node: Int(task.node), mask: task.devices)
                scores.nodeChanged(Int(task.node))
            }
            jobs.attach(slot)
        case .eligibility(let node, let old):
            fleet.ineligibility[node] = old
            scores.nodeChanged(node)
        case .minimumCharge(let node, let old):
            fleet.minimumCharge[node] = old
            fleet.recharge(node)
            scores.nodeChanged(node)
        case .budget(let domain, let old):
            fleet.domainBudget[domain] = old
            scores.budgetChanged(domain)
        }
    }

    mutating func note(_ entry: UndoEntry) {
        if openCheckpoints > 0 { undo.append(entry) }
    }

    /// Ends the last checkpoint; after the first of all, what was released is gone for good.
    mutating func close() {
        openCheckpoints -= 1
        guard openCheckpoints == 0 else { return }
        for case .released(let slot) in undo { forget(slot) }
        undo.removeAll(keepingCapacity: true)
    }
}

/// What an engine holds, by job.
struct HeldView {
    fileprivate let jobs: HeldJobs
    fileprivate let kinds: KindTable

    /// One job's compiled form and its tasks.
    struct Job {
        var request: PlacementRequest
        var placement: [TaskPlacement]
    }

    /// The jobs, in no order.
    var keys: Dictionary<JobID, Int32>.Keys { jobs.jobs }

    subscript(job: JobID) -> Job? {
        guard let slot = jobs.slot(of: job) else { return nil }
        return Job(
            request: kinds.request(jobs.kind(slot)),
            placement: jobs.tasks(slot).map { jobs.task($0).placement })
    }
}

extension PlacementEngine {
    /// Bytes that the jobs held take.
    package var heldByteCount: Int { jobs.byteCount }

    /// Bytes that the engine takes, the topology left out.
    package var byteCount: Int { fleet.byteCount + scores.index.byteCount + jobs.byteCount }
}
