// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The scores of nodes for kinds of tasks, kept from decision to decision.
///
/// A score depends on the node and the kind of task only. Nodes that changed are noted; the next search
/// brings their rows of scores up to date first. Forgetting any of it changes no answer.
struct PlacementScores: Sendable {
    /// The most kinds of tasks kept; at one more all are forgotten.
    static let maximumShapeCount = 255
    /// The most kinds of gangs whose room is kept counted.
    static let maximumGangCount = 8
    /// The score of a node that does not take the task, power left out.
    static let unfit: Int16 = -1

    /// What makes two tasks of one kind.
    struct ShapeKey: Hashable, Sendable {
        var task: TaskRequest
        var models: [String]
        var sites: [String]
        var selector: [String: String]
        var floor: Milliwatts?
        var isFullPace: Bool

        init(_ spec: JobSpec) {
            task = spec.task
            models = spec.models
            sites = spec.sites
            selector = spec.selector
            floor = spec.floor
            isFullPace = spec.isFullPace
        }
    }

    let scorer: NodeScorer
    private var indexOfShape: [ShapeKey: Int] = [:]
    private var shapeCount = 0
    /// Shapes of an earlier epoch are gone.
    private(set) var epoch: Int
    /// Finds the best nodes for the shapes.
    var index: PlacementIndex
    /// Counts for the kinds of gangs that came last.
    private(set) var gangs: [GangCounts] = []
    private var oldestGang = -1

    /// Scores with none kept yet, in the place of old ones.
    init(
        _ policy: PlacementPolicy, _ mix: WorkloadMix, _ topology: Topology,
        _ fleet: PlacementFleet, after old: PlacementScores? = nil
    ) {
        scorer = NodeScorer(policy, mix, topology)
        epoch = (old?.epoch ?? 0) + 1
        index = PlacementIndex(
            old?.index.tree ?? BlockTree(fleet), fleet, siteCount: topology.sites.count,
            kindCount: mix.kinds.count)
    }

    /// Notes that what a node has free, its charge, or whether it takes jobs, changed.
    mutating func nodeChanged(_ node: Int) { index.nodeChanged(node) }

    /// Notes that a domain's budget changed.
    mutating func budgetChanged(_ domain: Int) { index.budgetChanged(domain) }

    /// Brings the index and the counts in line with the fleet.
    mutating func flush(_ fleet: PlacementFleet, _ ranks: DomainRanks) {
        for gang in gangs.indices {
            for node in index.changedNodes { gangs[gang].nodeChanged(Int(node), fleet, ranks) }
        }
        index.flush(scorer, fleet)
    }

    /// The position among ``gangs`` of the counts for a gang, which are made if there are none.
    ///
    /// Everything is up to date before and after.
    mutating func counts(
        _ request: PlacementRequest, _ fleet: PlacementFleet, _ ranks: DomainRanks
    ) -> Int {
        if let known = gangs.firstIndex(where: {
            $0.shape == request.shape && $0.isSpread == request.isSpread
        }) {
            return known
        }
        let counts = GangCounts(request, fleet, ranks)
        guard gangs.count == PlacementScores.maximumGangCount else {
            gangs.append(counts)
            return gangs.count - 1
        }
        // The oldest goes.
        oldestGang = (oldestGang + 1) % gangs.count
        gangs[oldestGang] = counts
        return oldestGang
    }

    /// Where the scores of a kind of task are kept, or nil.
    func shape(_ key: ShapeKey) -> Int? { indexOfShape[key] }

    /// Starts to keep the scores of a kind of task.
    ///
    /// - Returns: its shape.
    mutating func add(
        _ key: ShapeKey, _ request: PlacementRequest, _ fleet: PlacementFleet,
        _ ranks: DomainRanks
    ) -> Int {
        if shapeCount == PlacementScores.maximumShapeCount {
            epoch += 1
            shapeCount = 0
            indexOfShape.removeAll()
            gangs.removeAll()
            index.removeAllColumns(fleet)
        }
        let shape = shapeCount
        shapeCount += 1
        indexOfShape[key] = shape
        flush(fleet, ranks)
        index.addColumn(request, scorer, fleet)
        return shape
    }

    /// How well a task suits a node: see ``NodeScorer/score(_:_:_:)``.
    func score(_ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet) -> Int16 {
        scorer.score(node, request, fleet)
    }

    /// See ``NodeScorer/fragmentation(_:_:_:)``.
    func fragmentation(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> (score: Int16, device: Int) {
        scorer.fragmentation(node, request, fleet)
    }

    var policy: PlacementPolicy { scorer.policy }
}
