// SPDX-License-Identifier: Apache-2.0

import FleetModel

import struct Yams.Mark

/// Makes domains, nodes and sites out of the entries of a file.
///
/// An entry whose name is a range stands for several domains, each with everything below it. Names of
/// nodes below such an entry are dealt out in order, the same number to each: `rack[1-2]` with
/// `n[1-8]` puts `n1` to `n4` into the first rack.
struct TreeBuilder {
    let diagnostics: Diagnostics
    let nodeTypes: [NodeType]
    private(set) var sites: [Site] = []
    private(set) var domains: [PowerDomain] = []
    private(set) var nodes: [Node] = []

    /// Parallel to ``domains``.
    private var domainMarks: [Mark?] = []
    /// Parallel to ``domains``: the overhead of the domains directly below.
    private var overheadBelow: [Milliwatts] = []
    /// Parallel to ``domains``: the nodes below a domain of a primary tree.
    private var nodesBelow: [Range<Int>] = []
    private var domainPositions: [String: Int] = [:]
    /// Parallel to ``nodes``.
    private var nodeMarks: [Mark?] = []
    private var nodePositions: [String: Int] = [:]
    private var nextGPU = 0
    /// How many domains an entry of the site has been made into, by its position.
    private var made: [Int: Int] = [:]
    /// Set when a bound was passed: everything after it would only repeat the report.
    private var isFull = false

    init(diagnostics: Diagnostics, nodeTypes: [NodeType]) {
        self.diagnostics = diagnostics
        self.nodeTypes = nodeTypes
    }

    /// Makes every site; what is wrong goes to the diagnostics.
    mutating func build(_ entries: [RawSite]) {
        for (position, entry) in entries.enumerated() {
            let site = SiteIndex(position)
            made = [:]
            let root = DomainIndex(domains.count)
            expand(0, of: entry, site: site, below: nil, copies: 1)
            sites.append(
                Site(
                    name: entry.name, root: root,
                    allotment: entry.allotment ?? entry.domains[0].limit))
            for feed in entry.feeds { buildFeed(feed, of: entry, site: site) }
        }
        if nodes.isEmpty && !isFull {
            diagnostics.report("there are no nodes", at: entries.first?.mark)
        }
        for position in nodes.indices {
            nodes[position].leaves.sort {
                domains[$0.position].tree < domains[$1.position].tree
            }
        }
        checkFallbacks()
    }

    // MARK: - Domains

    /// Makes an entry and all below it, once for each of its names; the entries above it stand for
    /// `copies` domains.
    private mutating func expand(
        _ entryPosition: Int, of site: RawSite, site index: SiteIndex, below parent: DomainIndex?,
        copies: Int
    ) {
        let entry = site.domains[entryPosition]
        // Both factors are bounded by the limit on expanded names.
        let copies = copies * entry.names.count
        guard copies <= Topology.maximumDomainCount else { return reportTooMany(at: entry.mark) }
        for name in entry.names where !isFull {
            guard let position = append(entry, named: name, site: index, below: parent) else {
                continue
            }
            let first = nodes.count
            let copy = made[entryPosition, default: 0]
            made[entryPosition] = copy + 1
            for child in entry.children {
                expand(
                    child, of: site, site: index, below: DomainIndex(position), copies: copies)
            }
            for group in entry.nodes {
                deal(group, copy: copy, of: copies, to: position)
            }
            nodesBelow[position] = first..<nodes.count
            settleOverhead(of: position, as: entry)
        }
    }

    /// Appends one domain; nil, after a report, when its name cannot be used.
    private mutating func append(
        _ entry: RawDomain, named name: String, site: SiteIndex, below parent: DomainIndex?,
        path: String? = nil
    ) -> Int? {
        if domains.count >= Topology.maximumDomainCount {
            reportTooMany(at: entry.mark)
            return nil
        }
        let path = path ?? parent.map { domains[$0.position].name + "/" + name } ?? name
        if let problem = Name.problem(in: name) ?? Name.problem(inPath: path) {
            diagnostics.report(
                "the name of domain '\(printable(path))' \(problem)", at: entry.name.mark)
            return nil
        }
        if let other = domainPositions[path] {
            diagnostics.report(
                "domain '\(path)' is there twice", at: entry.name.mark,
                hint: domainMarks[other].map { "the other is at line \($0.line)" })
            return nil
        }
        domainPositions[path] = domains.count
        domains.append(
            PowerDomain(
                name: path, level: entry.level ?? Self.level(of: name), site: site,
                parent: parent, tree: 0, limit: entry.limit, overhead: entry.overhead ?? .zero))
        domainMarks.append(entry.mark)
        overheadBelow.append(.zero)
        nodesBelow.append(nodes.count..<nodes.count)
        return domains.count - 1
    }

    /// Checks a domain's overhead against that of the domains below it, which are complete; one that
    /// was not given is their sum.
    private mutating func settleOverhead(of position: Int, as entry: RawDomain) {
        let below = overheadBelow[position]
        let domain = domains[position]
        if entry.overhead == nil { domains[position].overhead = below }
        if let overhead = entry.overhead, overhead < below {
            diagnostics.report(
                "the overhead of domain '\(domain.name)', \(overhead), is less than the \(below) of "
                    + "the domains below it", at: entry.mark,
                hint: "a domain's overhead includes theirs; leave it out to take their sum")
        } else if domain.limit <= domains[position].overhead {
            diagnostics.report(
                "the limit of domain '\(domain.name)', \(domain.limit), is not above its overhead, "
                    + "\(domains[position].overhead)", at: entry.mark)
        }
        guard let parent = domain.parent else { return }
        // Capped above any limit, so that no number of children overflows.
        overheadBelow[parent.position] = min(
            overheadBelow[parent.position] + domains[position].overhead,
            Milliwatts.maximum + Milliwatts(1))
    }

    /// The level that a name speaks of: its first letters, so `row1` is a row.
    private static func level(of name: String) -> String {
        let letters = name.prefix { $0.isASCII && $0.isLetter }
        return letters.isEmpty ? "domain" : String(letters)
    }

    private mutating func reportTooMany(at mark: Mark?) {
        isFull = true
        diagnostics.report(
            "there are more than \(Topology.maximumDomainCount) power domains", at: mark)
    }

    // MARK: - Nodes

    /// The part of `names` that belongs to one of several copies of an entry; nil, after a report,
    /// when they cannot be dealt out equally.
    private func share(
        _ names: [String], copy: Int, of copies: Int, at mark: Mark?
    ) -> ArraySlice<String>? {
        guard names.count % copies == 0 else {
            diagnostics.report(
                "\(names.count) names cannot be dealt out equally to \(copies) domains", at: mark,
                hint: "names below a range of domains are dealt out in order")
            return nil
        }
        let count = names.count / copies
        return names[(copy * count)..<((copy + 1) * count)]
    }

    private mutating func deal(_ group: RawNodes, copy: Int, of copies: Int, to domain: Int) {
        guard let names = share(group.names, copy: copy, of: copies, at: group.mark) else { return }
        for name in names {
            if nodes.count >= Topology.maximumNodeCount {
                if !isFull {
                    diagnostics.report(
                        "there are more than \(Topology.maximumNodeCount) nodes", at: group.mark)
                }
                isFull = true
                return
            }
            if let other = nodePositions[name] {
                reportTwice(name, other: other, domain: domain, at: group.mark)
                continue
            }
            nodePositions[name] = nodes.count
            nodes.append(
                Node(
                    name: name, site: domains[domain].site, type: group.type,
                    leaves: [DomainIndex(domain)], firstGPU: GPUIndex(nextGPU)))
            nodeMarks.append(group.mark)
            nextGPU += Int(nodeTypes[group.type].gpuCount)
        }
    }

    private func reportTwice(_ name: String, other: Int, domain: Int, at mark: Mark?) {
        let above = nodes[other].leaves.first.map { domains[$0.position].name } ?? ""
        let here = domains[domain].name
        let hint = nodeMarks[other].map { "the other is at line \($0.line)" }
        if above == here {
            diagnostics.report("node '\(name)' is there twice", at: mark, hint: hint)
        } else {
            diagnostics.report(
                "node '\(name)' has two parents, '\(above)' and '\(here)'", at: mark,
                hint: hint.map { $0 + "; a second feed goes under 'feeds'" })
        }
    }
}

// MARK: - Redundant feeds

extension TreeBuilder {
    /// Makes each tree of a feed entry, and hangs the nodes that it carries from its leaves.
    ///
    /// An entry with a range makes several trees, and each of them carries everything: redundant feeds
    /// are alike. Names are dealt out only among the domains of one tree.
    private mutating func buildFeed(_ position: Int, of site: RawSite, site index: SiteIndex) {
        let entry = site.domains[position]
        for name in entry.names where !isFull {
            let first = domains.count
            guard
                let root = append(
                    entry, named: name, site: index, below: nil, path: site.name + "/" + name)
            else { continue }
            var carried: [(node: Int, leaf: Int, mark: Mark?)] = []
            made = [:]
            fill(root, position, of: site, copies: 1, &carried)
            hang(carried, domains: first..<domains.count, at: entry.mark)
        }
    }

    /// Makes everything below one domain of a feed.
    private mutating func fill(
        _ domain: Int, _ position: Int, of site: RawSite, copies: Int,
        _ carried: inout [(node: Int, leaf: Int, mark: Mark?)]
    ) {
        let entry = site.domains[position]
        let copy = made[position, default: 0]
        made[position] = copy + 1
        for item in entry.carries {
            guard let names = share(item.names, copy: copy, of: copies, at: item.mark) else {
                continue
            }
            for name in names {
                for node in carriedNodes(name, site: site.name, at: item.mark) {
                    carried.append((node, domain, item.mark))
                }
            }
        }
        for child in entry.children {
            let below = site.domains[child]
            let copies = copies * below.names.count
            guard copies <= Topology.maximumDomainCount else {
                return reportTooMany(at: below.mark)
            }
            for name in below.names where !isFull {
                let made = append(
                    below, named: name, site: domains[domain].site, below: DomainIndex(domain))
                if let made { fill(made, child, of: site, copies: copies, &carried) }
            }
        }
        settleOverhead(of: domain, as: entry)
    }

    /// The nodes that one name under `carries` stands for.
    private func carriedNodes(_ name: String, site: String, at mark: Mark?) -> Range<Int> {
        let domain = domainPositions[site + "/" + name].flatMap { domains[$0].tree == 0 ? $0 : nil }
        let node = nodePositions[name]
        switch (domain, node) {
        case (let domain?, nil): return nodesBelow[domain]
        case (nil, let node?) where sites.last?.name == nodeSite(node): return node..<(node + 1)
        case (nil, _?):
            diagnostics.report("node '\(name)' is not in site '\(site)'", at: mark)
        case (_?, _?):
            diagnostics.report(
                "'\(name)' is the name of a node and of a domain", at: mark,
                hint: "rename one of them")
        case (nil, nil):
            diagnostics.report(
                "unknown node or domain '\(printable(name))'", at: mark, hint: nameHint(for: name))
        }
        return 0..<0
    }

    /// What an author may have meant by the name of a node or domain, if it is close to one.
    private func nameHint(for name: String) -> String? {
        let known = nodes.prefix(1000).map(\.name) + domains.prefix(1000).map(\.name)
        let hint = Suggestion.hint(for: name, among: known, kind: "names")
        return hint.flatMap { $0.hasPrefix("did") ? $0 : nil }
    }

    private func nodeSite(_ node: Int) -> String { sites[nodes[node].site.position].name }

    /// Gives a new tree of a feed the lowest number that none of its nodes has yet.
    private mutating func hang(
        _ carried: [(node: Int, leaf: Int, mark: Mark?)], domains range: Range<Int>,
        at mark: Mark?
    ) {
        var taken: Set<UInt8> = [0]
        var seen: Set<Int> = []
        for item in carried {
            guard seen.insert(item.node).inserted else {
                diagnostics.report(
                    "node '\(nodes[item.node].name)' hangs twice from feed "
                        + "'\(domains[range.lowerBound].name)'", at: item.mark)
                continue
            }
            for leaf in nodes[item.node].leaves { taken.insert(domains[leaf.position].tree) }
        }
        guard
            let tree = (1..<UInt8(Topology.maximumTreeCount)).first(where: { !taken.contains($0) })
        else {
            diagnostics.report(
                "a node hangs from more than \(Topology.maximumTreeCount - 1) feeds", at: mark)
            return
        }
        for position in range { domains[position].tree = tree }
        for item in carried where seen.remove(item.node) != nil {
            nodes[item.node].leaves.append(DomainIndex(item.leaf))
        }
    }
}

// MARK: - Fallbacks

extension TreeBuilder {
    /// Reports every domain in which the fallbacks of its nodes do not fit together.
    private func checkFallbacks() {
        var sums = [Int64](repeating: 0, count: domains.count)
        for node in nodes {
            for leaf in node.leaves {
                var next: DomainIndex? = leaf
                while let domain = next {
                    // Bounded by the counts of nodes and GPUs and the largest cap of a GPU.
                    sums[domain.position] += nodeTypes[node.type].fallback.rawValue
                    next = domains[domain.position].parent
                }
            }
        }
        for (position, domain) in domains.enumerated() {
            let sum = Milliwatts(sums[position])
            if sum <= domain.budget { continue }
            diagnostics.report(
                "the fallbacks of the nodes in domain '\(domain.name)' sum to \(sum), "
                    + "\(sum - domain.budget) more than its \(domain.budget) (limit less overhead)",
                at: domainMarks[position],
                hint: "raise the limit, lower the fallback of its node types, or move nodes away")
        }
    }
}
