// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
package import FleetModel

/// The jobs that placement is measured with.
///
/// Single tasks are those of a production cluster: the most frequent kinds of pods that make up 95 % of
/// the default list of openb (cluster-trace-gpu-v2023, Apache-2.0), each as often as there. To them come
/// gangs of whole nodes, each task as the list's largest pod.
package enum PlaceMix {
    /// One kind of single task.
    struct Kind {
        var task: TaskRequest
        /// Pods of it in the list.
        var count: Int
    }

    /// GPUs of a node, and of a task of a gang.
    static let gpusPerNode = 8
    /// The largest gang of the mix, in nodes: 1,024 GPUs.
    static let maximumGangNodes = 128
    /// One job of so many is a gang.
    static let jobsPerGang = 32

    /// One task of a gang: a whole node.
    static let gangTask = TaskRequest(
        gpuCount: 8, gpuMilli: 1000, cpuMilli: 88_000, memoryMiB: 327_680)

    /// By pods in the list, most first.
    static let kinds: [Kind] = [
        kind(1, 810, 3152, 5600, 1047),
        kind(1, 1000, 11300, 49152, 857),
        kind(1, 1000, 11400, 48128, 534),
        kind(1, 1000, 3152, 5600, 470),
        kind(1, 470, 11908, 47104, 388),
        kind(0, 0, 12500, 57344, 364),
        kind(1, 470, 8000, 30517, 360),
        kind(0, 0, 32000, 49152, 284),
        kind(1, 1000, 18708, 64512, 255),
        kind(1, 650, 11908, 47104, 237),
        kind(1, 1000, 9810, 41560, 195),
        kind(0, 0, 8000, 30517, 163),
        kind(1, 1000, 12000, 24576, 158),
        kind(1, 1000, 15700, 58368, 158),
        kind(1, 1000, 11908, 47104, 153),
        kind(0, 0, 15400, 51200, 120),
        kind(1, 320, 4000, 22888, 111),
        kind(1, 1000, 16000, 32768, 108),
        kind(1, 1000, 4000, 24576, 104),
        kind(1, 1000, 8000, 16384, 104),
        kind(1, 1000, 12000, 16384, 99),
        kind(0, 0, 16500, 51200, 95),
        kind(1, 1000, 14200, 58368, 93),
        kind(1, 230, 4000, 30517, 84),
        kind(1, 1000, 24200, 93184, 84),
        kind(1, 320, 4000, 15258, 78),
        kind(1, 590, 3152, 5600, 75),
        kind(1, 320, 8000, 30517, 72),
        kind(1, 550, 4152, 10600, 72),
        kind(1, 1000, 11400, 77824, 65),
        kind(1, 1000, 8000, 32768, 55),
        kind(1, 160, 4000, 15258, 53),
        kind(1, 460, 6000, 6144, 51),
        kind(1, 1000, 11900, 77824, 51),
        kind(1, 370, 4152, 10600, 45),
        kind(1, 1000, 12000, 15360, 44),
        kind(1, 320, 4000, 30517, 43),
        kind(1, 1000, 8200, 33792, 41),
        kind(1, 1000, 4000, 31250, 40),
        kind(1, 1000, 15200, 80896, 36),
        kind(1, 1000, 16000, 65536, 33),
        kind(1, 810, 4152, 10600, 31),
        kind(1, 460, 6000, 12288, 29),
        kind(1, 1000, 16400, 125952, 27),
        kind(1, 230, 4000, 22888, 26),
        kind(1, 220, 4000, 15258, 24),
        kind(1, 320, 1000, 2048, 22),
        kind(1, 160, 6000, 22888, 20),
        kind(1, 220, 8000, 30517, 19),
        kind(1, 230, 8000, 30517, 18),
        kind(1, 460, 6000, 18432, 18),
        kind(1, 480, 4000, 22888, 18),
        kind(8, 1000, 64200, 263168, 18),
    ]

    private static func kind(
        _ gpuCount: UInt16, _ gpuMilli: UInt16, _ cpuMilli: UInt32, _ memoryMiB: UInt32,
        _ count: Int
    ) -> Kind {
        Kind(
            task: TaskRequest(
                gpuCount: gpuCount, gpuMilli: gpuCount == 0 ? 1000 : gpuMilli,
                cpuMilli: cpuMilli, memoryMiB: memoryMiB), count: count)
    }

    /// What the policy is told of the mix: kinds to 95 % of the tasks, whole nodes for the gangs.
    static var workload: WorkloadMix {
        var kinds = kinds.map { kind in
            WorkloadKind(
                gpuCount: kind.task.gpuCount,
                gpuMilli: kind.task.gpuCount == 0 ? 0 : kind.task.gpuMilli,
                cpuMilli: kind.task.cpuMilli, share: UInt32(kind.count))
        }
        let singles = kinds.reduce(0) { $0 + $1.share }
        kinds.append(
            WorkloadKind(
                gpuCount: gangTask.gpuCount, gpuMilli: 1000, cpuMilli: gangTask.cpuMilli,
                share: singles / UInt32(jobsPerGang - 1)))
        return WorkloadMix(counting: kinds)
    }

    /// A gang of whole nodes.
    package static func gang(nodes: Int, requiredLevel: String? = nil) -> JobSpec {
        JobSpec(
            name: "gang", taskCount: UInt32(nodes), task: gangTask, isSpread: true,
            requiredLevel: requiredLevel)
    }
}

/// Draws jobs of the mix, by number of its compiled kind.
struct PlaceDraw {
    /// The jobs to compile: single tasks by kind, then gangs by the logarithm of their nodes, first
    /// those that go anywhere, then those that want one rack.
    let specs: [JobSpec]
    private let cumulative: [Int]
    private let gangClasses: Int
    private let rackClasses: Int

    init(nodeCount: Int) {
        var specs = PlaceMix.kinds.map { JobSpec(name: "single", task: $0.task) }
        var sum = 0
        cumulative = PlaceMix.kinds.map {
            sum += $0.count
            return sum
        }
        // No gang is larger than an eighth of the fleet.
        var largest = 1
        while largest * 2 <= min(PlaceMix.maximumGangNodes, max(1, nodeCount / 8)) { largest *= 2 }
        gangClasses = largest.trailingZeroBitCount
        rackClasses = min(gangClasses, PlaceFleet.nodesPerRack.trailingZeroBitCount)
        for octave in 0..<gangClasses { specs.append(PlaceMix.gang(nodes: 2 << octave)) }
        for octave in 0..<rackClasses {
            specs.append(PlaceMix.gang(nodes: 2 << octave, requiredLevel: "rack"))
        }
        self.specs = specs
    }

    /// The position of a job among specs.
    ///
    /// Gangs of twice as many nodes come half as often; half of those that fit a rack want one.
    func next(_ generator: inout BenchGenerator) -> Int {
        guard gangClasses > 0, generator.isIn(1, of: PlaceMix.jobsPerGang) else {
            let draw = generator.below(cumulative[cumulative.count - 1])
            return cumulative.firstIndex { draw < $0 } ?? 0
        }
        var octave = 0
        while octave < gangClasses - 1, generator.isIn(1, of: 2) { octave += 1 }
        let isInRack = octave < rackClasses && generator.isIn(1, of: 2)
        return PlaceMix.kinds.count + (isInRack ? gangClasses : 0) + octave
    }
}
