// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The independent judge of the one promise: at every change of what hardware may be enforcing, it
/// compares the sum in every domain with that domain's limit less overhead.
///
/// It knows nothing of leases, ledgers or coordinators. A domain is *armed*, and excess in it
/// counted, from the first instant at which it fits: before that it is being commissioned.
struct BudgetAudit: Sendable {
    /// How many violations are described in words.
    private static let maximumDescriptionCount = 16

    private let names: [String]
    private let budgets: [Int64]
    /// The domains of node n are `paths[pathStarts[n]..<pathStarts[n + 1]]`.
    private let paths: [Int]
    private let pathStarts: [Int]
    /// What the devices of each domain may be enforcing together, in milliwatts.
    private(set) var enforced: [Int64]
    /// The largest sum since the domain was armed or the counts were reset; 0 before.
    private(set) var peak: [Int64]
    private(set) var isArmed: [Bool]
    private(set) var overBudgetInstants: [UInt64]
    private(set) var totalOverBudgetInstants: UInt64 = 0
    private(set) var capChanges: UInt64 = 0
    private(set) var descriptions: [String] = []

    /// An audit of a fleet in which nothing draws yet; add the devices with ``start(nodeEnforced:)``.
    init(topology: Topology) {
        names = topology.domains.map(\.name)
        budgets = topology.domains.map(\.budget.rawValue)
        var paths: [Int] = []
        var starts = [0]
        for position in topology.nodes.indices {
            topology.forEachDomain(of: NodeIndex(position)) { paths.append($0.position) }
            starts.append(paths.count)
        }
        self.paths = paths
        pathStarts = starts
        enforced = [Int64](repeating: 0, count: budgets.count)
        peak = enforced
        isArmed = [Bool](repeating: false, count: budgets.count)
        overBudgetInstants = [UInt64](repeating: 0, count: budgets.count)
    }

    /// Takes the state at power-on: what each node may be enforcing.
    mutating func start(nodeEnforced: [Int64]) {
        for (node, sum) in nodeEnforced.enumerated() {
            for domain in domains(of: node) { enforced[domain] += sum }
        }
        for domain in budgets.indices where enforced[domain] <= budgets[domain] {
            isArmed[domain] = true
            peak[domain] = enforced[domain]
        }
    }

    /// Books a change of one device and judges every domain above it.
    ///
    /// - Parameters:
    ///   - node: the device's node.
    ///   - delta: by how much the most that it may be enforcing has changed; zero is judged too.
    ///   - now: for the description of a violation.
    mutating func change(node: Int, delta: Int64, at now: Int64) {
        capChanges += 1
        for position in pathStarts[node]..<pathStarts[node + 1] {
            let domain = paths[position]
            enforced[domain] += delta
            judge(domain, at: now)
        }
    }

    /// Starts the counts anew; domains stay armed.
    mutating func resetCounts() {
        capChanges = 0
        totalOverBudgetInstants = 0
        descriptions = []
        for domain in budgets.indices {
            overBudgetInstants[domain] = 0
            peak[domain] = isArmed[domain] ? enforced[domain] : 0
        }
    }

    private func domains(of node: Int) -> ArraySlice<Int> {
        paths[pathStarts[node]..<pathStarts[node + 1]]
    }

    private mutating func judge(_ domain: Int, at now: Int64) {
        if enforced[domain] <= budgets[domain] {
            isArmed[domain] = true
            peak[domain] = max(peak[domain], enforced[domain])
            return
        }
        guard isArmed[domain] else { return }
        peak[domain] = max(peak[domain], enforced[domain])
        overBudgetInstants[domain] += 1
        totalOverBudgetInstants += 1
        if descriptions.count < BudgetAudit.maximumDescriptionCount {
            let excess = Milliwatts(enforced[domain] - budgets[domain])
            descriptions.append(
                "\(names[domain]): \(Milliwatts(enforced[domain])) enforced, \(excess) over its"
                    + " budget of \(Milliwatts(budgets[domain])), at \(now / 1_000_000) ms")
        }
    }
}
