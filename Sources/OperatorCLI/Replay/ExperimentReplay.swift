// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import Configuration
internal import FleetModel

/// `busbar replay --protocol fgd`: a trace's pods and nodes in the arrival experiment of the FGD paper.
///
/// Runs on the placement engine in this process; no fleet is needed.
struct ExperimentReplay {
    /// The ratios of arrived to existing GPUs that may be asked for.
    static let ratios = 0.01...10.0
    /// The ratio of the published experiment.
    static let publishedRatio = 1.3
    /// GPUs that a kilowatt is worth in an empty fleet, if nobody says otherwise: found by trial.
    static let defaultWattPrice = 10.0
    /// The prices that may be asked for.
    static let wattPrices = 0.0...1000.0

    let policy: ExperimentPolicy
    let seed: UInt64
    let ratio: Double
    let nodes: [ExperimentNode]
    let pods: [ExperimentPod]
    /// GPUs that a kilowatt is worth in an empty fleet, to a policy that looks at watts.
    var wattPrice = ExperimentReplay.defaultWattPrice

    /// Reads the lists.
    ///
    /// - Throws: `CommandFailure` with file, line and column of what is wrong.
    init(
        policy: ExperimentPolicy, seed: UInt64, ratio: Double, nodeList: String, podList: String
    ) throws(CommandFailure) {
        self.policy = policy
        self.seed = seed
        self.ratio = ratio
        do throws(ConfigurationError) {
            nodes = try NodeList.load(nodeList, skippingWithoutGPUs: true).map {
                ExperimentNode(
                    name: $0.name, cpuMilli: $0.cpuMilli, memoryMiB: $0.memoryMiB,
                    gpuCount: $0.gpuCount, model: $0.model)
            }
            pods = try PodList.load(podList).map {
                ExperimentPod(name: $0.name, task: $0.task, models: $0.models)
            }
        } catch {
            throw CommandFailure(error)
        }
        if !pods.contains(where: { $0.task.gpuCount > 0 }) {
            throw CommandFailure(
                .refused, "\(podList): no pod of the list asks for a GPU",
                hint: "a pod has 'num_gpu' GPUs of 'gpu_milli' thousandths each")
        }
        if policy.isPowerAware,
            let unknown = nodes.first(where: { ExperimentPower.watts(model: $0.model) == nil })
        {
            throw CommandFailure(
                .refused,
                "\(nodeList): the watts of model '\(unknown.model)' of server '\(unknown.name)' "
                    + "are not known to policy \(policy.rawValue)",
                hint: "it knows " + ExperimentPower.models.joined(separator: ", "))
        }
    }

    /// The policy of a name.
    ///
    /// - Throws: `CommandFailure` that lists the names.
    static func policy(named name: String) throws(CommandFailure) -> ExperimentPolicy {
        if let policy = ExperimentPolicy(rawValue: name) { return policy }
        let known = ExperimentPolicy.allCases.map(\.rawValue).joined(separator: ", ")
        throw CommandFailure(
            .usage, "there is no policy '\(name)'", hint: "--policy is one of \(known)")
    }

    /// Runs the experiment.
    func run() -> ExperimentReport {
        var experiment = PlacementExperiment(
            nodes: nodes, pods: pods, policy: policy.placementPolicy(seed: seed), seed: seed,
            ratioPermille: Int((ratio * 1000).rounded()))
        if policy == .busbarMoves {
            experiment.arrivalsPerMove = ExperimentPolicy.arrivalsPerMove
        }
        if policy.isPowerAware { experiment.gpusPerKilowatt = wattPrice }
        return ExperimentReport(policy: policy, seed: seed, result: experiment.run())
    }
}

/// What an experiment found, for people and for programs.
struct ExperimentReport {
    let policy: ExperimentPolicy
    let seed: UInt64
    let result: ExperimentResult

    /// GPUs in percent that are not allocated when as many as there are have arrived; nil when fewer
    /// ever arrive.
    var unallocatedPercent: Double? {
        result.allocated(atArrival: 100).map { ExperimentReport.rounded(100 - $0) }
    }

    /// The document for programs; kilowatts only where the policy looks at them.
    var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("policy", .string(policy.rawValue)), ("seed", .counter(seed)),
            ("unallocated_gpu_percent", unallocatedPercent.map(JSONValue.number) ?? .null),
            ("allocation_by_arrival", columns { result.allocated(atArrival: $0) }),
        ]
        if policy.isPowerAware {
            members.append(("power_kw_by_arrival", columns { result.kilowatts(atArrival: $0) }))
        }
        return .object(members)
    }

    private func columns(_ value: (Int) -> Double?) -> JSONValue {
        let last = result.allocatedByArrival.count - 1
        return .object(
            (1...max(1, last)).compactMap { percent in
                value(percent).map {
                    (String(percent), JSONValue.number(ExperimentReport.rounded($0)))
                }
            })
    }

    /// The lines that a person reads: every tenth percent, and the last.
    var text: String {
        let last = result.allocatedByArrival.count - 1
        var table = Table([.init("ARRIVED %", .right), .init("ALLOCATED %", .right)])
        for percent in 1...max(1, last) where percent % 10 == 0 || percent == last {
            guard let allocated = result.allocated(atArrival: percent) else { continue }
            table.append([String(percent), ExperimentReport.hundredths(allocated)])
        }
        return table.text(width: nil)
            + "policy \(policy.rawValue), seed \(seed): \(result.arrivals) pods arrived, "
            + "\(result.refused) fitted nowhere, \(result.moved) placed ones moved\n"
    }

    private static func hundredths(_ percent: Double) -> String {
        let value = Int((percent * 100).rounded())
        return "\(value / 100)." + String(100 + value % 100).dropFirst()
    }

    /// To a ten-thousandth, so that nobody reads digits that mean nothing.
    private static func rounded(_ percent: Double) -> Double {
        (percent * 10_000).rounded() / 10_000
    }
}
