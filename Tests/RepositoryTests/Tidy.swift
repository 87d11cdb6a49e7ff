// SPDX-License-Identifier: Apache-2.0

/// The rules of style that a machine can check, each a function from a file to its findings.
enum Tidy {
    static let longestFunction = 70
    static let longestFile = 800
    static let longestProgram = 80

    /// Targets that decide and do nothing else.
    static let pureTargets: Set<String> = [
        "FleetModel", "AllocationCore", "ControlPlane", "Simulation", "MetricsText",
    ]

    /// The first line names the licence.
    static func licence(_ file: Repository.File) -> [String] {
        let lines = file.lines.prefix(2)
        return lines.contains { $0.contains("SPDX-License-Identifier: Apache-2.0") }
            ? [] : ["\(file.path):1: no licence line"]
    }

    /// No file is longer than a reader can hold.
    static func fileLength(_ file: Repository.File) -> [String] {
        let isProgram = file.path.hasSuffix("/main.swift") || file.path.hasSuffix("/Program.swift")
        let limit = isProgram ? longestProgram : longestFile
        return file.lines.count > limit
            ? ["\(file.path):\(file.lines.count): longer than \(limit) lines"] : []
    }

    /// Every function fits a screen.
    static func functionLength(_ file: Repository.File) -> [String] {
        var findings: [String] = []
        for (start, line) in file.lines.enumerated() where opensFunction(line) {
            let indent = line.prefix { $0 == " " }
            let rest = file.lines[(start + 1)...]
            guard let end = rest.firstIndex(where: { $0.hasPrefix(indent + "}") }) else { continue }
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

    // MARK: - Helpers

    private static func banned(in file: Repository.File) -> [String] {
        if file.path.hasPrefix("Tests/RepositoryTests/") { return [] }
        var words = ["try" + "!", "fatalError()", "FIXME", "TODO", "XXX"]
        if file.path.hasPrefix("Tests/") { words += ["Task.sleep", "usleep("] }
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
