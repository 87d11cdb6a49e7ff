// SPDX-License-Identifier: Apache-2.0

// Goal: lists of names expand to what people mean by them, and compress back without loss.

import FleetModel
import Testing

@Suite struct HostListTests {
    @Test(
        "A list stands for the names that people mean",
        arguments: [
            ("n1", ["n1"]),
            ("n[1-3]", ["n1", "n2", "n3"]),
            ("n[008-011]", ["n008", "n009", "n010", "n011"]),
            ("n[9-11]", ["n9", "n10", "n11"]),
            ("n[1,3-4,07]", ["n1", "n3", "n4", "n07"]),
            ("a, b[1-2] ,c", ["a", "b1", "b2", "c"]),
            ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
            ("n[0-1].example", ["n0.example", "n1.example"]),
            ("n[ 1 , 2 ]", ["n1", "n2"]),
        ])
    func expands(text: String, names: [String]) throws {
        #expect(try HostList.expand(text, limit: 100) == names)
    }

    @Test(
        "A list that means nothing is refused with its reason",
        arguments: [
            ("", HostList.Problem.emptyName),
            ("a,,b", .emptyName),
            ("n[1-2", .unbalancedBrackets),
            ("n1-2]", .unbalancedBrackets),
            ("n[[1]]", .unbalancedBrackets),
            ("n[]", .badRange("")),
            ("n[1-]", .badRange("1-")),
            ("n[a-b]", .badRange("a-b")),
            ("n[1-2-3]", .badRange("1-2-3")),
            ("n[3-1]", .reversedRange("3-1")),
            ("n[01-3]", .unevenWidths("01-3")),
            ("n[1-1000000000000000000]", .badRange("1-1000000000000000000")),
        ])
    func refuses(text: String, problem: HostList.Problem) {
        #expect(throws: problem) { try HostList.expand(text, limit: 100) }
    }

    @Test(
        "The number of names is bounded before any is made",
        arguments: [
            "n[1-101]", "n[1-999999999999999999]",
            "n[1-999999999999999999][1-999999999999999999]",
            "n[0-999999999999999999,0-999999999999999999]", "n[1-60],m[1-60]",
        ])
    func bounds(text: String) {
        #expect(throws: HostList.Problem.tooMany(limit: 100)) {
            try HostList.expand(text, limit: 100)
        }
    }

    @Test(
        "Names are folded into short lists",
        arguments: [
            ([], ""),
            (["n1"], "n1"),
            (["n3", "n1", "n2"], "n[1-3]"),
            (["n1", "n2", "n2"], "n[1-2]"),
            (["n001", "n002", "n004"], "n[001-002,004]"),
            (["n9", "n10"], "n[9-10]"),
            (["n09", "n10"], "n[09-10]"),
            (["n9", "n09", "n10"], "n9,n[09-10]"),
            (["b1", "a1", "b2"], "b[1-2],a1"),
            (["login", "r1n1", "r1n2", "r2n1"], "login,r1n[1-2],r2n1"),
            (["n1.x", "n2.x"], "n[1-2].x"),
            (["n0", "n00"], "n0,n00"),
        ])
    func compresses(names: [String], text: String) {
        #expect(HostList.compress(names) == text)
    }

    @Test("Compressing and expanding gives the same names back", arguments: 0..<50 as Range<UInt64>)
    func roundTrips(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        var names: Set<String> = []
        for _ in 0..<random.below(60) {
            let prefix = ["n", "rack-1-n", "7n", ""][random.below(4)]
            let digits = String(random.below(130))
            let padding = String(repeating: "0", count: random.below(3))
            names.insert(prefix + padding + digits + ["", ".a", "x"][random.below(3)])
        }
        let text = HostList.compress(names.sorted())
        let again = names.isEmpty ? [] : try HostList.expand(text, limit: 100)
        #expect(Set(again) == names, "seed \(seed): \(text)")
        #expect(again.count == names.count, "seed \(seed): \(text)")
    }
}

/// A small seeded generator: the same seed gives the same test.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
