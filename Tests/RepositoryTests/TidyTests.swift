// SPDX-License-Identifier: Apache-2.0

import Testing

/// Goal: the rules of style hold in every file, and each rule can say no.
@Suite("Tidy")
struct TidyTests {
    @Test("Every source names its licence, fits its size and holds no banned word")
    func sources() throws {
        let files = try Repository.swiftFiles()
        #expect(files.count > 50)
        let rules = [
            Tidy.licence, Tidy.fileLength, Tidy.functionLength, Tidy.bannedWords, Tidy.pauses,
            Tidy.proofs,
        ]
        let findings = files.flatMap { file in rules.flatMap { $0(file) } }
        #expect(findings.isEmpty, "\(findings.joined(separator: "\n"))")
    }

    @Test("Protocol files and hand-written C name their licence")
    func otherSources() throws {
        let files = try Repository.files(under: ["proto"], endings: ["proto"])
        #expect(files.count >= 6)
        #expect(files.flatMap(Tidy.licence).isEmpty)
    }

    @Test("Each rule refuses what it is there for")
    func rulesCanFail() {
        let body = Array(repeating: "        work()", count: 70)
        let long = file("Sources/Wire/A.swift", ["    func f() {"] + body + ["    }"])
        #expect(Tidy.functionLength(long).count == 1)
        #expect(Tidy.licence(long).count == 1)
        let short = file("Sources/Wire/A.swift", ["    func f() { work() }"] + body + ["    }"])
        #expect(Tidy.functionLength(short).isEmpty)
        let sleepy = file("Tests/WireTests/A.swift", ["try await Task.sleep(for: .seconds(1))"])
        #expect(Tidy.pauses(sleepy).count == 1)
        let huge = file("Sources/Wire/A.swift", Array(repeating: "", count: 801))
        #expect(Tidy.fileLength(huge).count == 1)
        let clock = file("Sources/ControlPlane/A.swift", ["let now = ContinuousClock().now"])
        #expect(Tidy.bannedWords(clock).count == 1)
        let force = file("Sources/Wire/A.swift", ["let x = try" + "! f()"])
        #expect(Tidy.bannedWords(force).count == 1)
        let unproven = file("Sources/Wire/A.swift", ["final class A: @unchecked Sendable {"])
        #expect(Tidy.proofs(unproven).count == 1)
        let proven = file(
            "Sources/Wire/A.swift",
            ["// One event loop owns it.", "final class A: @unchecked Sendable {"])
        #expect(Tidy.proofs(proven).isEmpty)
    }

    private func file(_ path: String, _ lines: [String]) -> Repository.File {
        Repository.File(path: path, lines: lines)
    }
}
