// SPDX-License-Identifier: Apache-2.0

import AgentService
import ArgumentParser

/// The command line of the agent.
struct Agent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "busbar-agent",
        abstract: "Samples a node's GPUs, renews its power lease, and runs its tasks.",
        version: AgentProgram.version)

    @Option(help: "The compiled plan of the fleet.")
    var plan: String

    @Option(help: "The node to speak for.")
    var node: String?

    @Option(help: "Speak for every node of this site; for simulated hardware.")
    var site: String?

    @Option(help: "The socket of the simulated hardware.")
    var hardware: String

    @Option(help: "The enforcer's socket.")
    var enforcer: String

    @Option(help: "Where the coordinators are: HOST:PORT, several with commas.")
    var coordinator: String

    @Option(help: "The directory with NODE.pem and NODE.key.")
    var pki: String

    @Option(help: "The fleet's authorities, PEM.")
    var ca: String

    @Option(help: "Milliseconds between two shares of the node's cap.")
    var shareIntervalMs: Int64 = 100

    @Option(help: "Milliseconds between two reports, until the coordinator names another time.")
    var reportIntervalMs: Int64 = 1000

    mutating func validate() throws {
        guard (node == nil) != (site == nil) else {
            throw ValidationError("Name a --node or a --site, not both.")
        }
        guard (10...60_000).contains(shareIntervalMs), (100...60_000).contains(reportIntervalMs)
        else {
            throw ValidationError(
                "--share-interval-ms takes 10 to 60000, --report-interval-ms 100 to 60000.")
        }
    }

    mutating func run() throws {
        try AgentProgram.run(
            AgentOptions(
                plan: plan, hosting: node.map { .node($0) } ?? .site(site ?? ""),
                hardware: hardware, enforcer: enforcer, coordinators: coordinator, pki: pki,
                authority: ca, shareIntervalMilliseconds: shareIntervalMs,
                reportIntervalMilliseconds: reportIntervalMs))
    }
}

Agent.main()
