// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

/// The keys of one mapping, read by name; what is wrong goes to the diagnostics.
///
/// Readers return nil where a value is missing or bad, after the problem was reported: callers go on
/// with what they have, so that one run reports everything.
struct Fields {
    /// What the mapping describes, for messages: `node type 'hgx'`.
    let what: String
    let mark: Mark?
    let diagnostics: Diagnostics
    private var values: [String: YAMLNode] = [:]

    /// Takes a mapping apart, and reports keys that are not in `known`.
    ///
    /// Nil, after a report, when the node is no mapping. A mapping with a name is called by it: `a
    /// site` becomes `site 'dublin'`.
    init?(_ node: YAMLNode, what: String, known: [String], _ diagnostics: Diagnostics) {
        self.what = Self.name(of: node, kind: what)
        self.diagnostics = diagnostics
        mark = node.mark
        guard case .mapping(let mapping) = node else {
            diagnostics.report("\(self.what) must be a mapping of keys to values", at: node.mark)
            return nil
        }
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                diagnostics.report("a key must be a word", at: key.mark)
                continue
            }
            if known.contains(scalar.string) {
                values[scalar.string] = value
            } else {
                diagnostics.report(
                    "unknown key '\(printable(scalar.string))' in \(self.what)", at: key.mark,
                    hint: Suggestion.hint(for: scalar.string, among: known, kind: "keys"))
            }
        }
    }

    private static func name(of node: YAMLNode, kind: String) -> String {
        guard kind.hasPrefix("a "), case .mapping(let mapping) = node,
            let name = mapping.first(where: { $0.key.scalar?.string == "name" })?.value.scalar
        else { return kind }
        return "\(kind.dropFirst(2)) '\(printable(name.string))'"
    }

    /// The value of a key, or nil.
    func node(_ key: String) -> YAMLNode? { values[key] }

    /// The place of a key's value, or that of the mapping.
    func mark(of key: String) -> Mark? { values[key]?.mark ?? mark }

    /// Reports that a key is missing.
    func reportMissing(_ key: String) {
        diagnostics.report("\(what) has no '\(key)'", at: mark)
    }

    /// The text of a key's value; nil when it is missing or no plain value.
    func text(_ key: String, required: Bool = false) -> Located<String>? {
        guard let node = values[key] else {
            if required { reportMissing(key) }
            return nil
        }
        return Self.text(of: node, what: "'\(key)' of \(what)", diagnostics)
    }

    /// A value with a unit or in a range; `fallback` stands in for a missing or bad one.
    func quantity<Value>(
        _ key: String, default fallback: Value, _ read: (String) throws(Quantity.Problem) -> Value
    ) -> Value {
        quantity(key, required: false, read) ?? fallback
    }

    /// A value with a unit or in a range; nil when it is missing or bad.
    func quantity<Value>(
        _ key: String, required: Bool = false, _ read: (String) throws(Quantity.Problem) -> Value
    ) -> Value? {
        guard let text = text(key, required: required) else { return nil }
        do throws(Quantity.Problem) {
            return try read(text.value)
        } catch {
            diagnostics.report(
                "'\(key)' of \(what): \(printable(error.reason))", at: text.mark, hint: error.hint)
            return nil
        }
    }

    /// True when a key's value is this word; says nothing when it is another.
    func isWord(_ key: String, _ word: String) -> Bool {
        guard case .scalar(let scalar) = values[key] else { return false }
        return scalar.string == word
    }

    /// One of the cases of an enumeration, by its raw value.
    func choice<Value>(_ key: String, default fallback: Value) -> Value
    where Value: RawRepresentable<String> & CaseIterable {
        guard let text = text(key) else { return fallback }
        if let value = Value(rawValue: text.value) { return value }
        let known = Value.allCases.map(\.rawValue)
        diagnostics.report(
            "'\(key)' of \(what) cannot be '\(printable(text.value))'", at: text.mark,
            hint: Suggestion.hint(for: text.value, among: known, kind: "values"))
        return fallback
    }

    /// A truth value, written `true` or `false`.
    func flag(_ key: String, default fallback: Bool) -> Bool {
        guard let text = text(key) else { return fallback }
        switch text.value {
        case "true": return true
        case "false": return false
        default:
            diagnostics.report(
                "'\(key)' of \(what) cannot be '\(printable(text.value))'", at: text.mark,
                hint: "write true or false")
            return fallback
        }
    }

    /// The elements of a list; empty when the key is missing.
    func list(_ key: String) -> [YAMLNode] {
        guard let node = values[key] else { return [] }
        guard case .sequence(let sequence) = node else {
            diagnostics.report("'\(key)' of \(what) must be a list", at: node.mark)
            return []
        }
        return Array(sequence)
    }

    /// A list of texts; a single text is a list of one.
    func texts(_ key: String) -> [Located<String>] {
        guard let node = values[key] else { return [] }
        if case .scalar = node { return text(key).map { [$0] } ?? [] }
        return list(key).compactMap {
            Self.text(of: $0, what: "an element of '\(key)' of \(what)", diagnostics)
        }
    }

    /// A mapping of names to texts, such as labels.
    func labels(_ key: String) -> [String: String] {
        guard let node = values[key] else { return [:] }
        guard case .mapping(let mapping) = node else {
            diagnostics.report("'\(key)' of \(what) must be a mapping", at: node.mark)
            return [:]
        }
        var labels: [String: String] = [:]
        for (key, value) in mapping {
            guard let name = Self.text(of: key, what: "a label", diagnostics),
                let text = Self.text(of: value, what: "label '\(name.value)'", diagnostics)
            else { continue }
            for part in [name, text] {
                if let problem = Name.problem(in: part.value) {
                    diagnostics.report(
                        "label '\(printable(part.value))' \(problem)", at: part.mark)
                }
            }
            labels[name.value] = text.value
        }
        return labels
    }

    /// The text of a scalar; a key without a value is no text.
    private static func text(
        of node: YAMLNode, what: String, _ diagnostics: Diagnostics
    ) -> Located<String>? {
        guard case .scalar(let scalar) = node else {
            diagnostics.report("\(what) must be a single value", at: node.mark)
            return nil
        }
        if scalar.string.isEmpty && scalar.style == .plain {
            diagnostics.report("\(what) has no value", at: node.mark)
            return nil
        }
        return Located(value: scalar.string, mark: scalar.mark)
    }
}

/// A text from a file as it may be shown on a terminal: one short line without control characters.
func printable(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars.prefix(80) {
        shown.unicodeScalars.append(scalar.properties.generalCategory == .control ? "?" : scalar)
    }
    return text.unicodeScalars.count > 80 ? shown + "..." : shown
}

/// Finds what an author may have meant.
enum Suggestion {
    /// `did you mean 'limit'?`, or the list of what is known.
    static func hint(for text: String, among known: [String], kind: String) -> String? {
        let close = known.map { ($0, distance(text, $0)) }.filter { $0.1 <= max(1, $0.0.count / 3) }
        if let best = close.min(by: { $0.1 < $1.1 }) { return "did you mean '\(best.0)'?" }
        if known.isEmpty { return nil }
        let shown = known.prefix(16).joined(separator: ", ")
        return "known \(kind): \(shown)" + (known.count > 16 ? ", ..." : "")
    }

    /// Edits that turn one word into the other; words over 40 bytes count as far apart.
    private static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.lowercased().utf8)
        let right = Array(right.lowercased().utf8)
        if left.count > 40 || right.count > 40 { return Int.max }
        var row = Array(0...right.count)
        for (i, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let substitution = diagonal + (byte == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
