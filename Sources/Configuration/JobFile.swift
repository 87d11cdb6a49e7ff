// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What a job file says, for `busbar submit -f`.
package enum JobFile {
    /// Reads the jobs of a file, in file order; at least one.
    ///
    /// - Throws: ``ConfigurationError``.
    package static func load(_ path: String) throws(ConfigurationError) -> [JobSpec] {
        try parse(try FileText.read(path), name: path)
    }

    /// Reads jobs from the bytes of a file.
    package static func parse(
        _ bytes: [UInt8], name: String
    ) throws(ConfigurationError) -> [JobSpec] {
        throw ConfigurationError(problems: [
            .init(file: name, line: 0, column: 0, reason: "no reader is linked", hint: nil)
        ])
    }
}
