// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The fleet that placement is measured on: nodes of eight GPUs behind five levels of power domains and
/// two feeds, at their limits.
///
/// * Racks of 8 nodes, rows of 16 racks, halls of 8 rows, buildings of 4 halls, sites of 4 buildings:
///   16,384 nodes to a site.
/// * Feed A has one domain for the first and one for the second four rows of a hall; feed B one for rows
///   1, 2, 5 and 6 and one for the others. So the domains of the feeds cross.
/// * One rack in 40, one row in 40 and one domain of each feed in 40 has watts for the floors of three
///   quarters of its GPUs; everything else for all.
package enum PlaceFleet {
    package static let nodesPerRack = 8
    static let racksPerRow = 16
    static let rowsPerHall = 8
    static let hallsPerBuilding = 4
    static let buildingsPerSite = 4
    /// One domain in so many binds.
    static let domainsPerBinding = 40

    /// GPUs at rest draw half of the least that a job is promised.
    private static let idleFloor = Milliwatts.watts(200)
    private static let jobFloor = Milliwatts.watts(400)

    /// A fleet of so many nodes.
    package static func topology(nodeCount: Int) -> Topology {
        var builder = Builder()
        for node in 0..<nodeCount { builder.addNode(node) }
        builder.setLimits()
        return builder.topology
    }

    private static var nodeType: NodeType {
        NodeType(
            name: "8-gpu", model: ModelIndex(0), gpuCount: UInt16(PlaceMix.gpusPerNode),
            cpuMilli: 192_000, memoryMiB: 2_097_152,
            fallback: Milliwatts(idleFloor.rawValue * Int64(PlaceMix.gpusPerNode)),
            enforcementClass: .supervised, bootState: .fallback, settleNanoseconds: 0)
    }

    private static var model: GPUModel {
        GPUModel(
            name: "gpu", vendor: .other, idle: .watts(70), minimumCap: idleFloor,
            maximumCap: .watts(700), defaultFloor: jobFloor, memoryMiB: 81_920, isEstimate: true,
            source: "a 700 W accelerator")
    }

    private struct Builder {
        var topology = Topology(
            fleetName: "bench", sites: [], domains: [], gpuModels: [model], nodeTypes: [nodeType],
            nodes: [], lease: LeaseParameters())
        /// The domain that is being filled, by level; and those of the feeds.
        private var open = [Int](repeating: -1, count: 5)
        private var feeds = [[Int]](repeating: [-1, -1], count: 2)
        private var feedRoots = [-1, -1]

        private static let levels = ["site", "building", "hall", "row", "rack"]
        /// Nodes in a domain of each level.
        private static let sizes: [Int] = {
            let row = nodesPerRack * racksPerRow
            let hall = row * rowsPerHall
            let building = hall * hallsPerBuilding
            return [building * buildingsPerSite, building, hall, row, nodesPerRack]
        }()

        mutating func addNode(_ node: Int) {
            for (level, size) in Builder.sizes.enumerated() where node % size == 0 {
                if level == 0 { addSite() }
                open[level] = add(
                    Builder.levels[level], tree: 0, parent: level == 0 ? nil : open[level - 1])
                if level == 0 {
                    topology.sites[topology.sites.count - 1].root = DomainIndex(open[0])
                }
                if Builder.levels[level] == "hall" { addFeeds() }
            }
            let row = node / Builder.sizes[3] % rowsPerHall
            topology.nodes.append(
                Node(
                    name: "n\(node)", site: SiteIndex(topology.sites.count - 1), type: 0,
                    leaves: [
                        DomainIndex(open[4]), DomainIndex(feeds[0][row / 4]),
                        DomainIndex(feeds[1][row / 2 % 2]),
                    ], firstGPU: GPUIndex(node * PlaceMix.gpusPerNode)))
        }

        private mutating func addSite() {
            topology.sites.append(
                Site(
                    name: "site\(topology.sites.count)", root: DomainIndex(topology.domains.count),
                    allotment: .maximum))
            feedRoots = [-1, -1]
        }

        private mutating func addFeeds() {
            for feed in 0..<2 {
                let tree = UInt8(feed + 1)
                if feedRoots[feed] < 0 {
                    feedRoots[feed] = add("feed", tree: tree, parent: nil)
                }
                for half in 0..<2 {
                    feeds[feed][half] = add("busway", tree: tree, parent: feedRoots[feed])
                }
            }
        }

        private mutating func add(_ level: String, tree: UInt8, parent: Int?) -> Int {
            topology.domains.append(
                PowerDomain(
                    name: "\(level)\(topology.domains.count)", level: level,
                    site: SiteIndex(topology.sites.count - 1),
                    parent: parent.map { DomainIndex($0) },
                    tree: tree, limit: .zero, overhead: .zero))
            return topology.domains.count - 1
        }

        /// Watts for all floors, or in one domain of so many for those of three quarters.
        mutating func setLimits() {
            var gpuCount = [Int64](repeating: 0, count: topology.domains.count)
            for node in topology.nodes.indices {
                topology.forEachDomain(of: NodeIndex(node)) {
                    gpuCount[$0.position] += Int64(PlaceMix.gpusPerNode)
                }
            }
            var seen: [String: Int] = [:]
            for domain in topology.domains.indices {
                let kind = "\(topology.domains[domain].level)\(topology.domains[domain].tree)"
                let isAble = kind.hasPrefix("ra") || kind.hasPrefix("ro") || kind.hasPrefix("bus")
                let isBinding =
                    isAble && seen[kind, default: 0] % domainsPerBinding == domainsPerBinding / 2
                seen[kind, default: 0] += 1
                let all = jobFloor.rawValue * gpuCount[domain]
                let idle = idleFloor.rawValue * gpuCount[domain]
                topology.domains[domain].limit = Milliwatts(
                    isBinding ? idle + (all - idle) * 3 / 4 : all)
            }
            for site in topology.sites.indices {
                topology.sites[site].allotment =
                    topology.domains[topology.sites[site].root.position].limit
            }
        }
    }
}
