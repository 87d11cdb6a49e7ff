// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Testing

@testable import OperatorCLI

/// Goal: the oracle that judges refusals is right itself.
///
/// Method: on small random fleets it agrees
/// with trying every placement of every task.
@Suite("Placement oracle")
struct OracleTests {
    /// A small fleet: two racks of one row, `nodes` nodes of two GPUs, floors of 100 W a GPU.
    static func topology(
        nodes: Int, row: Int64, racks: [Int64], feeds: Bool = false
    ) -> Topology {
        func domain(_ name: String, _ parent: Int?, _ watts: Int64, tree: UInt8 = 0) -> PowerDomain
        {
            PowerDomain(
                name: name, level: parent == nil ? "row" : "rack", site: SiteIndex(0),
                parent: parent.map(DomainIndex.init(_:)), tree: tree, limit: .watts(watts),
                overhead: .zero)
        }
        var domains = [domain("row", nil, row)]
        for (index, watts) in racks.enumerated() {
            domains.append(domain("rack\(index)", 0, watts))
        }
        if feeds {
            domains.append(domain("feedA", nil, row, tree: 1))
            domains.append(domain("feedB", nil, row * 2 / 3, tree: 1))
        }
        let model = GPUModel(
            name: "G", vendor: .nvidia, idle: .watts(10), minimumCap: .watts(50),
            maximumCap: .watts(300), defaultFloor: .watts(150), memoryMiB: 1, isEstimate: false,
            source: "test")
        let type = NodeType(
            name: "t", model: ModelIndex(0), gpuCount: 2, cpuMilli: 4000, memoryMiB: 100,
            fallback: .watts(160), enforcementClass: .unsupervised, bootState: .fallback,
            settleNanoseconds: 0)
        let list = (0..<nodes).map { index in
            var leaves = [DomainIndex(1 + index % racks.count)]
            if feeds { leaves.append(DomainIndex(1 + racks.count + index / 2 % 2)) }
            return Node(
                name: "n\(index)", site: SiteIndex(0), type: 0, leaves: leaves,
                firstGPU: GPUIndex(index * 2))
        }
        return Topology(
            fleetName: "f", sites: [Site(name: "s", root: DomainIndex(0), allotment: .watts(row))],
            domains: domains, gpuModels: [model], nodeTypes: [type], nodes: list,
            lease: LeaseParameters())
    }

    /// SplitMix64: the same numbers from the same seed everywhere.
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    static func randomSpec(_ generator: inout Generator, name: String) -> JobSpec {
        let gpus = UInt16([0, 1, 1, 1, 2].randomElement(using: &generator) ?? 1)
        let milli: UInt16 =
            gpus == 1 ? [250, 500, 700, 1000].randomElement(using: &generator)! : 1000
        return JobSpec(
            name: name, taskCount: UInt32.random(in: 1...3, using: &generator),
            task: TaskRequest(
                gpuCount: gpus, gpuMilli: gpus == 0 ? 0 : milli,
                cpuMilli: UInt32.random(in: 0...2500, using: &generator),
                memoryMiB: UInt32.random(in: 0...60, using: &generator)),
            isSpread: Bool.random(using: &generator),
            requiredLevel: Int.random(in: 0..<5, using: &generator) == 0 ? "rack" : nil,
            floor: .watts([60, 100, 200, 280].randomElement(using: &generator)!))
    }

    /// All ways to give one task its devices, in any state of the mirror.
    static func choices(_ mirror: FleetMirror, _ spec: JobSpec) -> [TaskPlacement] {
        mirror.topology.nodes.indices.flatMap { position -> [TaskPlacement] in
            let node = NodeIndex(position)
            switch spec.task.gpuCount {
            case 0: return [TaskPlacement(node: node, devices: [])]
            case 1: return [0, 1].map { TaskPlacement(node: node, devices: [$0]) }
            default: return [TaskPlacement(node: node, devices: [0, 1])]
            }
        }
    }

    static func bruteForce(_ mirror: FleetMirror, _ spec: JobSpec) -> [TaskPlacement]? {
        func isInside(_ tasks: [TaskPlacement]) -> Bool {
            guard let level = spec.requiredLevel else { return true }
            let common = tasks.map { task in
                var names: Set<DomainIndex> = []
                mirror.topology.forEachDomain(of: task.node) {
                    let domain = mirror.topology.domains[$0.position]
                    if domain.level == level && domain.tree == 0 { names.insert($0) }
                }
                return names
            }
            return common.dropFirst().reduce(common[0]) { $0.intersection($1) }.isEmpty == false
        }
        func search(_ chosen: [TaskPlacement]) -> [TaskPlacement]? {
            if chosen.count == Int(spec.taskCount) {
                var copy = mirror
                let problems = copy.place(job: 999_999, spec: spec, tasks: chosen)
                return problems.isEmpty && isInside(chosen) ? chosen : nil
            }
            for choice in choices(mirror, spec) {
                if let found = search(chosen + [choice]) { return found }
            }
            return nil
        }
        return search([])
    }

    @Test(
        "It agrees with trying everything, on one tree", arguments: [UInt64](1...12))
    func agrees(seed: UInt64) {
        var generator = Generator(state: seed)
        let nodes = Int.random(in: 1...4, using: &generator)
        let rack = Int64.random(in: 200...900, using: &generator)
        let row = Int64.random(in: 160 * Int64(nodes)...500 * Int64(nodes), using: &generator)
        var mirror = FleetMirror(
            Self.topology(nodes: nodes, row: row, racks: [max(320, rack), 640]))
        var counts = [0, 0]
        for step in 0..<25 {
            let spec = Self.randomSpec(&generator, name: "j\(step)")
            let found = Self.bruteForce(mirror, spec)
            let verdict = PlacementOracle(mirror: mirror).verdict(on: spec)
            #expect(verdict == (found == nil ? .fitsNowhere : .fits), "seed \(seed) step \(step)")
            counts[found == nil ? 0 : 1] += 1
            if let found {
                #expect(mirror.place(job: UInt64(step), spec: spec, tasks: found).isEmpty)
            }
            if step % 7 == 6 {
                mirror.release(job: UInt64(Int.random(in: 0..<step, using: &generator)))
            }
        }
        #expect(counts[0] > 0 && counts[1] > 0)
    }

    @Test("With a second feed it never contradicts the truth", arguments: [UInt64](1...6))
    func feeds(seed: UInt64) {
        var generator = Generator(state: seed)
        var mirror = FleetMirror(
            Self.topology(nodes: 4, row: 900, racks: [500, 500], feeds: true))
        for step in 0..<20 {
            let spec = Self.randomSpec(&generator, name: "j\(step)")
            let found = Self.bruteForce(mirror, spec)
            switch PlacementOracle(mirror: mirror).verdict(on: spec) {
            case .fits: #expect(found != nil, "seed \(seed) step \(step)")
            case .fitsNowhere: #expect(found == nil, "seed \(seed) step \(step)")
            case .unknown: #expect(spec.taskCount > 1)
            }
            if let found { _ = mirror.place(job: UInt64(step), spec: spec, tasks: found) }
        }
    }

    @Test("The mirror finds a GPU that is held twice, a moved job and a budget that is exceeded")
    func contradictions() {
        var mirror = FleetMirror(Self.topology(nodes: 2, row: 500, racks: [320, 320]))
        let task = TaskRequest(gpuCount: 1, gpuMilli: 700, cpuMilli: 0, memoryMiB: 0)
        let spec = JobSpec(name: "a", task: task, floor: .watts(100))
        func place(_ job: UInt64, _ spec: JobSpec, _ node: Int, _ device: UInt16)
            -> [FleetMirror.Contradiction]
        {
            mirror.place(
                job: job, spec: spec,
                tasks: [TaskPlacement(node: NodeIndex(node), devices: [device])])
        }
        #expect(place(1, spec, 0, 0).isEmpty)
        #expect(place(1, spec, 0, 0).isEmpty)
        #expect(place(1, spec, 0, 1) == [.moved(job: 1)])
        #expect(place(2, spec, 0, 0) == [.heldTwice(job: 2, node: "n0", device: 0)])
        var hungry = spec
        hungry.floor = .watts(600)
        #expect(
            place(3, hungry, 1, 0).contains(.overBudget(job: 3, domain: "rack1")))
        #expect(place(4, spec, 1, 5) == [.wrongShape(job: 4)])
    }
}
