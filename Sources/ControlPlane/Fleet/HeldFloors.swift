// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What placed jobs hold of every GPU: thousandths, floors, and which jobs stand on which node.
///
/// Shape: GPU columns are indexed by the topology's GPU numbering, node columns by `NodeIndex`.
///
/// Invariant: `nodeFloor[n]` is the sum over all GPUs of n of their floors, where an idle GPU's floor
/// is its share of the node's fallback, and a held GPU's floor is the sum of its holders' floors, at
/// least the model's minimum cap.
package struct HeldFloors: Sendable {
    /// Thousandths of each GPU that jobs hold.
    package private(set) var heldMilli: [UInt16]
    /// Sum of the holders' floors of each GPU, before the model's minimum; 0 when idle.
    private var holderFloor: [Milliwatts]
    /// The sum of floors of each node.
    package private(set) var nodeFloor: [Milliwatts]
    /// The jobs with a task on each node, in order of placement; twice with two tasks.
    package private(set) var jobsOfNode: [[JobID]]
    /// The jobs that hold each GPU, in order of placement.
    package private(set) var holders: [[JobID]]
    /// CPUs that jobs hold of each node, in thousandths.
    package private(set) var heldCPUMilli: [UInt32]
    package private(set) var heldMemoryMiB: [UInt32]
    /// What the power loop must know of every job that holds something.
    package private(set) var traits: [JobID: Traits] = [:]
    /// Counts the changes, so that what is derived from the columns is rebuilt only when needed.
    package private(set) var version: UInt64 = 1
    private let topology: Topology

    /// The part of a specification that decides how a job's GPUs share power.
    package struct Traits: Hashable, Sendable {
        package var priority: Int32
        package var weight: UInt32
        package var gpuMilli: UInt16
    }

    /// Nothing held.
    package init(topology: Topology) {
        self.topology = topology
        heldMilli = Array(repeating: 0, count: topology.gpuCount)
        holderFloor = Array(repeating: .zero, count: topology.gpuCount)
        jobsOfNode = Array(repeating: [], count: topology.nodes.count)
        heldCPUMilli = Array(repeating: 0, count: topology.nodes.count)
        heldMemoryMiB = heldCPUMilli
        holders = Array(repeating: [], count: topology.gpuCount)
        nodeFloor = topology.nodes.indices.map { topology.type(of: NodeIndex($0)).fallback }
    }

    /// What one task with `spec` promises each GPU that it holds on `node`.
    ///
    /// A fraction of a GPU holds that fraction of the floor, rounded up.
    package static func floorPerGPU(of spec: JobSpec, on node: NodeIndex, in topology: Topology)
        -> Milliwatts
    {
        let whole = spec.floor(on: topology.model(of: node))
        return Milliwatts((whole.rawValue * Int64(spec.task.gpuMilli) + 999) / 1000)
    }

    /// The floor of one GPU now.
    package func floor(ofGPU gpu: Int, device: Int, on node: NodeIndex) -> Milliwatts {
        if heldMilli[gpu] == 0 { return topology.fallbackShare(of: node, device: device) }
        return max(holderFloor[gpu], topology.model(of: node).minimumCap)
    }

    /// Adds the holdings of a job.
    ///
    /// - Precondition: the placements lie in the topology and leave no GPU held above 1000.
    package mutating func hold(_ job: JobID, spec: JobSpec, tasks: [FleetTask]) {
        traits[job] = Traits(
            priority: spec.priority, weight: spec.weight, gpuMilli: spec.task.gpuMilli)
        for task in tasks {
            jobsOfNode[task.placement.node.position].append(job)
            change(job, spec: spec, placement: task.placement, sign: 1)
        }
    }

    /// Takes the holdings of a job away again; the job must have been held with the same tasks.
    package mutating func release(_ job: JobID, spec: JobSpec, tasks: [FleetTask]) {
        traits[job] = nil
        for task in tasks {
            let node = task.placement.node.position
            if let position = jobsOfNode[node].firstIndex(of: job) {
                jobsOfNode[node].remove(at: position)
            }
            change(job, spec: spec, placement: task.placement, sign: -1)
        }
    }

    // MARK: - Columns

    private mutating func change(
        _ job: JobID, spec: JobSpec, placement: TaskPlacement, sign: Int
    ) {
        version += 1
        let node = placement.node
        if sign > 0 {
            heldCPUMilli[node.position] += spec.task.cpuMilli
            heldMemoryMiB[node.position] += spec.task.memoryMiB
        } else {
            heldCPUMilli[node.position] -= spec.task.cpuMilli
            heldMemoryMiB[node.position] -= spec.task.memoryMiB
        }
        let first = topology.nodes[node.position].firstGPU.position
        let share = HeldFloors.floorPerGPU(of: spec, on: node, in: topology)
        for device in placement.devices {
            let gpu = first + Int(device)
            let before = floor(ofGPU: gpu, device: Int(device), on: node)
            heldMilli[gpu] = UInt16(Int(heldMilli[gpu]) + sign * Int(spec.task.gpuMilli))
            precondition(heldMilli[gpu] <= 1000, "GPU \(gpu) held above its whole")
            holderFloor[gpu] =
                sign > 0 ? holderFloor[gpu] + share : holderFloor[gpu] - share
            if sign > 0 {
                holders[gpu].append(job)
            } else if let position = holders[gpu].firstIndex(of: job) {
                holders[gpu].remove(at: position)
            }
            let after = floor(ofGPU: gpu, device: Int(device), on: node)
            nodeFloor[node.position] += after - before
        }
    }
}
