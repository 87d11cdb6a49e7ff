// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The pods of a cluster trace, in order of their creation.
///
/// Source: the format of Alibaba's `cluster-trace-gpu-v2023`: a heading, then one pod in each line
/// with at least `name,cpu_milli,memory_mib,num_gpu,gpu_milli`; `gpu_spec` (acceptable models with
/// `|` between) and `creation_time` (seconds) where the trace has them. Fields are never quoted.
package struct PodTrace: Sendable {
    /// One pod.
    package struct Pod: Hashable, Sendable {
        package var name: String
        package var cpuMilli: UInt32
        package var memoryMiB: UInt32
        package var gpuCount: UInt16
        /// Thousandths of each GPU.
        package var gpuMilli: UInt16
        package var models: [String]
        package var createdSeconds: Int64

        /// The pod's demand for GPUs, in thousandths.
        package var demandMilli: UInt64 { UInt64(gpuCount) * UInt64(gpuMilli) }
    }

    /// The pods; those created in the same second in the order of the file.
    package let pods: [Pod]

    /// Reads a trace.
    ///
    /// - Parameters:
    ///   - text: the file's contents.
    ///   - file: its name, for messages.
    /// - Throws: `CommandFailure` with file and line of the first thing that is wrong.
    package init(csv text: String, file: String) throws(CommandFailure) {
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        guard let heading = lines.first else {
            throw CommandFailure(.usage, "\(file): is empty")
        }
        let columns = try Columns(heading: heading, file: file)
        var pods: [Pod] = []
        for (number, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            let cells = line.split(separator: ",", omittingEmptySubsequences: false)
            guard let pod = columns.pod(cells) else {
                throw CommandFailure(
                    .usage, "\(file):\(number + 1): not a pod: \(line.prefix(80))",
                    hint: "a line reads " + Columns.required.joined(separator: ",") + ",…")
            }
            pods.append(pod)
        }
        let order = pods.indices.sorted {
            (pods[$0].createdSeconds, $0) < (pods[$1].createdSeconds, $1)
        }
        self.pods = order.map { pods[$0] }
    }

    /// Where the columns stand in a line.
    private struct Columns {
        static let required = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"]
        var positions: [Int] = []
        var models: Int?
        var created: Int?

        init(heading: Substring, file: String) throws(CommandFailure) {
            let names = heading.split(separator: ",", omittingEmptySubsequences: false)
            for name in Columns.required {
                guard let position = names.firstIndex(of: name[...]) else {
                    throw CommandFailure(
                        .usage, "\(file):1: has no column `\(name)`",
                        hint: "the heading names " + Columns.required.joined(separator: ", "))
                }
                positions.append(position)
            }
            models = names.firstIndex(of: "gpu_spec")
            created = names.firstIndex(of: "creation_time")
        }

        func pod(_ cells: [Substring]) -> Pod? {
            func cell(_ position: Int?) -> Substring? {
                position.flatMap { $0 < cells.count ? cells[$0] : nil }
            }
            guard let name = cell(positions[0]), Name.problem(in: name) == nil,
                let cpu = cell(positions[1]).flatMap({ UInt32($0) }),
                let memory = cell(positions[2]).flatMap({ UInt32($0) }),
                let count = cell(positions[3]).flatMap({ UInt16($0) }),
                let milli = cell(positions[4]).flatMap({ UInt16($0) }), milli <= 1000,
                count <= TelemetryReport.maximumGPUCount, count < 2 || milli == 1000,
                count == 0 || milli > 0
            else { return nil }
            let models = (cell(models) ?? "").split(separator: "|").map(String.init)
            let created = cell(created).flatMap { Int64($0) } ?? 0
            return Pod(
                name: String(name), cpuMilli: cpu, memoryMiB: memory, gpuCount: count,
                gpuMilli: count == 0 ? 0 : milli, models: models, createdSeconds: created)
        }
    }
}

extension PodTrace.Pod {
    /// The job that stands for the pod: one task that runs until it is cancelled.
    var spec: JobSpec {
        JobSpec(
            name: name,
            task: TaskRequest(
                gpuCount: gpuCount, gpuMilli: gpuMilli, cpuMilli: cpuMilli, memoryMiB: memoryMiB),
            models: models)
    }
}

extension JobSpec {
    /// The job's demand for GPUs, in thousandths, over all tasks.
    var demandMilli: UInt64 {
        UInt64(taskCount) * UInt64(task.gpuCount) * UInt64(task.gpuMilli)
    }
}
