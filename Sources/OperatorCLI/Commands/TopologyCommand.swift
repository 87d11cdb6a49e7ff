// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Configuration

/// `busbar topology`: makes topology files.
struct TopologyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology", abstract: "Make a topology file out of something else.",
        subcommands: [TopologyOpenb.self])
}

struct TopologyOpenb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "openb",
        abstract: "Make a topology of the node list of a cluster trace, on stdout.")

    @Option(help: ArgumentHelp("The node list of the trace.", valueName: "csv")) var nodes: String
    @Option(help: ArgumentHelp("Write to this file instead.", valueName: "file")) var out: String?

    func run() throws {
        let text: String
        do {
            text = try OpenbTopology.yaml(nodes: try NodeList.load(nodes), listName: nodes)
        } catch {
            throw CommandFailure(error)
        }
        if let out {
            try StateDirectory.write(Array(text.utf8), to: out, isPrivate: false)
        } else {
            Terminal.write(text, to: 1)
        }
    }
}
