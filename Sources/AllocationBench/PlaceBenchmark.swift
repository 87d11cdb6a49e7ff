// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import FleetModel

/// Measures the placement engine with its own policy on a fleet that fills up.
///
/// Jobs of ``PlaceMix`` come and go on a ``PlaceFleet``: first until 95 % of its GPUs are taken, one
/// departing for two that come, then at that level. A decision is one job placed and held, a gang
/// counting one; the time of departures and refusals counts and they do not.
package struct PlaceBenchmark {
    /// What was measured.
    package struct Result: Hashable, Sendable {
        package var nodeCount = 0
        package var gpuCount = 0
        package var domainCount = 0
        package var decisionCount = 0
        package var gangCount = 0
        package var refusedCount = 0
        package var departedCount = 0
        /// GPUs taken at the end, in thousandths.
        package var allocatedPermille = 0
        /// Of all decisions with what came between, in nanoseconds.
        package var elapsed: Int64 = 0
        /// Of single decisions.
        package var latency = LatencyHistogram()
        /// A gang of 16,384 GPUs; no samples where it does not fit.
        package var largeGang = TimeSamples()
        /// A gang of ``gangNodes`` nodes.
        package var gang = TimeSamples()
        package var gangNodes = 0
        /// A plan for 1,000 waiting jobs, and how many of them it places.
        package var plan = TimeSamples()
        package var plannedCount = 0
        /// Bytes of the engine, and of them those of the jobs that it holds.
        package var byteCount = 0
        package var heldByteCount = 0
        /// From the topology to an engine that has all kinds of jobs compiled, in nanoseconds.
        package var setUp: Int64 = 0
        /// The hash of all decisions.
        package var hash = ResultHash()

        /// Jobs placed each second.
        package var decisionsPerSecond: Double {
            elapsed == 0 ? 0 : Double(decisionCount) * 1e9 / Double(elapsed)
        }
        /// Bytes of the engine without the jobs that it holds, for each GPU.
        package var bytesPerGPU: Double {
            gpuCount == 0 ? 0 : Double(byteCount - heldByteCount) / Double(gpuCount)
        }
    }

    /// Taken GPUs that the fleet is filled to, in thousandths.
    private static let fullPermille = 950
    /// Refusals in a row that end the filling: no job of the mix fits any longer.
    private static let refusalLimit = 2000
    /// GPUs of the large gang.
    private static let largeGangGPUs = 16_384
    private static let gangRepetitions = 64
    private static let pendingCount = 1000

    private let nodeCount: Int
    private let gangNodes: Int
    private let now: () -> Int64
    private let draw: PlaceDraw
    private var generator: BenchGenerator
    private var engine: PlacementEngine
    private var kinds: [PlacementKind] = []
    private var held: [(ticket: PlacementTicket, milli: Int)] = []
    private var takenMilli = 0
    private var plan = PlacementPlan()
    private var result = Result()

    /// Makes the fleet.
    ///
    /// - Parameters:
    ///   - nodeCount: nodes of eight GPUs; at least 1.
    ///   - gangNodes: nodes of the gang that is measured by itself.
    ///   - seed: what to draw jobs from.
    ///   - now: a steady clock, in nanoseconds.
    package init(nodeCount: Int, gangNodes: Int, seed: UInt64, now: @escaping () -> Int64) {
        self.nodeCount = nodeCount
        self.gangNodes = gangNodes
        self.now = now
        generator = BenchGenerator(seed: seed)
        draw = PlaceDraw(nodeCount: nodeCount)
        let topology = PlaceFleet.topology(nodeCount: nodeCount)
        let start = now()
        engine = PlacementEngine(topology: topology, policy: .busbar, mix: PlaceMix.workload)
        for spec in draw.specs {
            let kind = engine.prepare(spec)
            kinds.append(kind)
            engine.place(kind, into: &plan)
        }
        result.setUp = now() - start
        result.nodeCount = nodeCount
        result.gpuCount = nodeCount * PlaceMix.gpusPerNode
        result.domainCount = topology.domains.count
        result.gangNodes = gangNodes
    }

    /// Runs the measurement.
    package mutating func run() -> Result {
        fill()
        churn()
        result.allocatedPermille = takenMilli / result.gpuCount
        result.byteCount = engine.byteCount
        result.heldByteCount = engine.heldByteCount
        measurePlan()
        result.gang = measureGang(nodes: gangNodes)
        result.largeGang = measureGang(
            nodes: PlaceBenchmark.largeGangGPUs / PlaceMix.gpusPerNode)
        return result
    }

    // MARK: - Filling

    private var isFull: Bool {
        takenMilli >= result.gpuCount * PlaceBenchmark.fullPermille
    }

    private mutating func fill() {
        let start = now()
        var refusals = 0
        while !isFull, refusals < PlaceBenchmark.refusalLimit {
            refusals = decide(draw.next(&generator)) ? 0 : refusals + 1
            if generator.isIn(1, of: 3) { depart() }
        }
        result.elapsed += now() - start
    }

    /// As many decisions again as a third of those that filled the fleet, each after a departure.
    private mutating func churn() {
        let end = result.decisionCount + max(100, result.decisionCount / 3)
        var refusals = 0
        let start = now()
        while result.decisionCount < end, refusals < PlaceBenchmark.refusalLimit {
            if isFull || refusals > 0 { depart() }
            refusals = decide(draw.next(&generator)) ? 0 : refusals + 1
        }
        result.elapsed += now() - start
    }

    /// Places and holds a job; true when it was placed.
    private mutating func decide(_ kind: Int) -> Bool {
        let start = now()
        guard engine.place(kinds[kind], into: &plan) else {
            result.refusedCount += 1
            result.hash.combine(UInt32.max)
            return false
        }
        let ticket = hold()
        result.latency.append(now() - start)
        note(ticket, kind)
        result.decisionCount += 1
        if plan.tasks.count > 1 { result.gangCount += 1 }
        for task in plan.tasks {
            result.hash.combine(UInt32(bitPattern: task.node))
            result.hash.combine(UInt32(truncatingIfNeeded: task.devices))
        }
        return true
    }

    private mutating func hold() -> PlacementTicket {
        do throws(PlacementHoldError) {
            return try engine.hold(plan)
        } catch {
            preconditionFailure("what was placed cannot be held: \(error)")
        }
    }

    private mutating func note(_ ticket: PlacementTicket, _ kind: Int) {
        let task = draw.specs[kind].task
        let milli = Int(task.gpuCount) * Int(task.gpuMilli) * plan.tasks.count
        takenMilli += milli
        held.append((ticket, milli))
    }

    /// A random job ends.
    private mutating func depart() {
        guard !held.isEmpty else { return }
        let index = generator.below(held.count)
        let job = held[index]
        held[index] = held[held.count - 1]
        held.removeLast()
        engine.release(job.ticket)
        takenMilli -= job.milli
        result.departedCount += 1
    }

    // MARK: - Large decisions

    /// Gangs of so many nodes, one after the other: each is placed, held and released, and then some
    /// other jobs come and go.
    ///
    /// Jobs depart first until the gang fits.
    private mutating func measureGang(nodes: Int) -> TimeSamples {
        var samples = TimeSamples()
        guard nodes > 1, nodes <= nodeCount else { return samples }
        let kind = engine.prepare(PlaceMix.gang(nodes: nodes))
        while !engine.place(kind, into: &plan) {
            guard !held.isEmpty else { return samples }
            for _ in 0..<max(1, held.count / 50) { depart() }
        }
        for _ in 0..<PlaceBenchmark.gangRepetitions {
            let start = now()
            guard engine.place(kind, into: &plan) else { continue }
            let ticket = hold()
            samples.append(now() - start)
            engine.release(ticket)
            for _ in 0..<16 {
                depart()
                let next = draw.next(&generator)
                if engine.place(kinds[next], into: &plan) { note(hold(), next) }
            }
        }
        return samples
    }

    /// Places as many waiting jobs as fit, in order, and takes all of it back.
    private mutating func measurePlan() {
        var pending: [Int] = []
        for _ in 0..<PlaceBenchmark.pendingCount { pending.append(draw.next(&generator)) }
        for _ in 0..<8 {
            let start = now()
            let checkpoint = engine.checkpoint()
            result.plannedCount = 0
            for kind in pending where engine.place(kinds[kind], into: &plan) {
                _ = hold()
                result.plannedCount += 1
            }
            engine.rollback(to: checkpoint)
            result.plan.append(now() - start)
        }
    }
}
