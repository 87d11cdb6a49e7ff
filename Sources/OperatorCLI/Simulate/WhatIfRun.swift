// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import FleetModel
internal import Simulation

/// `busbar simulate TOPOLOGY --fault …`: what would happen.
struct WhatIfRun {
    private let topology: Topology
    private let jobs: [JobSpec]
    private let phrases: [String]

    /// Reads the files; without a job file the topology's sample jobs run.
    init(topology path: String, jobs jobPath: String?, faults: [String]) throws(CommandFailure) {
        do {
            let file = try FleetFile.load(path)
            topology = file.topology
            jobs = try jobPath.map { try JobFile.load($0) } ?? file.sampleJobs
        } catch let error as ConfigurationError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
        phrases = faults
    }

    /// Runs it and writes the answer.
    ///
    /// - Throws: ``CommandFailure`` when a fault cannot be read, or a promise was broken.
    func run(_ output: OutputFormat) throws(CommandFailure) {
        var entries: [WorldScriptEntry] = []
        var end: Int64 = 0
        for phrase in phrases {
            let fault = try FaultPhrase(phrase, topology: topology)
            entries += fault.entries
            end = max(end, fault.endMilliseconds)
        }
        let watched = end / 1000 + 120
        let report = WhatIf(
            topology: topology, jobs: jobs, faults: entries, watchedSeconds: watched
        ).run()
        switch output {
        case .json: Terminal.write(json(report, watched).text + "\n", to: 1)
        case .table, .wide: Terminal.write(text(report, watched), to: 1)
        }
        if let violation = report.violation {
            throw CommandFailure(.negative, "\(violation)")
        }
    }

    private func name(_ node: NodeIndex) -> String { topology.nodes[node.position].name }

    private func siteName(_ node: NodeIndex) -> String {
        topology.sites[topology.nodes[node.position].site.position].name
    }

    // MARK: For programs

    private func json(_ report: WhatIfReport, _ watched: Int64) -> JSONValue {
        .object([
            ("faults", .array(phrases.map { .string($0) })), ("watched_s", .integer(watched)),
            ("violations", .integer(report.violation == nil ? 0 : 1)),
            ("peak_unusable_mw", .integer(report.peakHeld.rawValue)),
            ("fallbacks", .array(report.fallbacks.map(json))),
            ("unusable_watts", .array(report.heldWatts.map(json))),
            ("sites_without_leader", .array(report.leaderless.map(json))),
            ("jobs", .array(report.jobs.map(json))),
        ])
    }

    private func span(_ from: Int64, _ until: Int64?) -> [(String, JSONValue)] {
        [("from_ms", .integer(from)), ("until_ms", until.map(JSONValue.integer) ?? .null)]
    }

    private func json(_ fallback: WhatIfReport.Fallback) -> JSONValue {
        let type = topology.type(of: fallback.node)
        return .object(
            [
                ("node", .string(name(fallback.node))), ("site", .string(siteName(fallback.node))),
                ("class", .string(type.enforcementClass.rawValue)),
            ] + span(fallback.from, fallback.until))
    }

    private func json(_ held: WhatIfReport.HeldWatts) -> JSONValue {
        .object(
            [
                ("node", .string(name(held.node))), ("site", .string(siteName(held.node))),
                ("mw", .integer(held.watts.rawValue)),
            ] + span(held.from, held.until))
    }

    private func json(_ leaderless: WhatIfReport.Leaderless) -> JSONValue {
        .object(
            [("site", .string(topology.sites[leaderless.site.position].name))]
                + span(leaderless.from, leaderless.until))
    }

    private func json(_ job: WhatIfReport.Job) -> JSONValue {
        .object([
            ("job", .string("\(job.id)")), ("name", .string(job.name)),
            ("state_before", .string(job.before.rawValue)),
            ("state_after", .string(job.after.rawValue)),
            ("nodes_at_fallback", .array(job.nodesAtFallback.map { .string(name($0)) })),
        ])
    }

    // MARK: For people

    private func text(_ report: WhatIfReport, _ watched: Int64) -> String {
        var text = ""
        func span(_ from: Int64, _ until: Int64?) -> [String] {
            [
                Format.duration(milliseconds: UInt64(from)),
                until.map { Format.duration(milliseconds: UInt64($0)) } ?? "after the end",
            ]
        }
        var table = Table([
            .init("WHAT"), .init("WHERE"), .init("HOW MUCH", .right), .init("FROM", .right),
            .init("UNTIL", .right),
        ])
        for entry in report.leaderless {
            let site = topology.sites[entry.site.position].name
            table.append(["no leader", site, Format.unknown] + span(entry.from, entry.until))
        }
        for entry in report.fallbacks {
            let fallback = topology.type(of: entry.node).fallback.description
            table.append(
                ["at fallback", name(entry.node), fallback] + span(entry.from, entry.until))
        }
        for entry in report.heldWatts {
            table.append(
                ["unusable", name(entry.node), entry.watts.description]
                    + span(entry.from, entry.until))
        }
        let isUneventful = report.fallbacks.isEmpty && report.leaderless.isEmpty
        if !isUneventful || !report.heldWatts.isEmpty { text += table.text(width: nil) }
        let hurt = report.jobs.filter { !$0.nodesAtFallback.isEmpty || $0.before != $0.after }
        text += "\(hurt.count) of \(report.jobs.count) jobs affected"
        text += ", at most \(report.peakHeld) unusable at once"
        text += ", watched for \(Format.duration(milliseconds: UInt64(watched) * 1000))\n"
        for job in hurt {
            let nodes = job.nodesAtFallback.map(name).joined(separator: ", ")
            text += "\(job.id) \(job.name): \(job.before.rawValue) -> \(job.after.rawValue)"
            text += nodes.isEmpty ? "\n" : ", at its fallback on \(nodes)\n"
        }
        return text
    }
}
