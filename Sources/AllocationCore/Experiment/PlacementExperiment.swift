// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A node of a placement experiment.
package struct ExperimentNode: Hashable, Sendable {
    package var name: String
    package var cpuMilli: UInt32
    package var memoryMiB: UInt32
    package var gpuCount: UInt16
    package var model: String

    package init(
        name: String, cpuMilli: UInt32, memoryMiB: UInt32, gpuCount: UInt16, model: String
    ) {
        self.name = name
        self.cpuMilli = cpuMilli
        self.memoryMiB = memoryMiB
        self.gpuCount = gpuCount
        self.model = model
    }
}

/// A pod of a placement experiment.
package struct ExperimentPod: Hashable, Sendable {
    package var name: String
    package var task: TaskRequest
    /// Acceptable models; empty accepts any.
    package var models: [String]

    package init(name: String, task: TaskRequest, models: [String]) {
        self.name = name
        self.task = task
        self.models = models
    }

    /// Thousandths of GPUs that the pod asks for.
    var gpuMilli: Int { Int(task.gpuCount) * Int(task.gpuMilli) }

    /// What the pod counts as in a mix of work.
    var kind: WorkloadKind {
        WorkloadKind(
            gpuCount: task.gpuCount, gpuMilli: task.gpuCount == 0 ? 0 : task.gpuMilli,
            cpuMilli: task.cpuMilli, models: models.sorted(), share: 1)
    }
}

/// What a placement experiment found.
package struct ExperimentResult: Hashable, Sendable {
    /// Allocated GPUs in percent of all, by arrived demand in percent of all, rounded to whole percents.
    ///
    /// Shape: indexed by percent; nil where no arrival fell.
    package var allocatedByArrival: [Double?]
    /// Kilowatts of the whole fleet, by arrived demand likewise; empty where nobody looked at watts.
    package var kilowattsByArrival: [Double?] = []
    package var arrivals: Int
    package var refused: Int
    /// Placed pods that were moved.
    package var moved = 0

    /// Allocated GPUs in percent when this many percent had arrived: of the arrivals that fell on this
    /// percent, else of the last ones before.
    ///
    /// Nil beyond the last arrival.
    package func allocated(atArrival percent: Int) -> Double? {
        ExperimentResult.value(allocatedByArrival, percent)
    }

    /// Kilowatts when this many percent had arrived; nil likewise.
    package func kilowatts(atArrival percent: Int) -> Double? {
        ExperimentResult.value(kilowattsByArrival, percent)
    }

    private static func value(_ columns: [Double?], _ percent: Int) -> Double? {
        guard columns.indices.contains(percent) else { return nil }
        return columns[...percent].last { $0 != nil } ?? nil
    }
}

/// The arrival experiment of the FGD paper (Weng et al., USENIX ATC 2023) on a ``PlacementEngine``.
///
/// The pods of a list, shuffled, arrive one after the other at an empty cluster, copies of random ones
/// after them, until a multiple of the cluster's GPUs has been asked for. Nothing departs and nothing is
/// tried again: a pod that fits nowhere is dropped, and counts as arrived.
package struct PlacementExperiment: Sendable {
    package var nodes: [ExperimentNode]
    package var pods: [ExperimentPod]
    package var policy: PlacementPolicy
    package var seed: UInt64
    /// Arrived demand at the end, in thousandths of the cluster's GPUs.
    package var ratioPermille: Int
    /// Arrivals for each placed pod that may be moved for one that fits nowhere; nil moves none.
    package var arrivalsPerMove: Int?
    /// GPUs that saving a kilowatt is worth in the empty fleet; nil does not look at watts.
    ///
    /// ``ExperimentPower`` knows all models then.
    package var gpusPerKilowatt: Double?

    package init(
        nodes: [ExperimentNode], pods: [ExperimentPod], policy: PlacementPolicy, seed: UInt64,
        ratioPermille: Int = 1300
    ) {
        self.nodes = nodes
        self.pods = pods
        self.policy = policy
        self.seed = seed
        self.ratioPermille = ratioPermille
    }

    /// The mix of work that policies may know: the kinds of the list, most frequent first, to 95 %.
    package var mix: WorkloadMix { WorkloadMix(counting: pods.map(\.kind)) }

    /// Runs it.
    package func run() -> ExperimentResult {
        var generator = ExperimentGenerator(state: seed)
        let arrivals = arrivals(&generator)
        // Ties go to the first node, so the order of nodes is the random rank that breaks them.
        var ranked = nodes
        generator.shuffle(&ranked)
        let mix = mix
        var run = Run(
            engine: PlacementEngine(
                topology: PlacementExperiment.topology(of: ranked), policy: policy, mix: mix),
            tally: ExperimentTally(gpuCount: nodes.reduce(0) { $0 + Int($1.gpuCount) }))
        run.mover = arrivalsPerMove.map {
            ExperimentMover(arrivalsPerMove: $0, nodeCount: nodes.count)
        }
        run.power = gpusPerKilowatt.map {
            PowerAwareChoice(gpusPerKilowatt: $0, mix, run.engine)
        }
        for (index, pod) in arrivals.enumerated() {
            let spec = JobSpec(name: pod.name, task: pod.task, models: pod.models)
            run.arrive(JobID(UInt64(index + 1)), spec, pod)
        }
        var result = run.tally.result
        result.moved = run.mover?.moves ?? 0
        return result
    }

    /// A run as far as it has got.
    private struct Run {
        var engine: PlacementEngine
        var tally: ExperimentTally
        var mover: ExperimentMover?
        var power: PowerAwareChoice?

        mutating func arrive(_ job: JobID, _ spec: JobSpec, _ pod: ExperimentPod) {
            mover?.podArrived()
            let placement =
                power == nil
                ? engine.placement(for: spec)
                : power?.placement(for: spec, in: &engine, load: tally.load)
            if let placement {
                let node = placement[0].node.position
                let before = power?.wattsOf(node: node, engine) ?? 0
                do throws(PlacementHoldError) {
                    try engine.hold(job, spec, placement)
                } catch {
                    preconditionFailure("what was placed cannot be held: \(error)")
                }
                power?.podPlaced(node: node, wattsBefore: before, engine)
                mover?.podPlaced(job, spec, placement[0])
            }
            let isPlaced = placement != nil || mover?.makeRoom(job, spec, in: &engine) == true
            tally.record(pod, isPlaced: isPlaced, watts: power?.watts)
        }
    }

    // MARK: - Arrivals

    /// The list in random order, thinned or lengthened to the ratio.
    private func arrivals(_ generator: inout ExperimentGenerator) -> [ExperimentPod] {
        var list = pods.sorted { $0.name < $1.name }
        generator.shuffle(&list)
        let target = nodes.reduce(0) { $0 + Int($1.gpuCount) } * ratioPermille
        var total = list.reduce(0) { $0 + $1.gpuMilli }
        var isKept = [Bool](repeating: true, count: list.count)
        while total > target {
            let victim = generator.index(below: list.count)
            guard isKept[victim] else { continue }
            isKept[victim] = false
            total -= list[victim].gpuMilli
        }
        list = zip(list, isKept).filter { $0.1 }.map { $0.0 }
        guard list.contains(where: { $0.gpuMilli > 0 }) else { return list }
        let original = list
        while true {
            let copy = original[generator.index(below: original.count)]
            // The first draw of which even one GPU is too much ends it.
            guard total + Int(copy.task.gpuCount == 0 ? 0 : copy.task.gpuMilli) <= target else {
                return list
            }
            list.append(copy)
            total += copy.gpuMilli
        }
    }

    // MARK: - Topology

    /// A fleet of these nodes, in this order, with more watts than anything could need.
    static func topology(of nodes: [ExperimentNode]) -> Topology {
        var models: [String] = []
        var types: [NodeType] = []
        var fleet: [Node] = []
        var gpuCount = 0
        for node in nodes {
            if !models.contains(node.model) { models.append(node.model) }
            let type = nodeType(of: node, ModelIndex(models.firstIndex(of: node.model) ?? 0))
            if !types.contains(type) { types.append(type) }
            fleet.append(
                Node(
                    name: node.name, site: SiteIndex(0), type: types.firstIndex(of: type) ?? 0,
                    leaves: [DomainIndex(0)], firstGPU: GPUIndex(gpuCount)))
            gpuCount += Int(node.gpuCount)
        }
        let root = PowerDomain(
            name: "site", level: "site", site: SiteIndex(0), parent: nil, tree: 0,
            limit: .maximum, overhead: .zero)
        return Topology(
            fleetName: "experiment",
            sites: [Site(name: "site", root: DomainIndex(0), allotment: .maximum)],
            domains: [root], gpuModels: models.map(gpuModel), nodeTypes: types, nodes: fleet,
            lease: LeaseParameters())
    }

    private static func nodeType(of node: ExperimentNode, _ model: ModelIndex) -> NodeType {
        NodeType(
            name: "\(node.model)-\(node.gpuCount)-\(node.cpuMilli)-\(node.memoryMiB)",
            model: model, gpuCount: node.gpuCount, cpuMilli: node.cpuMilli,
            memoryMiB: node.memoryMiB, fallback: .watts(Int64(node.gpuCount)),
            enforcementClass: .supervised, bootState: .fallback, settleNanoseconds: 0)
    }

    private static func gpuModel(_ name: String) -> GPUModel {
        GPUModel(
            name: name, vendor: .other, idle: .zero, minimumCap: .watts(1), maximumCap: .watts(1),
            defaultFloor: .watts(1), memoryMiB: 1, isEstimate: true, source: "experiment")
    }
}

/// SplitMix64: the same shuffles for the same seed on every machine.
struct ExperimentGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A position below a count; the bias of the remainder is under 2^-40 for any list.
    mutating func index(below count: Int) -> Int { Int(next() % UInt64(count)) }

    mutating func shuffle<Element>(_ items: inout [Element]) {
        for position in stride(from: items.count - 1, to: 0, by: -1) {
            items.swapAt(position, index(below: position + 1))
        }
    }
}
