// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser

/// How a command writes its answer.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// Columns that fit the terminal.
    case table
    /// All columns, however wide.
    case wide
    /// JSON on stdout, and nothing else there.
    case json

    /// The width that a table on stdout has to fit; nil for none.
    var tableWidth: Int? {
        self == .wide ? nil : Terminal.current(descriptor: 1).columns
    }
}

/// `-o`.
struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "How to write the answer: table, wide or json.")
    var output = OutputFormat.table
}

/// Where the fleet is.
struct FleetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The state directory of a fleet that `busbar up` runs.",
            discussion: "Default: BUSBAR_STATE, else $XDG_STATE_HOME/busbar, else "
                + "~/.local/state/busbar.", valueName: "dir"))
    var state: String?

    @Option(
        help: ArgumentHelp(
            "Coordinators of a fleet that runs elsewhere, instead of --state; needs --cert, "
                + "--key and --ca.", valueName: "host:port[,…]"))
    var coordinator: String?

    @Option(help: ArgumentHelp("Your certificate, PEM.", valueName: "file"))
    var cert: String?

    @Option(help: ArgumentHelp("Its key, PEM.", valueName: "file"))
    var key: String?

    @Option(help: ArgumentHelp("The certificate of the fleet's authority, PEM.", valueName: "file"))
    var ca: String?

    @Option(help: ArgumentHelp("How long to wait for an answer.", valueName: "seconds"))
    var timeout: Double = 10

    func validate() throws {
        guard timeout > 0, timeout <= 86_400 else {
            throw ValidationError("--timeout is a number of seconds above 0, at most 86400")
        }
        let files = [cert, key, ca]
        if coordinator != nil && files.contains(where: { $0 == nil }) {
            throw ValidationError("--coordinator needs --cert, --key and --ca")
        }
        if coordinator == nil && files.contains(where: { $0 != nil }) {
            throw ValidationError("--cert, --key and --ca need --coordinator")
        }
    }

    var stateDirectory: StateDirectory { StateDirectory.resolve(option: state) }
}
