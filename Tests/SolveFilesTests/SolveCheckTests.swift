// SPDX-License-Identifier: Apache-2.0

// Goal: what is written is accepted, and every wrong answer is refused for its own reason. Method: the
// answer to a file is changed as text in one place each time, as a hostile writer would.

import AllocationCore
import Testing

@testable import SolveFiles

@Suite("Answer files")
struct SolveCheckTests {
    @Test("The answer to the example reads as documented")
    func golden() throws {
        #expect(
            try read(exampleText).solvedJSON() == """
                {"status":"optimal",
                "caps_mw":[600,600,900,100,500],
                "gangs":{
                "llama":{"level":0.625,"bound_by":"rack1"},
                "mixtral":{"level":1,"bound_by":"full"},
                "batch":{"level":0,"bound_by":"rack1"}
                },
                "gpus":[
                {"level":0.625,"bound_by":"rack1"},
                {"level":0.625,"bound_by":"rack1"},
                {"level":1,"bound_by":"full"},
                {"level":0,"bound_by":"rack1"},
                {"level":1,"bound_by":"full"}
                ],
                "certificate":{"level_bits":52,"full_domains":[
                {"domain":"rack1","limit_mw":1600,"caps_mw":1600,"stops":2}
                ]},
                "solve_ns":7}

                """)
    }

    /// The example with a site that cannot hold its floors.
    static let shortText = exampleText.replacing(#""limit_mw": 5000"#, with: #""limit_mw": 320"#)
        .replacing(#""limit_mw": 1600"#, with: #""limit_mw": 250"#)

    @Test("An infeasible answer names the domains, the watts and what to pause")
    func goldenShort() throws {
        #expect(
            try read(Self.shortText).solvedJSON() == """
                {"status":"infeasible",
                "caps_mw":[],
                "gangs":{},
                "gpus":[],
                "certificate":{"level_bits":52,"shortfalls":[
                {"domain":"site","limit_mw":320,"floors_mw":500,"missing_mw":180},
                {"domain":"rack1","limit_mw":250,"floors_mw":300,"missing_mw":50}
                ]},
                "shed":[
                {"gang":"batch","gpu":3,"priority":0,"gpus":1,"frees_mw":100},
                {"gang":null,"gpu":4,"priority":1,"gpus":1,"frees_mw":100}
                ],
                "shed_is_least":true,
                "solve_ns":7}

                """)
    }

    // MARK: - Wrong answers

    struct Wrong: Sendable, CustomTestStringConvertible {
        var what: String
        var path: String
        /// A part of the reason.
        var reason: String
        /// What is struck out of the right answer, and what takes its place; in turn.
        var changes: [(String, String)]

        init(
            _ what: String, _ path: String, _ reason: String, _ changes: (String, String)...
        ) {
            self.what = what
            self.path = path
            self.reason = reason
            self.changes = changes
        }

        var testDescription: String { what }

        func applied(to text: String) -> String {
            changes.reduce(text) { text, change in
                #expect(text.contains(change.0), "the answer has no \(change.0)")
                return text.replacing(change.0, with: change.1, maxReplacements: 1)
            }
        }

        /// A change of a gang's level in every place, and of the caps that go with it.
        static func level(_ gang: String, _ old: String, _ new: String) -> [(String, String)] {
            [("\"\(gang)\":{\"level\":\(old)", "\"\(gang)\":{\"level\":\(new)")]
        }
    }

    private static let llama = #"{"level":0.625,"bound_by":"rack1"}"#
    private static func llama(_ level: String, _ bound: String = "rack1") -> String {
        #"{"level":\#(level),"bound_by":"\#(bound)"}"#
    }

    static let wrongs: [Wrong] = [
        .init(
            "a cap above its level", "$.caps_mw[0]", "601 mW; its level gives 600 mW",
            ("[600,600", "[601,600")),
        .init(
            "a cap below its level", "$.caps_mw[1]", "599 mW; its level gives 600 mW",
            ("[600,600", "[600,599")),
        .init(
            "a floor that is cut", "$.caps_mw[3]", "99 mW is below the floor of 100 mW",
            ("900,100,500]", "900,99,500]")),
        .init(
            "caps over a domain's limit", "$.caps_mw",
            #""rack1" is over its limit of 1600 mW by 100"#,
            ("[600,600", "[700,700"), (llama, llama("0.75")), (llama, llama("0.75")),
            (llama, llama("0.75"))),
        .init(
            "a level not shared by the gang", "$.gpus[1].level",
            #"its gang "llama" stands at another level"#,
            ("[600,600", "[600,500"), ("\n\(llama),\n\(llama)", "\n\(llama),\n\(llama("0.5"))")),
        .init(
            "a bound not shared by the gang", "$.gpus[0].bound_by", "stopped by something else",
            ("\n\(llama),\n\(llama)", "\n\(llama("0.625", "site"))\n,\(llama)")),
        .init(
            "the wrong saturated domain", "$.gangs.llama.bound_by",
            #""site" has watts left for the next step"#,
            (llama, llama("0.625", "site")), (llama, llama("0.625", "site")),
            (llama, llama("0.625", "site"))),
        .init(
            "a domain that the gang does not hang from", "$.gangs.batch.bound_by",
            #""rack2" would give it nothing"#,
            (#"{"level":0,"bound_by":"rack1"}"#, #"{"level":0,"bound_by":"rack2"}"#),
            (#"{"level":0,"bound_by":"rack1"}"#, #"{"level":0,"bound_by":"rack2"}"#)),
        .init(
            "a domain that is not full", "$.gangs.llama.bound_by",
            #""rack1" has watts left for the next step"#,
            ("[600,600", "[500,500"), (llama, llama("0.5")), (llama, llama("0.5")),
            (llama, llama("0.5"))),
        .init(
            "a lower class with watts that a higher one can use", "$.gangs.llama.level",
            #"gang "batch" is less important and has watts in "rack1""#,
            ("[600,600,900,100", "[500,500,900,200"), (llama, llama("0.5")),
            (llama, llama("0.5")), (llama, llama("0.5")),
            (#"{"level":0,"#, #"{"level":0.125,"#), (#"{"level":0,"#, #"{"level":0.125,"#)),
        .init(
            "an unfair share", "$.gangs.mixtral.level",
            #"gang "llama" of the same priority stands higher by weight in "rack1""#,
            ("[600,600,900", "[700,700,800"), (llama, llama("0.75")), (llama, llama("0.75")),
            (llama, llama("0.75")), (llama("1", "full"), llama("0.875")),
            (llama("1", "full"), llama("0.875"))),
        .init(
            "a gang that is said to be at full and is not", "$.gangs.llama.bound_by", "below 1",
            (llama, llama("0.625", "full")), (llama, llama("0.625", "full")),
            (llama, llama("0.625", "full"))),
        .init(
            "a gang at full that is said to be stopped", "$.gangs.mixtral.bound_by",
            "nothing stops what is at full pace",
            (llama("1", "full"), llama("1")), (llama("1", "full"), llama("1"))),
        .init(
            "a level above 1", "$.gangs.mixtral.level", "the level is above 1",
            (llama("1", "full"), llama("1.0000000000000001", "full"))),
        .init(
            "a level that none is written as", "$.gangs.llama.level",
            "no level is written like this",
            (llama, llama("0.6250000000000001"))),
        .init(
            "a level one step up", "$.caps_mw", #""rack1" is over its limit of 1600 mW by 1 mW"#,
            (llama, llama("0.6250000000000002")), (llama, llama("0.6250000000000002")),
            (llama, llama("0.6250000000000002"))),
        .init(
            "a gang that is missing", "$.gangs.batch", "the gang is missing",
            (",\n\"batch\":{\"level\":0,\"bound_by\":\"rack1\"}", "")),
        .init(
            "a gang too many", "$.gangs.ghost", "the problem has no such gang",
            ("\"gangs\":{", "\"gangs\":{\"ghost\":{\"level\":1,\"bound_by\":\"full\"},")),
        .init("a cap that is missing", "$.caps_mw", "4 entries for 5 GPUs", ("[600,", "[")),
        .init(
            "a GPU too many", "$.gpus", "6 entries for 5 GPUs",
            ("\"gpus\":[", "\"gpus\":[{\"level\":1,\"bound_by\":\"full\"},")),
        .init(
            "a bound that is no domain", "$.gpus[4].bound_by", "the problem has no such domain",
            ("\(llama("1", "full"))\n]", "\(llama("1", "moon"))\n]")),
        .init(
            "infeasible where all fits", "$.status", "an infeasible answer gives no caps",
            (#""status":"optimal""#, #""status":"infeasible""#)),
        .init(
            "a full domain that is left out", "$.certificate.full_domains", #""rack1" stops gangs"#,
            ("{\"domain\":\"rack1\",\"limit_mw\":1600,\"caps_mw\":1600,\"stops\":2}", "")),
        .init(
            "a full domain that is not", "$.certificate.full_domains[0].domain", "stops no gang",
            ("{\"domain\":\"rack1\"", "{\"domain\":\"rack2\"")),
        .init(
            "a wrong sum of caps", "$.certificate.full_domains[0].caps_mw",
            "1500 should be 1600", ("\"caps_mw\":1600", "\"caps_mw\":1500")),
        .init(
            "a wrong count of gangs", "$.certificate.full_domains[0].stops", "3 should be 2",
            ("\"stops\":2", "\"stops\":3")),
        .init(
            "a shed order where nothing is short", "$.shed", "nothing is short",
            ("\"solve_ns\"", "\"shed\":[],\"solve_ns\"")),
    ]

    @Test("Every wrong answer is refused for its own reason", arguments: wrongs)
    func wrong(_ row: Wrong) throws {
        let problem = try read(exampleText)
        let text = row.applied(to: problem.solvedJSON())
        let found = try problem.firstViolation(inClaim: Array(text.utf8))
        #expect(found?.path == row.path, "\(found?.description ?? "accepted")")
        #expect(found?.reason.contains(row.reason) == true, "\(found?.description ?? "accepted")")
    }

    static let wrongShorts: [Wrong] = [
        .init(
            "a domain that is left out", "$.certificate.shortfalls",
            #""rack1" is 50 mW short, and is missing"#,
            (
                ",\n{\"domain\":\"rack1\",\"limit_mw\":250,\"floors_mw\":300,\"missing_mw\":50}", ""
            )),
        .init(
            "a domain that is not short", "$.certificate.shortfalls[1].domain", "is not short",
            (#"{"domain":"rack1""#, #"{"domain":"feedA""#)),
        .init(
            "other watts", "$.certificate.shortfalls[0].missing_mw", "should be 180",
            ("\"missing_mw\":180", "\"missing_mw\":181")),
        .init(
            "another limit", "$.certificate.shortfalls[0].limit_mw", "321 should be 320",
            ("\"limit_mw\":320", "\"limit_mw\":321")),
        .init(
            "too little paused", "$.shed", #""site" stays 80 mW short"#,
            (",\n{\"gang\":null,\"gpu\":4,\"priority\":1,\"gpus\":1,\"frees_mw\":100}", "")),
        .init(
            "too much paused", "$.shed[0]", #"gang "batch" need not be paused"#,
            (
                "\"gpu\":4,\"priority\":1,\"gpus\":1,\"frees_mw\":100}",
                "\"gpu\":4,\"priority\":1,\"gpus\":1,\"frees_mw\":100},"
                    + "{\"gang\":\"mixtral\",\"gpu\":2,\"priority\":5,\"gpus\":1,\"frees_mw\":100}"
            )),
        .init(
            "a gang with another's first GPU", "$.shed[0]", "no such gang and first GPU",
            ("\"gpu\":3", "\"gpu\":2")),
        .init(
            "other freed watts", "$.shed[1].frees_mw", "90 should be 100",
            (
                "\"gpu\":4,\"priority\":1,\"gpus\":1,\"frees_mw\":100",
                "\"gpu\":4,\"priority\":1,\"gpus\":1,\"frees_mw\":90"
            )),
        .init(
            "optimal where nothing fits", "$.caps_mw", "0 entries for 5 GPUs",
            (#""infeasible""#, #""optimal""#),
            (
                "{},\n\"gpus\"",
                "{\"llama\":{\"level\":0,\"bound_by\":\"site\"},"
                    + "\"mixtral\":{\"level\":0,\"bound_by\":\"site\"},"
                    + "\"batch\":{\"level\":0,\"bound_by\":\"site\"}},\n\"gpus\""
            )),
    ]

    @Test("Every wrong infeasible answer is refused for its own reason", arguments: wrongShorts)
    func wrongShort(_ row: Wrong) throws {
        let problem = try read(Self.shortText)
        let right = problem.solvedJSON()
        #expect(try problem.firstViolation(inClaim: Array(right.utf8)) == nil)
        let found = try problem.firstViolation(inClaim: Array(row.applied(to: right).utf8))
        #expect(found?.path == row.path, "\(found?.description ?? "accepted")")
        #expect(found?.reason.contains(row.reason) == true, "\(found?.description ?? "accepted")")
    }

    @Test("An answer to another problem is refused: optimal for infeasible, and the reverse")
    func swapped() throws {
        let (fits, short) = (try read(exampleText), try read(Self.shortText))
        let found = try short.firstViolation(inClaim: Array(fits.solvedJSON().utf8))
        #expect(
            found?.description == #"$.status: the floors do not fit: "site" is 180 mW short"#)
        let other = try fits.firstViolation(inClaim: Array(short.solvedJSON().utf8))
        #expect(other?.description == "$.status: the floors fit every domain")
    }

    @Test("What is no answer at all is refused with its path")
    func hostile() throws {
        let problem = try read(exampleText)
        let right = problem.solvedJSON()
        let rows: [(String, String, String)] = [
            ("\"level\":0.625", "\"level\":-0.625", "$.gangs.llama.level"),
            ("\"level\":0.625", "\"level\":6.25e-1", "$.gangs.llama.level"),
            ("\"level\":0.625", "\"level\":NaN", "$.gangs.llama.level"),
            ("\"level\":0.625", "\"level\":0.62500000000000000", "$.gangs.llama.level"),
            ("[600,", "[600.0,", "$.caps_mw[0]"),
            ("[600,", "[4294967296,", "$.caps_mw[0]"),
            ("[600,", "[-600,", "$.caps_mw[0]"),
            ("\"level_bits\":52", "\"level_bits\":32", "$.certificate.level_bits"),
            ("\"status\":\"optimal\"", "\"status\":\"fine\"", "$.status"),
            ("\"solve_ns\":7", "\"solve_ns\":\"7\"", "$.solve_ns"),
            ("\"mixtral\":", "\"llama\":", "$.gangs"),
            (",\n\"solve_ns\":7", "", "$"),
            ("}\n", "} x", "$"),
        ]
        for (old, new, path) in rows {
            let text = right.replacing(old, with: new, maxReplacements: old == "}\n" ? .max : 1)
            do {
                let found = try problem.firstViolation(inClaim: Array(text.utf8))
                #expect(old == "}\n", "\(new): \(found?.description ?? "accepted")")
            } catch {
                #expect(error.path == path || old == "}\n", "\(new): \(error)")
            }
        }
    }

    @Test("Levels keep their value through text, whatever they are")
    func levels() {
        var raws: [UInt64] = [0, 1, 2, 3, PowerLevel.fullRawValue - 1, PowerLevel.fullRawValue]
        var state: UInt64 = 1
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            raws.append(state >> (12 + state % 50))
        }
        for raw in raws {
            let level = PowerLevel(rawValue: raw)
            var bytes: [UInt8] = []
            LevelText.append(level, to: &bytes)
            let units = bytes.withUnsafeBytes { buffer in
                var reader = JSONReader(buffer)
                return try? reader.decimal(limit: LevelText.unit)
            }
            #expect(units.flatMap(LevelText.level(units:)) == level)
        }
    }
}
