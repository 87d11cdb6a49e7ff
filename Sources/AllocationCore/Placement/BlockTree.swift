// SPDX-License-Identifier: Apache-2.0

/// The nodes of a fleet in blocks, blocks in larger blocks, up to one: always runs of consecutive nodes,
/// so that the first node of equals is the first of the first block.
///
/// Blocks end where domains end, if they can: then a domain with no watts left rules out whole blocks.
struct BlockTree: Sendable {
    /// The most children of a block.
    static let maximumFanout = 16
    /// The fewest, but for the last block of a level and for runs of nodes with the same domains.
    private static let minimumFanout = 4

    /// The lowest block of each node.
    private(set) var blockOfNode: [Int32] = []
    /// The first block of each level, lowest level first, and an end mark.
    ///
    /// Blocks are numbered level by level, so the children of a block follow each other.
    private(set) var levelStarts: [Int] = [0]
    /// Children of each block: nodes at the lowest level, else blocks.
    private(set) var childStarts: [Int32] = []
    private(set) var childEnds: [Int32] = []
    /// The block around each block; -1 for the last.
    private(set) var parents: [Int32] = []
    private(set) var firstNodes: [Int32] = []
    private(set) var endNodes: [Int32] = []
    /// The domains that hold all of a block and not all of its parent: a slice of ``ownDomains``.
    private(set) var ownDomainStarts: [Int32] = [0]
    private(set) var ownDomains: [Int32] = []
    /// The blocks that have a domain as their own: a slice of ``domainBlocks``.
    private(set) var domainBlockStarts: [Int32] = []
    private(set) var domainBlocks: [Int32] = []

    /// The number of blocks.
    var count: Int { childStarts.count }
    /// The block that holds all; the fleet has a node.
    var root: Int { count - 1 }

    init(_ fleet: PlacementFleet) {
        guard fleet.nodeCount > 0 else { return }
        var common: [[Int32]] = []
        // The domains of the items of the level below.
        var itemDomains = (0..<fleet.nodeCount).map { node in
            fleet.nodeDomains[fleet.domains(of: node)].sorted()
        }
        var isLowest = true
        repeat {
            let itemStart = isLowest ? 0 : levelStarts[levelStarts.count - 2]
            let ends = isLowest ? BlockTree.lowestCuts(itemDomains) : BlockTree.cuts(itemDomains, 0)
            var start = 0
            var levelDomains: [[Int32]] = []
            for end in ends {
                let block = childStarts.count
                childStarts.append(Int32(itemStart + start))
                childEnds.append(Int32(itemStart + end))
                parents.append(-1)
                var shared = itemDomains[start]
                for item in (start + 1)..<max(end, start + 1) {
                    shared = BlockTree.intersection(shared, itemDomains[item])
                }
                levelDomains.append(shared)
                noteChildren(block, itemStart + start..<itemStart + end, isLowest)
                start = end
            }
            common += levelDomains
            levelStarts.append(childStarts.count)
            itemDomains = levelDomains
            isLowest = false
        } while itemDomains.count > 1
        fillOwnDomains(common, domainCount: fleet.domainBudget.count)
    }

    /// The nodes of a block.
    func nodes(of block: Int) -> Range<Int> {
        Int(firstNodes[block])..<Int(endNodes[block])
    }

    /// Bytes that the tree takes.
    var byteCount: Int {
        (blockOfNode.capacity + childStarts.capacity * 5 + ownDomainStarts.capacity
            + ownDomains.capacity + domainBlockStarts.capacity + domainBlocks.capacity) * 4
    }

    // MARK: - Building

    private mutating func noteChildren(
        _ block: Int, _ children: Range<Int>, _ isLowest: Bool
    ) {
        for child in children {
            if isLowest { blockOfNode.append(Int32(block)) } else { parents[child] = Int32(block) }
        }
        let first = children.lowerBound
        firstNodes.append(isLowest ? Int32(first) : firstNodes[first])
        let end = children.upperBound
        endNodes.append(isLowest ? Int32(end) : endNodes[end - 1])
    }

    /// Ends of the lowest blocks: runs of nodes with the same domains where there are such.
    private static func lowestCuts(_ domains: [[Int32]]) -> [Int] {
        var ends: [Int] = []
        var start = 0
        while start < domains.count {
            var end = start + 1
            while end < domains.count, end - start < maximumFanout, domains[end] == domains[start] {
                end += 1
            }
            // A node alone makes no run: what follows is cut as blocks are.
            if end == start + 1 { end = nextCut(domains, start) }
            ends.append(end)
            start = end
        }
        return ends
    }

    private static func cuts(_ domains: [[Int32]], _ first: Int) -> [Int] {
        var ends: [Int] = []
        var start = first
        while start < domains.count {
            start = nextCut(domains, start)
            ends.append(start)
        }
        return ends
    }

    /// The end of a block: where the fewest domains go on beyond it, the latest of equals.
    private static func nextCut(_ domains: [[Int32]], _ start: Int) -> Int {
        if domains.count - start <= maximumFanout { return domains.count }
        var best = start + maximumFanout
        var bestCount = Int.max
        for end in (start + minimumFanout)...(start + maximumFanout) {
            let count = intersection(domains[end - 1], domains[end]).count
            if count <= bestCount { (best, bestCount) = (end, count) }
        }
        return best
    }

    /// What two rising lists have in common.
    private static func intersection(_ left: [Int32], _ right: [Int32]) -> [Int32] {
        if left == right { return left }
        var both: [Int32] = []
        var (first, second) = (0, 0)
        while first < left.count, second < right.count {
            if left[first] == right[second] {
                both.append(left[first])
                first += 1
                second += 1
            } else if left[first] < right[second] {
                first += 1
            } else {
                second += 1
            }
        }
        return both
    }

    private mutating func fillOwnDomains(_ common: [[Int32]], domainCount: Int) {
        var blocks = [[Int32]](repeating: [], count: domainCount)
        for block in 0..<count {
            let around = parents[block] < 0 ? [] : common[Int(parents[block])]
            for domain in common[block] where !around.contains(domain) {
                ownDomains.append(domain)
                blocks[Int(domain)].append(Int32(block))
            }
            ownDomainStarts.append(Int32(ownDomains.count))
        }
        domainBlockStarts.append(0)
        for list in blocks {
            domainBlocks.append(contentsOf: list)
            domainBlockStarts.append(Int32(domainBlocks.count))
        }
    }
}
