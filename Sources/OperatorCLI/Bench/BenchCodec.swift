// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Wire

/// `busbar bench codec`: what it costs to write and to read one report.
struct BenchCodec: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec", abstract: "Measure how fast reports are encoded and decoded.",
        discussion: "The best of several rounds counts: the others were disturbed.")

    @Option(help: ArgumentHelp("GPUs of each report.", valueName: "count")) var gpus = 8
    @Option(help: ArgumentHelp("Reports of a round.", valueName: "count")) var count = 200_000
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...TelemetryReport.maximumGPUCount).contains(gpus) else {
            throw ValidationError("--gpus is from 1 to \(TelemetryReport.maximumGPUCount)")
        }
        guard (1...100_000_000).contains(count) else {
            throw ValidationError("--count is from 1 to 100000000")
        }
    }

    func run() throws {
        let result = try CodecBenchmark(gpuCount: gpus, count: count).run()
        guard output.output == .json else {
            Terminal.write(result.text + "\n", to: 1)
            return
        }
        output.output.write(result.json)
    }
}

/// Measures the encoding and the decoding of telemetry reports.
struct CodecBenchmark {
    /// What was measured.
    struct Result {
        var gpuCount: Int
        var byteCount: Int
        /// The time to encode one report into a buffer that is used again.
        var encodeNanoseconds: Double
        /// The time to decode and check one report into a buffer that is used again.
        var decodeNanoseconds: Double

        /// The lines that a person reads.
        var text: String {
            """
            report   \(gpuCount) GPUs, \(byteCount) bytes
            encode   \(Int(encodeNanoseconds)) ns
            decode   \(Int(decodeNanoseconds)) ns
            """
        }

        /// The document for programs.
        var json: JSONValue {
            .object([
                ("gpus_per_report", .integer(Int64(gpuCount))),
                ("report_bytes", .integer(Int64(byteCount))),
                ("encode_nanoseconds", .number(encodeNanoseconds.rounded())),
                ("decode_nanoseconds", .number(decodeNanoseconds.rounded())),
            ])
        }
    }

    private static let rounds = 9

    let gpuCount: Int
    /// Reports of a round.
    let count: Int

    /// Runs the measurement.
    ///
    /// - Returns: what was measured.
    /// - Throws: `CommandFailure` when what is decoded is not what was encoded.
    func run() throws(CommandFailure) -> Result {
        let report = CodecBenchmark.report(gpuCount: gpuCount)
        let message = AgentMessage.report(report)
        var arena = WireArena()
        var bytes: [UInt8] = []
        let encode = nanosecondsPerRun {
            bytes.removeAll(keepingCapacity: true)
            message.encode(into: &bytes, arena: &arena)
        }
        var buffer = TelemetryReport(gpuCount: gpuCount)
        var problem: WireError?
        let decode = nanosecondsPerRun {
            do throws(WireError) {
                _ = try AgentMessage.decode(bytes.span.bytes, report: &buffer, arena: &arena)
            } catch {
                problem = error
            }
        }
        guard problem == nil, buffer == report else {
            throw CommandFailure(
                .negative, "the report that was decoded is not the one that was encoded")
        }
        return Result(
            gpuCount: gpuCount, byteCount: bytes.count, encodeNanoseconds: encode,
            decodeNanoseconds: decode)
    }

    /// The time of one run of `body`: that of the best round, divided by its runs.
    private func nanosecondsPerRun(_ body: () -> Void) -> Double {
        var best = Int64.max
        for _ in 0..<CodecBenchmark.rounds {
            let start = steadyNanoseconds()
            for _ in 0..<count { body() }
            best = min(best, steadyNanoseconds() - start)
        }
        return Double(best) / Double(count)
    }

    /// A report of GPUs that all work, every value known.
    private static func report(gpuCount: Int) -> TelemetryReport {
        var report = TelemetryReport(
            gpuCount: gpuCount, sequence: 3600, sampledNanoseconds: 3_600_000_000_000)
        for device in 0..<gpuCount {
            let step = UInt32(device)
            report.drawMilliwatts[device] = 650_000 + 137 * step
            report.requestedCapMilliwatts[device] = 700_000
            report.enforcedCapMilliwatts[device] = 700_000
            report.temperatureMillidegrees[device] = 62_000 + 250 * step
            report.utilizationPPM[device] = 990_000 - 1000 * step
            report.drawValidity[device] = true
            report.requestedCapValidity[device] = true
            report.enforcedCapValidity[device] = true
            report.temperatureValidity[device] = true
            report.utilizationValidity[device] = true
        }
        return report
    }
}
