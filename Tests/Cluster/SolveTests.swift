// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// Goal: the program solves and checks as documented, and refuses wrong answers.
///
/// Method: the real program, on files in a directory that goes with the test.
@Suite("busbar solve")
struct SolveTests {
    /// A directory that goes with the test.
    final class Files {
        let directory: URL

        init() throws {
            directory = FileManager.default.temporaryDirectory
                .appending(path: "solve-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(
                at: directory, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: directory) }

        func write(_ text: String, as name: String) throws -> String {
            try Data(text.utf8).write(to: directory.appending(path: name))
            return directory.appending(path: name).path
        }

        func busbar(_ arguments: String...) async throws -> RunningFleet.Outcome {
            try await RunningProgram("busbar", ["solve"] + arguments, in: directory).outcome()
        }
    }

    /// The JSON blocks of docs/solve-files.md: problem, answer, infeasible answer.
    private func documented() throws -> [String] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "docs/solve-files.md"), encoding: .utf8)
        return page.components(separatedBy: "```json\n").dropFirst().map {
            $0.components(separatedBy: "```")[0]
        }
    }

    private func withoutTime(_ answer: String) -> String {
        answer.replacing(/"solve_ns":[0-9]+/, with: #""solve_ns":0"#)
    }

    @Test("The documented problem has the documented answer, and the checker accepts it")
    func documentation() async throws {
        let (files, blocks) = (try Files(), try documented())
        try #require(blocks.count == 3)
        let problem = try files.write(blocks[0], as: "problem.json")
        let solved = try await files.busbar(problem, "-o", "json")
        #expect(solved.status == 0, "\(solved.errors)")
        #expect(withoutTime(solved.output) == blocks[1])
        let answer = try files.write(solved.output, as: "answer.json")
        let checked = try await files.busbar(problem, "--check", answer)
        #expect(checked.status == 0, "\(checked.errors)")
        let table = try await files.busbar(problem)
        #expect(table.output.contains("optimal:"), "\(table.output)")
    }

    @Test("Floors that do not fit exit with 1, and say what to pause")
    func infeasible() async throws {
        let (files, blocks) = (try Files(), try documented())
        let problem = try files.write(
            blocks[0].replacing("2000000", with: "450000"), as: "problem.json")
        let solved = try await files.busbar(problem, "-o", "json")
        #expect(solved.status == 1)
        #expect(withoutTime(solved.output) == blocks[2])
        #expect(solved.errors.contains("hall is 150 W short"), "\(solved.errors)")
        let answer = try files.write(solved.output, as: "answer.json")
        #expect(try await files.busbar(problem, "--check", answer).status == 0)
        let table = try await files.busbar(problem)
        #expect(table.status == 1)
        #expect(table.output.contains("GPU 2"), "\(table.output)")
    }

    @Test("Bad files, missing files and a bad command line have their own exit status")
    func refusals() async throws {
        let (files, blocks) = (try Files(), try documented())
        let wrong = try files.write(
            blocks[0].replacing(#""rack2", "feedA"]"#, with: #""rack2", "rackX"]"#),
            as: "wrong.json")
        let refused = try await files.busbar(wrong)
        #expect(refused.status == 2)
        #expect(
            refused.errors.hasPrefix(
                #"error: \#(wrong): $.gpus[1].domains[1]: no domain named "rackX""#))
        #expect(refused.errors.contains("\nhint: "))
        let json = try await files.busbar(wrong, "-o", "json")
        #expect(json.status == 2 && json.output.isEmpty)
        #expect(json.errors.contains(#""code": 2"#))
        #expect(try await files.busbar(files.directory.path + "/none.json").status == 3)
        #expect(try await files.busbar(files.directory.path).status == 2)
        #expect(try await files.busbar().status == 64)
        #expect(try await files.busbar("-", "--check", "-").status == 64)
        // Stdin is empty here.
        #expect(try await files.busbar("-").status == 2)
    }

    /// What is struck out of the documented answer everywhere, what takes its place, and where the
    /// checker finds it.
    static let planted: [(what: String, changes: [String: String], status: Int32, path: String)] = [
        ("a cap too high", ["[628571,": "[628572,"], 1, "$.caps_mw[0]"),
        ("a cap too low", ["299999]": "299998]"], 1, "$.caps_mw[3]"),
        ("a cut floor", ["299999]": "99999]"], 1, "$.caps_mw[3]: 99999 mW is below the floor"),
        (
            "a domain over its limit",
            ["0.857142857142857": "0.875", "[628571,671428": "[637500,681250"], 1,
            "$.caps_mw: \"hall\" is over its limit"
        ),
        (
            "watts left over",
            ["0.857142857142857": "0.5", "[628571,671428": "[450000,475000"], 1,
            "$.gpus[2].bound_by: \"hall\" has watts left"
        ),
        (
            "the wrong domain", ["\"bound_by\":\"feedA\"": "\"bound_by\":\"rack2\""], 1,
            "$.gangs.train.bound_by: \"rack2\" has watts left"
        ),
        ("no domain", ["\"bound_by\":\"feedA\"": "\"bound_by\":\"attic\""], 1, "$.gangs.train"),
        ("full that is not", ["\"bound_by\":\"feedA\"": "\"bound_by\":\"full\""], 1, "$.gangs"),
        (
            "an unfair share",
            [
                "0.6666666666666665": "0.5", "0.3333333333333333": "0.375",
                "399999,299999": "250000,325000",
            ], 1, "$.gpus[2].level: GPU 3 of the same priority stands higher by weight"
        ),
        ("a missing gang", ["\"train\":{": "\"other\":{"], 1, "$.gangs.other"),
        (
            "a level not shared",
            ["\"train\":{\"level\":0.857142857142857": "\"train\":{\"level\":0.75"], 1,
            "$.gpus[0].level: its gang \"train\" stands at another level"
        ),
        ("a missing GPU", ["\"caps_mw\":[628571,": "\"caps_mw\":["], 1, "$.caps_mw: 3 entries"),
        ("the wrong status", ["optimal": "infeasible"], 1, "$.status"),
        (
            "a level above 1", ["\"level\":0.6666666666666665": "\"level\":1.5"], 1,
            "$.gpus[2].level"
        ),
        ("not JSON", ["\"gpus\":[": "\"gpus\":[["], 2, "$.gpus[0]"),
        ("no number", ["0.6666666666666665": "NaN"], 2, "$.gpus[2].level"),
        ("a key twice", ["\"gangs\"": "\"caps_mw\""], 2, "stands there twice"),
        ("cut off", [",\n\"solve_ns\":0}\n": ""], 2, "$"),
        ("empty", [:], 2, "$: expected an object"),
    ]

    @Test("Wrong and hostile answers are refused by name", arguments: planted.indices)
    func wrongAnswers(_ index: Int) async throws {
        let row = Self.planted[index]
        let (files, blocks) = (try Files(), try documented())
        let problem = try files.write(blocks[0], as: "problem.json")
        var answer = row.changes.isEmpty ? "" : blocks[1]
        for (old, new) in row.changes {
            #expect(answer.contains(old), "\(row.what): \(old)")
            answer = answer.replacing(old, with: new)
        }
        let path = try files.write(answer, as: "answer.json")
        let outcome = try await files.busbar(problem, "--check", path)
        #expect(outcome.status == row.status, "\(row.what): \(outcome.errors)")
        #expect(outcome.errors.contains(row.path), "\(row.what): \(outcome.errors)")
        #expect(outcome.output.isEmpty)
    }
}
