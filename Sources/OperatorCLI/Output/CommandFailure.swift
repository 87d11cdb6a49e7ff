// SPDX-License-Identifier: Apache-2.0

/// What the exit status of `busbar` says; scripts rely on the numbers.
package enum ExitStatus: Int32, Sendable, CaseIterable {
    case success = 0
    /// The answer is no, or the fleet has not got there.
    case negative = 1
    /// Refused, by policy or because it would not be safe.
    case refused = 2
    case notFound = 3
    case permission = 4
    /// No coordinator answers.
    case unavailable = 5
    case timeout = 6
    case usage = 64
}

/// A command that cannot go on: one line that says what is wrong, one that says what to do.
package struct CommandFailure: Error, Hashable, Sendable {
    package var status: ExitStatus
    package var message: String
    /// What to do about it; nil where nothing is known.
    package var hint: String?

    package init(_ status: ExitStatus, _ message: String, hint: String? = nil) {
        self.status = status
        self.message = message
        self.hint = hint
    }

    /// The lines for stderr, without the last line break.
    package var text: String {
        let first = "error: " + Terminal.printable(message)
        guard let hint, !hint.isEmpty else { return first }
        return first + "\nhint: " + Terminal.printable(hint)
    }

    /// The object that takes the lines' place with `-o json`.
    package var json: JSONValue {
        .object([
            ("error", .string(message)), ("hint", hint.map(JSONValue.string) ?? .null),
            ("code", .integer(Int64(status.rawValue))),
        ])
    }
}
