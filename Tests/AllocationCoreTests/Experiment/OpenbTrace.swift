// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Foundation

@testable import AllocationCore

/// The production trace of the FGD paper, as the repository carries it.
enum OpenbTrace {
    private static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Data/openb")

    private static func rows(_ file: String) throws -> [[Substring]] {
        let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
        return text.split(separator: "\n").dropFirst().map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
    }

    private static func number<Number: FixedWidthInteger>(_ text: Substring) throws -> Number {
        guard let value = Number(text) else { throw CocoaError(.formatting) }
        return value
    }

    static func nodes() throws -> [ExperimentNode] {
        try rows("openb_node_list_gpu_node.csv").map { row in
            ExperimentNode(
                name: String(row[0]), cpuMilli: try number(row[1]), memoryMiB: try number(row[2]),
                gpuCount: try number(row[3]), model: String(row[4]))
        }
    }

    /// The pods of a list: `default`, `multigpu30` and so on.
    static func pods(_ list: String) throws -> [ExperimentPod] {
        try rows("openb_pod_list_\(list).csv").map { row in
            let task = TaskRequest(
                gpuCount: try number(row[3]), gpuMilli: try number(row[4]),
                cpuMilli: try number(row[1]), memoryMiB: try number(row[2]))
            let models = row.count > 5 ? row[5].split(separator: "|").map(String.init) : []
            return ExperimentPod(name: String(row[0]), task: task, models: models)
        }
    }
}
