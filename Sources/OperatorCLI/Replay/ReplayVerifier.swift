// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

/// Checks every answer of a replay: placements by the mirror, refusals by the oracle.
struct ReplayVerifier {
    private(set) var mirror: FleetMirror
    private(set) var refusalsChecked = 0
    /// Jobs that were refused and fit, by name.
    private(set) var wrongRefusals: [String] = []
    /// Refusals about which the oracle, or the order of events, leaves doubt.
    private(set) var unsureRefusals = 0
    private(set) var contradictions: [String] = []
    /// Jobs that were acknowledged and are gone, as `j42`.
    private(set) var lostJobs: [String] = []
    /// Shapes that were found not to fit since the last release: they fit even less now.
    private var knownNotToFit: Set<JobSpec> = []

    init(_ topology: Topology) { mirror = FleetMirror(topology) }

    /// Whether nothing wrong was found.
    var isClean: Bool { wrongRefusals.isEmpty && contradictions.isEmpty && lostJobs.isEmpty }

    /// Enters a job that was answered as placed.
    mutating func placed(_ job: JobID, _ spec: JobSpec, _ tasks: [TaskView]) {
        var placements: [TaskPlacement] = []
        for task in tasks.sorted(by: { $0.index < $1.index }) {
            guard let node = mirror.node(named: task.node) else {
                contradictions.append(FleetMirror.Contradiction.unknownNode(task.node).text)
                return
            }
            placements.append(TaskPlacement(node: node, devices: task.devices))
        }
        let problems = mirror.place(job: job.rawValue, spec: spec, tasks: placements)
        contradictions += problems.map(\.text)
    }

    /// Checks a refusal against what is held now.
    ///
    /// - Parameters:
    ///   - spec: what was refused.
    ///   - isSure: what is held now is what was held when the fleet decided.
    mutating func refused(_ spec: JobSpec, isSure: Bool) {
        refusalsChecked += 1
        var shape = spec
        shape.name = ""
        if knownNotToFit.contains(shape) { return }
        switch PlacementOracle(mirror: mirror).verdict(on: spec) {
        case .fitsNowhere: knownNotToFit.insert(shape)
        case .fits where isSure: wrongRefusals.append(spec.name)
        case .fits, .unknown: unsureRefusals += 1
        }
    }

    /// Forgets a job that has ended.
    mutating func released(_ job: JobID) {
        mirror.release(job: job.rawValue)
        knownNotToFit = []
    }

    /// Compares what was acknowledged with what the fleet says it has.
    mutating func compare(jobs: [JobView], gpus: [GPUView]) {
        let alive = Set(
            jobs.lazy.filter { [.pending, .starting, .running].contains($0.state) }
                .map(\.id.rawValue))
        lostJobs = mirror.jobs.keys.filter { !alive.contains($0) }.sorted().map { "j\($0)" }
        for gpu in gpus {
            guard let node = mirror.node(named: gpu.node) else { continue }
            let shares = mirror.nodes[node.position].shares[Int(gpu.device)]
            let milli = shares.reduce(0) { $0 + $1.milli }
            let isSame =
                milli == Int64(gpu.heldMilli)
                && Set(shares.map(\.job)) == Set(gpu.jobs.map(\.rawValue))
            if !isSame {
                contradictions.append(
                    "GPU \(gpu.device) of \(gpu.node) is held to \(gpu.heldMilli) thousandths by "
                        + "\(gpu.jobs.count) jobs, and \(milli) by \(shares.count) were answered")
            }
        }
    }

    var members: [(String, JSONValue)] {
        [
            ("refusals_checked", .integer(Int64(refusalsChecked))),
            ("wrong_refusals", .integer(Int64(wrongRefusals.count))),
            ("wrong_refusal_names", .array(wrongRefusals.prefix(20).map(JSONValue.string))),
            ("unsure_refusals", .integer(Int64(unsureRefusals))),
            ("contradictions", .integer(Int64(contradictions.count))),
            ("first_contradictions", .array(contradictions.prefix(20).map(JSONValue.string))),
            ("lost_jobs", .array(lostJobs.prefix(20).map(JSONValue.string))),
        ]
    }
}
