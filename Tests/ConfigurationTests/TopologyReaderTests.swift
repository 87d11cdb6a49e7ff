// SPDX-License-Identifier: Apache-2.0

// Goal: a topology file means what its documentation says.

import Configuration
import FleetModel
import Foundation
import Testing

@Suite struct TopologyReaderTests {
    @Test("A file with a little of everything is read as written")
    func reads() throws {
        let read = try parse(goodFile)
        let topology = read.topology
        #expect(topology.problems() == [])
        #expect(topology.fleetName == "test")
        #expect(topology.domains.map(\.name) == ["a", "a/r1", "a/r2", "a/b"])
        #expect(topology.domains.map(\.level) == ["site", "r", "r", "feed"])
        #expect(topology.domains.map(\.tree) == [0, 0, 0, 1])
        #expect(topology.domains.map(\.parent) == [nil, DomainIndex(0), DomainIndex(0), nil])
        // The site's overhead was left out: it is the sum of its racks'.
        #expect(topology.domains.map(\.overhead) == [.watts(500), .watts(500), .zero, .zero])
        #expect(topology.nodes.map(\.name) == ["n1", "n2", "n3"])
        #expect(topology.nodes.map(\.firstGPU.position) == [0, 8, 16])
        #expect(topology.nodes.map { $0.leaves.map(\.position) } == [[1, 3], [1, 3], [2, 3]])
        #expect(topology.gpuModels.map(\.name) == ["H100-SXM", "Tiny"])
        #expect(topology.gpuModels[1].defaultFloor == .watts(60))
        #expect(topology.nodeTypes[0].memoryMiB == 1 << 20)
        #expect(topology.nodeTypes[0].labels == ["pool": "a"])
        #expect(topology.nodeTypes[0].enforcementClass == .supervised)
        #expect(topology.nodeTypes[1].enforcementClass == .unsupervised)
        #expect(topology.nodeTypes[1].bootState == .default)
        #expect(topology.nodeTypes[1].cpuMilli == 500)
        #expect(topology.lease.leaseNanoseconds == 20_000_000_000)
        #expect(topology.lease.settleNanoseconds == 100_000_000)
        #expect(read.sampleJobs.map(\.name) == ["j1"])
    }

    @Test("Domains nest to any depth, and names below a range are dealt out in order")
    func deals() throws {
        let text = file(
            replacing: """
                      - name: r2
                        limit: 1 kW
                        nodes:
                          - {names: n3, type: small}
                """,
            with: """
                      - name: hall[1-2]
                        limit: 9 kW
                        domains:
                          - name: row[01-02]
                            limit: 8 kW
                            domains:
                              - name: cage
                                limit: 7 kW
                                domains:
                                  - name: rack1
                                    limit: 6 kW
                                    nodes:
                                      - {names: "m[01-08]", type: small}
                                      - {names: ["n[3-6]"], type: small}
                """)
        let topology = try parse(text).topology
        #expect(
            topology.domains.filter { $0.level == "rack" }.map(\.name) == [
                "a/hall1/row01/cage/rack1", "a/hall1/row02/cage/rack1",
                "a/hall2/row01/cage/rack1", "a/hall2/row02/cage/rack1",
            ])
        let second = topology.nodes.filter {
            topology.domains[$0.leaves[0].position].name == "a/hall1/row02/cage/rack1"
        }
        #expect(second.map(\.name) == ["m03", "m04", "n4"])
    }

    @Test("A domain may name its parent instead of nesting in it")
    func parentsByName() throws {
        let text = file(
            replacing: "      - name: r2\n",
            with: """
                      - name: r0
                        parent: row[1-2]
                        limit: 1 kW
                      - name: row[1-2]
                        limit: 2 kW
                      - name: r2

                """)
        let topology = try parse(text).topology
        #expect(
            topology.domains.map(\.name) == [
                "a", "a/r1", "a/row1", "a/row1/r0", "a/row2", "a/row2/r0", "a/r2", "a/b",
            ])
    }

    @Test("Feeds that share no server share a tree, and those that do have trees of their own")
    func trees() throws {
        let text = file(
            replacing: """
                      - name: b
                        limit: 5 kW
                        carries: [r1, n3]
                """,
            with: """
                      - name: b
                        limit: 5 kW
                        carries: n1
                      - name: c
                        limit: 5 kW
                        carries: "n[2-3]"
                      - name: d-[1-2]
                        limit: 5 kW
                        domains:
                          - name: pdu[1-3]
                            limit: 4 kW
                            carries: "n[1-3]"
                """)
        let topology = try parse(text).topology
        let trees = Dictionary(
            uniqueKeysWithValues: topology.domains.map { ($0.name, $0.tree) })
        #expect(trees["a/b"] == 1)
        #expect(trees["a/c"] == 1)
        #expect(trees["a/d-1"] == 2)
        #expect(trees["a/d-2"] == 3)
        #expect(trees["a/d-2/pdu3"] == 3)
        let leaves = topology.nodes[1].leaves.map { topology.domains[$0.position].name }
        #expect(leaves == ["a/r1", "a/c", "a/d-1/pdu2", "a/d-2/pdu2"])
    }

    @Test("A file's own model goes before the catalogue's")
    func ownModel() throws {
        let text = file(replacing: "name: Tiny", with: "name: h100-sxm").replacingOccurrences(
            of: "model: Tiny", with: "model: H100-SXM"
        ).replacingOccurrences(of: "fallback: 1600 W", with: "fallback: 400 W")
        let topology = try parse(text).topology
        #expect(topology.gpuModels.count == 1)
        #expect(topology.gpuModels[0].maximumCap == .watts(100))
    }

    @Test("Jobs are read as written")
    func jobs() throws {
        let text = file(
            replacing: """
                  - name: j1
                    gpus: 1
                    cpus: 1
                """,
            with: """
                  - name: "train-[1-2]"
                    tasks: 2
                    gpus: 8
                    cpus: 64
                    memory: 1 TiB
                    models: h100-sxm
                    sites: [a]
                    labels: {pool: a}
                    priority: -3
                    weight: 7
                    spread: true
                    within: r
                    floor: 450.5 W
                    profile: steady
                    duration: 1.5 min
                    on_lease_end: kill
                  - {name: quarter, gpus: 0.25}
                  - {name: wide, gpus: 8, tasks: 4, prefer: r, spread_over: r, \
                tasks_per_domain: 2, floor: full, preemption: lower, reservation: team}
                """)
        let jobs = try parse(text).sampleJobs
        #expect(jobs.map(\.name) == ["train-1", "train-2", "quarter", "wide"])
        #expect(jobs[3].preferredLevel == "r" && jobs[3].isFullPace && jobs[3].floor == nil)
        #expect(jobs[3].levelSpread == LevelSpread(level: "r", maximumTasks: 2))
        #expect(jobs[3].preemption == .lower && jobs[3].reservation == "team")
        var expected = JobSpec(
            name: "train-2", priority: -3, weight: 7, taskCount: 2,
            task: TaskRequest(gpuCount: 8, gpuMilli: 1000, cpuMilli: 64_000, memoryMiB: 1 << 20),
            isSpread: true, models: ["H100-SXM"], sites: ["a"], selector: ["pool": "a"],
            requiredLevel: "r", floor: Milliwatts(450_500), profile: .steady,
            durationNanoseconds: 90_000_000_000, onLeaseEnd: .kill)
        #expect(jobs[1] == expected)
        expected.name = "train-1"
        #expect(jobs[0] == expected)
        #expect(
            jobs[2].task == TaskRequest(gpuCount: 1, gpuMilli: 250, cpuMilli: 0, memoryMiB: 0))
    }

    @Test("The example in the documentation is read")
    func documentation() throws {
        let page = try String(
            contentsOf: repository.appending(path: "docs/topology-files.md"), encoding: .utf8)
        let example = try #require(page.components(separatedBy: "```yaml\n").dropFirst().first)
            .components(separatedBy: "```")[0]
        let topology = try parse(example).topology
        #expect(topology.gpuCount == 24 * 8 + 4 * 4)
        let node = try #require(topology.nodes.first { $0.name == "dub07" })
        #expect(
            node.leaves.map { topology.domains[$0.position].name } == [
                "dublin/row1/rack2", "dublin/ups-1", "dublin/ups-2",
            ])
        for model in GPUCatalogue.models {
            #expect(page.contains(model.name), "the page does not name \(model.name)")
        }
    }

    @Test("A fleet of 50,000 servers is read in seconds")
    func large() throws {
        let text = """
            fleet: large
            node_types:
              - {name: t, model: H100-SXM, gpus: 8, cpus: 96, memory: 1 TiB, fallback: 1600 W}
            sites:
              - name: s
                limit: 1.2 GW
                domains:
                  - name: row[001-050]
                    limit: 10 MW
                    domains:
                      - name: rack[001-125]
                        limit: 50 kW
                        nodes:
                          - {names: "n[00001-50000]", type: t}
            """
        var topology: Topology?
        let time = try ContinuousClock().measure { topology = try parse(text).topology }
        #expect(topology?.nodes.count == 50_000)
        print("configuration: 50,000 servers in \(time)")
        #expect(time < .seconds(60))
    }
}
