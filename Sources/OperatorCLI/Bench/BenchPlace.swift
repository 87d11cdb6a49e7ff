// SPDX-License-Identifier: Apache-2.0

internal import AllocationBench
internal import ArgumentParser

/// `busbar bench place`: how fast jobs are placed on a fleet that fills up.
struct BenchPlace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "place",
        abstract: "Measure the placement engine on a fleet that fills up to 95 %.",
        discussion: """
            An empty fleet of nodes of eight GPUs is filled to 95 % with the job sizes of a \
            production trace and gangs of up to 1,024 GPUs, one job departing for two that come, \
            and then kept at that level. Every placement fits five levels of power domains and two \
            feeds, some of which bind. A decision is one job placed and held, a gang counting one; \
            departures and refusals are not counted, and the time that they take is. The policy is \
            the engine's own. The hash names all decisions: the same on every machine.
            """)

    @Option(help: ArgumentHelp("Nodes of the fleet.", valueName: "count")) var nodes = 200_000
    @Option(help: ArgumentHelp("Nodes of the gang measured by itself.", valueName: "count"))
    var gangNodes = 64
    @Option(help: ArgumentHelp("What to draw jobs from.", valueName: "number"))
    var seed: UInt64 = 1
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1_000_000).contains(nodes) else {
            throw ValidationError("--nodes is from 1 to 1000000")
        }
        guard (2...100_000).contains(gangNodes) else {
            throw ValidationError("--gang-nodes is from 2 to 100000")
        }
    }

    func run() throws {
        var benchmark = PlaceBenchmark(
            nodeCount: nodes, gangNodes: gangNodes, seed: seed, now: steadyNanoseconds)
        let result = benchmark.run()
        guard output.output == .json else {
            Terminal.write(result.text + "\n", to: 1)
            return
        }
        output.output.write(result.json)
    }
}

extension PlaceBenchmark.Result {
    /// The lines that a person reads.
    var text: String {
        func times(_ samples: TimeSamples, _ otherwise: String) -> String {
            guard samples.count > 0 else { return otherwise }
            return "p50 \(digits(samples.percentile(50))) ms"
                + "  p99 \(digits(samples.percentile(99))) ms"
        }
        return """
            policy     busbar
            fleet      \(nodeCount) nodes, \(gpuCount) GPUs, \(domainCount) domains; \
            ready in \(digits(Double(setUp) / 1e6)) ms
            decisions  \(decisionCount), \(gangCount) of them gangs; \(departedCount) departures, \
            \(refusedCount) refusals; \(allocatedPermille / 10) % taken at the end
            speed      \(Int(decisionsPerSecond)) decisions/s
            latency    p50 \(digits(latency.percentile(50))) µs  \
            p99 \(digits(latency.percentile(99))) µs
            gang       16384 GPUs  \(times(largeGang, "does not fit"))
            gang       \(gangNodes) nodes  \(times(gang, "does not fit"))
            plan       \(plannedCount) of 1000 waiting jobs  \(times(plan, ""))
            memory     \(digits(bytesPerGPU)) bytes per GPU, \
            \(digits(heldBytesPerGPU)) more for the jobs held
            hash       \(hash.text)
            """
    }

    /// Bytes of the jobs held, for each GPU.
    private var heldBytesPerGPU: Double { Double(heldByteCount) / Double(gpuCount) }

    /// The document for programs.
    var json: JSONValue {
        func percentiles(_ p50: Double, _ p99: Double) -> JSONValue {
            .object([("p50", .number(p50)), ("p99", .number(p99))])
        }
        return .object([
            ("policy", .string("busbar")),
            ("nodes", .integer(Int64(nodeCount))),
            ("gpus", .integer(Int64(gpuCount))),
            ("decisions_per_second", .number(decisionsPerSecond.rounded())),
            ("latency_us", percentiles(latency.percentile(50), latency.percentile(99))),
            (
                "gang_16384_ms",
                largeGang.count == 0
                    ? .null : percentiles(largeGang.percentile(50), largeGang.percentile(99))
            ),
            ("hash", .string(hash.text)),
        ])
    }

    /// A number with three decimals at most.
    private func digits(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
}
