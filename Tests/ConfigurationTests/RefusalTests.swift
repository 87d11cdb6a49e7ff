// SPDX-License-Identifier: Apache-2.0

// Goal: every mistake is refused at its line, with a reason that names what is wrong.
// Method: one change to a good file for each mistake. Lines are those of the file in Support.swift.

import Configuration
import FleetModel
import Foundation
import Testing

@Suite struct RefusalTests {
    @Test("A mistake is refused with its place and reason", arguments: mistakes)
    func refuses(mistake: Mistake) {
        let refusal = refusal(file(replacing: mistake.old, with: mistake.new))
        #expect(refusal.contains(mistake.expected), "\(refusal.isEmpty ? "accepted" : refusal)")
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        var old: String
        var new: String
        var expected: String
        var testDescription: String { expected }

        init(_ old: String, _ new: String, _ expected: String) {
            self.old = old
            self.new = new
            self.expected = expected
        }
    }

    static let mistakes: [Mistake] = shape + values + trees + feeds + jobs

    static let shape = [
        Mistake("fleet: test\n", "", "f.yaml:1:1: the file has no 'fleet'"),
        Mistake("fleet: test", "fleet: my fleet", "f.yaml:1:8: the name of the fleet has a char"),
        Mistake("fleet: test", "fleet:", "'fleet' of the file has no value"),
        Mistake("fleet: test", "fleet: [a]", "'fleet' of the file must be a single value"),
        Mistake(
            "fleet: test", "fleet: test\nsite: x",
            "f.yaml:2:1: unknown key 'site' in the file (did you mean 'sites'?)"),
        Mistake(
            "    class: S", "    clas: S",
            "f.yaml:16:5: unknown key 'clas' in node type 'big' (did you mean 'class'?)"),
        Mistake(
            "    class: S", "    colour: red",
            "unknown key 'colour' in node type 'big' (known keys: name, model,"),
        Mistake("  term: 20 s", "  - 20 s", "f.yaml:3:3: 'lease' must be a mapping"),
        Mistake(
            "  term: 20 s", "  term: 20 s\n  term: 30 s", "f.yaml:3:3: key 'term' is there twice"),
        Mistake(
            "fleet: test", "fleet: &x test", "f.yaml:1:8: anchors and aliases are not supported"),
        Mistake("fleet: test", "fleet: *x", "undefined alias"),
        Mistake("fleet: test", "fleet: !!str test", "accepted"),
        Mistake("fleet: test", "fleet: !secret test", "tags such as !secret are not supported"),
        Mistake("fleet: test", "fleet: 'test", "not YAML"),
        Mistake("fleet: test", "fleet: test\n\tx: y", "f.yaml:2"),
        Mistake("fleet: test", "? [a, b]\n: c\nfleet: test", "a key must be a word"),
    ].filter { $0.expected != "accepted" }

    static let values = [
        Mistake(
            "gpus: 8", "gpus: 65",
            "f.yaml:12:11: 'gpus' of node type 'big': '65' is not between 1 and 64"),
        Mistake("gpus: 8", "gpus: eight", "'eight' is not a whole number"),
        Mistake("cpus: 96", "cpus: -1", "'-1' is not a number of CPUs"),
        Mistake(
            "memory: 1 TiB", "memory: 1 TB",
            "'TB' is not a unit of an amount of memory (units are MiB, GiB"),
        Mistake("memory: 1 TiB", "memory: 1024", "'1024' has no unit (write it like 512 GiB)"),
        Mistake(
            "fallback: 1600 W", "fallback: 1600",
            "f.yaml:15:15: 'fallback' of node type 'big': '1600' has no unit"),
        Mistake(
            "fallback: 1600 W", "fallback: 1599 W", "has a fallback of 1.6 kW, below the 1.6 kW"),
        Mistake("fallback: 1600 W", "fallback: 6 kW", "has a fallback of 6 kW, above the 5.6 kW"),
        Mistake("    fallback: 1600 W\n", "", "f.yaml:10:5: node type 'big' has no 'fallback'"),
        Mistake(
            "model: H100-SXM", "model: H100-SXN",
            "f.yaml:11:12: node type 'big' has an unknown GPU model 'H100-SXN' (did you mean 'H100-SXM'?)"
        ),
        Mistake(
            "class: S", "class: A", "'class' of node type 'big' cannot be 'A' (did you mean 'S'?)"),
        Mistake("class: S", "boots_at: low", "'boots_at' of node type 'big' cannot be 'low'"),
        Mistake("{pool: a}", "{pool: a b}", "label 'a b' has a character"),
        Mistake("name: small", "name: big", "f.yaml:18:11: node type 'big' is defined twice"),
        Mistake(
            "max_cap: 100 W", "max_cap: 40 W",
            "GPU model 'Tiny' has a maximum cap below its minimum cap"),
        Mistake("max_cap: 100 W", "max_cap: 200 kW", "has a maximum cap above 100 kW"),
        Mistake(
            "idle: 10 W", "idle: 0.00001 W",
            "is not a power that can be represented (the smallest step is 1 mW)"),
        Mistake("idle: 10 W", "idle: -1 W", "'-1 W' is negative"),
        Mistake("limit: 20 kW", "limit: 2 TW", "'TW' is not a unit of a power"),
        Mistake(
            "limit: 20 kW", "limit: 1001 GW",
            "f.yaml:26:12: 'limit' of site 'a': '1001 GW' is more than 1000 GW"),
        Mistake(
            "limit: 20 kW", "limit: 99999999999999999999999 GW",
            "is not a power that can be represented"),
        Mistake(
            "term: 20 s", "term: 8 s",
            "f.yaml:3:3: the lease of 8 s is too short to outlast a take-over"),
        Mistake("term: 20 s", "drift: 50 %", "the drift is 500000 parts per million"),
        Mistake("term: 20 s", "term: 2 h", "the lease is 7200 s, not between 1 s and 3600 s"),
    ]

    static let trees = [
        Mistake(
            "  - name: a\n", "  - name: fleet\n", "f.yaml:25:11: a site cannot be named 'fleet'"),
        Mistake("    limit: 20 kW\n", "", "site 'a' has no 'limit'"),
        Mistake(
            "limit: 20 kW", "limit: 20 kW\n    allotment: 21 kW",
            "f.yaml:27:16: the allotment of site 'a' is above its limit of 20 kW"),
        Mistake(
            "overhead: 500 W", "overhead: 4 kW",
            "f.yaml:29:16: the limit of domain 'r1', 4 kW, is not above its overhead, 4 kW"),
        Mistake(
            "limit: 20 kW", "limit: 20 kW\n    overhead: 400 W",
            "the overhead of domain 'a', 400 W, is less than the 500 W of the domains below it"),
        Mistake(
            "limit: 20 kW", "limit: 500 W",
            "the limit of domain 'a', 500 W, is not above its overhead, 500 W"),
        Mistake(
            "limit: 4 kW", "limit: 3.6 kW",
            "f.yaml:28:9: the fallbacks of the nodes in domain 'a/r1' sum to 3.2 kW, 100 W more than its 3.1 kW (limit less overhead)"
        ),
        Mistake(
            "limit: 20 kW", "limit: 3 kW",
            "in domain 'a' sum to 3.35 kW, 850 W more than its 2.5 kW"),
        Mistake(
            "name: r2", "name: r1",
            "f.yaml:33:15: domain 'a/r1' is there twice (the other is at line 28)"),
        Mistake(
            "names: n3", "names: n2",
            "f.yaml:36:21: node 'n2' has two parents, 'a/r1' and 'a/r2' (the other is at line 32"),
        Mistake("names: n3", "names: \"n[3-4],n3\"", "node 'n3' is there twice"),
        Mistake("names: n3", "names: n_3/4", "the name of node 'n_3/4' has a character"),
        Mistake(
            "{names: n3, type: small}", "{names: n3, type: smal}",
            "unknown node type 'smal' (did you mean 'small'?)"),
        Mistake("{names: n3, type: small}", "{names: n3}", "has no 'type'"),
        Mistake("{names: n3, type: small}", "{type: small}", "has no 'names'"),
        Mistake("n[1-2]", "n[2-1]", "range '2-1' runs backwards"),
        Mistake("n[1-2]", "n[1-2", "brackets are not balanced"),
        Mistake(
            "n[1-2]", "n[1-9999999]",
            "it stands for too many names; a topology has at most 262144 nodes"),
        Mistake("n[1-2]", "n[1-300000]", "there are more than 262144 nodes"),
        Mistake("name: r2", "name: \"r[2-4]\"", "1 names cannot be dealt out equally to 3 domains"),
        Mistake(
            "      - name: r2\n", "      - name: r2\n        domains: [{name: x, limit: 1 W}]\n",
            "domain 'r2' has both nodes and domains below it"),
        Mistake(
            "      - name: r2\n", "      - name: r2\n        parent: r9\n",
            "f.yaml:34:17: unknown parent 'r9'"),
        Mistake(
            "      - name: r2\n", "      - name: r2\n        parent: r2\n",
            "f.yaml:34:17: domains form a cycle: 'r2' in 'r2'"),
        Mistake(
            "      - name: r2\n",
            "      - {name: x, limit: 1 W, parent: r2}\n      - name: r2\n        parent: x\n",
            "domains form a cycle: 'x' in 'r2' in 'x'"),
        Mistake(
            "      - name: r2\n", "      - {name: r1, limit: 1 W, parent: r1}\n      - name: r2\n",
            "parent 'r1' is not clear: 2 domains have that name"),
        Mistake(
            "      - name: r2\n",
            "      - {name: x, limit: 1 W, domains: [{name: y, limit: 1 W, parent: r1}]}\n      - name: r2\n",
            "domain 'y' has two parents: it is nested in one and names 'r1' as the other"),
        Mistake(
            "      - name: r2\n",
            "      - name: \"q[1-200000]r[1-2]\"\n        limit: 1 W\n      - name: r2\n",
            "there are more than 262144 power domains"),
    ]

    static let feeds = [
        Mistake(
            "carries: [r1, n3]", "carries: [r1, n9]",
            "f.yaml:40:23: unknown node or domain 'n9' (did you mean 'n"),
        Mistake("carries: [r1, n3]", "carries: [r1, n1]", "node 'n1' hangs twice from feed 'a/b'"),
        Mistake("        carries: [r1, n3]\n", "", "feed 'b' carries nothing"),
        Mistake(
            "limit: 5 kW", "limit: 3 kW",
            "the fallbacks of the nodes in domain 'a/b' sum to 3.35 kW, 350 W more than its 3 kW"),
        Mistake("      - name: b\n", "      - name: r1\n", "domain 'a/r1' is there twice"),
        Mistake(
            "      - name: b\n", "      - name: \"b[1-8]\"\n", "a node hangs from more than 7 feeds"
        ),
        Mistake("carries: [r1, n3]", "nodes: [n3]", "feed 'b' carries nothing"),
    ]

    static let jobs = [
        Mistake(
            "  - name: j1\n", "  - name: j1\n    models: [B200]\n",
            "f.yaml:43:14: unknown GPU model 'B200' (known GPU models: H100-SXM, Tiny)"),
        Mistake("  - name: j1\n", "  - name: j1\n    sites: [b]\n", "unknown site 'b'"),
        Mistake(
            "  - name: j1\n", "  - name: j1\n    within: row\n",
            "unknown level 'row' (known levels: r, site)"),
        Mistake(
            "  - name: j1\n", "  - name: j1\n    prefer: row\n",
            "unknown level 'row' (known levels: r, site)"),
        Mistake(
            "  - name: j1\n", "  - name: j1\n    spread_over: row\n",
            "unknown level 'row' (known levels: r, site)"),
        Mistake(
            "  - name: j1\n", "  - name: j1\n    tasks_per_domain: 2\n",
            "'tasks_per_domain' of job 'j1' needs 'spread_over'"),
        Mistake(
            "  - name: j1\n", "  - name: j1\n    labels: {pool: b}\n",
            "no node type carries the labels of job 'j1'"),
        Mistake(
            "  - name: j1\n", "  - {name: j1, gpus: 1}\n  - name: j1\n",
            "f.yaml:43:5: job 'j1' is there twice"),
        Mistake(
            "    gpus: 1\n", "    gpus: 1.5\n",
            "'1.5' GPUs cannot be had (a task has whole GPUs, or a fraction of one)"),
        Mistake("    gpus: 1\n", "    gpus: 65\n", "'65' GPUs is more than a node can have"),
        Mistake("    gpus: 1\n    cpus: 1", "    tasks: 1", "job 'j1': a task asks for nothing"),
        Mistake("    gpus: 1\n", "    tasks: 0\n", "'0' is not between 1 and 65536"),
        Mistake(
            "    gpus: 1\n", "    gpus: 1\n    spread: maybe\n",
            "'spread' of job 'j1' cannot be 'maybe' (write true or false)"),
        Mistake(
            "    gpus: 1\n", "    gpus: 1\n    duration: 0 s\n",
            "the job's duration is not above zero"),
        Mistake("    gpus: 1\n", "    gpus: 1\n    duration: 1001 d\n", "is more than 1000 days"),
        Mistake(
            "  - name: j1\n", "  - name: \"j[1-200000]\"\n",
            "the name of job 'j[1-200000]' cannot be read: it stands for more than 100000 names"),
    ]
}

@Suite struct WholeFileTests {
    @Test(
        "A file that is no topology at all is refused",
        arguments: [
            ("", "f.yaml: the file is empty"),
            ("\n# nothing\n", "f.yaml: the file is empty"),
            ("---\n", "the file must be a mapping"),
            ("- a\n", "f.yaml:1:1: the file must be a mapping"),
            ("fleet: x\n---\nfleet: y\n", "f.yaml:2:1: not YAML: but found another document"),
            ("fleet: x\n", "there are no sites"),
            ("fleet: x\nsites: []\n", "f.yaml:2:8: there are no sites"),
            ("fleet: x\nsites: [{name: a, limit: 1 W}]\n", "f.yaml:2:9: there are no nodes"),
            ("fleet: \u{1}\n", "f.yaml:1: not YAML: control characters are not allowed"),
        ])
    func refuses(text: String, expected: String) {
        #expect(refusal(text).contains(expected), "\(refusal(text))")
    }

    @Test("Bytes that are not UTF-8 are refused with their line")
    func notUTF8() {
        let bytes = Array("fleet: x\nsites: ".utf8) + [0xC3, 0x28]
        #expect(throws: ConfigurationError.self) { try FleetFile.parse(bytes, name: "f.yaml") }
        do throws(ConfigurationError) {
            _ = try FleetFile.parse(bytes, name: "f.yaml")
        } catch {
            #expect(error.description == "f.yaml:2: the text is not UTF-8 (save the file as UTF-8)")
        }
    }

    @Test("A byte order mark is skipped")
    func byteOrderMark() throws {
        _ = try FleetFile.parse([0xEF, 0xBB, 0xBF] + Array(goodFile.utf8), name: "f.yaml")
    }

    @Test("A file that is too large is refused before it is parsed")
    func tooLarge() {
        let text = "# " + String(repeating: "x", count: 4 << 20)
        #expect(refusal(text).hasPrefix("f.yaml: the file is larger than 4 MiB"))
    }

    @Test("Aliases cannot make a small file a large one")
    func bomb() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let alias = "*a\(level - 1)"
            let list = [String](repeating: alias, count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(list)]\n"
        }
        #expect(refusal(text).contains("too many words that start with '*'"))
        let key = "a: &a [x, x]\nb: &b [*a, *a]\n? [*b, *b]\n: c\n"
        #expect(refusal(key).contains("anchors and aliases are not supported"))
    }

    @Test("Deep nesting is refused", arguments: [150, 5_000, 200_000])
    func deep(depth: Int) {
        let lists = "fleet: " + String(repeating: "[", count: depth)
        #expect(!refusal(lists).isEmpty)
        let closed = lists + String(repeating: "]", count: depth)
        #expect(!refusal(closed).isEmpty)
        let blocks = "fleet:\n" + String(repeating: "- ", count: depth) + "x\n"
        #expect(!refusal(blocks).isEmpty)
    }

    @Test("All problems of a file are reported, in order, up to twenty")
    func reportsAll() throws {
        let text = file(replacing: "    class: S", with: "    clas: S\n    gpu: 8")
            .replacingOccurrences(of: "limit: 5 kW", with: "limit: 5")
        let lines = refusal(text).split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0].hasPrefix("f.yaml:16:5:"))
        #expect(lines[1].hasPrefix("f.yaml:17:5:"))
        #expect(lines[2].contains("'5' has no unit"))
        let many = "fleet: x\n" + (0..<100).map { "k\($0): 1\n" }.joined()
        #expect(refusal(many).split(separator: "\n").count == 20)
    }

    @Test("A file that cannot be read is refused with its reason")
    func unreadable() {
        #expect(throws: ConfigurationError.self) { try FleetFile.load("/nonexistent.yaml") }
        do throws(ConfigurationError) { _ = try FleetFile.load("/tmp") } catch {
            #expect(error.description == "/tmp: it is not a plain file")
        }
    }
}
