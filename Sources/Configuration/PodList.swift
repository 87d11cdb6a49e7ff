// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A request of a trace: one pod.
package struct ListedPod: Hashable, Sendable {
    package var name: String
    package var task: TaskRequest
    /// Models that the pod accepts; empty accepts any.
    package var models: [String]
    /// Seconds since the start of the trace; nil in lists without times.
    package var creationSeconds: Int64?
    /// When it ended; nil in lists without times, and for a pod that never ran.
    package var deletionSeconds: Int64?
    /// Class of service as the trace has it; empty in lists without it.
    package var serviceClass: String
    /// The line of the list.
    package var line: Int

    /// The pod as a job of one task that runs until it is cancelled.
    ///
    /// - Parameter profile: what its GPUs draw over time; the traces do not say.
    /// - Returns: a valid request.
    package func job(profile: DemandProfile = .training) -> JobSpec {
        JobSpec(name: name, task: task, models: models, profile: profile)
    }
}

/// A list of pods of a production trace, in the form of Alibaba's cluster-trace-gpu-v2023.
///
/// Columns, by name: `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`; and, where the list
/// has them, `gpu_spec` (`A|B`: either model), `qos`, `creation_time`, `deletion_time`. Further
/// columns are ignored.
package enum PodList {
    /// The most pods of one list.
    package static let maximumCount = 1_000_000

    /// Reads a list.
    ///
    /// - Parameter path: the file.
    /// - Returns: the pods in file order.
    /// - Throws: ``ConfigurationError`` with line and column.
    package static func load(_ path: String) throws(ConfigurationError) -> [ListedPod] {
        try parse(
            try FileText.read(path, maximumByteCount: CSVTable.maximumByteCount), name: path)
    }

    /// Reads a list from the bytes of a file.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - name: the file's name in errors.
    /// - Returns: the pods in file order.
    /// - Throws: ``ConfigurationError`` with line and column.
    package static func parse(
        _ bytes: [UInt8], name: String
    ) throws(ConfigurationError) -> [ListedPod] {
        let required = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"]
        let table = try CSVTable(bytes, name: name, required: required)
        if table.records.count > maximumCount {
            throw ConfigurationError(file: name, "the list has more than \(maximumCount) pods")
        }
        let reader = PodReader(table, required.map { table.column($0) ?? 0 })
        var pods: [ListedPod] = []
        pods.reserveCapacity(table.records.count)
        var names: Set<String> = []
        for record in table.records {
            let pod = try reader.pod(record)
            if !names.insert(pod.name).inserted {
                throw table.problem(record, reader.name, "pod '\(pod.name)' is there twice")
            }
            pods.append(pod)
        }
        return pods
    }

    /// The pods in the order in which they were created; pods without a time, and pods of the same
    /// second, stay in file order.
    package static func inOrderOfCreation(_ pods: [ListedPod]) -> [ListedPod] {
        let timed = pods.enumerated().sorted { left, right in
            (left.element.creationSeconds ?? 0, left.offset)
                < (right.element.creationSeconds ?? 0, right.offset)
        }
        return timed.map(\.element)
    }
}

/// Reads the records of one list of pods.
private struct PodReader {
    let table: CSVTable
    let name: Int
    let cpu: Int
    let memory: Int
    let gpuCount: Int
    let gpuMilli: Int
    let models: Int?
    let serviceClass: Int?
    let creation: Int?
    let deletion: Int?

    init(_ table: CSVTable, _ required: [Int]) {
        self.table = table
        name = required[0]
        cpu = required[1]
        memory = required[2]
        gpuCount = required[3]
        gpuMilli = required[4]
        models = table.column("gpu_spec")
        serviceClass = table.column("qos")
        creation = table.column("creation_time")
        deletion = table.column("deletion_time")
    }

    func pod(
        _ record: CSVTable.Record
    ) throws(ConfigurationError) -> ListedPod {
        let count = try table.integer(record, gpuCount, in: 0...Int64(UInt16.max))
        let milli = try table.integer(record, gpuMilli, in: 0...1000)
        let task = TaskRequest(
            gpuCount: UInt16(count), gpuMilli: UInt16(milli),
            cpuMilli: UInt32(try table.integer(record, cpu, in: 0...Int64(UInt32.max))),
            memoryMiB: UInt32(try table.integer(record, memory, in: 0...Int64(UInt32.max))))
        let pod = ListedPod(
            name: record.fields[name], task: task, models: try modelNames(record),
            creationSeconds: try seconds(record, creation),
            deletionSeconds: try seconds(record, deletion),
            serviceClass: serviceClass.map { record.fields[$0] } ?? "", line: record.line)
        if let problem = Name.problem(in: pod.name) {
            throw table.problem(record, name, "the pod's name '\(pod.name)' \(problem)")
        }
        if let problem = task.problem() {
            let isTooMany = count > Int64(TelemetryReport.maximumGPUCount)
            throw table.problem(record, isTooMany ? gpuCount : gpuMilli, problem)
        }
        return pod
    }

    private func modelNames(
        _ record: CSVTable.Record
    ) throws(ConfigurationError) -> [String] {
        guard let models, !record.fields[models].isEmpty else { return [] }
        let names = record.fields[models].split(separator: "|", omittingEmptySubsequences: false)
        for name in names {
            if let problem = Name.problem(in: name) {
                throw table.problem(
                    record, models, "the model '\(name)' of gpu_spec \(problem)")
            }
        }
        // Some pods of the trace name a model twice.
        return names.enumerated().filter { names.firstIndex(of: $1) == $0 }.map { String($1) }
    }

    private func seconds(
        _ record: CSVTable.Record, _ column: Int?
    ) throws(ConfigurationError) -> Int64? {
        guard let column, !record.fields[column].isEmpty else { return nil }
        return try table.integer(record, column, in: 0...(1 << 40))
    }
}
