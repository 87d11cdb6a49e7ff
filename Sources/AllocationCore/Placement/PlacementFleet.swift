// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The fleet as placement sees it: columns over nodes, GPUs and domains, and what is taken of them.
///
/// Invariants, checked by ``firstBrokenInvariant()``:
/// `nodeCharge = max(fallback, minimum charge, sum of the floors of the node's GPUs)` and
/// `domainCharge = sum of nodeCharge over its nodes`.
struct PlacementFleet: Hashable, Sendable {
    // Nodes.
    let nodeType: [Int32]
    let nodeSite: [Int32]
    let firstGPU: [Int32]
    var freeCPU: [UInt32]
    var freeMemory: [UInt32]
    /// One bit for each device with nothing on it.
    var freeDevices: [UInt64]
    /// Sum of the free thousandths of all devices.
    var freeMilli: [UInt32]
    /// Why the node takes no jobs: a raw ``NodeIneligibility``, or 255.
    var ineligibility: [UInt8]
    var minimumCharge: [Int64]
    var floorSum: [Int64]
    var nodeCharge: [Int64]

    // GPUs.
    var gpuFreeMilli: [UInt16]
    /// Sum of the floors of the holders.
    var gpuHeldFloor: [Int64]

    // Node types.
    let typeGPUCount: [Int32]
    let typeCPU: [UInt32]
    let typeMemory: [UInt32]
    let typeFallback: [Int64]
    let typeMinimumCap: [Int64]
    let typeMaximumCap: [Int64]

    // Domains.
    var domainBudget: [Int64]
    var domainCharge: [Int64]
    /// Sums of the charges above the floors: of `nodeCharge - floorSum`.
    var domainSlack: [Int64]
    /// The domains of each node, all trees, leaves before their ancestors: a slice of ``nodeDomains``.
    let nodeDomainStarts: [Int32]
    let nodeDomains: [Int32]

    static let isEligible: UInt8 = 255

    /// The number of nodes.
    var nodeCount: Int { nodeType.count }

    /// An empty fleet.
    init(_ topology: Topology) {
        let nodes = topology.nodes
        let types = topology.nodeTypes
        nodeType = nodes.map { Int32($0.type) }
        nodeSite = nodes.map { Int32($0.site.position) }
        firstGPU = nodes.map { Int32($0.firstGPU.position) }
        freeCPU = nodes.map { types[$0.type].cpuMilli }
        freeMemory = nodes.map { types[$0.type].memoryMiB }
        freeDevices = nodes.map { PlacementFleet.mask(count: Int(types[$0.type].gpuCount)) }
        freeMilli = nodes.map { UInt32(types[$0.type].gpuCount) * 1000 }
        ineligibility = [UInt8](repeating: PlacementFleet.isEligible, count: nodes.count)
        minimumCharge = [Int64](repeating: 0, count: nodes.count)
        gpuFreeMilli = [UInt16](repeating: 1000, count: topology.gpuCount)
        gpuHeldFloor = [Int64](repeating: 0, count: topology.gpuCount)
        typeGPUCount = types.map { Int32($0.gpuCount) }
        typeCPU = types.map(\.cpuMilli)
        typeMemory = types.map(\.memoryMiB)
        typeFallback = types.map { $0.gpuCount == 0 ? 0 : $0.fallback.rawValue }
        typeMinimumCap = types.map { topology.gpuModels[$0.model.position].minimumCap.rawValue }
        typeMaximumCap = types.map { topology.gpuModels[$0.model.position].maximumCap.rawValue }
        // The idle floors of a node add up to its fallback.
        let floors = nodes.map {
            types[$0.type].gpuCount == 0 ? 0 : types[$0.type].fallback.rawValue
        }
        floorSum = floors
        nodeCharge = floors
        domainBudget = topology.domains.map(\.budget.rawValue)
        var charges = [Int64](repeating: 0, count: topology.domains.count)
        var starts: [Int32] = [0]
        var domains: [Int32] = []
        for node in 0..<nodes.count {
            topology.forEachDomain(of: NodeIndex(node)) { domain in
                domains.append(Int32(domain.position))
                charges[domain.position] += floors[node]
            }
            starts.append(Int32(domains.count))
        }
        nodeDomainStarts = starts
        nodeDomains = domains
        domainCharge = charges
        domainSlack = [Int64](repeating: 0, count: charges.count)
    }

    static func mask(count: Int) -> UInt64 {
        precondition(count <= 64, "a node has at most 64 GPUs, not \(count)")
        return count == 64 ? .max : (1 << UInt64(count)) - 1
    }

    /// Bytes that the columns take.
    var byteCount: Int {
        let nodes = nodeType.capacity * (3 * 4 + 2 * 4 + 8 + 4 + 1 + 3 * 8 + 4)
        let gpus = gpuFreeMilli.capacity * 2 + gpuHeldFloor.capacity * 8
        return nodes + gpus + nodeDomains.capacity * 4 + domainBudget.capacity * 24
    }

    // MARK: - Reading

    /// The domains of a node as positions in ``nodeDomains``.
    func domains(of node: Int) -> Range<Int> {
        Int(nodeDomainStarts[node])..<Int(nodeDomainStarts[node + 1])
    }

    /// Watts that are left in a domain for placing, in milliwatts; 0 where it is over already.
    func room(_ domain: Int32) -> Int64 {
        max(0, domainBudget[Int(domain)] - domainCharge[Int(domain)])
    }

    /// The floor of an idle device.
    func idleFloor(node: Int, device: Int) -> Int64 {
        let type = Int(nodeType[node])
        let count = Int64(typeGPUCount[type])
        let fallback = typeFallback[type]
        return fallback / count + (Int64(device) < fallback % count ? 1 : 0)
    }

    /// The floor of a device with this much held on it.
    func heldFloor(_ held: Int64, type: Int) -> Int64 {
        min(typeMaximumCap[type], max(typeMinimumCap[type], held))
    }

    /// The floor of a device now.
    func floor(node: Int, device: Int) -> Int64 {
        let gpu = Int(firstGPU[node]) + device
        return gpuFreeMilli[gpu] == 1000
            ? idleFloor(node: node, device: device)
            : heldFloor(gpuHeldFloor[gpu], type: Int(nodeType[node]))
    }

    /// The charge of a node whose floors sum to this.
    func charge(node: Int, floorSum: Int64) -> Int64 {
        max(floorSum, max(typeFallback[Int(nodeType[node])], minimumCharge[node]))
    }

    /// What a task promises on one device, in milliwatts.
    static func taskFloor(perGPU floor: Int64, milli: UInt16) -> Int64 {
        (floor * Int64(milli) + 999) / 1000
    }

    // MARK: - Changing

    /// Takes or gives back what a task needs on a node.
    ///
    /// The caller has checked that it is there.
    mutating func take(
        _ request: PlacementRequest, node: Int, devices: [UInt16], giveBack: Bool = false
    ) {
        let mask = devices.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        take(request, node: node, mask: mask, giveBack: giveBack)
    }

    /// As ``take(_:node:devices:giveBack:)``, with one bit for each device.
    mutating func take(
        _ request: PlacementRequest, node: Int, mask: UInt64, giveBack: Bool = false
    ) {
        let sign: Int64 = giveBack ? -1 : 1
        freeCPU[node] = UInt32(Int64(freeCPU[node]) - sign * Int64(request.cpuMilli))
        freeMemory[node] = UInt32(Int64(freeMemory[node]) - sign * Int64(request.memoryMiB))
        guard mask != 0 else { return }
        let type = Int(nodeType[node])
        let floor = PlacementFleet.taskFloor(
            perGPU: request.floorMilliwatts[type], milli: request.gpuMilli)
        let milli = sign * Int64(request.gpuMilli)
        var change: Int64 = 0
        var isFree = freeDevices[node]
        var left = mask
        while left != 0 {
            let device = left.trailingZeroBitCount
            left &= left - 1
            let gpu = Int(firstGPU[node]) + device
            change -= self.floor(node: node, device: device)
            let free = Int64(gpuFreeMilli[gpu]) - milli
            gpuFreeMilli[gpu] = UInt16(free)
            gpuHeldFloor[gpu] += sign * floor
            let bit: UInt64 = 1 << UInt64(device)
            isFree = free == 1000 ? isFree | bit : isFree & ~bit
            change += self.floor(node: node, device: device)
        }
        freeDevices[node] = isFree
        freeMilli[node] = UInt32(Int64(freeMilli[node]) - milli * Int64(mask.nonzeroBitCount))
        floorSum[node] += change
        recharge(node, floorChange: change)
    }

    /// Brings the charge of a node, and of its domains, in line with its floors, whose sum has just
    /// grown by `floorChange`.
    mutating func recharge(_ node: Int, floorChange: Int64 = 0) {
        let charge = charge(node: node, floorSum: floorSum[node])
        let change = charge - nodeCharge[node]
        if change != 0 {
            nodeCharge[node] = charge
            for position in domains(of: node) { domainCharge[Int(nodeDomains[position])] += change }
        }
        guard change != floorChange else { return }
        for position in domains(of: node) {
            domainSlack[Int(nodeDomains[position])] += change - floorChange
        }
    }

    /// What is inconsistent, or nil.
    ///
    /// For tests and debug builds.
    func firstBrokenInvariant() -> String? {
        var sums = [Int64](repeating: 0, count: domainBudget.count)
        var slacks = sums
        for node in 0..<nodeCount {
            let count = Int(typeGPUCount[Int(nodeType[node])])
            let floors = (0..<count).reduce(Int64(0)) { $0 + floor(node: node, device: $1) }
            guard floors == floorSum[node] else { return "floors of node \(node)" }
            guard nodeCharge[node] == charge(node: node, floorSum: floors) else {
                return "charge of node \(node)"
            }
            let gpus = Int(firstGPU[node])..<(Int(firstGPU[node]) + count)
            let free = gpus.reduce(UInt32(0)) { $0 + UInt32(gpuFreeMilli[$1]) }
            guard free == freeMilli[node] else { return "free thousandths of node \(node)" }
            for device in 0..<count {
                let isFree = gpuFreeMilli[gpus.lowerBound + device] == 1000
                guard isFree == (freeDevices[node] >> UInt64(device) & 1 == 1) else {
                    return "free devices of node \(node)"
                }
            }
            for position in domains(of: node) {
                sums[Int(nodeDomains[position])] += nodeCharge[node]
                slacks[Int(nodeDomains[position])] += nodeCharge[node] - floorSum[node]
            }
        }
        guard slacks == domainSlack else { return "slack of domains" }
        return sums == domainCharge ? nil : "charges of domains"
    }
}

extension PlacementFleet {
    /// Gives back everything that is taken; eligibility, minimum charges and budgets stay.
    mutating func removeAllTasks() {
        for node in 0..<nodeCount {
            let type = Int(nodeType[node])
            freeCPU[node] = typeCPU[type]
            freeMemory[node] = typeMemory[type]
            freeDevices[node] = PlacementFleet.mask(count: Int(typeGPUCount[type]))
            freeMilli[node] = UInt32(typeGPUCount[type]) * 1000
            let change = typeFallback[type] - floorSum[node]
            floorSum[node] = typeFallback[type]
            recharge(node, floorChange: change)
        }
        for gpu in gpuFreeMilli.indices {
            gpuFreeMilli[gpu] = 1000
            gpuHeldFloor[gpu] = 0
        }
    }
}
