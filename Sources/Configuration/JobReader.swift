// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

/// Reads job descriptions, in topology files and in job files.
struct JobReader {
    /// The most jobs of one file.
    static let maximumJobCount = 100_000

    private static let keys = [
        "name", "tasks", "gpus", "cpus", "memory", "models", "sites", "labels", "priority",
        "weight", "spread", "within", "prefer", "spread_over", "tasks_per_domain", "floor",
        "profile", "duration", "on_lease_end", "preemption", "reservation",
    ]

    /// A job with the places of what it refers to.
    struct Entry {
        var spec: JobSpec
        var mark: Mark?
        var models: [Located<String>]
        var sites: [Located<String>]
        /// The levels that it names: required, preferred, spread over.
        var levels: [Located<String>]
    }

    let diagnostics: Diagnostics
    var entries: [Entry] = []

    init(_ diagnostics: Diagnostics) { self.diagnostics = diagnostics }

    /// Reads one element of a list of jobs; a name with a range stands for several equal jobs.
    mutating func read(_ node: YAMLNode) {
        guard let fields = Fields(node, what: "a job", known: Self.keys, diagnostics) else {
            return
        }
        guard let name = fields.text("name", required: true) else { return }
        let names: [String]
        do throws(HostList.Problem) {
            names = try HostList.expand(
                name.value, limit: Self.maximumJobCount - entries.count)
        } catch {
            diagnostics.report(
                "the name of \(fields.what) cannot be read: \(error)", at: name.mark)
            return
        }
        guard var entry = entry(fields, name: names[0]) else { return }
        for name in names {
            entry.spec.name = name
            if let problem = entry.spec.problem() {
                diagnostics.report("\(fields.what): \(problem)", at: entry.mark)
                return
            }
            entries.append(entry)
        }
    }

    private func entry(_ fields: Fields, name: String) -> Entry? {
        let gpus = fields.quantity("gpus", default: (count: 0, milli: 0), Quantity.gpus)
        let tasks = fields.quantity("tasks", default: Int64(1)) { text throws(Quantity.Problem) in
            try Quantity.integer(text, in: 1...Int64(JobSpec.maximumTaskCount))
        }
        let priority = fields.quantity("priority", default: Int64(0)) {
            text throws(Quantity.Problem) in try Quantity.integer(text, in: -1_000_000...1_000_000)
        }
        let weight = fields.quantity("weight", default: Int64(1)) { text throws(Quantity.Problem) in
            try Quantity.integer(text, in: 1...Int64(JobSpec.maximumWeight))
        }
        let level = fields.text("within")
        let preferred = fields.text("prefer")
        let spread = fields.text("spread_over")
        let perDomain = fields.quantity("tasks_per_domain") { text throws(Quantity.Problem) in
            try Quantity.integer(text, in: 1...Int64(JobSpec.maximumTaskCount))
        }
        if perDomain != nil && spread == nil {
            diagnostics.report(
                "'tasks_per_domain' of \(fields.what) needs 'spread_over'", at: fields.mark,
                hint: "name the level whose domains are meant")
        }
        let isFullPace = fields.isWord("floor", "full")
        let models = fields.texts("models")
        let sites = fields.texts("sites")
        let spec = JobSpec(
            name: name, priority: Int32(priority), weight: UInt32(weight),
            taskCount: UInt32(tasks),
            task: TaskRequest(
                gpuCount: gpus.count, gpuMilli: gpus.milli,
                cpuMilli: fields.quantity("cpus", default: 0, Quantity.cpus),
                memoryMiB: fields.quantity("memory", default: 0, Quantity.memory)),
            isSpread: fields.flag("spread", default: false),
            models: models.map(\.value), sites: sites.map(\.value),
            selector: fields.labels("labels"), requiredLevel: level?.value,
            floor: isFullPace ? nil : fields.quantity("floor", Quantity.power),
            profile: fields.choice("profile", default: .training),
            durationNanoseconds: fields.quantity("duration", Quantity.duration),
            onLeaseEnd: fields.choice("on_lease_end", default: .keep),
            preferredLevel: preferred?.value,
            levelSpread: spread.map {
                LevelSpread(level: $0.value, maximumTasks: perDomain.map { UInt32($0) })
            },
            isFullPace: isFullPace, preemption: fields.choice("preemption", default: .never),
            reservation: fields.text("reservation")?.value)
        return Entry(
            spec: spec, mark: fields.mark, models: models, sites: sites,
            levels: [level, preferred, spread].compactMap { $0 })
    }
}
