// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// A fleet as a list of held jobs; everything else is worked out from the list at every question.
struct BruteFleet {
    let topology: Topology
    var jobs: [(spec: JobSpec, placement: [TaskPlacement])] = []
    var ineligible: Set<Int> = []
    var minimumCharge: [Int: Int64] = [:]
    var budget: [Int64]

    init(_ topology: Topology) {
        self.topology = topology
        budget = topology.domains.map(\.budget.rawValue)
    }

    // MARK: - Facts

    private func holders(_ node: Int, _ device: Int) -> [JobSpec] {
        jobs.flatMap { job in
            job.placement.filter { $0.node.position == node && $0.devices.contains(UInt16(device)) }
                .map { _ in job.spec }
        }
    }

    private func model(_ node: Int) -> GPUModel { topology.model(of: NodeIndex(node)) }
    private func type(_ node: Int) -> NodeType { topology.type(of: NodeIndex(node)) }

    func charge(_ node: Int) -> Int64 {
        var sum: Int64 = 0
        for device in 0..<Int(type(node).gpuCount) {
            let holders = holders(node, device)
            if holders.isEmpty {
                sum += topology.fallbackShare(of: NodeIndex(node), device: device).rawValue
                continue
            }
            var held: Int64 = 0
            for spec in holders {
                let floor = spec.floor(on: model(node)).rawValue
                held += (floor * Int64(spec.task.gpuMilli) + 999) / 1000
            }
            sum += min(model(node).maximumCap.rawValue, max(model(node).minimumCap.rawValue, held))
        }
        return max(sum, max(type(node).fallback.rawValue, minimumCharge[node] ?? 0))
    }

    func charge(domain: Int) -> Int64 {
        topology.nodes.indices.filter { domains(of: $0).contains(domain) }
            .reduce(0) { $0 + charge($1) }
    }

    private func domains(of node: Int) -> [Int] {
        var domains: [Int] = []
        topology.forEachDomain(of: NodeIndex(node)) { domains.append($0.position) }
        return domains
    }

    /// True when no node or device is taken beyond what it has.
    var isWithinResources: Bool {
        for node in topology.nodes.indices {
            let tasks = jobs.flatMap { job in
                job.placement.filter { $0.node.position == node }.map { _ in job.spec.task }
            }
            let cpu = tasks.reduce(0) { $0 + Int($1.cpuMilli) }
            let memory = tasks.reduce(0) { $0 + Int($1.memoryMiB) }
            guard cpu <= type(node).cpuMilli, memory <= type(node).memoryMiB else { return false }
            for device in 0..<Int(type(node).gpuCount) {
                let milli = holders(node, device).reduce(0) { $0 + Int($1.task.gpuMilli) }
                guard milli <= 1000 else { return false }
            }
        }
        return true
    }

    // MARK: - Jobs

    /// True when this very placement is right for a job now.
    func accepts(_ spec: JobSpec, _ placement: [TaskPlacement]) -> Bool {
        guard placement.count == spec.taskCount else { return false }
        for task in placement where !mayRun(spec, task) { return false }
        let nodes = placement.map(\.node.position)
        if spec.isSpread, Set(nodes).count != nodes.count { return false }
        if let level = spec.requiredLevel, !shareDomain(nodes, level) { return false }
        if let spread = spec.levelSpread, let most = spread.maximumTasks,
            largestGroup(nodes, spread.level) > Int(most)
        {
            return false
        }
        var after = self
        after.jobs.append((spec, placement))
        return after.isWithinResources && after.hasRoom(since: self)
    }

    private func mayRun(_ spec: JobSpec, _ task: TaskPlacement) -> Bool {
        let node = task.node.position
        let devices = Set(task.devices)
        guard !ineligible.contains(node), devices.count == spec.task.gpuCount,
            task.devices.count == spec.task.gpuCount,
            devices.allSatisfy({ $0 < type(node).gpuCount })
        else { return false }
        if spec.task.gpuCount > 0 {
            guard spec.models.isEmpty || spec.models.contains(model(node).name) else {
                return false
            }
            guard spec.floor(on: model(node)) <= model(node).maximumCap else { return false }
        }
        let site = topology.sites[topology.nodes[node].site.position].name
        guard spec.sites.isEmpty || spec.sites.contains(site) else { return false }
        return spec.selector.allSatisfy { type(node).labels[$0.key] == $0.value }
    }

    /// The most tasks in one domain of a level; a node in none of them counts by itself.
    func largestGroup(_ nodes: [Int], _ level: String) -> Int {
        var counts: [Int: Int] = [:]
        for node in nodes {
            let domain = domains(of: node).last {
                topology.domains[$0].tree == 0 && topology.domains[$0].level == level
            }
            counts[domain ?? -1 - node, default: 0] += 1
        }
        return counts.values.max() ?? 0
    }

    /// The domains of a level that tasks lie in.
    func groups(_ nodes: [Int], _ level: String) -> Set<Int> {
        Set(
            nodes.map { node in
                domains(of: node).last {
                    topology.domains[$0].tree == 0 && topology.domains[$0].level == level
                } ?? -1 - node
            })
    }

    private func shareDomain(_ nodes: [Int], _ level: String) -> Bool {
        topology.domains.indices.contains { domain in
            topology.domains[domain].tree == 0 && topology.domains[domain].level == level
                && nodes.allSatisfy { domains(of: $0).contains(domain) }
        }
    }

    private func hasRoom(since before: BruteFleet) -> Bool {
        topology.domains.indices.allSatisfy { domain in
            let charge = charge(domain: domain)
            return charge <= budget[domain] || charge <= before.charge(domain: domain)
        }
    }

    /// A placement of a job, found by trying every one; nil when there is none.
    func placement(of spec: JobSpec) -> [TaskPlacement]? {
        var options: [TaskPlacement] = []
        for node in topology.nodes.indices {
            let count = Int(type(node).gpuCount)
            for mask in 0..<(1 << count) where mask.nonzeroBitCount == spec.task.gpuCount {
                let devices = (0..<count).filter { mask >> $0 & 1 == 1 }.map { UInt16($0) }
                let option = TaskPlacement(node: NodeIndex(node), devices: devices)
                if mayRun(spec, option) { options.append(option) }
            }
        }
        var chosen: [TaskPlacement] = []
        return search(spec, options[...], &chosen)
    }

    /// Tasks are alike, so options are tried in order only.
    private func search(
        _ spec: JobSpec, _ options: ArraySlice<TaskPlacement>, _ chosen: inout [TaskPlacement]
    ) -> [TaskPlacement]? {
        if chosen.count == spec.taskCount { return accepts(spec, chosen) ? chosen : nil }
        if !chosen.isEmpty {
            var partial = self
            partial.jobs.append((spec, chosen))
            guard partial.isWithinResources else { return nil }
        }
        for index in options.indices {
            chosen.append(options[index])
            if let found = search(spec, options[index...], &chosen) { return found }
            chosen.removeLast()
        }
        return nil
    }
}
