// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Makes room for a pod that fits nowhere by moving one other, within a budget.
///
/// A move takes one placed pod from its node, puts the new one there and the moved one elsewhere, so
/// that nothing is ever lost. Small pods are tried first: they find a place most easily.
struct ExperimentMover {
    /// Pods that are tried for one arrival.
    private static let maximumTrialCount = 12

    /// A placed pod, as its node sees it.
    private struct Entry {
        var job: JobID
        var task: TaskRequest
        /// One bit for each device that it has a part of.
        var devices: UInt64
    }

    private struct Placed {
        var spec: JobSpec
        var node: Int
    }

    /// Arrivals for each move.
    let arrivalsPerMove: Int
    /// Pods that arrived, and pods that were moved.
    private(set) var arrivals = 0
    private(set) var moves = 0
    private var placed: [JobID: Placed] = [:]
    private var entriesOfNode: [[Entry]]

    init(arrivalsPerMove: Int, nodeCount: Int) {
        self.arrivalsPerMove = arrivalsPerMove
        entriesOfNode = [[Entry]](repeating: [], count: nodeCount)
    }

    /// Counts an arrival toward the budget.
    mutating func podArrived() { arrivals += 1 }

    /// Notes where a pod was placed.
    mutating func podPlaced(_ job: JobID, _ spec: JobSpec, _ task: TaskPlacement) {
        if let old = placed[job] { entriesOfNode[old.node].removeAll { $0.job == job } }
        let node = task.node.position
        placed[job] = Placed(spec: spec, node: node)
        let devices: UInt64 = task.devices.reduce(0) { $0 | 1 << UInt64($1) }
        entriesOfNode[node].append(Entry(job: job, task: spec.task, devices: devices))
    }

    /// Holds a pod that fits nowhere, by one move; false when there is none, or none is left.
    mutating func makeRoom(
        _ job: JobID, _ spec: JobSpec, in engine: inout PlacementEngine
    ) -> Bool {
        guard (moves + 1) * arrivalsPerMove <= arrivals, spec.task.gpuCount > 0 else {
            return false
        }
        for victim in victims(for: spec, in: engine).prefix(ExperimentMover.maximumTrialCount) {
            guard let old = placed[victim] else { continue }
            let checkpoint = engine.checkpoint()
            engine.release(victim)
            if let task = place(spec, node: old.node, engine), hold(job, spec, [task], &engine),
                let other = engine.placement(for: old.spec), hold(victim, old.spec, other, &engine)
            {
                engine.commit(checkpoint)
                moves += 1
                precondition(moves * arrivalsPerMove <= arrivals, "more moves than allowed")
                podPlaced(victim, old.spec, other[0])
                podPlaced(job, spec, task)
                return true
            }
            engine.rollback(to: checkpoint)
        }
        return false
    }

    // MARK: - Private

    private func hold(
        _ job: JobID, _ spec: JobSpec, _ tasks: [TaskPlacement], _ engine: inout PlacementEngine
    ) -> Bool {
        do throws(PlacementHoldError) {
            try engine.hold(job, spec, tasks)
            return true
        } catch {
            return false
        }
    }

    /// Pods without which the new one would fit their node, those with the least GPU and CPU first.
    private func victims(for spec: JobSpec, in engine: PlacementEngine) -> [JobID] {
        let fleet = engine.fleet
        let request = PlacementRequest(spec, engine.topology, levels: engine.levels)
        var found: [(key: (Int, UInt32, UInt64), job: JobID)] = []
        for node in entriesOfNode.indices
        where request.typeObstacle[Int(fleet.nodeType[node])] == .none {
            for entry in entriesOfNode[node]
            where ExperimentMover.frees(entry, node, spec.task, fleet) {
                let milli = Int(entry.task.gpuCount) * Int(entry.task.gpuMilli)
                found.append(((milli, entry.task.cpuMilli, entry.job.rawValue), entry.job))
            }
        }
        return found.sorted { $0.key < $1.key }.map(\.job)
    }

    /// True when a node takes a task once another is gone.
    private static func frees(
        _ entry: Entry, _ node: Int, _ task: TaskRequest, _ fleet: borrowing PlacementFleet
    ) -> Bool {
        guard UInt64(fleet.freeCPU[node]) + UInt64(entry.task.cpuMilli) >= task.cpuMilli,
            UInt64(fleet.freeMemory[node]) + UInt64(entry.task.memoryMiB) >= task.memoryMiB
        else { return false }
        var fitting = 0
        let first = Int(fleet.firstGPU[node])
        for device in 0..<Int(fleet.typeGPUCount[Int(fleet.nodeType[node])]) {
            var free = fleet.gpuFreeMilli[first + device]
            if entry.devices >> UInt64(device) & 1 == 1 { free += entry.task.gpuMilli }
            if free >= task.gpuMilli { fitting += 1 }
        }
        return fitting >= Int(task.gpuCount)
    }

    /// A pod on a node: on the devices with the least room that take it.
    private func place(_ spec: JobSpec, node: Int, _ engine: PlacementEngine) -> TaskPlacement? {
        let first = Int(engine.fleet.firstGPU[node])
        let count = Int(engine.fleet.typeGPUCount[Int(engine.fleet.nodeType[node])])
        let fitting = (0..<count)
            .map { (Int(engine.fleet.gpuFreeMilli[first + $0]), $0) }
            .filter { $0.0 >= Int(spec.task.gpuMilli) }
            .sorted { $0 < $1 }
        guard fitting.count >= Int(spec.task.gpuCount) else { return nil }
        let devices = fitting.prefix(Int(spec.task.gpuCount)).map { UInt16($0.1) }.sorted()
        return TaskPlacement(node: NodeIndex(node), devices: devices)
    }
}
