// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Yams

/// A power domain as the file has it: one entry may stand for many domains.
struct RawDomain {
    /// As written, with its range.
    var name: Located<String>
    /// The names that it stands for; at least one.
    var names: [String]
    /// Nil takes the level from the letters of the name.
    var level: String?
    var limit: Milliwatts
    /// Everything in the domain that no cap governs, that of the domains below it included; nil takes
    /// the sum of theirs.
    var overhead: Milliwatts?
    /// Positions in ``RawSite/domains``.
    var children: [Int] = []
    var nodes: [RawNodes] = []
    /// What a domain of a feed carries: names of nodes and paths of domains.
    var carries: [RawCarried] = []
    /// The domain that the entry names as its parent instead of being nested in it.
    var parent: Located<String>?
    var mark: Mark?
}

/// Servers of one type under one entry.
struct RawNodes {
    var names: [String]
    var type: Int
    var mark: Mark?
}

/// One element of `carries`, expanded.
struct RawCarried {
    var names: [String]
    var mark: Mark?
}

/// A site as the file has it.
struct RawSite {
    var name: String
    /// Every entry of the site; the site itself is the first.
    var domains: [RawDomain] = []
    /// Positions in ``domains`` of the roots of redundant feeds.
    var feeds: [Int] = []
    var allotment: Milliwatts?
    var mark: Mark?
}

/// Reads the list of sites into entries, and links domains that name their parents.
struct SiteReader {
    private static let domainKeys = [
        "name", "level", "limit", "overhead", "parent", "domains", "nodes",
    ]
    private static let feedKeys = ["name", "level", "limit", "overhead", "domains", "carries"]
    private static let siteKeys = [
        "name", "limit", "overhead", "allotment", "domains", "nodes", "feeds",
    ]

    let diagnostics: Diagnostics
    /// Positions of node types by name.
    let nodeTypes: [String: Int]
    private(set) var sites: [RawSite] = []
    /// Names that were expanded so far, for the bound on all of them together.
    private var nodeNameCount = 0

    init(diagnostics: Diagnostics, nodeTypes: [String: Int]) {
        self.diagnostics = diagnostics
        self.nodeTypes = nodeTypes
    }

    /// Reads one element of `sites`.
    mutating func read(_ node: YAMLNode) {
        guard let fields = Fields(node, what: "a site", known: Self.siteKeys, diagnostics),
            let name = fields.text("name", required: true)
        else { return }
        checkSiteName(name)
        var site = RawSite(name: name.value, mark: fields.mark)
        guard let root = domain(fields, name: name, names: [name.value], level: "site") else {
            return
        }
        site.domains.append(root)
        site.allotment = fields.quantity("allotment", Quantity.power)
        if let allotment = site.allotment, allotment > root.limit {
            diagnostics.report(
                "the allotment of \(fields.what) is above its limit of \(root.limit)",
                at: fields.mark(of: "allotment"))
        }
        site.domains[0].nodes = nodes(fields)
        for child in fields.list("domains") {
            if let position = readDomain(child, into: &site, isNested: false) {
                site.domains[0].children.append(position)
            }
        }
        for feed in fields.list("feeds") {
            if let position = readFeed(feed, into: &site, depth: 0) { site.feeds.append(position) }
        }
        link(&site)
        for position in site.domains.indices { checkContents(site.domains[position]) }
        sites.append(site)
    }

    private func checkSiteName(_ name: Located<String>) {
        if let problem = Name.problem(in: name.value) {
            diagnostics.report("the name of a site \(problem)", at: name.mark)
        }
        if name.value == TopologyReader.reservedSiteName {
            diagnostics.report(
                "a site cannot be named '\(name.value)'", at: name.mark,
                hint: "the name stands for all sites in certificates")
        }
        if sites.contains(where: { $0.name == name.value }) {
            diagnostics.report("site '\(printable(name.value))' is there twice", at: name.mark)
        }
    }

    // MARK: - Domains

    private mutating func readDomain(
        _ node: YAMLNode, into site: inout RawSite, isNested: Bool
    ) -> Int? {
        guard let (fields, name, names) = header(node, what: "domain", known: Self.domainKeys),
            var entry = domain(fields, name: name, names: names, level: nil)
        else { return nil }
        entry.parent = fields.text("parent")
        entry.nodes = nodes(fields)
        if isNested, let parent = entry.parent {
            diagnostics.report(
                "\(fields.what) has two parents: it is nested in one and names "
                    + "'\(printable(parent.value))' as the other", at: parent.mark)
        }
        let position = site.domains.count
        site.domains.append(entry)
        for child in fields.list("domains") {
            if let below = readDomain(child, into: &site, isNested: true) {
                site.domains[position].children.append(below)
            }
        }
        return position
    }

    private mutating func readFeed(
        _ node: YAMLNode, into site: inout RawSite, depth: Int
    ) -> Int? {
        guard let (fields, name, names) = header(node, what: "feed", known: Self.feedKeys),
            var entry = domain(fields, name: name, names: names, level: depth == 0 ? "feed" : nil)
        else { return nil }
        for text in fields.texts("carries") {
            if let names = expand(text, what: "'carries' of \(fields.what)") {
                entry.carries.append(RawCarried(names: names, mark: text.mark))
            }
        }
        let position = site.domains.count
        site.domains.append(entry)
        let children = fields.list("domains")
        for child in children {
            if let below = readFeed(child, into: &site, depth: depth + 1) {
                site.domains[position].children.append(below)
            }
        }
        if children.isEmpty && fields.node("carries") == nil {
            diagnostics.report(
                "\(fields.what) carries nothing", at: fields.mark,
                hint: "list nodes or domains under 'carries', or feeds below it under 'domains'")
        }
        return position
    }

    private mutating func header(
        _ node: YAMLNode, what: String, known: [String]
    ) -> (Fields, Located<String>, [String])? {
        guard let fields = Fields(node, what: "a \(what)", known: known, diagnostics),
            let name = fields.text("name", required: true)
        else { return nil }
        guard let names = expand(name, what: "the name of \(fields.what)") else { return nil }
        return (fields, name, names)
    }

    /// Reads what every domain has.
    private func domain(
        _ fields: Fields, name: Located<String>, names: [String], level: String?
    ) -> RawDomain? {
        var level = level
        if let text = fields.text("level") {
            level = text.value
            if let problem = Name.problem(in: text.value) {
                diagnostics.report("the level of \(fields.what) \(problem)", at: text.mark)
            }
        }
        let overhead = fields.quantity("overhead", Quantity.power)
        guard let limit = fields.quantity("limit", required: true, Quantity.power) else {
            return nil
        }
        if let overhead, limit <= overhead {
            diagnostics.report(
                "the limit of \(fields.what), \(limit), is not above its overhead, \(overhead)",
                at: fields.mark(of: "limit"))
        }
        return RawDomain(
            name: name, names: names, level: level, limit: limit, overhead: overhead,
            mark: fields.mark)
    }

    private func checkContents(_ domain: RawDomain) {
        let below = !domain.children.isEmpty
        if below && !(domain.nodes.isEmpty && domain.carries.isEmpty) {
            diagnostics.report(
                "domain '\(printable(domain.name.value))' has both nodes and domains below it",
                at: domain.mark, hint: "put the nodes into a domain of their own")
        }
    }

    // MARK: - Nodes

    private mutating func nodes(_ fields: Fields) -> [RawNodes] {
        var result: [RawNodes] = []
        for element in fields.list("nodes") {
            let what = "an element of 'nodes' of \(fields.what)"
            guard
                let fields = Fields(
                    element, what: what, known: ["names", "type"], diagnostics),
                let type = fields.text("type", required: true)
            else { continue }
            let position = nodeTypes[type.value]
            if position == nil {
                diagnostics.report(
                    "unknown node type '\(printable(type.value))'", at: type.mark,
                    hint: Suggestion.hint(
                        for: type.value, among: nodeTypes.keys.sorted(), kind: "types"))
            }
            let texts = fields.texts("names")
            if fields.node("names") == nil { fields.reportMissing("names") }
            for text in texts {
                guard let names = expand(text, what: "the names of \(what)") else { continue }
                for name in names { checkNodeName(name, at: text.mark) }
                guard let position else { continue }
                result.append(RawNodes(names: names, type: position, mark: text.mark))
            }
        }
        return result
    }

    private func checkNodeName(_ name: String, at mark: Mark?) {
        if let problem = Name.problem(in: name) {
            diagnostics.report("the name of node '\(printable(name))' \(problem)", at: mark)
        }
    }

    /// Expands a range, bounded by what a topology may hold.
    private mutating func expand(_ text: Located<String>, what: String) -> [String]? {
        do throws(HostList.Problem) {
            let names = try HostList.expand(
                text.value, limit: 2 * Topology.maximumNodeCount - nodeNameCount)
            nodeNameCount += names.count
            return names
        } catch {
            let reason =
                if case .tooMany = error {
                    "it stands for too many names; a topology has at most "
                        + "\(Topology.maximumNodeCount) nodes"
                } else { "\(error)" }
            diagnostics.report("\(what) cannot be read: \(printable(reason))", at: text.mark)
            return nil
        }
    }
}

// MARK: - Parents by name

extension SiteReader {
    /// Moves every entry that names its parent below it.
    private func link(_ site: inout RawSite) {
        let feeds = entries(below: site.feeds, in: site)
        var positions: [String: [Int]] = [:]
        for position in site.domains.indices where position != 0 && !feeds.contains(position) {
            positions[site.domains[position].name.value, default: []].append(position)
        }
        var parents = parentPositions(site)
        for position in site.domains.indices {
            guard let parent = site.domains[position].parent, parents[position] == 0 else {
                continue
            }
            let found = positions[parent.value] ?? []
            guard let above = found.first, found.count == 1 else {
                reportParent(parent, matches: found.count, known: positions.keys.sorted())
                continue
            }
            parents[position] = above
        }
        if reportCycles(site, parents) { return }
        for position in site.domains[0].children {
            guard let above = parents[position], above != 0 else { continue }
            site.domains[above].children.append(position)
        }
        site.domains[0].children.removeAll { parents[$0] != 0 }
    }

    private func parentPositions(_ site: RawSite) -> [Int: Int] {
        var parents: [Int: Int] = [:]
        for position in site.domains.indices {
            for child in site.domains[position].children { parents[child] = position }
        }
        return parents
    }

    private func entries(below roots: [Int], in site: RawSite) -> Set<Int> {
        var found: Set<Int> = []
        var open = roots
        while let position = open.popLast() {
            found.insert(position)
            open += site.domains[position].children
        }
        return found
    }

    private func reportParent(
        _ parent: Located<String>, matches: Int, known: [String]
    ) {
        let name = printable(parent.value)
        if matches > 1 {
            diagnostics.report(
                "parent '\(name)' is not clear: \(matches) domains have that name",
                at: parent.mark, hint: "nest the domain in its parent instead")
            return
        }
        diagnostics.report(
            "unknown parent '\(name)'", at: parent.mark,
            hint: Suggestion.hint(for: parent.value, among: known, kind: "domains"))
    }

    /// Reports every cycle of parents once; true when there is one.
    private func reportCycles(_ site: RawSite, _ parents: [Int: Int]) -> Bool {
        var isKnownGood: Set<Int> = [0]
        var hasCycle = false
        for start in site.domains.indices where !isKnownGood.contains(start) {
            var path: [Int] = []
            var onPath: Set<Int> = []
            var next: Int? = start
            while let position = next, !isKnownGood.contains(position) {
                if !onPath.insert(position).inserted {
                    let cycle = path[(path.firstIndex(of: position) ?? 0)...] + [position]
                    let names = cycle.map { "'\(printable(site.domains[$0].name.value))'" }
                    diagnostics.report(
                        "domains form a cycle: " + names.joined(separator: " in "),
                        at: site.domains[position].parent?.mark ?? site.domains[position].mark)
                    hasCycle = true
                    break
                }
                path.append(position)
                next = parents[position]
            }
            isKnownGood.formUnion(path)
        }
        return hasCycle
    }
}
