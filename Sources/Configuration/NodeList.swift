// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// A server of a trace.
package struct ListedNode: Hashable, Sendable {
    package var name: String
    package var cpuMilli: UInt32
    package var memoryMiB: UInt32
    package var gpuCount: UInt16
    package var model: String
    /// The line of the list.
    package var line: Int
}

/// A list of servers of a production trace, in the form of Alibaba's cluster-trace-gpu-v2023.
///
/// Columns, by name: `sn`, `cpu_milli`, `memory_mib`, `gpu`, `model`; further columns are ignored.
package enum NodeList {
    /// Reads a list.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - isWithoutGPUsSkipped: leave out servers that have no GPUs, instead of refusing the list.
    /// - Returns: the servers in file order; at least one.
    /// - Throws: ``ConfigurationError`` with line and column.
    package static func load(
        _ path: String, skippingWithoutGPUs isWithoutGPUsSkipped: Bool = false
    ) throws(ConfigurationError) -> [ListedNode] {
        try parse(
            try FileText.read(path, maximumByteCount: CSVTable.maximumByteCount), name: path,
            skippingWithoutGPUs: isWithoutGPUsSkipped)
    }

    /// Reads a list from the bytes of a file.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - name: the file's name in errors.
    ///   - isWithoutGPUsSkipped: leave out servers that have no GPUs, instead of refusing the list.
    /// - Returns: the servers in file order; at least one.
    /// - Throws: ``ConfigurationError`` with line and column.
    package static func parse(
        _ bytes: [UInt8], name: String, skippingWithoutGPUs isWithoutGPUsSkipped: Bool = false
    ) throws(ConfigurationError) -> [ListedNode] {
        let required = ["sn", "cpu_milli", "memory_mib", "gpu", "model"]
        let table = try CSVTable(bytes, name: name, required: required)
        let columns = required.map { table.column($0) ?? 0 }
        if table.records.count > Topology.maximumNodeCount {
            throw ConfigurationError(
                file: name, "the list has more than \(Topology.maximumNodeCount) servers")
        }
        var nodes: [ListedNode] = []
        var names: Set<String> = []
        for record in table.records {
            if isWithoutGPUsSkipped, record.fields[columns[3]] == "0" { continue }
            let node = try node(record, table, columns)
            if !names.insert(node.name).inserted {
                throw table.problem(record, columns[0], "server '\(node.name)' is there twice")
            }
            nodes.append(node)
        }
        if nodes.isEmpty {
            throw ConfigurationError(
                file: name,
                isWithoutGPUsSkipped
                    ? "the list has no servers with GPUs" : "the list has no servers")
        }
        return nodes
    }

    private static func node(
        _ record: CSVTable.Record, _ table: CSVTable, _ columns: [Int]
    ) throws(ConfigurationError) -> ListedNode {
        let node = ListedNode(
            name: record.fields[columns[0]],
            cpuMilli: UInt32(try table.integer(record, columns[1], in: 0...Int64(UInt32.max))),
            memoryMiB: UInt32(try table.integer(record, columns[2], in: 0...Int64(UInt32.max))),
            gpuCount: UInt16(
                try table.integer(
                    record, columns[3], in: 1...Int64(TelemetryReport.maximumGPUCount))),
            model: record.fields[columns[4]], line: record.line)
        for (what, text, column) in [("server", node.name, 0), ("model", node.model, 4)] {
            if let problem = Name.problem(in: text) {
                throw table.problem(
                    record, columns[column], "the name of \(what) '\(text)' \(problem)")
            }
        }
        return node
    }
}
