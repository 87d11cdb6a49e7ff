// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
internal import FleetModel
internal import Wire

/// `busbar cordon`.
struct CordonCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "cordon", abstract: "Keep new jobs away from nodes.",
        discussion: "Jobs on the nodes stay. Repeating it changes nothing.")

    @Argument(help: ArgumentHelp("Names, or a list such as r1n[1-4].", valueName: "node"))
    var nodes: [String]
    @Option(help: ArgumentHelp("Why, for those who read the events.", valueName: "text"))
    var reason = ""
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        _ = try await client.mark(nodes, .cordoned, reason: reason, output.output, deadline)
    }
}

/// `busbar uncordon`.
struct UncordonCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "uncordon", abstract: "Let jobs come to nodes again.",
        discussion: "Ends a cordon and a drain.")

    @Argument(help: ArgumentHelp("Names, or a list such as r1n[1-4].", valueName: "node"))
    var nodes: [String]
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        _ = try await client.mark(nodes, .open, reason: "", output.output, deadline)
    }
}

/// `busbar drain`.
struct DrainCommand: FleetCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Keep new jobs away from nodes and move those on them.",
        discussion: """
            A gang with a task on one of the nodes is stopped whole and queued again; it runs \
            elsewhere as soon as it fits. Nothing comes back before `busbar uncordon`.
            """)

    @Argument(help: ArgumentHelp("Names, or a list such as r1n[1-4].", valueName: "node"))
    var nodes: [String]
    @Option(help: ArgumentHelp("Why, for those who read the events.", valueName: "text"))
    var reason = ""
    @Flag(help: "Wait until no job is left on them, at most --timeout.") var wait = false
    @OptionGroup var fleet: FleetOptions
    @OptionGroup var output: OutputOptions

    func run(_ client: OperatorClient) async throws(CommandFailure) {
        let names = try await client.mark(
            nodes, .draining, reason: reason, output.output, deadline)
        guard wait else { return }
        let end = steadyNanoseconds() + deadline.nanoseconds
        for name in names {
            while try await client.node(name, deadline).node.mark == "draining" {
                guard steadyNanoseconds() < end else {
                    throw CommandFailure(
                        .timeout, "\(name) is not drained yet",
                        hint: "see `busbar describe node \(name)`; it goes on draining")
                }
                do { try await Task.sleep(for: .milliseconds(100)) } catch { return }
            }
        }
    }
}

extension OperatorClient {
    /// Marks nodes one after the other and writes what each still has on it.
    ///
    /// - Returns: the nodes' names.
    fileprivate func mark(
        _ lists: [String], _ mark: NodeMark, reason: String, _ format: OutputFormat,
        _ deadline: Duration
    ) async throws(CommandFailure) -> [String] {
        var names: [String] = []
        for list in lists {
            do throws(HostList.Problem) {
                names += try HostList.expand(list, limit: 100_000)
            } catch {
                throw CommandFailure(.usage, "'\(list)' is no list of nodes: \(error)")
            }
        }
        var replies: [MarkReply] = []
        for name in names {
            let marking = MarkNode(node: name, mark: mark, reason: reason)
            let reply = try await self.mark(marking, deadline)
            if format != .json { Terminal.write(reply.line + "\n", to: 1) }
            replies.append(reply)
        }
        if format == .json { format.write(.object([("nodes", .array(replies.map(\.json)))])) }
        return names
    }
}

extension MarkReply {
    /// What became of the node, in one line.
    fileprivate var line: String {
        let list = jobs.prefix(8).map(\.description).joined(separator: " ")
        let more = jobs.count > 8 ? " and \(jobs.count - 8) more" : ""
        switch mark {
        case .open: return "\(node): open"
        case .cordoned:
            return jobs.isEmpty ? "\(node): cordoned" : "\(node): cordoned; keeps \(list)\(more)"
        case .draining:
            return jobs.isEmpty ? "\(node): drained" : "\(node): draining \(list)\(more)"
        }
    }

    fileprivate var json: JSONValue {
        .object([
            ("node", .string(node)), ("mark", .string(mark.rawValue)),
            ("jobs", .array(jobs.map { .string($0.description) })),
        ])
    }
}
