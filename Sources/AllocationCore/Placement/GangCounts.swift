// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// How many tasks of one kind of whole GPUs each domain of the primary tree has room for, power left out,
/// kept from decision to decision; finds the domain with the least room to spare.
struct GangCounts: Sendable {
    /// Domains of one level, kept together so that whole groups can be passed over.
    static let groupSize = 64

    /// Where the scores of the kind are kept.
    let shape: Int
    /// True when the tasks of a gang need a node each: then nodes are counted and not tasks.
    let isSpread: Bool
    private let request: PlacementRequest
    /// By node.
    private var capacity: [UInt8]
    /// By position in ``DomainRanks``.
    private var counts: [Int32]
    /// By group of positions: the largest and the least count.
    private var largest: [Int32]
    private var least: [Int32]
    /// The sum over all nodes.
    private(set) var total = 0

    /// Bytes that the counts take.
    var byteCount: Int { capacity.capacity + (counts.capacity + 2 * largest.capacity) * 4 }

    /// Counts the whole fleet.
    init(_ request: PlacementRequest, _ fleet: PlacementFleet, _ ranks: DomainRanks) {
        shape = request.shape
        isSpread = request.isSpread
        self.request = request
        capacity = [UInt8](repeating: 0, count: fleet.nodeCount)
        counts = [Int32](repeating: 0, count: ranks.domains.count)
        largest = [Int32](repeating: 0, count: counts.count / GangCounts.groupSize)
        least = largest
        for node in 0..<fleet.nodeCount {
            let count = GangCounts.capacity(node, request, fleet)
            guard count > 0 else { continue }
            capacity[node] = count
            total += Int(count)
            for position in fleet.domains(of: node) {
                let rank = Int(ranks.ranks[Int(fleet.nodeDomains[position])])
                if rank >= 0 { counts[rank] += Int32(count) }
            }
        }
        for group in largest.indices { refresh(group) }
    }

    /// The number of tasks, or of nodes, that a domain has room for.
    func count(rank: Int) -> Int { Int(counts[rank]) }

    /// Counts a node that changed.
    mutating func nodeChanged(_ node: Int, _ fleet: PlacementFleet, _ ranks: DomainRanks) {
        let count = GangCounts.capacity(node, request, fleet)
        let change = Int32(count) - Int32(capacity[node])
        guard change != 0 else { return }
        capacity[node] = count
        total += Int(change)
        for position in fleet.domains(of: node) {
            let rank = Int(ranks.ranks[Int(fleet.nodeDomains[position])])
            guard rank >= 0 else { continue }
            counts[rank] += change
            refresh(rank / GangCounts.groupSize)
        }
    }

    /// The rank of the domain with the least count that is enough, the first of equals; counts and ranks
    /// up to a last one left out, and those that `isPossible` says no to.
    func next(
        _ ranks: Range<Int>, atLeast needed: Int, after last: (count: Int, rank: Int),
        _ isPossible: (Int) -> Bool
    ) -> (count: Int, rank: Int)? {
        var best = Int32.max
        var bestRank = -1
        let needed = Int32(clamping: max(needed, last.count))
        let groups =
            ranks.lowerBound / GangCounts.groupSize..<ranks.upperBound / GangCounts.groupSize
        for group in groups where largest[group] >= needed && least[group] < best {
            let first = group * GangCounts.groupSize
            for rank in first..<(first + GangCounts.groupSize) {
                let count = counts[rank]
                guard count >= needed, count < best else { continue }
                if Int(count) == last.count, rank <= last.rank { continue }
                guard isPossible(rank) else { continue }
                (best, bestRank) = (count, rank)
            }
        }
        return bestRank < 0 ? nil : (Int(best), bestRank)
    }

    private mutating func refresh(_ group: Int) {
        let first = group * GangCounts.groupSize
        var (most, fewest) = (counts[first], counts[first])
        for rank in first..<(first + GangCounts.groupSize) {
            most = max(most, counts[rank])
            fewest = min(fewest, counts[rank])
        }
        largest[group] = most
        least[group] = fewest
    }

    private static func capacity(
        _ node: Int, _ request: PlacementRequest, _ fleet: PlacementFleet
    ) -> UInt8 {
        guard fleet.freeDevices[node] != 0, fleet.obstacle(node: node, request) == nil else {
            return 0
        }
        return UInt8(fleet.taskCapacity(node: node, request, atMost: 64))
    }
}

/// The domains of the primary tree that have nodes, level by level.
struct DomainRanks: Hashable, Sendable {
    /// By rank: the domain, or -1 where a level is filled up to whole groups.
    private(set) var domains: [Int32] = []
    /// By domain: its rank, or -1.
    private(set) var ranks: [Int32]
    /// By level: its ranks, the domains ascending.
    private(set) var levels: [Range<Int>] = []
    /// By domain: its nodes if they follow each other; empty if not.
    private(set) var nodes: [Range<Int32>]

    init(_ nodesOfDomain: [[Int32]], level: [Int32]) {
        ranks = [Int32](repeating: -1, count: nodesOfDomain.count)
        nodes = nodesOfDomain.map { list in
            guard let first = list.first, let last = list.last, Int(last - first) == list.count - 1
            else { return 0..<0 }
            return first..<(last + 1)
        }
        for position in 0...max(0, level.max() ?? 0) {
            let first = domains.count
            for domain in nodesOfDomain.indices
            where level[domain] == position && !nodesOfDomain[domain].isEmpty {
                ranks[domain] = Int32(domains.count)
                domains.append(Int32(domain))
            }
            while domains.count % GangCounts.groupSize != 0 { domains.append(-1) }
            levels.append(first..<domains.count)
        }
    }
}
