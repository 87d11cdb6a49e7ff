// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Wire

/// `busbar describe`: everything about one thing.
struct DescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show everything about a job, a node or a domain.",
        subcommands: [DescribeJob.self, DescribeNode.self, DescribeDomain.self])
}

/// Lines of the form `name  value`, then tables under headings.
private struct Description {
    private var text = ""

    mutating func add(_ name: String, _ value: String) {
        let padding = String(repeating: " ", count: max(1, 12 - name.count))
        text += "\(name)\(padding)\(Terminal.printable(value))\n"
    }

    mutating func add<Item: Listed>(_ heading: String, _ items: [Item], width: Int?) {
        guard !items.isEmpty else { return }
        text += "\n\(heading)\n" + Item.table(items).text(width: width)
    }

    func write() { Terminal.write(text, to: 1) }
}

struct DescribeJob: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "job", abstract: "Show a job, its tasks and its events.")

    @Argument(help: ArgumentHelp("The job's id (j42) or name.", valueName: "job")) var job: String
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let detail = try await client.job(job, deadline)
        guard output.output != .json else {
            return output.output.write(
                .object([
                    ("job", detail.job.json), ("spec", detail.spec.json),
                    ("tasks", .array(detail.tasks.map(\.json))),
                    ("events", .array(detail.events.map(\.json))),
                    ("bound_by", detail.boundBy.json),
                ]))
        }
        let (view, width) = (detail.job, output.output.tableWidth)
        var description = Description()
        description.add("job", "\(view.id) (\(view.name)), by \(view.submittedBy)")
        description.add(
            "state", view.state.rawValue + (view.reason.isEmpty ? "" : ": \(view.reason)"))
        description.add("asks for", detail.spec.text)
        description.add("power", "floor \(view.floor), cap \(view.cap)")
        let bound = detail.boundBy.map { ", bound by \($0)" } ?? ""
        description.add("level", Format.percent(ppm: UInt64(view.levelPPM)) + bound)
        description.add(
            "submitted", Format.instant(unixMilliseconds: view.submittedUnixMilliseconds))
        description.add("TASKS", detail.tasks, width: width)
        description.add("EVENTS", detail.events, width: width)
        description.write()
    }
}

struct DescribeNode: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Show a node, its GPUs and the domains that feed it.")

    @Argument(help: ArgumentHelp("The node's name.", valueName: "node")) var node: String
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let detail = try await client.node(node, deadline)
        guard output.output != .json else {
            return output.output.write(
                .object([
                    ("node", detail.node.json), ("gpus", .array(detail.gpus.map(\.json))),
                    ("domains", .array(detail.domains.map(\.json))),
                    ("jobs", .array(detail.jobs.map { .string($0.description) })),
                ]))
        }
        let (view, width) = (detail.node, output.output.tableWidth)
        var description = Description()
        description.add("node", "\(view.name), \(view.type) in \(view.site)")
        let mark = view.mark.isEmpty ? "" : ", \(view.mark)"
        description.add(
            "state", "\(view.state.rawValue)\(mark), class \(view.enforcementClass.rawValue)")
        description.add("GPUs", "\(view.gpuCount) × \(view.model)")
        description.add(
            "power",
            "draw \(Milliwatts.text(view.draw)), cap \(view.cap), enforced \(view.enforced), "
                + "charge \(view.charge), fallback \(view.fallback)")
        description.add(
            "free",
            "\(Format.gpus(milli: UInt64(view.freeGPUMilli))) GPUs, "
                + "\(Format.gpus(milli: UInt64(view.freeCPUMilli))) CPUs, "
                + "\(view.freeMemoryMiB / 1024) GiB")
        if view.violations > 0 {
            description.add(
                "violations", "\(view.violations) caps found raised by another hand, corrected")
        }
        if !detail.jobs.isEmpty {
            description.add("jobs", detail.jobs.map(\.description).joined(separator: " "))
        }
        description.add("GPUS", detail.gpus, width: width)
        description.add("DOMAINS", detail.domains, width: width)
        description.write()
    }
}

struct DescribeDomain: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "domain", abstract: "Show a power domain, what hangs from it and its nodes.")

    @Argument(help: ArgumentHelp("The domain's name.", valueName: "domain")) var domain: String
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let detail = try await client.domain(domain, deadline)
        guard output.output != .json else {
            return output.output.write(
                .object([
                    ("domain", detail.domain.json),
                    ("children", .array(detail.children.map(\.json))),
                    ("nodes", .array(detail.nodes.map(\.json))),
                ]))
        }
        let (view, width) = (detail.domain, output.output.tableWidth)
        var description = Description()
        description.add("domain", "\(view.name), \(view.level) of \(view.site), tree \(view.tree)")
        let effective =
            view.effectiveLimit == view.limit ? "" : " (\(view.effectiveLimit) proven so far)"
        description.add("limit", "\(view.limit)\(effective), of it overhead \(view.overhead)")
        description.add(
            "power",
            "draw \(Milliwatts.text(view.draw)), charged \(view.charged), "
                + "headroom \(view.headroom), floors \(view.floors), peak \(view.peakCharged)")
        if view.isCommissioning {
            description.add("state", "in commissioning: nothing is raised and no job starts here")
        } else if view.isBinding {
            description.add("state", "binding: gangs stand below full pace because of it")
        }
        description.add("DOMAINS", detail.children, width: width)
        description.add("NODES", detail.nodes, width: width)
        description.write()
    }
}

/// `busbar why`: the reasons why a job waits, or runs below full pace.
struct WhyCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Say why a job is not placed, or what bounds its pace.")

    @Argument(help: ArgumentHelp("The job's id (j42) or name.", valueName: "job")) var job: String
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let explanation = try await client.explanation(of: job, deadline)
        if output.output == .json { return output.output.write(explanation.json) }
        var lines = ["\(explanation.job) is \(explanation.state.rawValue)"]
        if explanation.state == .running {
            let bound = explanation.boundBy.map { ", bound by \($0)" } ?? ""
            lines[0] += " at " + Format.percent(ppm: UInt64(explanation.levelPPM)) + bound
        }
        lines += explanation.lines.map { "  " + Terminal.printable($0) }
        Terminal.write(lines.joined(separator: "\n") + "\n", to: 1)
    }
}
