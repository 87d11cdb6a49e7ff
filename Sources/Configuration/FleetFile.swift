// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What a topology file says: a fleet, and the jobs that come with it as a sample.
package struct FleetFile: Hashable, Sendable {
    /// Valid: `topology.problems()` is empty.
    package var topology: Topology
    /// Jobs that `busbar up` submits by itself, in file order; may be empty.
    package var sampleJobs: [JobSpec]

    package init(topology: Topology, sampleJobs: [JobSpec]) {
        self.topology = topology
        self.sampleJobs = sampleJobs
    }

    /// Reads a topology file.
    ///
    /// - Throws: ``ConfigurationError`` with every problem's line, reason and hint.
    package static func load(_ path: String) throws(ConfigurationError) -> FleetFile {
        try parse(try FileText.read(path), name: path)
    }

    /// Reads a topology from the bytes of a file.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - name: the file's name in errors.
    /// - Returns: the fleet and its sample jobs.
    /// - Throws: ``ConfigurationError``.
    package static func parse(
        _ bytes: [UInt8], name: String
    ) throws(ConfigurationError) -> FleetFile {
        try TopologyReader.read(try YAMLDocument.parse(bytes, name: name), name: name)
    }
}
