// SPDX-License-Identifier: Apache-2.0

import Yams

/// A value with the place it was read from.
struct Located<Value> {
    var value: Value
    var mark: Mark?
}

extension Located: Sendable where Value: Sendable {}

/// Collects what is wrong with one file, so that its author sees all of it at once.
///
/// **Isolation:** used by one reader on one thread.
final class Diagnostics {
    /// Problems after this many are not kept: the first mistake may have caused them all.
    static let maximumProblemCount = 20

    let file: String
    private(set) var problems: [ConfigurationError.Problem] = []

    init(file: String) { self.file = file }

    /// Notes a problem; the hint is made only if there is room for it.
    func report(_ reason: String, at mark: Mark?, hint: @autoclosure () -> String? = nil) {
        guard problems.count < Self.maximumProblemCount else { return }
        let problem = ConfigurationError.Problem(
            file: file, line: mark?.line ?? 0, column: mark?.column ?? 0, reason: reason,
            hint: hint()
        )
        if !problems.contains(problem) { problems.append(problem) }
    }

    /// Throws what was collected, in order of place.
    ///
    /// - Throws: ``ConfigurationError`` if there is any problem.
    func throwIfAny() throws(ConfigurationError) {
        if problems.isEmpty { return }
        throw ConfigurationError(
            problems: problems.sorted { ($0.line, $0.column) < ($1.line, $1.column) })
    }
}

extension ConfigurationError {
    /// An error with one problem.
    init(file: String, line: Int = 0, column: Int = 0, _ reason: String, hint: String? = nil) {
        self.init(problems: [
            Problem(file: file, line: line, column: column, reason: reason, hint: hint)
        ])
    }
}
