// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Glibc

/// The version of Busbar.
package enum BusbarVersion {
    package static let text = "0.1.0"
}

/// The `busbar` program.
package enum Program {
    /// The steady clock when the program began.
    static let startedAt = steadyNanoseconds()

    /// Runs the command that the arguments ask for.
    ///
    /// Writes answers to stdout; progress, errors and hints to stderr.
    ///
    /// - Parameter arguments: without the program's own name.
    /// - Returns: the status to exit with.
    package static func run(_ arguments: [String]) async -> Int32 {
        _ = startedAt
        // A reader that goes away (`busbar get nodes | head`) ends the program, not a signal.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try Busbar.parseAsRoot(Arguments.normalized(arguments))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            return ExitStatus.success.rawValue
        } catch let failure as CommandFailure {
            report(failure, arguments)
            return failure.status.rawValue
        } catch let exit as ExitCode {
            return exit.rawValue
        } catch {
            return report(parsing: error, arguments)
        }
    }

    private static func report(_ failure: CommandFailure, _ arguments: [String]) {
        let isJSON = Arguments.asksForJSON(arguments)
        Terminal.write((isJSON ? failure.json.text : failure.text) + "\n", to: 2)
    }

    private static func report(parsing error: any Error, _ arguments: [String]) -> Int32 {
        if Busbar.exitCode(for: error) == .success {
            Terminal.write(Busbar.fullMessage(for: error) + "\n", to: 1)
            return ExitStatus.success.rawValue
        }
        if let failure = unknownSubcommand(Arguments.normalized(arguments)) {
            report(failure, arguments)
            return failure.status.rawValue
        }
        let message = Busbar.message(for: error).split(separator: "\n").joined(separator: " ")
        let known = Busbar.configuration.subcommands.compactMap { $0.configuration.commandName }
        let words = Arguments.normalized(arguments).prefix(1).filter(known.contains)
        let command = (["busbar"] + words).joined(separator: " ")
        report(
            CommandFailure(.usage, message, hint: "see `\(command) --help`"), arguments)
        return ExitStatus.usage.rawValue
    }

    /// What is wrong with `busbar get THING` when there is no such thing: the parser would name the
    /// first option behind it, which is in order.
    static func unknownSubcommand(_ arguments: [String]) -> CommandFailure? {
        guard let first = arguments.first,
            let command = Busbar.configuration.subcommands.first(where: {
                $0.configuration.commandName == first
            })
        else { return nil }
        let names = command.configuration.subcommands.compactMap { $0.configuration.commandName }
        guard !names.isEmpty, command.configuration.defaultSubcommand == nil else { return nil }
        let given = arguments.dropFirst().first
        if let given, names.contains(given) || given == "help" { return nil }
        let isName = given.map { !$0.hasPrefix("-") } ?? false
        return CommandFailure(
            .usage,
            isName ? "`busbar \(first)` knows no '\(given ?? "")'" : "`busbar \(first)` of what?",
            hint: "one of: " + names.joined(separator: ", "))
    }
}

/// The root of all commands.
struct Busbar: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "busbar",
        abstract: "Runs a GPU fleet at its power budget, and never above it.",
        discussion: """
            Start a fleet on this machine with `busbar up TOPOLOGY`, then look at it from another \
            terminal with `busbar status` and submit to it with `busbar submit`.
            """,
        version: BusbarVersion.text,
        subcommands: [
            UpCommand.self, ReplayCommand.self, PKICommand.self, StatusCommand.self,
            GetCommand.self, DescribeCommand.self,
            SubmitCommand.self,
            CancelCommand.self, CordonCommand.self, UncordonCommand.self, DrainCommand.self,
            ReserveCommand.self, UnreserveCommand.self,
            WhyCommand.self, ValidateCommand.self, TopologyCommand.self,
            SolveCommand.self, HardwareCommand.self, BenchCommand.self, SimulateCommand.self,
            StoreForward.self, BackupForward.self, RestoreForward.self, VersionCommand.self,
        ])
}
