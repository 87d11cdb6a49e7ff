// SPDX-License-Identifier: Apache-2.0

// Goal: a problem file is read as documented, and every mistake in one is named with its place.
// Method: one good file looked at in full; one wrong file per rule, its path and reason written out.

import AllocationCore
import Testing

@testable import SolveFiles

@Suite("Problem files")
struct SolveProblemTests {
    @Test("A file becomes columns: parents first, gangs by name, lone GPUs by themselves")
    func example() throws {
        let file = try read(exampleText)
        let problem = file.problem
        #expect(problem.firstDefect() == nil)
        #expect((0..<4).map(file.name(ofDomain:)) == ["site", "rack1", "rack2", "feedA"])
        #expect(problem.domainParent == [-1, 0, 0, -1])
        #expect(
            problem.domainBudgetMilliwatts == [
                5000, 1600, PowerProblem.maximumBudgetMilliwatts, 4000,
            ])
        #expect(file.isUnlimited == [false, false, true, false])
        #expect(problem.gpuLeaf == [[1, 2, 1, 1, 2], [3, 3, -1, 3, -1]])
        #expect(problem.gpuGang == [0, 0, 1, 2, 3])
        #expect((0..<4).map(file.title(ofGang:)) == ["llama", "mixtral", "batch", "GPU 4"])
        #expect(problem.gangPriority == [5, 5, 0, 1])
        #expect(problem.gangWeight == [1, 2, 1, 1])
        #expect(problem.gpuCurve == [-1, -1, -1, -1, 0])
        #expect(file.gangGPUCount == [2, 1, 1, 1])
    }

    @Test("GPUs may stand before domains, and keys in any order")
    func order() throws {
        let file = try read(
            """
            {"gpus":[{"full_mw":9,"domains":["b"],"floor_mw":1}],
             "domains":[{"parent":"a","limit_mw":5,"name":"b"},{"name":"a"}]}
            """)
        #expect(file.problem.gpuLeaf == [[1]])
        #expect(file.problem.domainBudgetMilliwatts[1] == 5)
    }

    @Test("An empty problem is one")
    func empty() throws {
        let file = try read(#"{"domains":[],"gpus":[]}"#)
        #expect(file.problem.gpuCount == 0)
        #expect(file.solvedJSON().contains(#""status":"optimal""#))
    }

    @Test("Escapes and letters beyond ASCII name the same domain as plain text")
    func escapes() throws {
        let file = try read(
            #"{"domains":[{"name":"hall é\"\ud83d\ude00"}],"#
                + #""gpus":[{"domains":["h\u0061ll \u00e9\"😀"],"floor_mw":0,"full_mw":0}]}"#)
        #expect(file.name(ofDomain: 0) == "hall é\"😀")
    }

    @Test("Equal curves are kept once")
    func curves() throws {
        let gpu =
            #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[600000,2],[1000000,3]]}"#
        let flat = #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[1000000,3]]}"#
        let file = try read(#"{"domains":[],"gpus":[\#(gpu),\#(flat),\#(gpu)]}"#)
        #expect(file.problem.gpuCurve == [0, 1, 0])
    }

    // MARK: - Refusals

    struct Refusal: Sendable, CustomTestStringConvertible {
        var path: String
        /// A part of the reason.
        var reason: String
        var text: String

        init(_ path: String, _ reason: String, _ text: String) {
            self.path = path
            self.reason = reason
            self.text = text
        }

        /// A file of two trees in which one GPU stands as given.
        init(gpu: String, _ path: String, _ reason: String) {
            self.init(
                path, reason,
                """
                {"domains":[{"name":"site"},{"name":"rack1","parent":"site","limit_mw":1000},
                {"name":"rack2","parent":"site"},{"name":"feedA"}],
                "gpus":[{"domains":["rack1"],"floor_mw":0,"full_mw":0,"gang":"g"},\(gpu)]}
                """)
        }

        /// A file without GPUs.
        init(domains: String, _ path: String, _ reason: String) {
            self.init(path, reason, #"{"domains":[\#(domains)],"gpus":[]}"#)
        }

        var testDescription: String { "\(path): \(reason)" }
    }

    static let refusals: [Refusal] = [
        // The text as such.
        .init("$", "expected an object, found the end of the file", ""),
        .init("$", "expected an object, found an array", "[]"),
        .init("$", "expected an object, found the byte 0xef", "\u{feff}{}"),
        .init("$", #""domains" is missing"#, "{}"),
        .init("$", #""gpus" is missing"#, #"{"domains":[]}"#),
        .init("$", "expected the end of the file, found \",\"", #"{"domains":[],"gpus":[]},"#),
        .init("$.gpus[0]", "expected an object, found the end", #"{"domains":[],"gpus":["#),
        .init("$.gpus", "expected the end of the value, found the end", #"{"gpus":[{"a":"#),
        .init("$", "expected a comma or \"}\"", #"{"domains":[],"gpus":[]"#),
        .init("$", "expected a key, found \"}\"", #"{"domains":[],"gpus":[],}"#),
        .init("$", "expected a colon", #"{"domains",[]}"#),
        .init("$", #"unknown key "gpu""#, #"{"domains":[],"gpu":[]}"#),
        .init("$", #"the key "gpus" stands there twice"#, #"{"domains":[],"gpus":[],"gpus":[]}"#),
        .init("$.gpus", "expected an array, found null", #"{"domains":[],"gpus":null}"#),
        .init(
            "$.gpus[0]", "expected an object, found an array",
            #"{"domains":[],"gpus":"# + String(repeating: "[", count: 100_000)),
        // Domains.
        .init(domains: "{}", "$.domains[0]", #""name" is missing"#),
        .init(domains: #"{"name":7}"#, "$.domains[0].name", "expected a string, found a number"),
        .init(domains: #"{"name":""}"#, "$.domains[0].name", "a name has 1 to 256 bytes"),
        .init(domains: #"{"name":"a\nb"}"#, "$.domains[0].name", "holds a control character"),
        .init(domains: "{\"name\":\"a\nb\"}", "$.domains[0].name", "a control character stands"),
        .init(domains: #"{"name":"a\x"}"#, "$.domains[0].name", "an escape that JSON does not"),
        .init(domains: #"{"name":"\ud800"}"#, "$.domains[0].name", "an escape that JSON does not"),
        .init(domains: #"{"name":"full"}"#, "$.domains[0].name", #"may be called "full""#),
        .init(
            domains: #"{"name":"a"},{"name":"a"}"#, "$.domains[1].name",
            #"$.domains[0] is called "a" too"#),
        .init(
            domains: #"{"name":"a","parent":"b"}"#, "$.domains[0].parent", #"no domain named "b""#),
        .init(
            domains: #"{"name":"a","parent":"a"}"#, "$.domains[0].parent",
            #"round in a circle: "a" in "a""#),
        .init(
            domains: #"{"name":"x"},{"name":"a","parent":"b"},{"name":"b","parent":"a"}"#,
            "$.domains[1].parent", "round in a circle"),
        .init(
            domains: #"{"name":"a","limit_mw":-1}"#, "$.domains[0].limit_mw",
            "-1 is outside 0…1125899906842624"),
        .init(
            domains: #"{"name":"a","limit_mw":1125899906842625}"#, "$.domains[0].limit_mw",
            "is outside"),
        .init(
            domains: #"{"name":"a","limit_mw":99999999999999999999}"#, "$.domains[0].limit_mw",
            "99999999999999999999 is outside"),
        .init(
            domains: #"{"name":"a","limit_mw":1.5}"#, "$.domains[0].limit_mw",
            "1.5 is not a whole number"),
        .init(
            domains: #"{"name":"a","limit_mw":1e3}"#, "$.domains[0].limit_mw",
            "1e3 is not a whole number"),
        .init(
            domains: #"{"name":"a","limit_mw":007}"#, "$.domains[0].limit_mw",
            "007 is not a whole number"),
        .init(
            domains: #"{"name":"a","limit_mw":NaN}"#, "$.domains[0].limit_mw",
            "expected a whole number, found NaN"),
        .init(
            domains: (0..<65).map {
                #"{"name":"d\#($0)","parent":\#($0 == 0 ? "null" : "\"d\($0 - 1)\"")}"#
            }.joined(separator: ","), "$.domains[64]", "more than 64 levels deep"),
        // GPUs.
        .init(
            gpu: #"{"domains":["rack1","rackX"],"floor_mw":1,"full_mw":2}"#,
            "$.gpus[1].domains[1]", #"no domain named "rackX""#),
        .init(
            gpu: #"{"domains":["rack1","feedA","rack2"],"floor_mw":1,"full_mw":2}"#,
            "$.gpus[1].domains[2]", #""rack2" is in one tree with "rack1", under "site""#),
        .init(
            gpu: #"{"domains":["rack1","rack1"],"floor_mw":1,"full_mw":2}"#,
            "$.gpus[1].domains[1]", "is in one tree with"),
        .init(gpu: #"{"domains":[],"floor_mw":1}"#, "$.gpus[1]", #""full_mw" is missing"#),
        .init(gpu: #"{"domains":[],"floor":1}"#, "$.gpus[1]", #"unknown key "floor""#),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"floor_mw":1}"#, "$.gpus[1]",
            #"the key "floor_mw" stands there twice"#),
        .init(
            gpu: #"{"domains":[],"floor_mw":3,"full_mw":2}"#, "$.gpus[1].floor_mw",
            "the floor of 3 mW is above full pace, 2 mW"),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":4294967296}"#, "$.gpus[1].full_mw",
            "4294967296 is outside 0…4294967295"),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":0,"weight":0}"#, "$.gpus[1].weight",
            "0 is outside 1…1048576"),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":0,"priority":2147483648}"#,
            "$.gpus[1].priority", "is outside"),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":0,"gang":"g","priority":2}"#,
            "$.gpus[1].priority", #"gang "g" has the priority 0 in $.gpus[0], and 2 here"#),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":0,"gang":"g","weight":2}"#,
            "$.gpus[1].weight", #"gang "g" has the weight 1 in $.gpus[0], and 2 here"#),
        .init(
            gpu: #"{"domains":"rack1","floor_mw":0,"full_mw":0}"#, "$.gpus[1].domains",
            "expected an array, found a string"),
        // Curves.
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,2],[1000000,3]]}"#,
            "$.gpus[1].curve[0]", "the curve starts at 2 mW, the floor is 1 mW"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[1000000,4]]}"#,
            "$.gpus[1].curve[1]", "the curve ends at 4 mW, full pace is 3 mW"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[]}"#, "$.gpus[1].curve",
            "a curve of 0 points"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[1,1],[1000000,3]]}"#,
            "$.gpus[1].curve[0]", "the level here is 1 ppm"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[900000,3]]}"#,
            "$.gpus[1].curve[1]", "the level here is 900000 ppm"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[0,2],[1000000,3]]}"#,
            "$.gpus[1].curve[1]", "the level does not rise"),
        .init(
            gpu: #"{"domains":[],"floor_mw":2,"full_mw":3,"curve":[[0,2],[5,1],[1000000,3]]}"#,
            "$.gpus[1].curve[1]", "the watts fall"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":9,"curve":[[0,1],[500000,8],[1000000,9]]}"#,
            "$.gpus[1].curve[1]", "the curve is not convex"),
        .init(
            gpu: #"{"domains":[],"floor_mw":0,"full_mw":4000000000,"#
                + #""curve":[[0,0],[999999,0],[1000000,4000000000]]}"#,
            "$.gpus[1].curve[2]", "too steep"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0]]}"#,
            "$.gpus[1].curve[0]", "a point is [level_ppm, mw]"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1,2]]}"#,
            "$.gpus[1].curve[0][2]", "a point is [level_ppm, mw]"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":[[0,1],[1000001,3]]}"#,
            "$.gpus[1].curve[1][0]", "1000001 is outside 0…1000000"),
        .init(
            gpu: #"{"domains":[],"floor_mw":1,"full_mw":3,"curve":"#
                + "[" + (0..<9).map { "[\($0),1]" }.joined(separator: ",") + "]}",
            "$.gpus[1].curve[8]", "a curve has at most 8 points"),
    ]

    @Test("Each mistake is named with its place", arguments: refusals)
    func mistake(_ row: Refusal) {
        let found = refusal(row.text)
        #expect(found?.path == row.path)
        #expect(found?.reason.contains(row.reason) == true, "\(found.map(\.description) ?? "read")")
        #expect(found?.hint.isEmpty == false)
    }

    @Test("A mistake in the text itself comes with line and column")
    func place() {
        let found = refusal("{\"domains\": [\n  {\"name\" \"x\"}],\n\"gpus\": []}")
        #expect(
            found?.description
                == "$.domains[0]: expected a colon, found a string (line 2, column 11)")
    }

    @Test("A file that is not UTF-8 is refused")
    func encoding() {
        let bytes = Array(#"{"domains":[{"name":"a"#.utf8) + [0xff] + Array(#""}],"gpus":[]}"#.utf8)
        do {
            _ = try SolveProblem.read(bytes)
            Issue.record("was read")
        } catch {
            #expect(error.path == "$.domains[0].name")
            #expect(error.reason == "the string is not UTF-8")
        }
    }

    @Test("A file cut off anywhere is refused, and so is one with any byte struck out")
    func truncation() {
        let bytes = Array(exampleText.utf8)
        for count in 0..<bytes.count {
            #expect(throws: SolveFileError.self) {
                try SolveProblem.read(Array(bytes.prefix(count)))
            }
        }
        // Bytes whose loss leaves valid JSON may be read; nothing may crash.
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] = 0
            #expect(throws: SolveFileError.self) { try SolveProblem.read(damaged) }
            damaged.remove(at: index)
            _ = try? SolveProblem.read(damaged)
        }
    }
}
