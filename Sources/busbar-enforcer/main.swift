// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EnforcerService

/// The command line of the enforcer.
struct Enforcer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "busbar-enforcer",
        abstract: "Keeps the power caps of a node within its lease; the only one that writes them.")

    @Option(help: "The compiled plan of the fleet.")
    var plan: String

    @Option(help: "The node to answer for.")
    var node: String?

    @Option(help: "Answer for every node of this site; for simulated hardware.")
    var site: String?

    @Option(help: "The socket of the simulated hardware.")
    var hardware: String

    @Option(help: "Where to listen for agents.")
    var socket: String

    @Option(help: "The directory of the lease records.")
    var records: String

    @Option(help: "The fleet's authorities, PEM.")
    var ca: String

    mutating func validate() throws {
        guard (node == nil) != (site == nil) else {
            throw ValidationError("Name a --node or a --site, not both.")
        }
    }

    mutating func run() throws {
        try EnforcerProgram.run(
            EnforcerOptions(
                plan: plan, hosting: node.map { .node($0) } ?? .site(site ?? ""),
                hardware: hardware, socket: socket, records: records, authority: ca))
    }
}

Enforcer.main()
