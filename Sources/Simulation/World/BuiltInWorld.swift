// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The fleet that the simulator runs when it is given none.
package enum BuiltInWorld {
    /// Sites, and the coordinators of each: seven in all.
    package static let coordinatorCounts = [3, 2, 2]

    private static let names = ["a", "b", "c"]
    private static let nodesPerRack = 5
    private static let gpusPerNode = 8

    /// Three sites of twenty nodes of eight GPUs: site, two halls, a row in each, two racks in each row.
    ///
    /// Every node hangs from a rack of feed A and from a power unit of feed B. Of every five nodes three
    /// are of class S, one of class B, one of class U. All levels are oversubscribed: a rack's nodes can
    /// draw 28 kW uncapped, fall back to 10 kW together, and have 18 kW. A limit's overhead has 2 kW
    /// for what else hangs there.
    package static func topology(lease: LeaseParameters) -> Topology {
        var builder = Builder(lease: lease)
        for site in names.indices { builder.addSite(site) }
        return Topology(
            fleetName: "built-in", sites: builder.sites, domains: builder.domains,
            gpuModels: [model], nodeTypes: types(lease), nodes: builder.nodes, lease: lease)
    }

    private static let model = GPUModel(
        name: "S700", vendor: .other, idle: .watts(70), minimumCap: .watts(200),
        maximumCap: .watts(700), defaultFloor: .watts(350), memoryMiB: 81_920, isEstimate: true,
        source: "the built-in world")

    private static func types(_ lease: LeaseParameters) -> [NodeType] {
        [EnforcementClass.supervised, .outOfBand, .unsupervised].map {
            NodeType(
                name: "class-\($0.rawValue)", model: ModelIndex(0), gpuCount: UInt16(gpusPerNode),
                cpuMilli: 96_000, memoryMiB: 1_048_576, fallback: .watts(2000),
                enforcementClass: $0, bootState: .default,
                settleNanoseconds: lease.settleNanoseconds)
        }
    }

    private struct Builder {
        let lease: LeaseParameters
        var sites: [Site] = []
        var domains: [PowerDomain] = []
        var nodes: [Node] = []

        mutating func addSite(_ number: Int) {
            let site = SiteIndex(number)
            let name = names[number]
            let root = add(name, "site", site, nil, tree: 0, kilowatts: 60)
            let feed = add("\(name)/feed-b", "feed", site, nil, tree: 1, kilowatts: 64)
            for hall in 1...2 {
                let hallName = "\(name)/hall\(hall)"
                let hallDomain = add(hallName, "hall", site, root, tree: 0, kilowatts: 33)
                let rowName = hallName + "/row1"
                let row = add(rowName, "row", site, hallDomain, tree: 0, kilowatts: 32)
                let unit = add(
                    "\(name)/feed-b/unit\(hall)", "unit", site, feed, tree: 1, kilowatts: 34)
                for rack in 1...2 {
                    let leaf = add(
                        "\(rowName)/rack\(rack)", "rack", site, row, tree: 0, kilowatts: 18)
                    addNodes(site, leaves: [leaf, unit])
                }
            }
            sites.append(
                Site(name: name, root: root, allotment: domains[root.position].limit))
        }

        private mutating func add(
            _ name: String, _ level: String, _ site: SiteIndex, _ parent: DomainIndex?,
            tree: UInt8, kilowatts: Int64
        ) -> DomainIndex {
            domains.append(
                PowerDomain(
                    name: name, level: level, site: site, parent: parent, tree: tree,
                    limit: .watts((kilowatts + 2) * 1000), overhead: .watts(2000)))
            return DomainIndex(domains.count - 1)
        }

        private mutating func addNodes(_ site: SiteIndex, leaves: [DomainIndex]) {
            for place in 0..<nodesPerRack {
                let number = nodes.count
                nodes.append(
                    Node(
                        name: "\(names[site.position])-n\(number)", site: site,
                        type: place < 3 ? 0 : place - 2, leaves: leaves,
                        firstGPU: GPUIndex(number * gpusPerNode)))
            }
        }
    }
}
