// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// What is really so: what hardware may be enforcing, what the stores hold, by node and domain.
///
/// The checkers' columns. Sums are kept up to date change by change; ``recount()`` makes them anew, to
/// check the checker.
struct PowerTruth {
    let topology: Topology
    private let domainStart: [Int32]
    private let domainList: [Int32]
    /// E_n, in milliwatts.
    private(set) var enforced: [Int64]
    /// R_n as the site's store has it.
    private(set) var charge: [Int64]
    private(set) var domainEnforced: [Int64]
    private(set) var domainCharge: [Int64]
    /// The highest of both since the meters were read.
    private(set) var peakEnforced: [Int64]
    private(set) var peakCharge: [Int64]
    /// Proven limit less overhead, as the site's store has it.
    var budget: [Int64]
    var hasLeftCommissioning: [Bool]
    /// What nodes that were reset may draw above the budget.
    let headroom: [Int64]
    /// Nodes of each domain whose caps a reset has undone, until they must be back.
    private(set) var recovering: [Int32]
    private(set) var isRecovering: [Bool]

    init(topology: Topology, resetsPerDomain: Int) {
        self.topology = topology
        var start: [Int32] = [0]
        var list: [Int32] = []
        var headroom = [Int64](repeating: 0, count: topology.domains.count)
        for node in topology.nodes.indices {
            let index = NodeIndex(node)
            let reset = topology.uncapped(index) - topology.type(of: index).fallback
            topology.forEachDomain(of: index) {
                list.append(Int32($0.position))
                headroom[$0.position] = max(
                    headroom[$0.position], reset.rawValue * Int64(resetsPerDomain))
            }
            start.append(Int32(list.count))
        }
        domainStart = start
        domainList = list
        self.headroom = headroom
        let zeros = [Int64](repeating: 0, count: topology.nodes.count)
        enforced = zeros
        charge = zeros
        isRecovering = zeros.map { _ in false }
        let none = [Int64](repeating: 0, count: topology.domains.count)
        domainEnforced = none
        domainCharge = none
        peakEnforced = none
        peakCharge = none
        recovering = none.map { _ in 0 }
        budget = topology.domains.map { $0.budget.rawValue }
        hasLeftCommissioning = none.map { _ in false }
    }

    /// Calls `body` with every domain that carries a node.
    @inline(__always)
    func forEachDomain(of node: Int, _ body: (Int) -> Void) {
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            body(Int(domainList[entry]))
        }
    }

    mutating func setEnforced(_ node: Int, _ power: Int64) {
        let change = power - enforced[node]
        guard change != 0 else { return }
        enforced[node] = power
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            let domain = Int(domainList[entry])
            domainEnforced[domain] += change
            peakEnforced[domain] = max(peakEnforced[domain], domainEnforced[domain])
        }
    }

    mutating func setCharge(_ node: Int, _ power: Int64) {
        let change = power - charge[node]
        guard change != 0 else { return }
        charge[node] = power
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            let domain = Int(domainList[entry])
            domainCharge[domain] += change
            peakCharge[domain] = max(peakCharge[domain], domainCharge[domain])
        }
    }

    /// The meters were read: peaks begin anew.
    mutating func forgetPeaks(of domains: [DomainIndex]) {
        for domain in domains {
            peakEnforced[domain.position] = domainEnforced[domain.position]
            peakCharge[domain.position] = domainCharge[domain.position]
        }
    }

    mutating func setRecovering(_ node: Int, _ value: Bool) {
        guard value != isRecovering[node] else { return }
        isRecovering[node] = value
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            recovering[Int(domainList[entry])] += value ? 1 : -1
        }
    }

    /// What a domain's hardware may be enforcing now.
    @inline(__always)
    func bound(_ domain: Int) -> Int64 {
        budget[domain] + (recovering[domain] > 0 ? headroom[domain] : 0)
    }

    /// True when the running sums are what the columns add up to.
    func recount() -> Bool {
        var enforcedSums = [Int64](repeating: 0, count: domainEnforced.count)
        var chargeSums = enforcedSums
        for node in enforced.indices {
            forEachDomain(of: node) {
                enforcedSums[$0] += enforced[node]
                chargeSums[$0] += charge[node]
            }
        }
        return enforcedSums == domainEnforced && chargeSums == domainCharge
    }
}
