// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// How the engine chooses among the nodes that a task fits.
package enum PlacementPolicy: Hashable, Sendable {
    /// Shares of a GPU by the room that they waste on it, given prices for the expected mix of work;
    /// among equals, and for all else, the node that becomes least useless: by ``fragmentation``, and by
    /// the GPUs that its CPUs can no longer feed; models that part of the work cannot do without last.
    case busbar
    /// The node whose free GPUs become least useless for the expected mix of work.
    ///
    /// This is fragmentation gradient descent (Weng et al., "Beware of Fragmentation", USENIX ATC
    /// 2023) with its rounding.
    case fragmentation
    /// The node with the least CPU and GPU left over.
    case bestFit
    /// Any node, by a seeded generator; for comparison only.
    ///
    /// The one policy that makes a decision depend on the number of decisions before it.
    case random(seed: UInt64)
}

/// One kind of task that work is expected to bring.
package struct WorkloadKind: Hashable, Sendable {
    package var gpuCount: UInt16
    package var gpuMilli: UInt16
    package var cpuMilli: UInt32
    /// Names of acceptable models; empty accepts any.
    package var models: [String]
    /// How often it comes, relative to the others.
    package var share: UInt32

    package init(
        gpuCount: UInt16, gpuMilli: UInt16, cpuMilli: UInt32, models: [String] = [], share: UInt32
    ) {
        self.gpuCount = gpuCount
        self.gpuMilli = gpuMilli
        self.cpuMilli = cpuMilli
        self.models = models
        self.share = share
    }
}

/// The mix of tasks that a fleet is expected to run: what its free GPUs should stay good for.
package struct WorkloadMix: Hashable, Sendable {
    /// The kinds, most frequent first.
    package var kinds: [WorkloadKind]

    package init(kinds: [WorkloadKind]) { self.kinds = kinds }

    /// What is assumed of a fleet whose work is not known: mostly single GPUs, some shares, some whole
    /// nodes, with 8 cores to a GPU.
    package static let typical = WorkloadMix(kinds: [
        WorkloadKind(gpuCount: 1, gpuMilli: 1000, cpuMilli: 8000, share: 48),
        WorkloadKind(gpuCount: 1, gpuMilli: 500, cpuMilli: 6000, share: 20),
        WorkloadKind(gpuCount: 0, gpuMilli: 0, cpuMilli: 12_000, share: 13),
        WorkloadKind(gpuCount: 1, gpuMilli: 250, cpuMilli: 4000, share: 10),
        WorkloadKind(gpuCount: 8, gpuMilli: 1000, cpuMilli: 64_000, share: 5),
        WorkloadKind(gpuCount: 4, gpuMilli: 1000, cpuMilli: 32_000, share: 2),
        WorkloadKind(gpuCount: 2, gpuMilli: 1000, cpuMilli: 16_000, share: 2),
    ])

    /// The most frequent kinds of a list of tasks, until they make up `coverPercent` of it.
    ///
    /// Kinds of one frequency are in the order of ``WorkloadKind``'s fields.
    package init(counting tasks: [WorkloadKind], coverPercent: Int = 95) {
        var counts: [WorkloadKind: UInt32] = [:]
        var total: UInt64 = 0
        for task in tasks {
            var kind = task
            kind.share = 0
            counts[kind, default: 0] += task.share
            total += UInt64(task.share)
        }
        var kinds = counts.map { kind, count in
            var counted = kind
            counted.share = count
            return counted
        }
        kinds.sort { WorkloadMix.isBefore($0, $1) }
        var covered: UInt64 = 0
        self.kinds = []
        for kind in kinds {
            guard covered * 100 < total * UInt64(coverPercent) else { break }
            self.kinds.append(kind)
            covered += UInt64(kind.share)
        }
    }

    /// A total order, so that the order of a dictionary does not show.
    private static func isBefore(_ left: WorkloadKind, _ right: WorkloadKind) -> Bool {
        if left.share != right.share { return left.share > right.share }
        let leftKey = (left.gpuCount, left.gpuMilli, left.cpuMilli)
        let rightKey = (right.gpuCount, right.gpuMilli, right.cpuMilli)
        if leftKey != rightKey { return leftKey < rightKey }
        return left.models.lexicographicallyPrecedes(right.models)
    }
}

/// Counts kinds of tasks, to learn a mix from them.
struct WorkloadCount: Sendable {
    /// The first number of jobs that makes a mix.
    private static let firstJobCount: UInt64 = 64

    private var counts: [WorkloadKind: UInt32] = [:]
    private var jobCount: UInt64 = 0
    private var nextJobCount = WorkloadCount.firstJobCount

    /// Counts a job.
    ///
    /// - Returns: true when there are twice as many as at the last mix: time for a new one.
    mutating func add(_ spec: JobSpec) -> Bool {
        let task = spec.task
        let kind = WorkloadKind(
            gpuCount: task.gpuCount, gpuMilli: task.gpuCount == 0 ? 0 : task.gpuMilli,
            cpuMilli: task.cpuMilli, models: spec.models.sorted(), share: 0)
        // Saturates: a kind that common is the whole mix anyhow.
        let count = UInt64(counts[kind, default: 0]) + UInt64(spec.taskCount)
        counts[kind] = UInt32(min(count, UInt64(UInt32.max / 1024)))
        jobCount += 1
        guard jobCount == nextJobCount else { return false }
        nextJobCount *= 2
        return true
    }

    /// The mix so far.
    var mix: WorkloadMix {
        WorkloadMix(
            counting: counts.map { kind, count in
                var counted = kind
                counted.share = count
                return counted
            })
    }
}
