// SPDX-License-Identifier: Apache-2.0

/// Why a file was refused: every problem that was found, with its place.
package struct ConfigurationError: Error, Hashable, Sendable {
    /// One thing that is wrong with a file.
    package struct Problem: Hashable, Sendable {
        /// The file as the caller named it.
        package var file: String
        /// 1-based; 0 when the problem is not at one place of the file.
        package var line: Int
        /// 1-based, in characters; 0 when unknown.
        package var column: Int
        package var reason: String
        /// What the author can do about it, if there is something to say.
        package var hint: String?

        package init(file: String, line: Int, column: Int, reason: String, hint: String?) {
            self.file = file
            self.line = line
            self.column = column
            self.reason = reason
            self.hint = hint
        }
    }

    /// In order of their places; never empty.
    package var problems: [Problem]

    package init(problems: [Problem]) { self.problems = problems }

    /// The first problem: what a one-line message shows.
    package var first: Problem {
        problems.first
            ?? Problem(file: "", line: 0, column: 0, reason: "unknown problem", hint: nil)
    }
}

extension ConfigurationError.Problem: CustomStringConvertible {
    /// `file:line:column: reason (hint)`, as compilers write it.
    package var description: String {
        var place = file
        if line > 0 { place += ":\(line)" }
        if line > 0 && column > 0 { place += ":\(column)" }
        return "\(place): \(reason)" + (hint.map { " (\($0))" } ?? "")
    }
}

extension ConfigurationError: CustomStringConvertible {
    /// One line for each problem.
    package var description: String {
        problems.map(\.description).joined(separator: "\n")
    }
}
