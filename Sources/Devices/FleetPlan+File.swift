// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import Wire

/// Why a plan file could not be used.
package struct PlanFileError: Error, Hashable, Sendable, CustomStringConvertible {
    package var path: String
    package var reason: String
    package var description: String { "plan '\(path)': \(reason)" }
}

extension FleetPlan {
    /// The largest plan file: a million nodes take some 60 MB.
    private static let maximumFileByteCount = 256 << 20

    /// Reads a compiled plan from a file.
    ///
    /// - Parameter path: the file.
    /// - Returns: the plan, checked.
    /// - Throws: ``PlanFileError`` when it cannot be read or is not a plan.
    package static func read(path: String) throws(PlanFileError) -> FleetPlan {
        let bytes = try readAll(path)
        do throws(WireError) {
            return try FleetPlan.decode(bytes)
        } catch {
            throw PlanFileError(path: path, reason: "\(error)")
        }
    }

    private static func readAll(_ path: String) throws(PlanFileError) -> [UInt8] {
        func failure() -> PlanFileError {
            PlanFileError(path: path, reason: strerror(errno).map { String(cString: $0) } ?? "?")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
            guard bytes.count <= maximumFileByteCount else {
                throw PlanFileError(path: path, reason: "is larger than 256 MiB")
            }
        }
    }
}
