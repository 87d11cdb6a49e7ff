// SPDX-License-Identifier: Apache-2.0

/// The rules of style that a machine can check, each a function from a file to its findings.
enum Tidy {
    static let longestFunction = 70
    static let longestFile = 800
    static let longestProgram = 80

    /// Targets that decide and do nothing else.
    static let pureTargets: Set<String> = [
        "FleetModel", "AllocationCore", "ControlPlane", "Simulation", "MetricsText",
        "AllocationBench",
    ]

    /// The first line names the licence.
    static func licence(_ file: Repository.File) -> [String] {
        let lines = file.lines.prefix(2)
        return lines.contains { $0.contains("SPDX-License-Identifier: Apache-2.0") }
            ? [] : ["\(file.path):1: no licence line"]
    }

    /// No file is longer than a reader can hold.
    static func fileLength(_ file: Repository.File) -> [String] {
        let isProgram = file.path.hasPrefix("Sources/busbar")
        let limit = isProgram ? longestProgram : longestFile
        return file.lines.count > limit
            ? ["\(file.path):\(file.lines.count): longer than \(limit) lines"] : []
    }

    /// Every function fits a screen.
    static func functionLength(_ file: Repository.File) -> [String] {
        var findings: [String] = []
        for (start, line) in file.lines.enumerated() where opensFunction(line) {
            guard let end = endOfBody(file.lines, from: start) else { continue }
            let count = end - start + 1
            if count > longestFunction {
                findings.append("\(file.path):\(start + 1): function of \(count) lines")
            }
        }
        return findings
    }

    /// Words that must not land.
    static func bannedWords(_ file: Repository.File) -> [String] {
        var findings: [String] = []
        for (index, line) in file.lines.enumerated() {
            for word in banned(in: file) where line.contains(word) {
                findings.append("\(file.path):\(index + 1): '\(word)'")
            }
        }
        return findings
    }

    /// Every `@unchecked Sendable` and `nonisolated(unsafe)` stands below its proof.
    static func proofs(_ file: Repository.File) -> [String] {
        if file.path.hasPrefix("Tests/RepositoryTests/Tidy") { return [] }
        var findings: [String] = []
        for (index, line) in file.lines.enumerated() where !isComment(line) {
            guard line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)")
            else { continue }
            let above = file.lines[max(0, index - 6)..<index]
            if !above.contains(where: isComment) {
                findings.append("\(file.path):\(index + 1): no proof in a comment above")
            }
        }
        return findings
    }

    /// A test pauses only inside a loop that looks for something, or below a comment that says why.
    static func pauses(_ file: Repository.File) -> [String] {
        guard file.path.hasPrefix("Tests/"), !file.path.hasPrefix("Tests/RepositoryTests/") else {
            return []
        }
        var findings: [String] = []
        for (index, line) in file.lines.enumerated() where !isComment(line) {
            guard line.contains("Task.sleep") || line.contains("usleep(") else { continue }
            let above = file.lines[max(0, index - 10)..<index]
            let isPolling = line.contains("while ") || above.contains { $0.contains("while ") }
            if !isPolling && !above.suffix(2).contains(where: isComment) {
                findings.append("\(file.path):\(index + 1): a pause that waits for time")
            }
        }
        return findings
    }

    // MARK: - Helpers

    /// The line of the brace that closes the body of a declaration; nil when it has no body.
    private static func endOfBody(_ lines: [String], from start: Int) -> Int? {
        let indent = lines[start].prefix { $0 == " " }
        guard let opening = lines[start...].prefix(14).firstIndex(where: { $0.contains("{") })
        else { return nil }
        if lines[opening].hasSuffix("}") { return opening }
        // A requirement of a protocol has no body: the next declaration stands where a brace would.
        for line in lines[start..<opening].dropFirst() {
            let isContinuation =
                line.hasPrefix(indent + " ") || line.hasPrefix(indent + ")")
                || line.hasPrefix(indent + "where ") || line.hasPrefix(indent + "{")
            if !isContinuation { return nil }
        }
        return lines[opening...].firstIndex { $0.hasPrefix(indent + "}") }
    }

    private static func banned(in file: Repository.File) -> [String] {
        if file.path.hasPrefix("Tests/RepositoryTests/") { return [] }
        var words = ["try" + "!", "fatalError()", "FIXME", "TODO"]
        if let target = file.target, pureTargets.contains(target) {
            words += [
                "import Foundation", "import Glibc", "import NIO", "import Dispatch", "Date()",
                "ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator",
                "Hasher()", ".hashValue", ".shuffled()", "randomElement()",
            ]
        }
        return words
    }

    private static func isComment(_ line: String) -> Bool {
        line.drop { $0 == " " }.hasPrefix("//")
    }

    private static func opensFunction(_ line: String) -> Bool {
        let text = line.drop { $0 == " " }
        if text.hasPrefix("//") { return false }
        let words = text.split(separator: " ")
        guard let keyword = words.firstIndex(where: { $0 == "func" || $0.hasPrefix("init(") })
        else { return false }
        // Only modifiers stand before the keyword of a declaration.
        return words[..<keyword].allSatisfy { !$0.contains("=") && !$0.contains(".") }
    }
}
