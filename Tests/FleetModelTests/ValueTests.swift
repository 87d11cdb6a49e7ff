// SPDX-License-Identifier: Apache-2.0

// Goal: the small values say what they are, and their bounds keep arithmetic exact.

import FleetModel
import Testing

@Suite struct ValueTests {
    @Test(
        "Watts are written in the largest fitting unit",
        arguments: [
            (0, "0 W"), (1, "1 mW"), (999, "999 mW"), (1000, "1 W"), (700_000, "700 W"),
            (1_500, "1.5 W"), (132_000_000, "132 kW"), (132_450_000, "132.5 kW"),
            (67_464_000, "67.46 kW"), (604_891, "604.9 W"), (99_999, "100 W"),
            (1_250_000_000_000, "1.25 GW"), (2_050_000_000, "2.05 MW"), (-5_000, "-5 W"),
            (999_999, "1000 W"),
        ] as [(Int64, String)])
    func describesWatts(milliwatts: Int64, text: String) {
        #expect(Milliwatts(milliwatts).description == text)
    }

    @Test("A million of the largest powers add up without overflow")
    func sumsOfMaximum() {
        #expect(Milliwatts.maximum.rawValue <= Int64.max / 9_000)
        let (_, overflow) = Topology.maximumGPUCap.rawValue.multipliedReportingOverflow(
            by: Int64(Topology.maximumNodeCount * TelemetryReport.maximumGPUCount))
        #expect(!overflow)
        #expect(Topology.maximumGPUCap.rawValue <= Int64(UInt32.max))
    }

    @Test("Job ids are read as people type them")
    func readsJobIDs() {
        #expect(JobID(text: "j42") == JobID(42))
        #expect(JobID(text: "42") == JobID(42))
        for bad in ["", "j", "x1", "j-1", "+1", "j1 ", "99999999999999999999"] {
            #expect(JobID(text: bad) == nil)
        }
        #expect(JobID(7).description == "j7")
    }

    @Test("A name is letters, digits, '-', '_' and '.', after a letter or a digit")
    func checksNames() {
        for good in ["a", "9", "node-1.rack_2", String(repeating: "x", count: 128)] {
            #expect(Name.problem(in: good) == nil)
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", String(repeating: "x", count: 129)] {
            #expect(Name.problem(in: bad) != nil)
        }
        #expect(Name.problem(inPath: "dublin/row1/rack3") == nil)
        for bad in ["", "/a", "a/", "a//b", "a/-b", String(repeating: "x/", count: 64) + "xx"] {
            #expect(Name.problem(inPath: bad) != nil)
        }
    }

    @Test("W is the lease by the slowest clock, with enforcer and settling, by the fastest")
    func computesWait() {
        // 1.01 · (20 s / 0.99 + 2 s + 0.2 s) = 22.626040404… s, rounded up after each division.
        #expect(LeaseParameters().waitNanoseconds == 22_626_040_406)
        let exact = LeaseParameters(
            leaseNanoseconds: 1_000_000_000, enforcerNanoseconds: 0, settleNanoseconds: 0,
            driftPPM: 0)
        #expect(exact.waitNanoseconds == 1_000_000_000)
    }

    @Test("The largest constants that are accepted do not overflow W")
    func boundsWait() {
        let hour: Int64 = 3_600_000_000_000
        let parameters = LeaseParameters(
            leaseNanoseconds: hour, enforcerNanoseconds: 60_000_000_000,
            settleNanoseconds: 60_000_000_000, driftPPM: 250_000)
        #expect(parameters.problem() == nil)
        #expect(parameters.waitNanoseconds > hour)
    }

    @Test("The suggested constants outlast a take-over, shorter leases are refused with the sum")
    func checksLeaseInequality() throws {
        #expect(LeaseParameters().problem() == nil)
        let short = LeaseParameters(
            leaseNanoseconds: 6_000_000_000, holdNanoseconds: 1_000_000_000)
        let problem = try #require(short.problem())
        #expect(problem.contains("6 s is too short"))
        #expect(problem.contains("7.5 s are needed"))
        #expect(short.problem(takeoverNanoseconds: 3_000_000_000) == nil)
    }

    @Test("Constants out of range are refused by name")
    func checksLeaseRanges() {
        let cases: [(LeaseParameters, String)] = [
            (LeaseParameters(leaseNanoseconds: 1), "the lease"),
            (LeaseParameters(enforcerNanoseconds: 0), "the enforcer"),
            (LeaseParameters(settleNanoseconds: -1), "the settle"),
            (LeaseParameters(driftPPM: 0), "the drift"),
            (LeaseParameters(driftPPM: 1_000_000), "the drift"),
            (LeaseParameters(tickNanoseconds: 0), "the tick"),
            (LeaseParameters(holdNanoseconds: -1), "the hold"),
        ]
        for (parameters, name) in cases {
            #expect(parameters.problem()?.hasPrefix(name) == true)
        }
    }
}

@Suite struct GPUCatalogueTests {
    @Test("Every model of the catalogue has consistent figures and a source")
    func isConsistent() {
        for model in GPUCatalogue.models {
            #expect(model.problem() == nil, "\(model.name)")
            #expect(Name.problem(in: model.name) == nil)
            #expect(!model.source.isEmpty)
            #expect(model.idle < model.minimumCap, "\(model.name)")
            if model.source.contains("estimate") { #expect(model.isEstimate, "\(model.name)") }
        }
        #expect(Set(GPUCatalogue.models.map(\.name)).count == GPUCatalogue.models.count)
    }

    @Test("Models are found whatever the case of their letters")
    func findsModels() {
        #expect(GPUCatalogue.model(named: "h100-sxm")?.maximumCap == .watts(700))
        #expect(GPUCatalogue.model(named: "MI300X")?.vendor == .amd)
        #expect(GPUCatalogue.model(named: "H100") == nil)
    }
}

@Suite("Ledger shards")
struct LedgerShardTests {
    @Test("A shard with a power that no store gives back is not storable")
    func storable() {
        var shard = LedgerShard(firstNode: 0)
        shard.charge = [.watts(800)]
        shard.unleased = [.watts(1400)]
        shard.fallback = [.watts(800)]
        shard.fallbackVersion = [1]
        shard.proof = [.proven]
        shard.isSupervised = [true]
        shard.floors = [.zero]
        #expect(shard.isStorable)
        for power in [Milliwatts(-1), Milliwatts(Milliwatts.maximum.rawValue + 1)] {
            var wrong = shard
            wrong.charge = [power]
            #expect(!wrong.isStorable)
            wrong = shard
            wrong.floors = [power]
            #expect(!wrong.isStorable)
        }
        shard.floors = []
        #expect(!shard.isStorable, "a column is short")
    }
}
