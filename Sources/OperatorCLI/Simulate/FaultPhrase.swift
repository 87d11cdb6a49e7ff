// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Simulation

/// A fault as an operator says it: `site b cut for 10m`, `node a-n3 cut for 2m at 30s`.
struct FaultPhrase {
    /// What can be said.
    static let forms = [
        "site NAME cut for TIME", "site NAME coordinators down for TIME",
        "store of NAME down for TIME", "node NAME cut for TIME", "node NAME enforcer killed",
        "domain NAME limit POWER for TIME",
    ]

    /// What happens; times in milliseconds.
    let entries: [WorldScriptEntry]
    /// When the last of it ends.
    let endMilliseconds: Int64

    /// Reads a phrase, each with `at TIME` at its end or from the beginning.
    ///
    /// - Throws: ``CommandFailure`` when it is none of ``forms``, or names what is not there.
    init(_ phrase: String, topology: Topology) throws(CommandFailure) {
        var words = phrase.split(separator: " ").map(String.init)
        var start: Int64 = 0
        if words.count > 2, words[words.count - 2] == "at" {
            start = try FaultPhrase.seconds(words.removeLast(), phrase) * 1000
            words.removeLast()
        }
        var length: Int64 = 0
        if words.count > 2, words[words.count - 2] == "for" {
            length = try FaultPhrase.seconds(words.removeLast(), phrase)
            words.removeLast()
        }
        entries = try FaultPhrase.actions(words, length, phrase, topology).map {
            WorldScriptEntry(start, $0)
        }
        endMilliseconds = start + length * 1000
    }

    private static func actions(
        _ words: [String], _ length: Int64, _ phrase: String, _ topology: Topology
    ) throws(CommandFailure) -> [WorldScriptEntry.Action] {
        func site(_ name: String) throws(CommandFailure) -> Int {
            try place(name, topology.sites.map(\.name), "site")
        }
        switch (words.count, words.first, words.last) {
        case (3, "site", "cut"):
            return [.cutSite(try site(words[1]), seconds: length)]
        case (4, "site", "down") where words[2] == "coordinators":
            let first = try site(words[1]) * WhatIf.coordinatorsPerSite
            return (0..<WhatIf.coordinatorsPerSite).map { .crash(first + $0, seconds: length) }
        case (4, "store", "down") where words[1] == "of":
            return [.storeOutage(site: try site(words[2]), seconds: length)]
        case (3, "node", "cut"):
            let node = try place(words[1], topology.nodes.map(\.name), "node")
            return [.cutNode(node, seconds: length)]
        case (4, "node", "killed") where words[2] == "enforcer":
            return [.killEnforcer(try place(words[1], topology.nodes.map(\.name), "node"))]
        case (4, "domain", _) where words[2] == "limit":
            let domain = try place(words[1], topology.domains.map(\.name), "domain")
            guard let limit = power(words[3]) else { throw unknown(phrase) }
            return [.limit(domain: domain, limit, seconds: length)]
        default: throw unknown(phrase)
        }
    }

    private static func place(
        _ name: String, _ names: [String], _ what: String
    ) throws(CommandFailure) -> Int {
        guard let place = names.firstIndex(of: name) else {
            throw CommandFailure(.notFound, "this topology has no \(what) '\(name)'")
        }
        return place
    }

    private static func unknown(_ phrase: String) -> CommandFailure {
        CommandFailure(
            .usage, "'\(phrase)' is no fault that can be simulated",
            hint: "say " + forms.map { "'\($0)'" }.joined(separator: ", ") + "; then 'at TIME'")
    }

    /// `90s`, `10m`, `2h` as seconds.
    private static func seconds(
        _ text: String, _ phrase: String
    ) throws(CommandFailure) -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
            (0...86_400).contains(count), count * unit <= 86_400
        else { throw unknown(phrase) }
        return count * unit
    }

    /// `40kW`, `500W`, `1.5MW`; nil for anything else.
    private static func power(_ text: String) -> Milliwatts? {
        let units: [(String, Double)] = [("MW", 1e9), ("kW", 1e6), ("W", 1e3)]
        for (unit, scale) in units where text.hasSuffix(unit) {
            guard let value = Double(text.dropLast(unit.count)), value > 0, value < 1e6 else {
                return nil
            }
            return Milliwatts(Int64((value * scale).rounded()))
        }
        return nil
    }
}
