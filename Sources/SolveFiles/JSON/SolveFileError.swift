// SPDX-License-Identifier: Apache-2.0

/// Why a file was refused: where in its JSON, what is wrong, and what to do.
package struct SolveFileError: Error, Hashable, Sendable {
    /// One step from a value to one inside it.
    package enum Step: Hashable, Sendable {
        case key(String)
        case index(Int)
    }

    /// The way from the root to the value, outermost first.
    package private(set) var steps: [Step]
    /// What is wrong, without a final full stop.
    package var reason: String
    /// What to do about it.
    package var hint: String
    /// Where in the file, counted in bytes from 0; nil where the path says enough.
    package var offset: Int?
    /// Line and column of ``offset``, from 1; filled in by ``locate(in:)``.
    private var place: (line: Int, column: Int)?

    package init(_ reason: String, hint: String, at steps: [Step] = [], offset: Int? = nil) {
        self.steps = steps
        self.reason = reason
        self.hint = hint
        self.offset = offset
    }

    /// The same error, seen from the value around it.
    func inside(_ step: Step) -> SolveFileError {
        var error = self
        error.steps.insert(step, at: 0)
        return error
    }

    /// The same error with the line and column of its offset.
    func locate(in bytes: UnsafeRawBufferPointer) -> SolveFileError {
        guard let offset else { return self }
        let before = bytes.prefix(offset)
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        var error = self
        error.place = (before.count { $0 == UInt8(ascii: "\n") } + 1, offset - lineStart + 1)
        return error
    }

    /// The place as a path: `$.gpus[17].domains[1]`.
    package var path: String { SolveFileError.path(steps) }

    /// A path in the usual notation; keys that are no identifiers stand in brackets and quotes.
    static func path(_ steps: [Step]) -> String {
        var text = "$"
        for step in steps {
            switch step {
            case .index(let index): text += "[\(index)]"
            case .key(let key) where isIdentifier(key): text += ".\(key)"
            case .key(let key): text += "[\(quoted(key))]"
            }
        }
        return text
    }

    private static func isIdentifier(_ key: String) -> Bool {
        guard let first = key.utf8.first, !isDigit(first) else { return false }
        return key.utf8.allSatisfy { isDigit($0) || isLetter($0) }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || byte == UInt8(ascii: "_")
    }

    /// A name as it stands in JSON, cut where it is long.
    static func quoted(_ name: String) -> String {
        let shown = name.count > 80 ? name.prefix(79) + "…" : name[...]
        return "\"" + shown.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    package static func == (left: SolveFileError, right: SolveFileError) -> Bool {
        left.steps == right.steps && left.reason == right.reason && left.hint == right.hint
            && left.offset == right.offset
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(steps)
        hasher.combine(reason)
    }
}

extension SolveFileError: CustomStringConvertible {
    /// Path, reason, and line and column where they help.
    package var description: String {
        guard let place else { return "\(path): \(reason)" }
        return "\(path): \(reason) (line \(place.line), column \(place.column))"
    }
}
