// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// What a client knows of a fleet from the answers it was given: who holds what.
///
/// Goal: check the fleet's answers without the fleet's code. So this is written for obviousness, not
/// for speed, and shares nothing with the placement engine but the vocabulary of `FleetModel`.
struct FleetMirror: Sendable {
    /// What is wrong with an answer.
    enum Contradiction: Hashable, Sendable {
        case unknownNode(String)
        case wrongShape(job: UInt64)
        /// More than the whole of a GPU is held.
        case heldTwice(job: UInt64, node: String, device: Int)
        case outOfCPU(job: UInt64, node: String)
        case outOfMemory(job: UInt64, node: String)
        case overBudget(job: UInt64, domain: String)
        /// One job was answered with two placements.
        case moved(job: UInt64)

        var text: String {
            switch self {
            case .unknownNode(let name): "a task is on the unknown node \(name)"
            case .wrongShape(let job): "j\(job) was not placed as it was asked for"
            case .heldTwice(let job, let node, let device):
                "j\(job) holds GPU \(device) of \(node), which others hold already"
            case .outOfCPU(let job, let node): "j\(job) exceeds the CPUs of \(node)"
            case .outOfMemory(let job, let node): "j\(job) exceeds the memory of \(node)"
            case .overBudget(let job, let domain): "with j\(job) the floors exceed \(domain)"
            case .moved(let job): "j\(job) was answered with two placements"
            }
        }
    }

    /// One job's part of one GPU.
    struct Share: Hashable, Sendable {
        var job: UInt64
        var milli: Int64
        /// What the part promises, in milliwatts.
        var floor: Int64
    }

    /// What one node has left, and who holds the rest.
    struct NodeState: Sendable {
        var cpuFree: Int64
        var memoryFree: Int64
        /// For each GPU the parts that are held.
        var shares: [[Share]]
    }

    /// A job as it was answered.
    struct Held: Hashable, Sendable {
        var spec: JobSpec
        var tasks: [TaskPlacement]
    }

    let topology: Topology
    private(set) var nodes: [NodeState]
    private(set) var jobs: [UInt64: Held] = [:]
    /// Σ g_n for each domain, in milliwatts.
    private(set) var committed: [Int64]
    private let nodeByName: [String: NodeIndex]

    init(_ topology: Topology) {
        self.topology = topology
        nodes = topology.nodes.map { node in
            let type = topology.nodeTypes[node.type]
            return NodeState(
                cpuFree: Int64(type.cpuMilli), memoryFree: Int64(type.memoryMiB),
                shares: Array(repeating: [], count: Int(type.gpuCount)))
        }
        nodeByName = Dictionary(
            topology.nodes.enumerated().map { ($0.element.name, NodeIndex($0.offset)) },
            uniquingKeysWith: { first, _ in first })
        committed = Array(repeating: 0, count: topology.domains.count)
        for position in topology.nodes.indices {
            let node = NodeIndex(position)
            let least = leastCharge(of: node)
            topology.forEachDomain(of: node) { committed[$0.position] += least }
        }
    }

    /// The node of a name.
    func node(named name: String) -> NodeIndex? { nodeByName[name] }

    /// What one whole GPU of a node promises to a job, in milliwatts.
    func wholeFloor(of spec: JobSpec, on node: NodeIndex) -> Int64 {
        spec.floor(on: topology.model(of: node)).rawValue
    }

    /// What a part of a GPU promises: its share of the whole one's floor, rounded up.
    func floor(of spec: JobSpec, on node: NodeIndex) -> Int64 {
        (wholeFloor(of: spec, on: node) * Int64(spec.task.gpuMilli) + 999) / 1000
    }

    /// The floor of a GPU with these parts of it held: an idle one's is its share of the fallback; a
    /// held one's is at least the least cap that the device takes.
    func floor(ofDevice device: Int, on node: NodeIndex, held: [Int64]) -> Int64 {
        if held.isEmpty { return topology.fallbackShare(of: node, device: device).rawValue }
        return max(topology.model(of: node).minimumCap.rawValue, held.reduce(0, +))
    }

    /// Σ of the floors of a node's GPUs, before the fallback is looked at.
    func floorSum(of node: NodeIndex) -> Int64 {
        nodes[node.position].shares.enumerated().reduce(0) { sum, entry in
            sum + floor(ofDevice: entry.offset, on: node, held: entry.element.map(\.floor))
        }
    }

    /// g_n: the least that a node may be charged.
    func leastCharge(of node: NodeIndex) -> Int64 {
        max(topology.type(of: node).fallback.rawValue, floorSum(of: node))
    }

    /// Enters a job as answered; says everything that is wrong with the answer.
    mutating func place(
        job: UInt64, spec: JobSpec, tasks: [TaskPlacement]
    ) -> [Contradiction] {
        let held = Held(spec: spec, tasks: tasks)
        if let known = jobs[job] { return known == held ? [] : [.moved(job: job)] }
        var problems = problemsOfShape(job: job, spec: spec, tasks: tasks)
        guard problems.isEmpty else { return problems }
        jobs[job] = held
        for task in tasks { problems += enter(task, of: job, spec) }
        var checked: Set<DomainIndex> = []
        for task in tasks {
            topology.forEachDomain(of: task.node) { domain in
                guard checked.insert(domain).inserted else { return }
                let entry = topology.domains[domain.position]
                if committed[domain.position] > entry.budget.rawValue {
                    problems.append(.overBudget(job: job, domain: entry.name))
                }
            }
        }
        return problems
    }

    /// Forgets a job that has ended; one that is not known changes nothing.
    mutating func release(job: UInt64) {
        guard let held = jobs.removeValue(forKey: job) else { return }
        for task in held.tasks {
            let before = leastCharge(of: task.node)
            nodes[task.node.position].cpuFree += Int64(held.spec.task.cpuMilli)
            nodes[task.node.position].memoryFree += Int64(held.spec.task.memoryMiB)
            for device in task.devices {
                let shares = nodes[task.node.position].shares[Int(device)]
                if let index = shares.firstIndex(where: { $0.job == job }) {
                    nodes[task.node.position].shares[Int(device)].remove(at: index)
                }
            }
            charge(task.node, leastCharge(of: task.node) - before)
        }
    }

    /// The free thousandths of a GPU.
    func freeMilli(device: Int, on node: NodeIndex) -> Int64 {
        1000 - nodes[node.position].shares[device].reduce(0) { $0 + $1.milli }
    }

    // MARK: - Private

    private func problemsOfShape(
        job: UInt64, spec: JobSpec, tasks: [TaskPlacement]
    ) -> [Contradiction] {
        let isRightCount = tasks.count == Int(spec.taskCount)
        let areDistinct = !spec.isSpread || Set(tasks.map(\.node)).count == tasks.count
        let areRight = tasks.allSatisfy { task in
            let type = topology.type(of: task.node)
            let model = topology.model(of: task.node).name
            let site = topology.sites[topology.nodes[task.node.position].site.position].name
            return task.devices.count == Int(spec.task.gpuCount)
                && Set(task.devices).count == task.devices.count
                && task.devices.allSatisfy { $0 < type.gpuCount }
                && (spec.task.gpuCount == 0 || spec.models.isEmpty || spec.models.contains(model))
                && (spec.sites.isEmpty || spec.sites.contains(site))
        }
        return isRightCount && areDistinct && areRight ? [] : [.wrongShape(job: job)]
    }

    private mutating func enter(
        _ task: TaskPlacement, of job: UInt64, _ spec: JobSpec
    ) -> [Contradiction] {
        var problems: [Contradiction] = []
        let name = topology.nodes[task.node.position].name
        let before = leastCharge(of: task.node)
        let share = Share(
            job: job, milli: Int64(spec.task.gpuMilli), floor: floor(of: spec, on: task.node))
        for device in task.devices {
            nodes[task.node.position].shares[Int(device)].append(share)
            if freeMilli(device: Int(device), on: task.node) < 0 {
                problems.append(.heldTwice(job: job, node: name, device: Int(device)))
            }
        }
        nodes[task.node.position].cpuFree -= Int64(spec.task.cpuMilli)
        nodes[task.node.position].memoryFree -= Int64(spec.task.memoryMiB)
        if nodes[task.node.position].cpuFree < 0 {
            problems.append(.outOfCPU(job: job, node: name))
        }
        if nodes[task.node.position].memoryFree < 0 {
            problems.append(.outOfMemory(job: job, node: name))
        }
        charge(task.node, leastCharge(of: task.node) - before)
        return problems
    }

    private mutating func charge(_ node: NodeIndex, _ difference: Int64) {
        topology.forEachDomain(of: node) { committed[$0.position] += difference }
    }
}
