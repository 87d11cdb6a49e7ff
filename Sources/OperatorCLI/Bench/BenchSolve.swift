// SPDX-License-Identifier: Apache-2.0

internal import AllocationBench
internal import AllocationCore
internal import ArgumentParser

/// `busbar bench solve`: how long it takes to find the caps of a fleet.
struct BenchSolve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "solve",
        abstract: "Measure the power solver beside one streaming pass over the same GPUs.",
        discussion: """
            Draws a fleet of several sites at its power limits, solves it from nothing and again \
            after one demand in a hundred has changed, and checks the result with the independent \
            checker. The streaming pass is a loop in C that reads five columns of 32 bits and \
            writes one: compare the times with its time, in the same run. The hash names the caps: \
            the same on every machine and for every version that solves right.
            """)

    @Option(help: ArgumentHelp("GPUs of the fleet.", valueName: "count")) var gpus = 1_500_000
    @Option(help: ArgumentHelp("What to draw the fleet from.", valueName: "number"))
    var seed: UInt64 = 1
    @Option(help: ArgumentHelp("How often to measure each.", valueName: "count"))
    var repetitions = 101
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...PowerProblem.maximumGPUCount).contains(gpus) else {
            throw ValidationError("--gpus is from 1 to \(PowerProblem.maximumGPUCount)")
        }
        guard (1...10_000).contains(repetitions) else {
            throw ValidationError("--repetitions is from 1 to 10000")
        }
    }

    func run() throws {
        var benchmark = SolveBenchmark(
            gpuCount: gpus, seed: seed, repetitions: repetitions, now: steadyNanoseconds)
        let result: SolveBenchmark.Result
        do {
            result = try benchmark.run()
        } catch {
            throw CommandFailure(.negative, "the solver's result is not right: \(error)")
        }
        guard output.output == .json else {
            Terminal.write(result.text + "\n", to: 1)
            return
        }
        output.output.write(result.json)
    }
}

extension SolveBenchmark.Result {
    /// The lines that a person reads.
    var text: String {
        let yardstick = stream.percentile(50)
        func line(_ name: String, _ samples: TimeSamples) -> String {
            let ratio = samples.percentile(50) / yardstick
            return "\(name)  p50 \(digits(samples.percentile(50))) ms"
                + "  p99 \(digits(samples.percentile(99))) ms  \(digits(ratio)) × the stream"
        }
        return """
            fleet   \(gpuCount) GPUs, \(gangCount) gangs, \(domainCount) domains
            \(line("cold  ", cold))
            \(line("warm  ", warm))
            stream  p50 \(digits(yardstick)) ms  \(digits(streamGigabytesPerSecond)) GB/s
            memory  \(digits(bytesPerGPU)) bytes per GPU
            hash    \(hash.text)
            """
    }

    /// The document for programs.
    var json: JSONValue {
        func percentiles(_ samples: TimeSamples) -> JSONValue {
            .object([
                ("p50", .number(samples.percentile(50))), ("p99", .number(samples.percentile(99))),
            ])
        }
        return .object([
            ("gpus", .integer(Int64(gpuCount))),
            ("gangs", .integer(Int64(gangCount))),
            ("domains", .integer(Int64(domainCount))),
            ("cold_ms", percentiles(cold)),
            ("warm_ms", percentiles(warm)),
            ("stream_ms", .object([("p50", .number(stream.percentile(50)))])),
            ("stream_gb_s", .number((streamGigabytesPerSecond * 100).rounded() / 100)),
            ("bytes_per_gpu", .number((bytesPerGPU * 100).rounded() / 100)),
            ("hash", .string(hash.text)),
        ])
    }

    /// A number with three decimals at most.
    private func digits(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
}
