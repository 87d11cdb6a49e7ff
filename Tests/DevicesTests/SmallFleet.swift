// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// A fleet of two nodes with two GPUs each, in one rack of one site, on two trees.
///
/// Each GPU: 100 W idle, 200 to 700 W. A node falls back to 800 W; nodes boot uncapped.
/// The rack and the feed hold 2,400 W, the site 2,800 W: booting (2,800 W) fits the site only.
func smallFleet(
    bootState: BootState = .default, settleNanoseconds: Int64 = 50_000_000
) -> Topology {
    let site = SiteIndex(rawValue: 0)
    let model = GPUModel(
        name: "T700", vendor: .nvidia, idle: .watts(100), minimumCap: .watts(200),
        maximumCap: .watts(700), defaultFloor: .watts(350), memoryMiB: 80 << 10, isEstimate: true,
        source: "made up for tests")
    let type = NodeType(
        name: "pair", model: ModelIndex(rawValue: 0), gpuCount: 2, cpuMilli: 64_000,
        memoryMiB: 512 << 10, fallback: .watts(800), enforcementClass: .supervised,
        bootState: bootState, settleNanoseconds: settleNanoseconds)
    func domain(_ name: String, _ level: String, _ parent: UInt32?, _ tree: UInt8, _ watts: Int64)
        -> PowerDomain
    {
        PowerDomain(
            name: name, level: level, site: site, parent: parent.map(DomainIndex.init(rawValue:)),
            tree: tree, limit: .watts(watts + 100), overhead: .watts(100))
    }
    let leaves = [DomainIndex(rawValue: 1), DomainIndex(rawValue: 2)]
    return Topology(
        fleetName: "small",
        sites: [Site(name: "s", root: DomainIndex(rawValue: 0), allotment: .watts(2900))],
        domains: [
            domain("s", "site", nil, 0, 2800), domain("s/rack", "rack", 0, 0, 2400),
            domain("s/feed-b", "feed", nil, 1, 2400),
        ],
        gpuModels: [model], nodeTypes: [type],
        nodes: [
            Node(name: "n1", site: site, type: 0, leaves: leaves, firstGPU: GPUIndex(rawValue: 0)),
            Node(name: "n2", site: site, type: 0, leaves: leaves, firstGPU: GPUIndex(rawValue: 2)),
        ], lease: LeaseParameters())
}
