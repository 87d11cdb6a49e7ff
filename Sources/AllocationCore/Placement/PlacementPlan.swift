// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A job as an engine has compiled it, for deciding about many jobs that differ in name only: see
/// ``PlacementEngine/prepare(_:)``.
///
/// Valid for the engine that made it and for its copies.
package struct PlacementKind: Hashable, Sendable {
    let index: Int32
}

/// What an engine holds for a job: see ``PlacementEngine/hold(_:)``.
///
/// Valid until it is released.
package struct PlacementTicket: Hashable, Sendable {
    let slot: Int32
}

/// One task of a gang, on one node.
package struct PlannedTask: Hashable, Sendable {
    /// The node, as a position in the topology.
    package var node: Int32
    /// One bit for each GPU that the task holds, by its position in the node.
    package var devices: UInt64

    package init(node: Int32, devices: UInt64) {
        self.node = node
        self.devices = devices
    }

    init(_ task: TaskPlacement) {
        node = Int32(task.node.position)
        devices = task.devices.reduce(0) { $0 | 1 << UInt64($1) }
    }

    /// The same with a list of devices.
    package var placement: TaskPlacement {
        TaskPlacement(node: NodeIndex(Int(node)), devices: PlacementFleet.devices(devices))
    }
}

/// Where a job would go, written over by each decision so that deciding allocates nothing.
package struct PlacementPlan: Sendable {
    /// The kind of job of the last decision.
    package internal(set) var kind: PlacementKind?
    /// Its tasks; empty when it was not placed.
    package internal(set) var tasks: [PlannedTask] = []

    package init() {}
}

/// Compiled jobs, each once.
struct KindTable: Sendable {
    /// Kinds that nothing refers to are dropped when there are as many kinds as this.
    private static let purgeCount = 4096

    private struct Entry: Sendable {
        var key: JobSpec
        var request: PlacementRequest
        /// Jobs held, and one if the kind was handed out.
        var references: Int32
    }

    private var entries: [Entry?] = []
    private var free: [Int32] = []
    private var indexOfKey: [JobSpec: Int32] = [:]

    /// What of a job decides where it may go.
    static func key(_ spec: JobSpec) -> JobSpec {
        var key = spec
        key.name = ""
        key.priority = 0
        key.weight = 1
        key.profile = .training
        key.durationNanoseconds = nil
        key.onLeaseEnd = .keep
        return key
    }

    /// The compiled job.
    func request(_ kind: Int32) -> PlacementRequest {
        guard let entry = entries[Int(kind)] else { preconditionFailure("kind \(kind) is gone") }
        return entry.request
    }

    /// What the kind was compiled from; its name is empty.
    func spec(_ kind: Int32) -> JobSpec {
        guard let entry = entries[Int(kind)] else { preconditionFailure("kind \(kind) is gone") }
        return entry.key
    }

    func find(_ key: JobSpec) -> Int32? { indexOfKey[key] }

    mutating func add(_ key: JobSpec, _ request: PlacementRequest) -> Int32 {
        if indexOfKey.count >= KindTable.purgeCount { purge() }
        let entry = Entry(key: key, request: request, references: 0)
        let index: Int32
        if let last = free.popLast() {
            index = last
            entries[Int(index)] = entry
        } else {
            index = Int32(entries.count)
            entries.append(entry)
        }
        indexOfKey[key] = index
        return index
    }

    /// Remembers where the scores of a kind's tasks are kept.
    mutating func setShape(_ kind: Int32, _ shape: Int, _ epoch: Int) {
        entries[Int(kind)]?.request.shape = shape
        entries[Int(kind)]?.request.shapeEpoch = epoch
    }

    mutating func retain(_ kind: Int32) { entries[Int(kind)]?.references += 1 }

    mutating func release(_ kind: Int32) { entries[Int(kind)]?.references -= 1 }

    private mutating func purge() {
        for index in entries.indices {
            guard let entry = entries[index], entry.references == 0 else { continue }
            indexOfKey[entry.key] = nil
            entries[index] = nil
            free.append(Int32(index))
        }
    }
}

/// The tasks of all jobs that are held.
///
/// Tasks of one job lie together in one array, in runs of a power of two that are used again: holding
/// and releasing allocate nothing once the array is as large as it has to be.
struct HeldJobs: Sendable {
    private struct Slot: Sendable {
        /// -1 when free.
        var kind: Int32
        var first: Int32
        var count: Int32
        var job: JobID?
    }

    private var slots: [Slot] = []
    private var freeSlots: [Int32] = []
    private var pool: [PlannedTask] = []
    /// Starts of free runs, by the logarithm of their length.
    private var freeRuns = [[Int32]](repeating: [], count: 32)
    private var slotOfJob: [JobID: Int32] = [:]
    /// The number of jobs held.
    private(set) var count = 0

    /// The jobs that are held under an id, in no order.
    var jobs: Dictionary<JobID, Int32>.Keys { slotOfJob.keys }

    /// Bytes that the jobs take.
    var byteCount: Int {
        slots.capacity * MemoryLayout<Slot>.stride + pool.capacity
            * MemoryLayout<PlannedTask>.stride
            + slotOfJob.capacity * 16 + freeSlots.capacity * 4
            + freeRuns.reduce(0) { $0 + $1.capacity * 4 }
    }

    func slot(of job: JobID) -> Int32? { slotOfJob[job] }

    func kind(_ slot: Int32) -> Int32 {
        precondition(slots[Int(slot)].kind >= 0, "ticket \(slot) was released")
        return slots[Int(slot)].kind
    }

    /// The tasks of a slot, as positions for ``task(_:)``.
    func tasks(_ slot: Int32) -> Range<Int> {
        let first = Int(slots[Int(slot)].first)
        return first..<(first + Int(slots[Int(slot)].count))
    }

    func task(_ position: Int) -> PlannedTask { pool[position] }

    /// Stores a job's tasks.
    mutating func add(_ kind: Int32, _ tasks: [PlannedTask], job: JobID?) -> Int32 {
        let size = HeldJobs.sizeClass(tasks.count)
        let first: Int32
        if let run = freeRuns[size].popLast() {
            first = run
            for index in tasks.indices { pool[Int(run) + index] = tasks[index] }
        } else {
            first = Int32(pool.count)
            pool.append(contentsOf: tasks)
            for _ in tasks.count..<(1 << size) { pool.append(PlannedTask(node: -1, devices: 0)) }
        }
        let slot = Slot(kind: kind, first: first, count: Int32(tasks.count), job: job)
        let index: Int32
        if let last = freeSlots.popLast() {
            index = last
            slots[Int(index)] = slot
        } else {
            index = Int32(slots.count)
            slots.append(slot)
        }
        attach(index)
        return index
    }

    /// Counts a slot's job as held; it is there already.
    mutating func attach(_ slot: Int32) {
        count += 1
        if let job = slots[Int(slot)].job { slotOfJob[job] = slot }
    }

    /// Counts a slot's job as held no longer; its tasks stay.
    mutating func detach(_ slot: Int32) {
        count -= 1
        if let job = slots[Int(slot)].job { slotOfJob[job] = nil }
    }

    /// Forgets a detached slot.
    mutating func recycle(_ slot: Int32) {
        let old = slots[Int(slot)]
        freeRuns[HeldJobs.sizeClass(Int(old.count))].append(old.first)
        slots[Int(slot)].kind = -1
        freeSlots.append(slot)
    }

    private static func sizeClass(_ count: Int) -> Int {
        count <= 1 ? 0 : Int.bitWidth - (count - 1).leadingZeroBitCount
    }
}
