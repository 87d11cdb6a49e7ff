// SPDX-License-Identifier: Apache-2.0

package import FleetModel
package import Wire

/// The devices of a whole fleet, with the physics of their power; no clock, no I/O.
///
/// Every call carries the time, in nanoseconds since any fixed origin, never falling. Physics are
/// evaluated where they are read, in closed form, so thousands of devices cost nothing between reads.
///
/// * A cap that is lowered may not hold until the node type's settle time α has passed; a raised one
///   holds at once. α is taken in full: these are the slowest devices that the type allows.
/// * Draw is the mean of the last 100 ms of what the load asks for, at most the cap: limits act on
///   an average, not on an instant.
/// * The sensor of each board has a gain error of up to ±5 %, fixed by its UUID (as measured on
///   production GPUs, arXiv 2312.02741); each board also differs by up to 3 % in what it asks for.
/// * Temperature follows draw with a time constant of 12 s.
///
/// When clients go away nothing changes: like hardware, it keeps its caps.
package struct SimulatedFleet: Sendable {
    /// The span over which a device averages its draw.
    static let averagingNanoseconds: Int64 = 100_000_000
    private static let thermalNanoseconds: Int64 = 12_000_000_000
    private static let ambientMillidegrees: Int64 = 28_000
    private static let riseMillidegrees: Int64 = 50_000

    /// One node's place in the device columns, and its constants.
    private struct NodeEntry: Sendable {
        var gpus: Range<Int>
        var model: GPUModel
        var settleNanoseconds: Int64
    }

    private struct Load: Sendable {
        var shape = LoadShape(profile: nil, seed: 0)
        var utilizationPPM: Int64 = 0
    }

    private let nodes: [NodeEntry]
    private let positions: [String: Int]
    private let domainPaths: [[Int]]
    private let bootID: [UInt8]
    private var registers: [CapRegister]
    private let uuids: [String]
    /// Sensor gain and load scale of each board, in parts per million of 1.
    private let gainPPM: [Int64]
    private let loadScalePPM: [Int64]
    private var loads: [Load]
    private var earlierLoads: [Load]
    private var loadChanged: [Int64]
    private var temperatures: [Int64]
    private var temperatureRead: [Int64]
    private var settling = SettleQueue()
    private var audit: BudgetAudit
    private let domainCount: Int

    /// Powers on every node of a fleet, each with the caps that its type boots with.
    ///
    /// - Parameters:
    ///   - topology: a valid topology.
    ///   - bootID: what every node reports as its boot id: a new one for every power-on.
    ///   - now: the time of power-on.
    package init(topology: Topology, bootID: [UInt8], at now: Int64) {
        self.bootID = bootID
        domainCount = topology.domains.count
        var nodes: [NodeEntry] = []
        var positions: [String: Int] = [:]
        var registers: [CapRegister] = []
        var uuids: [String] = []
        for (position, node) in topology.nodes.enumerated() {
            let index = NodeIndex(position)
            let type = topology.type(of: index)
            let model = topology.model(of: index)
            positions[node.name] = position
            nodes.append(
                NodeEntry(
                    gpus: topology.gpus(of: index), model: model,
                    settleNanoseconds: type.settleNanoseconds))
            for device in 0..<Int(type.gpuCount) {
                let share = topology.fallbackShare(of: index, device: device)
                let boot = type.bootState == .fallback ? share : model.maximumCap
                registers.append(CapRegister(settledAt: UInt32(boot.rawValue)))
                uuids.append(simulatedUUID(node: node.name, device: device))
            }
        }
        self.nodes = nodes
        self.positions = positions
        self.registers = registers
        self.uuids = uuids
        domainPaths = topology.nodes.indices.map { position in
            var path: [Int] = []
            topology.forEachDomain(of: NodeIndex(position)) { path.append($0.position) }
            return path
        }
        let hashes = uuids.map(stableHash)
        gainPPM = hashes.map { 950_000 + Int64($0 % 100_001) }
        loadScalePPM = hashes.map { 970_000 + Int64(mixed($0) % 30_001) }
        loads = [Load](repeating: Load(), count: registers.count)
        earlierLoads = loads
        loadChanged = [Int64](repeating: now, count: registers.count)
        temperatures = [Int64](
            repeating: SimulatedFleet.ambientMillidegrees, count: registers.count)
        temperatureRead = [Int64](repeating: now, count: registers.count)
        audit = BudgetAudit(topology: topology)
        audit.start(
            nodeEnforced: nodes.map { node in
                node.gpus.reduce(0) { $0 + Int64(registers[$1].enforcedMilliwatts) }
            })
    }

    // MARK: - What a driver offers

    /// Lists a node's devices.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for a node that the fleet does not have.
    package func inventory(node: String) throws(DeviceError) -> HardwareInventory {
        let entry = nodes[try position(of: node)]
        let devices = entry.gpus.map { gpu in
            DeviceInventory(
                uuid: uuids[gpu], model: entry.model.name, minimumCap: entry.model.minimumCap,
                maximumCap: entry.model.maximumCap)
        }
        return HardwareInventory(
            devices: devices, bootID: bootID, settleNanoseconds: entry.settleNanoseconds)
    }

    /// Writes one cap.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for an unknown device or a cap outside its range.
    package mutating func writeCap(
        _ capMilliwatts: UInt32, node: String, device: Int, at now: Int64
    ) throws(DeviceError) {
        advance(to: now)
        let position = try position(of: node)
        let gpu = try gpu(device, of: position, named: node)
        let model = nodes[position].model
        let range = model.minimumCap...model.maximumCap
        guard range.contains(Milliwatts(Int64(capMilliwatts))) else {
            throw .refused(
                "a cap of \(Milliwatts(Int64(capMilliwatts))) is outside"
                    + " \(model.minimumCap) to \(model.maximumCap)")
        }
        set(gpu, of: position, to: capMilliwatts, at: now)
    }

    /// Reloads a node's driver: every device goes to its default, the highest cap.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for a node that the fleet does not have.
    package mutating func resetDriver(node: String, at now: Int64) throws(DeviceError) {
        advance(to: now)
        let position = try position(of: node)
        let highest = UInt32(nodes[position].model.maximumCap.rawValue)
        for gpu in nodes[position].gpus { set(gpu, of: position, to: highest, at: now) }
    }

    /// Reads back a node's caps.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for a node that the fleet does not have.
    package mutating func caps(node: String, at now: Int64) throws(DeviceError) -> HardwareCaps {
        advance(to: now)
        let gpus = nodes[try position(of: node)].gpus
        return HardwareCaps(
            requestedMilliwatts: gpus.map { registers[$0].requestedMilliwatts },
            enforcedMilliwatts: gpus.map { registers[$0].enforcedMilliwatts })
    }

    /// Samples a node's sensors.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for a node that the fleet does not have.
    package mutating func sensors(node: String, at now: Int64) throws(DeviceError)
        -> HardwareSensors
    {
        advance(to: now)
        let position = try position(of: node)
        var sample = HardwareSensors(
            drawMilliwatts: [], temperatureMillidegrees: [], utilizationPPM: [],
            requestedMilliwatts: [], enforcedMilliwatts: [])
        for gpu in nodes[position].gpus {
            let draw = draw(of: gpu, model: nodes[position].model, at: now)
            sample.drawMilliwatts.append(UInt32(draw * gainPPM[gpu] / 1_000_000))
            sample.temperatureMillidegrees.append(
                temperature(of: gpu, draw: draw, model: nodes[position].model, at: now))
            sample.utilizationPPM.append(utilization(of: gpu, at: now))
            sample.requestedMilliwatts.append(registers[gpu].requestedMilliwatts)
            sample.enforcedMilliwatts.append(registers[gpu].enforcedMilliwatts)
        }
        return sample
    }

    /// Sets what runs on a device.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` for an unknown device.
    package mutating func setDemand(
        _ demand: DeviceDemand, node: String, device: Int, at now: Int64
    ) throws(DeviceError) {
        let position = try position(of: node)
        let gpu = try gpu(device, of: position, named: node)
        // Bursts of inference are each device's own; dips of training are the gang's.
        let own = demand.profile == .inference ? stableHash(uuids[gpu]) : 0
        let load = Load(
            shape: LoadShape(profile: demand.profile, seed: demand.phaseSeed ^ own),
            utilizationPPM: Int64(min(demand.utilizationPPM, 1_000_000)))
        earlierLoads[gpu] = loads[gpu]
        loads[gpu] = load
        loadChanged[gpu] = now
    }

    // MARK: - Physics

    /// The true draw of a device, in milliwatts.
    private func draw(of gpu: Int, model: GPUModel, at now: Int64) -> Int64 {
        let start = max(0, now - SimulatedFleet.averagingNanoseconds)
        let end = max(now, start + 1)
        let change = min(max(loadChanged[gpu], start), end)
        var share: Int64 = 0
        if change > start {
            share += demandPPM(earlierLoads[gpu], from: start, to: change) * (change - start)
        }
        if end > change {
            share += demandPPM(loads[gpu], from: change, to: end) * (end - change)
        }
        share = share / (end - start) * loadScalePPM[gpu] / 1_000_000
        let idle = model.idle.rawValue
        let asked = idle + (model.maximumCap.rawValue - idle) * share / 1_000_000
        return max(idle, min(asked, Int64(registers[gpu].enforcedMilliwatts)))
    }

    private func demandPPM(_ load: Load, from start: Int64, to end: Int64) -> Int64 {
        load.shape.meanPPM(from: start, to: end) * load.utilizationPPM / 1_000_000
    }

    private func utilization(of gpu: Int, at now: Int64) -> UInt32 {
        let start = max(0, now - SimulatedFleet.averagingNanoseconds)
        return UInt32(demandPPM(loads[gpu], from: start, to: max(now, start + 1)))
    }

    private mutating func temperature(
        of gpu: Int, draw: Int64, model: GPUModel, at now: Int64
    ) -> UInt32 {
        let target =
            SimulatedFleet.ambientMillidegrees
            + SimulatedFleet.riseMillidegrees * draw / max(1, model.maximumCap.rawValue)
        let elapsed = now - temperatureRead[gpu]
        // The first step of an implicit integration: stable for any distance between reads.
        let difference = target - temperatures[gpu]
        let factor = elapsed * 1000 / (elapsed + SimulatedFleet.thermalNanoseconds)
        temperatures[gpu] += difference * factor / 1000
        temperatureRead[gpu] = now
        return UInt32(temperatures[gpu])
    }

    // MARK: - Caps

    /// Carries out all settling up to `now`, in the order in which it happened.
    private mutating func advance(to now: Int64) {
        while let end = settling.popFirst(notAfter: now) {
            let before = registers[end.gpu].enforcedMilliwatts
            registers[end.gpu].settle(at: end.instant)
            let after = registers[end.gpu].enforcedMilliwatts
            guard before != after else { continue }
            audit.change(
                node: node(of: end.gpu), delta: Int64(after) - Int64(before), at: end.instant)
        }
    }

    private mutating func set(_ gpu: Int, of node: Int, to cap: UInt32, at now: Int64) {
        let before = registers[gpu].enforcedMilliwatts
        let end = registers[gpu].write(
            cap, at: now, settleNanoseconds: nodes[node].settleNanoseconds)
        if let end { settling.insert(SettleQueue.Entry(instant: end, gpu: gpu)) }
        let after = registers[gpu].enforcedMilliwatts
        audit.change(node: node, delta: Int64(after) - Int64(before), at: now)
    }

    private func node(of gpu: Int) -> Int {
        var low = 0
        var high = nodes.count
        while low < high {
            let middle = (low + high) / 2
            if nodes[middle].gpus.upperBound <= gpu { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func position(of node: String) throws(DeviceError) -> Int {
        guard let position = positions[node] else { throw .refused("no node '\(node)'") }
        return position
    }

    private func gpu(_ device: Int, of node: Int, named name: String) throws(DeviceError) -> Int {
        let gpus = nodes[node].gpus
        guard device >= 0, device < gpus.count else {
            throw .refused("no device \(device) in node '\(name)'")
        }
        return gpus.lowerBound + device
    }

    // MARK: - The judge

    /// What the audit has found so far, and what every domain draws and may be enforcing now.
    package mutating func summary(at now: Int64) -> HardwareSummary {
        advance(to: now)
        var domainDraw = [Int64](repeating: 0, count: domainCount)
        for (position, node) in nodes.enumerated() {
            var sum: Int64 = 0
            for gpu in node.gpus { sum += draw(of: gpu, model: node.model, at: now) }
            for domain in domainPaths[position] { domainDraw[domain] += sum }
        }
        return HardwareSummary(
            capChanges: audit.capChanges, overBudgetInstants: audit.totalOverBudgetInstants,
            domainEnforced: audit.enforced.map { Milliwatts($0) },
            domainPeakEnforced: audit.peak.map { Milliwatts($0) },
            domainOverBudgetInstants: audit.overBudgetInstants,
            domainDraw: domainDraw.map { Milliwatts($0) }, domainArmed: audit.isArmed,
            firstViolations: audit.descriptions)
    }

    /// Starts the audit's counts anew.
    package mutating func resetSummary(at now: Int64) {
        advance(to: now)
        audit.resetCounts()
    }
}
