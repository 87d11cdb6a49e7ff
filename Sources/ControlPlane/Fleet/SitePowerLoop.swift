// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

/// Decides, for one site, how many watts each node should be leased and how it should share them.
///
/// ```
///  reports ──► demand of each GPU ──┐
///  placements ──► floors, gangs ────┼──► solver ──► targets of nodes ──► grantor
///  budgets, silent nodes' charges ──┘          └──► plans of nodes ────► agents
/// ```
///
/// Nothing here is needed for safety: the grantor checks every target against the ledger. A site whose
/// floors do not fit beside what silent nodes may hold gets its floors as targets, and the grantor
/// does what the ledger allows.
///
/// Shape: "local" columns have one entry for each node, GPU or domain of the site, in the topology's
/// order.
package struct SitePowerLoop: Sendable {
    package let topology: Topology
    package let site: SiteIndex
    /// The site's nodes; a node's place here is its local number.
    package let nodes: [NodeIndex]
    /// The site's domains; a domain's place here is its local number.
    package let domains: [DomainIndex]

    /// The first local GPU of each local node, and the end.
    let firstGPU: [Int]
    /// The local number of each domain of the fleet; -1 for other sites'.
    let localDomain: [Int32]
    let localNode: [Int32]

    var estimator: DemandEstimator
    var problem: PowerProblem
    var solver = PowerSolver()
    var solution = PowerSolution()
    /// The version of the placements that `problem` was made from.
    var problemVersion: UInt64 = 0
    /// The job of each gang of the problem; nil for a GPU shared by fractions.
    var gangJob: [JobID?] = []
    var gangOfJob: [JobID: Int32] = [:]
    /// True for gangs with GPUs on more than one node.
    var isGangSpread: [Bool] = []
    /// The holders of each local GPU when `problem` was made.
    var lastHolders: [[JobID]]
    /// Budgets while they are worked out.
    var budgetScratch: [Int64] = []
    /// What each held local GPU is taken to use at full pace, in milliwatts.
    var usedDemand: [UInt32]

    /// What each local node was last leased towards.
    package internal(set) var targets: [Milliwatts]
    /// The plan that each local node has last been given.
    package internal(set) var plans: [NodeSharePlan]
    package internal(set) var planRevision: [UInt64]
    /// Domains that stopped a gang in the last solve.
    package internal(set) var isBinding: [Bool]
    /// True when the last solve found an optimum.
    package internal(set) var isSolved = false
    /// Counts the solves that were not left out.
    package private(set) var solveCount: UInt64 = 0
    var telemetry: SiteTelemetry

    /// A loop that has heard nothing yet: every target is the node's fallback.
    package init(topology: Topology, site: SiteIndex) {
        self.topology = topology
        self.site = site
        let nodes = topology.nodes.indices.filter { topology.nodes[$0].site == site }
            .map { NodeIndex($0) }
        self.nodes = nodes
        domains = topology.domains.indices.filter { topology.domains[$0].site == site }
            .map { DomainIndex($0) }
        var first = [0]
        for node in nodes { first.append(first.last! + topology.gpus(of: node).count) }
        firstGPU = first
        localDomain = SitePowerLoop.inverse(
            domains.map(\.position), count: topology.domains.count)
        localNode = SitePowerLoop.inverse(nodes.map(\.position), count: topology.nodes.count)
        estimator = SitePowerLoop.makeEstimator(topology, nodes)
        problem = PowerProblem()
        lastHolders = Array(repeating: [], count: first.last!)
        usedDemand = Array(repeating: 0, count: first.last!)
        targets = nodes.map { topology.type(of: $0).fallback }
        plans = nodes.map { _ in NodeSharePlan.empty }
        planRevision = Array(repeating: 0, count: nodes.count)
        isBinding = Array(repeating: false, count: domains.count)
        telemetry = SiteTelemetry(gpuCount: first.last!, nodeCount: nodes.count)
    }

    private static func inverse(_ positions: [Int], count: Int) -> [Int32] {
        var inverse = [Int32](repeating: -1, count: count)
        for (local, position) in positions.enumerated() { inverse[position] = Int32(local) }
        return inverse
    }

    /// The local number of a node of the site.
    package func local(_ node: NodeIndex) -> Int? {
        let local = localNode[node.position]
        return local < 0 ? nil : Int(local)
    }

    /// The local number of a domain of the site.
    package func local(_ domain: DomainIndex) -> Int? {
        let local = localDomain[domain.position]
        return local < 0 ? nil : Int(local)
    }

    /// The local GPUs of a local node.
    package func gpus(ofLocal node: Int) -> Range<Int> { firstGPU[node]..<firstGPU[node + 1] }

    // MARK: - The loop

    /// What the solve must know beyond placements and demand.
    package struct Conditions: Sendable {
        /// Limit less overhead of each local domain, as it may be counted on.
        package var budget: [Milliwatts]
        /// For each local node: nil when it can be leased freely, else what it stays charged with.
        package var fixedCharge: [Milliwatts?]

        package init(budget: [Milliwatts], fixedCharge: [Milliwatts?]) {
            self.budget = budget
            self.fixedCharge = fixedCharge
        }
    }

    /// Solves anew and brings targets and plans up to date.
    ///
    /// - Parameters:
    ///   - held: what jobs hold.
    ///   - conditions: what can be counted on now.
    ///   - now: the coordinator's clock in nanoseconds.
    ///   - changedPlans: local nodes whose plan must be sent are appended.
    package mutating func solve(
        held: HeldFloors, conditions: Conditions, now: Int64, changedPlans: inout [Int]
    ) {
        let isRebuilt = problemVersion != held.version
        if isRebuilt {
            rebuild(held: held)
            problemVersion = held.version
        }
        guard refreshDemand(held: held, conditions: conditions, now: now) || isRebuilt else {
            // The same problem has the same solution.
            return
        }
        solveCount += 1
        let status = solver.solve(problem, into: &solution)
        isSolved = status == .optimal
        for local in domains.indices { isBinding[local] = false }
        if isSolved {
            for gang in 0..<problem.gangCount {
                if let domain = solution.boundBy(gang: gang) { isBinding[Int(domain)] = true }
            }
        }
        for local in nodes.indices {
            updateTarget(local)
            if updatePlan(local) { changedPlans.append(local) }
        }
    }

    /// The cap that the last solve gave a local GPU; its floor when there was no optimum.
    func solvedCap(_ gpu: Int) -> UInt32 {
        isSolved ? solution.capMilliwatts[gpu] : problem.gpuFloorMilliwatts[gpu]
    }

    /// Moves a node's target when it has changed by more than chatter.
    ///
    /// The step of 2 W per GPU is under half a percent of any data-centre GPU; a target that falls to
    /// the floors or rises to the full is taken exactly.
    private mutating func updateTarget(_ local: Int) {
        var sum: Int64 = 0
        var floors: Int64 = 0
        var fulls: Int64 = 0
        for gpu in gpus(ofLocal: local) {
            sum += Int64(solvedCap(gpu))
            floors += Int64(problem.gpuFloorMilliwatts[gpu])
            fulls += Int64(
                max(problem.gpuFullMilliwatts[gpu], problem.gpuFloorMilliwatts[gpu]))
        }
        let step = Int64(gpus(ofLocal: local).count) * 2000
        let old = targets[local].rawValue
        if abs(sum - old) >= step || sum == floors || sum == fulls {
            targets[local] = Milliwatts(sum)
        }
    }
}
