// SPDX-License-Identifier: Apache-2.0

extension Topology {
    /// The most nodes of one topology.
    package static let maximumNodeCount = 262_144
    /// The most power domains of one topology.
    package static let maximumDomainCount = 262_144
    /// The most trees of domains: the primary one and redundant feeds.
    package static let maximumTreeCount = 8
    /// The largest cap of one GPU; with the counts above no sum of caps overflows.
    package static let maximumGPUCap = Milliwatts.watts(100_000)

    /// Everything that is wrong with the topology; empty for one that may be used.
    ///
    /// The file reader finds the same problems with their lines. This check is for topologies that
    /// come from elsewhere: a compiled plan, a test, another program.
    ///
    /// **Complexity:** linear in domains and nodes times the depth of the trees.
    package func problems() -> [String] {
        var problems = indexProblems()
        // The other checks follow the indices.
        if !problems.isEmpty { return problems }
        problems += nameProblems()
        problems += modelProblems()
        problems += powerProblems()
        if let problem = lease.problem(takeoverNanoseconds: 0) { problems.append(problem) }
        return problems
    }
}

// MARK: - Shape

extension Topology {
    private func indexProblems() -> [String] {
        var problems: [String] = []
        if sites.isEmpty { problems.append("no sites") }
        if nodes.count > Self.maximumNodeCount { problems.append("too many nodes") }
        if domains.count > Self.maximumDomainCount { problems.append("too many domains") }
        for (position, domain) in domains.enumerated() {
            if let problem = problem(ofDomain: domain, at: position) {
                problems.append("domain '\(domain.name)' \(problem)")
            }
        }
        for (position, site) in sites.enumerated() {
            guard site.root.position < domains.count else {
                problems.append("site '\(site.name)' has no root domain")
                continue
            }
            let root = domains[site.root.position]
            if root.parent != nil || root.tree != 0 || root.site.position != position {
                problems.append(
                    "the root of site '\(site.name)' is not the root of its primary tree")
            }
        }
        for type in nodeTypes where type.model.position >= gpuModels.count {
            problems.append("node type '\(type.name)' has an unknown GPU model")
        }
        return problems.isEmpty ? nodeShapeProblems() : problems
    }

    private func problem(ofDomain domain: PowerDomain, at position: Int) -> String? {
        if domain.site.position >= sites.count { return "is in no site" }
        if Int(domain.tree) >= Self.maximumTreeCount { return "is in too high a tree" }
        guard let parent = domain.parent else { return nil }
        if parent.position >= position { return "comes before its parent" }
        let above = domains[parent.position]
        if above.site != domain.site { return "is in another site than its parent" }
        if above.tree != domain.tree { return "is in another tree than its parent" }
        return nil
    }

    private func nodeShapeProblems() -> [String] {
        var problems: [String] = []
        var hasChildren = [Bool](repeating: false, count: domains.count)
        for case let parent? in domains.map(\.parent) { hasChildren[parent.position] = true }
        var nextGPU = 0
        for node in nodes {
            guard nodeTypes.indices.contains(node.type) else {
                problems.append("node '\(node.name)' has no type")
                continue
            }
            if node.firstGPU.position != nextGPU {
                problems.append("the GPUs of node '\(node.name)' do not follow those before")
            }
            nextGPU = node.firstGPU.position + Int(nodeTypes[node.type].gpuCount)
            if let problem = problem(ofLeaves: node, hasChildren) {
                problems.append("node '\(node.name)' \(problem)")
            }
        }
        return problems
    }

    private func problem(ofLeaves node: Node, _ hasChildren: [Bool]) -> String? {
        if node.site.position >= sites.count { return "is in no site" }
        guard let first = node.leaves.first else { return "hangs from no domain" }
        guard node.leaves.allSatisfy({ $0.position < domains.count }) else {
            return "hangs from an unknown domain"
        }
        let leaves = node.leaves.map { domains[$0.position] }
        if domains[first.position].tree != 0 { return "does not name its primary tree first" }
        if Set(leaves.map(\.tree)).count != leaves.count { return "hangs twice from one tree" }
        if !leaves.allSatisfy({ $0.site == node.site }) {
            return "hangs from a domain of another site"
        }
        if node.leaves.contains(where: { hasChildren[$0.position] }) {
            return "hangs from a domain that has domains below it"
        }
        return nil
    }
}

// MARK: - Names and powers

extension Topology {
    private func nameProblems() -> [String] {
        var problems: [String] = []
        func check(_ kind: String, _ names: [String], isPath: Bool = false) {
            var seen: Set<String> = []
            for name in names {
                if let problem = isPath ? Name.problem(inPath: name) : Name.problem(in: name) {
                    problems.append("the name of \(kind) '\(name)' \(problem)")
                }
                if !seen.insert(name).inserted {
                    problems.append("\(kind) '\(name)' is there twice")
                }
            }
        }
        check("fleet", [fleetName])
        check("site", sites.map(\.name))
        check("domain", domains.map(\.name), isPath: true)
        check("GPU model", gpuModels.map(\.name))
        check("node type", nodeTypes.map(\.name))
        check("node", nodes.map(\.name))
        return problems
    }

    private func modelProblems() -> [String] {
        var problems: [String] = []
        for model in gpuModels {
            if let problem = model.problem() {
                problems.append("GPU model '\(model.name)' \(problem)")
            }
        }
        if !problems.isEmpty { return problems }
        for type in nodeTypes {
            if let problem = type.problem(model: gpuModels[type.model.position]) {
                problems.append("node type '\(type.name)' \(problem)")
            }
            if type.settleNanoseconds > lease.settleNanoseconds {
                problems.append("node type '\(type.name)' settles later than the lease counts with")
            }
        }
        return problems
    }

    private func powerProblems() -> [String] {
        var problems: [String] = []
        for domain in domains {
            if domain.overhead < .zero || domain.limit > .maximum || domain.budget <= .zero {
                problems.append("the limit of domain '\(domain.name)' is not above its overhead")
            }
        }
        for site in sites where site.allotment > domains[site.root.position].limit {
            problems.append("the allotment of site '\(site.name)' is above its limit")
        }
        var sums = [Int64](repeating: 0, count: domains.count)
        for (position, node) in nodes.enumerated() {
            let fallback = nodeTypes[node.type].fallback.rawValue
            forEachDomain(of: NodeIndex(position)) { sums[$0.position] += fallback }
        }
        for (domain, sum) in zip(domains, sums) where sum > domain.budget.rawValue {
            let excess = Milliwatts(sum) - domain.budget
            problems.append(
                "the fallbacks in domain '\(domain.name)' exceed its budget by \(excess)")
        }
        return problems
    }
}

extension GPUModel {
    /// Says what is wrong with the figures, or nil when they can be used.
    package func problem() -> String? {
        if minimumCap <= .zero { return "has no minimum cap above zero" }
        if maximumCap > Topology.maximumGPUCap {
            return "has a maximum cap above \(Topology.maximumGPUCap)"
        }
        if maximumCap < minimumCap { return "has a maximum cap below its minimum cap" }
        if idle < .zero || idle > maximumCap { return "has an idle draw above its maximum cap" }
        if defaultFloor < minimumCap || defaultFloor > maximumCap {
            return "has a floor outside of its settable range"
        }
        return nil
    }
}

extension NodeType {
    /// Says what is wrong with the type, or nil when it can be used.
    package func problem(model: GPUModel) -> String? {
        if gpuCount == 0 || Int(gpuCount) > TelemetryReport.maximumGPUCount {
            return "has \(gpuCount) GPUs, not 1 to \(TelemetryReport.maximumGPUCount)"
        }
        let count = Int64(gpuCount)
        let least = Milliwatts(model.minimumCap.rawValue * count)
        let most = Milliwatts(model.maximumCap.rawValue * count)
        if fallback < least {
            return "has a fallback of \(fallback), below the \(least) that its GPUs can be set to"
        }
        if fallback > most {
            return "has a fallback of \(fallback), above the \(most) that its GPUs can draw"
        }
        if settleNanoseconds < 0 { return "has a negative settle time" }
        return nil
    }
}

extension Name {
    /// Says what is wrong with a path of names such as `dublin/row1/rack3`, or nil when it is good.
    ///
    /// Good is one or more good names with `/` between them, 128 bytes in all.
    package static func problem(inPath path: some StringProtocol) -> String? {
        if path.utf8.count > maximumByteCount { return "is longer than \(maximumByteCount) bytes" }
        for name in path.split(separator: "/", omittingEmptySubsequences: false) {
            if let problem = problem(in: name) { return problem }
        }
        return nil
    }
}
