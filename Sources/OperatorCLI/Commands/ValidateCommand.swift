// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import Configuration
internal import FleetModel

/// `busbar validate`: reads a topology file and says what it describes.
struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Check a topology file.")

    @Argument(help: ArgumentHelp("The topology file.", valueName: "file"))
    var file: String

    @OptionGroup var output: OutputOptions

    func run() throws {
        do throws(ConfigurationError) {
            let fleet = try FleetFile.load(file)
            let text =
                output.output == .json
                ? FleetSummary(fleet).json.text + "\n" : FleetSummary(fleet).text
            Terminal.write(text, to: 1)
        } catch {
            // All problems, so that they can be mended in one go; the last line says it in short.
            if output.output != .json {
                for problem in error.problems.dropFirst() {
                    Terminal.write("error: \(Terminal.printable("\(problem)"))\n", to: 2)
                }
            }
            throw CommandFailure(error)
        }
    }
}

extension CommandFailure {
    /// A file that was refused.
    init(_ error: ConfigurationError) {
        let problem = error.first
        var place = problem.file
        if problem.line > 0 { place += ":\(problem.line)" }
        if problem.line > 0 && problem.column > 0 { place += ":\(problem.column)" }
        self.init(.refused, "\(place): \(problem.reason)", hint: problem.hint)
    }
}

/// What a topology file describes, in a few numbers.
struct FleetSummary {
    private let file: FleetFile

    init(_ file: FleetFile) { self.file = file }

    private var topology: Topology { file.topology }

    /// Sum over a site's nodes of a power.
    private func sum(_ site: SiteIndex, _ power: (NodeIndex) -> Milliwatts) -> Milliwatts {
        topology.nodes.indices.reduce(.zero) { sum, position in
            topology.nodes[position].site == site ? sum + power(NodeIndex(position)) : sum
        }
    }

    private func gpuCount(_ site: SiteIndex) -> Int {
        topology.nodes.reduce(0) { sum, node in
            node.site == site ? sum + Int(topology.nodeTypes[node.type].gpuCount) : sum
        }
    }

    /// A table of the sites and a line about the whole.
    var text: String {
        var table = Table([
            .init("SITE", yield: .flexible), .init("NODES", .right), .init("GPUS", .right),
            .init("DOMAINS", .right, yield: .droppable), .init("LIMIT", .right),
            .init("OVERHEAD", .right, yield: .droppable), .init("FALLBACK", .right),
            .init("UNCAPPED", .right),
        ])
        for (position, site) in topology.sites.enumerated() {
            let index = SiteIndex(position)
            let root = topology.domains[site.root.position]
            table.append([
                site.name, String(topology.nodes.count { $0.site == index }),
                String(gpuCount(index)), String(topology.domains.count { $0.site == index }),
                root.limit.description, root.overhead.description,
                sum(index) { topology.type(of: $0).fallback }.description,
                sum(index) { topology.uncapped($0) }.description,
            ])
        }
        return table.text(width: Terminal.current(descriptor: 1).columns)
            + "fleet \(topology.fleetName): \(topology.gpuCount) GPUs in \(topology.nodes.count) "
            + "nodes, \(file.sampleJobs.count) sample jobs\n"
    }

    /// The same for programs; powers in milliwatts.
    var json: JSONValue {
        let sites = topology.sites.enumerated().map { position, site in
            let index = SiteIndex(position)
            let root = topology.domains[site.root.position]
            return JSONValue.object([
                ("name", .string(site.name)),
                ("nodes", .integer(Int64(topology.nodes.count { $0.site == index }))),
                ("gpus", .integer(Int64(gpuCount(index)))),
                ("limit_mw", .integer(root.limit.rawValue)),
                ("overhead_mw", .integer(root.overhead.rawValue)),
                ("fallback_mw", .integer(sum(index) { topology.type(of: $0).fallback }.rawValue)),
                ("uncapped_mw", .integer(sum(index) { topology.uncapped($0) }.rawValue)),
            ])
        }
        return .object([
            ("fleet", .string(topology.fleetName)), ("sites", .array(sites)),
            ("domains", .integer(Int64(topology.domains.count))),
            ("nodes", .integer(Int64(topology.nodes.count))),
            ("gpus", .integer(Int64(topology.gpuCount))),
            ("sample_jobs", .integer(Int64(file.sampleJobs.count))),
        ])
    }
}
