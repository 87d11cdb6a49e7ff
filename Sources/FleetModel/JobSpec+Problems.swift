// SPDX-License-Identifier: Apache-2.0

extension JobSpec {
    /// The most tasks of one job.
    package static let maximumTaskCount: UInt32 = 65_536
    /// The largest weight of a job inside its priority class.
    package static let maximumWeight: UInt32 = 10_000

    /// Says what is wrong with the request by itself, or nil when it can be considered.
    ///
    /// Whether its models, sites and labels exist is for the one who knows the fleet.
    package func problem() -> String? {
        if let problem = Name.problem(in: name) { return "the job's name \(problem)" }
        if !(1...Self.maximumTaskCount).contains(taskCount) {
            return "the job has \(taskCount) tasks, not 1 to \(Self.maximumTaskCount)"
        }
        if !(1...Self.maximumWeight).contains(weight) {
            return "the job's weight is \(weight), not 1 to \(Self.maximumWeight)"
        }
        if let problem = task.problem() { return problem }
        if let floor, floor <= .zero || floor > Topology.maximumGPUCap {
            let most = Topology.maximumGPUCap
            return "the job's floor is \(floor), not above 0 W and at most \(most)"
        }
        if isFullPace && floor != nil {
            return "the job asks for full pace and for a floor in watts"
        }
        if let maximum = levelSpread?.maximumTasks, !(1...Self.maximumTaskCount).contains(maximum) {
            return "the job spreads \(maximum) tasks per domain, not 1 to \(Self.maximumTaskCount)"
        }
        if let durationNanoseconds, durationNanoseconds <= 0 {
            return "the job's duration is not above zero"
        }
        return nil
    }
}

extension TaskRequest {
    /// Says what is wrong with the request, or nil when a node could meet it.
    package func problem() -> String? {
        if Int(gpuCount) > TelemetryReport.maximumGPUCount {
            return "a task asks for \(gpuCount) GPUs; a node has at most "
                + "\(TelemetryReport.maximumGPUCount)"
        }
        if gpuCount == 0 {
            if gpuMilli != 0 { return "a task asks for a share of no GPU" }
            if cpuMilli == 0 && memoryMiB == 0 { return "a task asks for nothing" }
            return nil
        }
        if gpuMilli == 0 || gpuMilli > 1000 {
            return "a task asks for \(gpuMilli) thousandths of a GPU, not 1 to 1000"
        }
        if gpuCount > 1 && gpuMilli != 1000 { return "a task asks for shares of several GPUs" }
        return nil
    }
}
