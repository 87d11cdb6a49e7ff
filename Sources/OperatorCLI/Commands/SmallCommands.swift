// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Devices
internal import Wire

/// `busbar hardware`: the simulated GPUs of a fleet, as `busbar up` starts them.
struct HardwareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hardware", abstract: "Hold the simulated hardware of a fleet.",
        shouldDisplay: false)

    @Option(help: ArgumentHelp("The compiled topology.", valueName: "file")) var plan: String
    @Option(help: ArgumentHelp("Where to listen.", valueName: "path")) var socket: String

    func run() throws {
        do {
            try HardwareServer.run(planPath: plan, socketPath: socket)
        } catch {
            throw CommandFailure(.unavailable, "the simulated hardware cannot run: \(error)")
        }
    }
}

/// `busbar version`.
struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Show the version of this command, and of the fleet.")

    @Flag(help: "Do not ask the fleet.") var client = false
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        var reply: VersionReply?
        if !client {
            do {
                reply = try await fleet.withClient { client async throws(CommandFailure) in
                    try await client.version(fleet.deadline)
                }
            } catch {
                // Without a fleet there is still a version of this command to show.
                Terminal.write("no fleet was asked: \(Terminal.printable(error.message))\n", to: 2)
            }
        }
        guard output.output != .json else {
            return output.output.write(
                .object([
                    ("client", .string(BusbarVersion.text)),
                    ("fleet", reply.map { .string($0.version) } ?? .null),
                    (
                        "protocol",
                        reply.map { .integer(Int64($0.protocolVersion)) } ?? .null
                    ),
                ]))
        }
        Terminal.write("busbar \(BusbarVersion.text)\n", to: 1)
        guard let reply else { return }
        Terminal.write("fleet  \(reply.version), protocol \(reply.protocolVersion)\n", to: 1)
    }
}
