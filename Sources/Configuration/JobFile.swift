// SPDX-License-Identifier: Apache-2.0

package import FleetModel
import Yams

/// What a job file says, for `busbar submit -f`.
package enum JobFile {
    /// Reads the jobs of a file.
    ///
    /// - Returns: the jobs in file order; at least one.
    /// - Throws: ``ConfigurationError``.
    package static func load(_ path: String) throws(ConfigurationError) -> [JobSpec] {
        try parse(try FileText.read(path), name: path)
    }

    /// Reads jobs from the bytes of a file: one job, a list of jobs, or a mapping with `jobs`.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - name: the file's name in errors.
    /// - Returns: the jobs in file order; at least one.
    /// - Throws: ``ConfigurationError``.
    package static func parse(
        _ bytes: [UInt8], name: String
    ) throws(ConfigurationError) -> [JobSpec] {
        let diagnostics = Diagnostics(file: name)
        let root = try YAMLDocument.parse(bytes, name: name)
        var reader = JobReader(diagnostics)
        for node in jobs(in: root, diagnostics) { reader.read(node) }
        if reader.entries.isEmpty {
            diagnostics.report("there is no job in the file", at: root.mark)
        }
        try diagnostics.throwIfAny()
        return reader.entries.map(\.spec)
    }

    private static func jobs(in root: YAMLNode, _ diagnostics: Diagnostics) -> [YAMLNode] {
        switch root {
        case .sequence(let sequence): return Array(sequence)
        case .mapping(let mapping) where mapping.contains { $0.key.scalar?.string == "jobs" }:
            return Fields(root, what: "a job file", known: ["jobs"], diagnostics)?.list("jobs")
                ?? []
        default: return [root]
        }
    }
}
