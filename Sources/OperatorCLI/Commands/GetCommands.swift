// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Wire

/// `busbar status`: the fleet in a few lines.
struct StatusCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the sites, their power and their jobs.",
        discussion: "Exits with 1 while a node is silent or a domain is in commissioning.")

    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let status = try await client.status(deadline)
        if output.output == .json {
            output.output.write(status.json)
        } else {
            let lines = status.lines(width: output.output.tableWidth)
            Terminal.write(lines.joined(separator: "\n") + "\n", to: 1)
        }
        guard status.isHealthy else {
            let silent = status.nodeCount - min(status.nodeCount, status.liveNodeCount)
            throw CommandFailure(
                .negative,
                status.isCommissioning
                    ? "the fleet is in commissioning" : "\(silent) nodes are not live",
                hint: "see `busbar get nodes` and `busbar get events`")
        }
    }
}

/// `busbar get`: lists.
struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "List sites, domains, nodes, GPUs, jobs, events or reservations.",
        subcommands: [
            GetSites.self, GetDomains.self, GetNodes.self, GetGPUs.self, GetJobs.self,
            GetEvents.self, GetReservations.self,
        ])
}

struct GetSites: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "sites", abstract: "List the sites.")

    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        output.output.write(try await client.sites(deadline), as: "sites")
    }
}

struct GetDomains: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "domains", abstract: "List the power domains.")

    @Option(help: ArgumentHelp("Only of this site.", valueName: "name")) var site = ""
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        output.output.write(try await client.domains(site: site, deadline), as: "domains")
    }
}

struct GetNodes: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "List the nodes.")

    @Option(help: ArgumentHelp("Only of this site.", valueName: "name")) var site = ""
    @Option(help: ArgumentHelp("Only under this domain.", valueName: "name")) var domain = ""
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let nodes = try await client.nodes(site: site, domain: domain, deadline)
        output.output.write(nodes, as: "nodes")
    }
}

struct GetGPUs: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "gpus", abstract: "List the GPUs.")

    @Option(help: ArgumentHelp("Only of this site.", valueName: "name")) var site = ""
    @Option(help: ArgumentHelp("Only of this node.", valueName: "name")) var node = ""
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let gpus = try await client.gpus(site: site, node: node, deadline)
        output.output.write(gpus, as: "gpus")
    }
}

struct GetJobs: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "List the jobs that have not ended.")

    @Flag(help: "Those that have ended too.") var all = false
    @Option(
        help: ArgumentHelp(
            "Only jobs in this state: \(JobState.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "state"))
    var jobState: String?
    @Option(help: ArgumentHelp("At most so many.", valueName: "count")) var limit: Int?
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let jobState, JobState(rawValue: jobState) == nil {
            throw ValidationError("there is no job state `\(jobState)`")
        }
        if let limit, limit < 1 { throw ValidationError("--limit is at least 1") }
    }

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let state = jobState.flatMap(JobState.init(rawValue:))
        let filter = state.map(JobFilter.state) ?? (all ? .all : .open)
        output.output.write(
            try await client.jobs(filter, limit: limit, deadline), as: "jobs")
    }
}

struct GetEvents: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "List what happened: the audit log.")

    @Option(help: ArgumentHelp("Only what came after this revision.", valueName: "revision"))
    var after: UInt64 = 0
    @Option(help: ArgumentHelp("At most so many.", valueName: "count")) var limit: UInt32 = 100
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let events = try await client.events(after: after, limit: limit, deadline)
        output.output.write(events, as: "events")
    }
}
