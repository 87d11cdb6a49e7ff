// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// Decides which GPUs a job holds: all tasks of a gang or none, with its floors inside every power
/// domain of every tree.
///
/// The engine is a value without I/O: the same calls in the same order give the same answers.
/// ``place(_:explaining:)`` decides and changes nothing; ``hold(_:_:_:)`` and ``release(_:)`` change
/// what is taken; ``checkpoint()`` and ``rollback(to:)`` take back whatever was changed since.
///
/// Exactness: a job of one task, and a gang whose power domains nest (one tree, or feeds that pair up),
/// is refused only if it fits nowhere. Where domains of several trees cross, a gang that was neither
/// placed nor ruled out is *undecided*.
///
/// Power: a placement fits when in each domain the growth of charges is at most what is left of its
/// budget. A domain that is over its budget already takes only what does not grow its charge.
package struct PlacementEngine: Sendable {
    /// The most shortfalls that a refusal lists.
    package static let maximumShortfallCount = 16

    /// The topology that the indices refer to.
    package let topology: Topology
    var fleet: PlacementFleet
    /// The names of the levels of the primary tree.
    let levels: [String]
    let tree: PlacementTree
    var scores: PlacementScores
    /// What the mix is learned from; nil where it was given.
    var learned: WorkloadCount?
    /// The state of the random policy's generator.
    var randomState: UInt64 = 0
    /// A gang as it is searched for.
    var packed: PackedGang
    var kinds = KindTable()
    var jobs = HeldJobs()
    /// What was changed since the first open checkpoint.
    var undo: [UndoEntry] = []
    var openCheckpoints = 0

    enum UndoEntry: Sendable {
        case held(slot: Int32)
        case released(slot: Int32)
        case eligibility(node: Int, UInt8)
        case minimumCharge(node: Int, Int64)
        case budget(domain: Int, Int64)
    }

    /// An engine for an empty fleet, every node eligible.
    ///
    /// - Parameters:
    ///   - topology: the fleet.
    ///   - policy: how to choose among nodes that a task fits. It never decides whether one fits.
    ///   - mix: the work to keep free GPUs useful for; nil starts from the typical one and learns it from
    ///     the jobs that are held, at 64 of them, 128, 256 and so on.
    package init(
        topology: Topology, policy: PlacementPolicy = .busbar, mix: WorkloadMix? = nil
    ) {
        self.topology = topology
        fleet = PlacementFleet(topology)
        tree = PlacementTree(topology)
        packed = PackedGang(domainCount: topology.domains.count)
        scores = PlacementScores(policy, mix ?? .typical, topology, fleet)
        learned = mix == nil ? WorkloadCount() : nil
        if case .random(let seed) = policy { randomState = seed }
        var levels: [String] = []
        for domain in topology.domains where domain.tree == 0 && !levels.contains(domain.level) {
            levels.append(domain.level)
        }
        self.levels = levels
    }

    /// Says what is malformed in a job, or nil.
    ///
    /// Well-formed: at least one task; whole GPUs, or 1 to 999 thousandths of exactly one.
    package static func problem(in spec: JobSpec) -> String? {
        if spec.taskCount == 0 { return "has no tasks" }
        if spec.weight == 0 { return "has weight 0" }
        if spec.task.gpuCount > TelemetryReport.maximumGPUCount {
            return "asks for more than \(TelemetryReport.maximumGPUCount) GPUs per task"
        }
        if spec.task.gpuCount == 1, !(1...1000).contains(spec.task.gpuMilli) {
            return "asks for \(spec.task.gpuMilli) thousandths of a GPU, not 1 to 1000"
        }
        if spec.task.gpuCount > 1, spec.task.gpuMilli != 1000 {
            return "asks for a share of more than one GPU"
        }
        if let floor = spec.floor, floor <= .zero || floor > .maximum {
            return "has a floor that is not positive"
        }
        return nil
    }

    // MARK: - Fleet state

    /// Takes a node out of service for new jobs, or (nil) puts it back.
    package mutating func setEligible(_ node: NodeIndex, _ reason: NodeIneligibility?) {
        let raw = reason?.rawValue ?? PlacementFleet.isEligible
        let old = fleet.ineligibility[node.position]
        guard raw != old else { return }
        note(.eligibility(node: node.position, old))
        fleet.ineligibility[node.position] = raw
        scores.nodeChanged(node.position)
    }

    /// Sets the least that a node is charged, above its floors and its fallback: what it may draw
    /// without a lease, or what a silent node may still hold.
    package mutating func setMinimumCharge(_ node: NodeIndex, _ charge: Milliwatts) {
        let old = fleet.minimumCharge[node.position]
        guard charge.rawValue != old else { return }
        note(.minimumCharge(node: node.position, old))
        fleet.minimumCharge[node.position] = charge.rawValue
        fleet.recharge(node.position)
        scores.nodeChanged(node.position)
    }

    /// Sets the mix of work that free GPUs are to stay useful for, and ends learning it.
    package mutating func setMix(_ mix: WorkloadMix) {
        learned = nil
        scores = PlacementScores(scores.policy, mix, topology, fleet, after: scores)
    }

    /// Sets the effective budget of a domain: limit less overhead.
    package mutating func setBudget(_ domain: DomainIndex, _ budget: Milliwatts) {
        let old = fleet.domainBudget[domain.position]
        guard budget.rawValue != old else { return }
        note(.budget(domain: domain.position, old))
        fleet.domainBudget[domain.position] = budget.rawValue
        scores.budgetChanged(domain.position)
    }

    /// The least charge of a node now (g of the ledger).
    package func charge(of node: NodeIndex) -> Milliwatts {
        Milliwatts(fleet.nodeCharge[node.position])
    }

    /// The sum of the least charges in a domain.
    package func charge(of domain: DomainIndex) -> Milliwatts {
        Milliwatts(fleet.domainCharge[domain.position])
    }

    /// What is left of a domain's budget for floors; negative where it is over.
    package func headroom(of domain: DomainIndex) -> Milliwatts {
        Milliwatts(fleet.domainBudget[domain.position] - fleet.domainCharge[domain.position])
    }

    /// The floor of one GPU now: of its holders, or its idle share of the fallback.
    package func floor(of node: NodeIndex, device: Int) -> Milliwatts {
        Milliwatts(fleet.floor(node: node.position, device: device))
    }

    /// The thousandths of one GPU that nobody holds.
    package func freeMilli(of node: NodeIndex, device: Int) -> Int {
        Int(fleet.gpuFreeMilli[Int(fleet.firstGPU[node.position]) + device])
    }

    /// The number of GPUs of a node with nothing on them.
    package func freeGPUCount(of node: NodeIndex) -> Int {
        fleet.freeDevices[node.position].nonzeroBitCount
    }

    // MARK: - Speculation

    /// Opens a checkpoint.
    ///
    /// Every one must be closed by a rollback or a commit, last first.
    package mutating func checkpoint() -> PlacementCheckpoint {
        openCheckpoints += 1
        return PlacementCheckpoint(depth: undo.count)
    }

    /// Takes back everything since a checkpoint, and closes it.
    package mutating func rollback(to checkpoint: PlacementCheckpoint) {
        precondition(openCheckpoints > 0, "no checkpoint is open")
        while undo.count > checkpoint.depth { revert(undo.removeLast()) }
        close()
    }

    /// Keeps everything since a checkpoint, and closes it.
    package mutating func commit(_ checkpoint: PlacementCheckpoint) {
        precondition(openCheckpoints > 0, "no checkpoint is open")
        precondition(undo.count >= checkpoint.depth, "a checkpoint before this one was rolled back")
        close()
    }

    /// What is inconsistent inside, or nil; for tests and for checks at run time.
    package func firstBrokenInvariant() -> String? { fleet.firstBrokenInvariant() }

    /// True when both hold the same jobs in the same fleet, and so take and refuse the same ones.
    ///
    /// What was learned of the mix of work, which only tells good places from better ones, is left out.
    package func hasSameState(as other: PlacementEngine) -> Bool {
        guard fleet == other.fleet, jobs.jobs.count == other.jobs.jobs.count else { return false }
        return jobs.jobs.allSatisfy { placement(of: $0) == other.placement(of: $0) }
    }
}
