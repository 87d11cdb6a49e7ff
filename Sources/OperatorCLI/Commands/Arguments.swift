// SPDX-License-Identifier: Apache-2.0

/// The options that say where a fleet is may stand before the subcommand as well as after it.
///
/// The parser knows them after it only; so those that come first are moved behind.
package enum Arguments {
    /// Options that may stand first, all of which take a value.
    static let movable: Set<String> = [
        "--state", "--coordinator", "--cert", "--key", "--ca", "--timeout", "-o", "--output",
    ]

    /// The arguments with what stands before the subcommand moved behind all others.
    package static func normalized(_ arguments: [String]) -> [String] {
        var moved: [String] = []
        var rest = arguments[...]
        while let first = rest.first, first.hasPrefix("-") {
            let name = first.prefix { $0 != "=" }
            guard movable.contains(String(name)) else { return arguments }
            moved.append(rest.removeFirst())
            if name.count == first.count {
                guard let value = rest.popFirst() else { return arguments }
                moved.append(value)
            }
        }
        guard !moved.isEmpty, !rest.isEmpty else { return arguments }
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return Array(rest[..<end]) + moved + Array(rest[end...])
    }

    /// Whether these arguments ask for JSON; known before they are parsed, since errors of parsing
    /// are written in the format that was asked for too.
    package static func asksForJSON(_ arguments: [String]) -> Bool {
        var previous = ""
        for argument in arguments {
            if argument == "--" { return false }
            if ["-ojson", "-o=json", "--output=json"].contains(argument) { return true }
            if argument == "json" && ["-o", "--output"].contains(previous) { return true }
            previous = argument
        }
        return false
    }
}
