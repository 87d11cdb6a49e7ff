// SPDX-License-Identifier: Apache-2.0

import Yams

/// A value of a YAML document with its place; `Node` alone would be a server of the fleet.
typealias YAMLNode = Yams.Node

/// Turns the bytes of a file into one YAML node, and refuses what configuration has no use for.
///
/// Anchors and aliases are refused: they would let a small file stand for an endless one, and an
/// error in an expanded part would have no line of its own. Tags of a program's own are refused because
/// every value's type follows from its key.
enum YAMLDocument {
    /// The largest file that is read: far above a fleet of 200,000 nodes written with ranges.
    static let maximumByteCount = 4 << 20
    /// The deepest nesting of lists and mappings: about a hundred levels of power domains.
    static let maximumDepth = 200
    /// Words that look like an alias and are let through to the parser.
    ///
    /// A comment may hold a few; this many aliases cannot multiply to much.
    static let maximumAliasLikeCount = 16

    /// Parses a file that must hold one document.
    ///
    /// - Returns: its root, checked.
    /// - Throws: ``ConfigurationError`` with the first problem.
    static func parse(_ bytes: [UInt8], name: String) throws(ConfigurationError) -> YAMLNode {
        if bytes.count > maximumByteCount {
            throw ConfigurationError(
                file: name, "the file is larger than \(maximumByteCount >> 20) MiB",
                hint: "write ranges such as n[001-500] instead of single names")
        }
        let text = try decode(bytes, name: name)
        try refuseAliases(in: bytes, name: name)
        do {
            let parser = try Parser(yaml: text, encoding: .utf8)
            guard let root = try parser.singleRoot() else {
                throw ConfigurationError(file: name, "the file is empty")
            }
            // Anchors are known only while the parser lives.
            try withExtendedLifetime(parser) { try check(root, depth: 0, name: name) }
            return root
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw problem(of: error, name: name)
        }
    }

    /// Decodes UTF-8, with or without a byte order mark.
    static func decode(_ bytes: [UInt8], name: String) throws(ConfigurationError) -> String {
        let body = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
        if let text = String(validating: body, as: UTF8.self) { return text }
        var offset = 0
        do {
            _ = try UTF8Span(validating: body.span)
        } catch {
            offset = error.byteOffsets.lowerBound
        }
        let before = body[body.startIndex..<(body.startIndex + offset)]
        let line = before.count { $0 == 10 } + 1
        throw ConfigurationError(
            file: name, line: line, "the text is not UTF-8", hint: "save the file as UTF-8")
    }

    /// Refuses a text with many words that start with `*`, before aliases could be expanded.
    private static func refuseAliases(in bytes: [UInt8], name: String) throws(ConfigurationError) {
        var count = 0
        var line = 1
        for (position, byte) in bytes.enumerated() {
            if byte == 10 { line += 1 }
            guard byte == 42, position + 1 < bytes.count, bytes[position + 1] > 32 else { continue }
            count += 1
            if count > maximumAliasLikeCount {
                throw ConfigurationError(
                    file: name, line: line, "too many words that start with '*'",
                    hint: "aliases are not supported")
            }
        }
    }

    private static func check(_ node: YAMLNode, depth: Int, name: String) throws(ConfigurationError)
    {
        func refuse(_ reason: String, hint: String? = nil) -> ConfigurationError {
            ConfigurationError(
                file: name, line: node.mark?.line ?? 0, column: node.mark?.column ?? 0, reason,
                hint: hint)
        }
        if depth > maximumDepth { throw refuse("lists and mappings are nested too deeply") }
        if node.anchor != nil {
            throw refuse("anchors and aliases are not supported", hint: "write the value out")
        }
        switch node {
        case .scalar(let scalar):
            if !isPlain(scalar.tag) { throw refuse("tags such as \(scalar.tag) are not supported") }
        case .sequence(let sequence):
            if !isPlain(sequence.tag) {
                throw refuse("tags such as \(sequence.tag) are not supported")
            }
            for child in sequence { try check(child, depth: depth + 1, name: name) }
        case .mapping(let mapping):
            if !isPlain(mapping.tag) {
                throw refuse("tags such as \(mapping.tag) are not supported")
            }
            for (key, value) in mapping {
                try check(key, depth: depth + 1, name: name)
                try check(value, depth: depth + 1, name: name)
            }
        case .alias: throw refuse("anchors and aliases are not supported")
        }
    }

    /// True for no tag and for YAML's own, which the parser also infers; they change nothing, because
    /// values are read by what their key asks for.
    private static func isPlain(_ tag: Tag) -> Bool {
        tag.rawValue.isEmpty || tag.rawValue.hasPrefix("tag:yaml.org,2002:")
    }

    /// Puts the parser's error into our form.
    private static func problem(of error: any Error, name: String) -> ConfigurationError {
        guard let error = error as? YamlError else {
            return ConfigurationError(file: name, "the file cannot be parsed: \(error)")
        }
        func at(_ mark: Mark, _ reason: String, hint: String? = nil) -> ConfigurationError {
            ConfigurationError(
                file: name, line: mark.line, column: mark.column, reason, hint: hint)
        }
        switch error {
        case .scanner(let context, let problem, let mark, _),
            .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            return at(mark, "not YAML: \(problem)", hint: context.map { hint(from: $0) })
        case .reader(let problem, let offset, _, let yaml):
            let line = yaml.prefix(offset ?? 0).count { $0.isNewline } + 1
            return ConfigurationError(file: name, line: line, "not YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            return at(
                context.mark,
                "key '\(keys.first ?? "")' is there twice in the mapping that begins here")
        default:
            return ConfigurationError(file: name, "the file cannot be parsed")
        }
    }

    private static func hint(from context: YamlError.Context) -> String {
        "\(context.text) that begins at line \(context.mark.line)"
    }
}
