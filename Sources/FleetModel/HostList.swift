// SPDX-License-Identifier: Apache-2.0

/// Lists of names written as people write them: `n[001-018,020],login1`.
///
/// A bracket holds numbers and ranges, separated by commas. Numbers with a leading zero keep their
/// width. Several brackets in one name combine: `r[1-2]n[1-2]` is `r1n1, r1n2, r2n1, r2n2`.
package enum HostList {
    /// Why a list cannot be expanded.
    package enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
        case emptyName
        case unbalancedBrackets
        case badRange(String)
        case reversedRange(String)
        case unevenWidths(String)
        case tooMany(limit: Int)

        package var description: String {
            switch self {
            case .emptyName: "a name in the list is empty"
            case .unbalancedBrackets: "brackets are not balanced"
            case .badRange(let text): "'\(text)' is not a number or a range such as 01-18"
            case .reversedRange(let text): "range '\(text)' runs backwards"
            case .unevenWidths(let text):
                "the two ends of range '\(text)' are padded to different widths"
            case .tooMany(let limit): "it stands for more than \(limit) names"
            }
        }
    }

    /// The names that a list stands for, in the order written; duplicates are kept.
    ///
    /// The number of names is bounded before anything is allocated.
    ///
    /// - Parameters:
    ///   - text: the list; spaces around names are ignored.
    ///   - limit: the most names to make.
    /// - Returns: at least one name. Names are not checked against ``Name``.
    /// - Throws: ``Problem``.
    package static func expand(
        _ text: some StringProtocol, limit: Int
    ) throws(Problem) -> [String] {
        var names: [String] = []
        for item in try split(text) {
            let pattern = try Pattern(item)
            guard let count = pattern.count, count <= limit - names.count else {
                throw .tooMany(limit: limit)
            }
            names += pattern.names(count: count)
        }
        return names
    }

    /// Cuts a list at the commas that are outside of brackets.
    private static func split(_ text: some StringProtocol) throws(Problem) -> [String] {
        var items: [String] = []
        var item = ""
        var depth = 0
        for character in text {
            switch character {
            case "[": depth += 1
            case "]": depth -= 1
            default: break
            }
            guard depth == 0 || depth == 1 else { throw .unbalancedBrackets }
            if character == "," && depth == 0 {
                items.append(trimmed(item))
                item = ""
            } else {
                item.append(character)
            }
        }
        guard depth == 0 else { throw .unbalancedBrackets }
        items.append(trimmed(item))
        guard items.allSatisfy({ !$0.isEmpty }) else { throw .emptyName }
        return items
    }

    private static func trimmed(_ text: String) -> String {
        var rest = text[...]
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }
}

// MARK: - Expansion

extension HostList {
    /// One name with its brackets taken apart.
    private struct Pattern {
        enum Part {
            case text(String)
            case numbers([Numbers])
        }
        var parts: [Part] = []

        /// Takes apart a name whose brackets are known to be balanced and not nested.
        init(_ item: String) throws(Problem) {
            var rest = item[...]
            while let open = rest.firstIndex(of: "["), let close = rest.firstIndex(of: "]") {
                if open > rest.startIndex { parts.append(.text(String(rest[..<open]))) }
                var numbers: [Numbers] = []
                let inside = rest[rest.index(after: open)..<close]
                for text in inside.split(separator: ",", omittingEmptySubsequences: false) {
                    numbers.append(try Numbers(HostList.trimmed(String(text))))
                }
                parts.append(.numbers(numbers))
                rest = rest[rest.index(after: close)...]
            }
            if !rest.isEmpty { parts.append(.text(String(rest))) }
        }

        /// The number of names, or nil when it overflows.
        var count: Int? {
            var product = 1
            for case .numbers(let numbers) in parts {
                var sum = 0
                for range in numbers {
                    let (next, overflow) = sum.addingReportingOverflow(range.count)
                    if overflow { return nil }
                    sum = next
                }
                let (next, overflow) = product.multipliedReportingOverflow(by: sum)
                if overflow { return nil }
                product = next
            }
            return product
        }

        func names(count: Int) -> [String] {
            var names = [""]
            names.reserveCapacity(count)
            for part in parts {
                switch part {
                case .text(let text): names = names.map { $0 + text }
                case .numbers(let numbers):
                    let texts = numbers.flatMap { range in (0..<range.count).map(range.text) }
                    names = names.flatMap { name in texts.map { name + $0 } }
                }
            }
            return names
        }
    }

    /// A number or a range inside a bracket.
    private struct Numbers {
        var first: Int
        var last: Int
        /// Digits to pad to; 0 for none.
        var width: Int

        /// Bounded, because `last` has at most ``HostList/maximumDigitCount`` digits.
        var count: Int { last - first + 1 }

        init(_ text: String) throws(Problem) {
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
            guard ends.count <= 2, let low = ends.first, let high = ends.last,
                let first = HostList.number(low), let last = HostList.number(high)
            else { throw .badRange(text) }
            let isPadded = HostList.isPadded(low) || HostList.isPadded(high)
            if isPadded && low.utf8.count != high.utf8.count { throw .unevenWidths(text) }
            if first > last { throw .reversedRange(text) }
            self.first = first
            self.last = last
            width = isPadded ? low.utf8.count : 0
        }

        func text(at offset: Int) -> String { HostList.padded(first + offset, width: width) }
    }

    private static let maximumDigitCount = 18

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.count <= maximumDigitCount,
            text.utf8.allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return Int(text)
    }

    private static func isPadded(_ digits: Substring) -> Bool {
        digits.utf8.count > 1 && digits.utf8.first == 48
    }

    private static func padded(_ number: Int, width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

// MARK: - Compression

extension HostList {
    /// Writes names as a short list; ``expand(_:limit:)`` gives back the same names, sorted and
    /// without duplicates.
    ///
    /// The last run of digits of each name is folded. Groups come in the order in which they first
    /// appear, numbers in rising order.
    ///
    /// **Complexity:** n log n for n names.
    package static func compress(_ names: some Sequence<String>) -> String {
        var order: [Group] = []
        var numbers: [Group: [Int]] = [:]
        for (group, number) in grouped(names) {
            if numbers[group] == nil { order.append(group) }
            numbers[group, default: []].append(number)
        }
        return order.map { $0.text(numbers[$0] ?? []) }.joined(separator: ",")
    }

    /// Names that differ in one number only.
    private struct Group: Hashable {
        var prefix: String
        var suffix: String
        /// Digits that numbers are padded to; 0 for none, -1 for a name without a number.
        var width: Int

        func text(_ numbers: [Int]) -> String {
            if width < 0 { return prefix }
            var ranges: [ClosedRange<Int>] = []
            for number in numbers.sorted() {
                if let last = ranges.last, number <= last.upperBound + 1 {
                    ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, number)
                } else {
                    ranges.append(number...number)
                }
            }
            func digits(_ number: Int) -> String { HostList.padded(number, width: width) }
            if ranges.count == 1, let only = ranges.first, only.count == 1 {
                return prefix + digits(only.lowerBound) + suffix
            }
            let texts = ranges.map { range in
                range.count == 1
                    ? digits(range.lowerBound)
                    : digits(range.lowerBound) + "-" + digits(range.upperBound)
            }
            return prefix + "[" + texts.joined(separator: ",") + "]" + suffix
        }
    }

    private static func grouped(_ names: some Sequence<String>) -> [(Group, Int)] {
        let pieces = names.map(Pieces.init)
        // A width is padded when any number of that width has a leading zero: 09 makes 10 padded.
        var paddedWidths: Set<Group> = []
        for piece in pieces where isPadded(piece.digits[...]) {
            paddedWidths.insert(piece.group(width: piece.digits.utf8.count))
        }
        return pieces.map { piece in
            guard let number = number(piece.digits[...]) else { return (piece.group(width: -1), 0) }
            let padded = piece.group(width: piece.digits.utf8.count)
            return (paddedWidths.contains(padded) ? padded : piece.group(width: 0), number)
        }
    }

    /// A name cut around its last run of digits.
    private struct Pieces {
        var prefix: String
        var digits: String
        var suffix: String

        init(_ name: String) {
            let bytes = Array(name.utf8)
            let isDigit = { (byte: UInt8) in (48...57).contains(byte) }
            let end = (bytes.lastIndex(where: isDigit) ?? -1) + 1
            let start = (bytes[..<end].lastIndex { !isDigit($0) } ?? -1) + 1
            if end == 0 || end - start > HostList.maximumDigitCount {
                (prefix, digits, suffix) = (name, "", "")
                return
            }
            prefix = String(decoding: bytes[..<start], as: UTF8.self)
            digits = String(decoding: bytes[start..<end], as: UTF8.self)
            suffix = String(decoding: bytes[end...], as: UTF8.self)
        }

        func group(width: Int) -> Group { Group(prefix: prefix, suffix: suffix, width: width) }
    }
}
