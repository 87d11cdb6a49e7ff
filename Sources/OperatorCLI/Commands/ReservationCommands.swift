// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Wire

/// `busbar reserve`.
struct ReserveCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "reserve", abstract: "Keep GPUs and watts for the jobs of a name.",
        discussion: """
            What is kept is described like a job. Jobs submitted with --reservation NAME use it; \
            it ends after --for, or with `busbar unreserve`. Jobs that run in it go on then.
            """)

    @Argument(help: ArgumentHelp("The reservation's name.", valueName: "name"))
    var reserved: String
    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("How long, such as 90s, 30m, 2h or 7d.", valueName: "time"))
    var time: TimeOption
    @OptionGroup var job: JobOptions
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if job.isEmpty {
            throw ValidationError("say what to keep, such as --gpus 8 --tasks 4")
        }
    }

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        var spec = job.spec()
        spec.name = reserved
        if let problem = spec.problem() {
            throw CommandFailure(.usage, problem, hint: "see `busbar reserve --help`")
        }
        let make = MakeReservation(
            name: reserved, spec: spec, durationMilliseconds: time.milliseconds)
        let view = try await client.reserve(make, deadline)
        output.output.write([view], as: "reservations")
    }
}

/// `busbar unreserve`.
struct UnreserveCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "unreserve", abstract: "End a reservation before its time.")

    @Argument(help: ArgumentHelp("The reservation's name.", valueName: "name"))
    var reserved: String
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let view = try await client.endReservation(reserved, deadline)
        if output.output == .json {
            output.output.write([view], as: "reservations")
        } else {
            Terminal.write("\(view.name): ended\n", to: 1)
        }
    }
}

/// `busbar get reservations`.
struct GetReservations: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "reservations", abstract: "List the reservations that hold.")

    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        output.output.write(try await client.reservations(deadline), as: "reservations")
    }
}

/// A length of time on the command line.
struct TimeOption: ExpressibleByArgument {
    let milliseconds: UInt64

    init?(argument: String) {
        let units: [Character: UInt64] = [
            "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000,
        ]
        guard let last = argument.last, let unit = units[last],
            let count = UInt64(argument.dropLast()), (1...1_000_000_000).contains(count)
        else { return nil }
        milliseconds = count * unit
    }
}

extension ReservationView: Listed {
    static var columns: [Table.Column] {
        [
            .init("RESERVATION"), .init("GPUS", .right), .init("KEPT", .right), .init("EXPIRES"),
            .init("NODES", yield: .flexible), .init("BY", yield: .droppable),
        ]
    }

    var cells: [String] {
        [
            name, String(gpuCount), String(keptGPUCount),
            Format.instant(unixMilliseconds: expiresUnixMilliseconds), nodes, madeBy,
        ]
    }

    var json: JSONValue {
        .object([
            ("name", .string(name)), ("spec", spec.json),
            ("expires_unix_ms", .counter(expiresUnixMilliseconds)), ("made_by", .string(madeBy)),
            ("gpus", .integer(Int64(gpuCount))), ("gpus_kept", .integer(Int64(keptGPUCount))),
            ("nodes", .string(nodes)),
        ])
    }
}
