// SPDX-License-Identifier: Apache-2.0

/// Many node names in few characters: `n001 n002 n003 n007` is `n[001-003,007]`.
package enum HostList {
    private struct Part {
        var prefix: String
        var digits: String
        var suffix: String
        var number: UInt64
    }

    /// The compressed list, in order of prefix, then of number; duplicates once.
    ///
    /// Names are grouped by what stands around their last run of digits and by the width of that
    /// run, so that the list reads back unambiguously.
    package static func compress(_ names: [String]) -> String {
        var groups: [String: [Part]] = [:]
        var order: [String] = []
        var seen: Set<String> = []
        for name in names.sorted() where seen.insert(name).inserted {
            let part = split(name)
            let key = part.prefix + "\u{0}\(part.digits.count)\u{0}" + part.suffix
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(part)
        }
        return order.map { text(of: groups[$0] ?? []) }.joined(separator: ",")
    }

    private static func split(_ name: String) -> Part {
        let characters = Array(name)
        guard let last = characters.lastIndex(where: isDigit) else {
            return Part(prefix: name, digits: "", suffix: "", number: 0)
        }
        var first = last
        // 19 digits always fit the number.
        while first > 0, isDigit(characters[first - 1]), last - first < 18 { first -= 1 }
        let digits = String(characters[first...last])
        return Part(
            prefix: String(characters[..<first]), digits: digits,
            suffix: String(characters[(last + 1)...]), number: UInt64(digits) ?? 0)
    }

    private static func isDigit(_ character: Character) -> Bool {
        ("0"..."9").contains(character)
    }

    private static func text(of parts: [Part]) -> String {
        let parts = parts.sorted { $0.number < $1.number }
        guard let first = parts.first else { return "" }
        if parts.count == 1 { return first.prefix + first.digits + first.suffix }
        var runs: [(first: Part, last: Part)] = []
        for part in parts {
            if let run = runs.last, run.last.number + 1 == part.number {
                runs[runs.count - 1].last = part
            } else {
                runs.append((part, part))
            }
        }
        let ranges = runs.map { run in
            run.first.number == run.last.number
                ? run.first.digits : run.first.digits + "-" + run.last.digits
        }
        return first.prefix + "[" + ranges.joined(separator: ",") + "]" + first.suffix
    }
}
