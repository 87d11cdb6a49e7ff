// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser

/// `busbar bench`: how fast this build is on this machine.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure how fast this build is on this machine.",
        subcommands: [BenchCodec.self, BenchPlace.self, BenchReports.self, BenchSolve.self])
}

/// `busbar bench reports`: what one coordinator core takes in.
struct BenchReports: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reports",
        abstract: "Measure the agents' reports that one coordinator core takes in over TLS.",
        discussion: """
            One thread accepts the sessions, decrypts, decodes and takes the reports into a \
            site's power loop, as a coordinator does. Another one plays the agents, in the same \
            process and over the loopback. What one core takes in is counted by the first \
            thread's own clock, which runs only while it works; what is delivered by the clock on \
            the wall. Needs two cores.
            """)

    @Option(help: ArgumentHelp("Agents' sessions.", valueName: "count")) var sessions = 1000
    @Option(help: ArgumentHelp("GPUs of each report.", valueName: "count")) var gpus = 8
    @Option(help: ArgumentHelp("How long to measure.", valueName: "seconds")) var seconds = 5.0
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...10_000).contains(sessions) else {
            throw ValidationError("--sessions is from 1 to 10000")
        }
        guard (1...64).contains(gpus) else { throw ValidationError("--gpus is from 1 to 64") }
        guard seconds > 0, seconds <= 600 else {
            throw ValidationError("--seconds is above 0, at most 600")
        }
    }

    func run() async throws {
        let result = try await ReportsBenchmark(
            sessionCount: sessions, gpuCount: gpus, measuring: .seconds(seconds)
        ).run()
        guard output.output == .json else {
            Terminal.write(result.text + "\n", to: 1)
            return
        }
        output.output.write(result.json)
    }
}
