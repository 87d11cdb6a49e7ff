// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
internal import CStreamingPass

/// Measures the power solver beside one streaming pass over the same GPUs.
///
/// The repetitions of all three take turns, so that a disturbance of the machine meets them alike.
package struct SolveBenchmark {
    /// What was measured.
    package struct Result: Hashable, Sendable {
        package var gpuCount: Int
        package var gangCount: Int
        package var domainCount: Int
        /// A solve of a problem of which nothing is known.
        package var cold: TimeSamples
        /// A solve after one demand in a hundred has changed, the change included.
        package var warm: TimeSamples
        /// The streaming pass.
        package var stream: TimeSamples
        /// Bytes of problem, warm solver and solution together.
        package var byteCount: Int
        /// The hash of the caps of the instance as drawn.
        package var hash: ResultHash

        /// Billions of bytes a second of the median streaming pass, 24 bytes of a GPU.
        package var streamGigabytesPerSecond: Double {
            Double(24 * gpuCount) / (stream.percentile(50) * 1e6)
        }
        /// Bytes of a GPU.
        package var bytesPerGPU: Double { Double(byteCount) / Double(gpuCount) }
    }

    /// Why there is no result.
    package enum Failure: Error, Hashable, Sendable {
        /// The instance's floors do not fit.
        case infeasible
        /// Two solves of one problem differ.
        case notReproducible
        /// A warm solve differs from a cold one.
        case warmDiffers
        /// The caps are not the optimum: the checker's finding.
        case wrong(PowerViolation)
    }

    private var instance: SolveInstance
    private let repetitions: Int
    private let now: () -> Int64

    private var solver = PowerSolver()
    private var solution = PowerSolution()
    private var caps: [UInt32]

    /// Draws the instance.
    ///
    /// - Parameters:
    ///   - gpuCount: from 1 to ``AllocationCore/PowerProblem/maximumGPUCount``.
    ///   - seed: what to draw from.
    ///   - repetitions: how often to measure each; at least 1.
    ///   - now: a steady clock, in nanoseconds.
    package init(gpuCount: Int, seed: UInt64, repetitions: Int, now: @escaping () -> Int64) {
        instance = SolveInstance(gpuCount: gpuCount, seed: seed)
        self.repetitions = repetitions
        self.now = now
        caps = [UInt32](repeating: 0, count: gpuCount)
    }

    /// Runs the measurement.
    ///
    /// - Returns: what was measured.
    /// - Throws: a failure when what was measured is not the optimum.
    package mutating func run() throws(Failure) -> Result {
        let problem = instance.problem
        guard solver.solve(problem, into: &solution) == .optimal else { throw .infeasible }
        if let violation = PowerChecker.firstViolation(
            of: problem, capMilliwatts: solution.capMilliwatts, certificate: solution.certificate)
        {
            throw .wrong(violation)
        }
        var hash = ResultHash()
        hash.combine(solution.capMilliwatts)
        var warm = WarmPowerSolver(problem)
        guard warm.solve() == .optimal, warm.solution == solution else { throw .warmDiffers }
        var result = Result(
            gpuCount: problem.gpuCount, gangCount: problem.gangCount,
            domainCount: problem.domainCount, cold: TimeSamples(), warm: TimeSamples(),
            stream: TimeSamples(), byteCount: 0, hash: hash)
        for _ in 0..<repetitions {
            result.stream.append(timeStream(problem))
            result.cold.append(timeCold())
            let changes = instance.drawChanges()
            result.warm.append(timeWarm(&warm, changes))
        }
        var again = ResultHash()
        again.combine(solution.capMilliwatts)
        guard again == hash else { throw .notReproducible }
        // What the warm solves led to, once more from nothing.
        guard solver.solve(warm.problem, into: &solution) == .optimal,
            solution == warm.solution
        else { throw .warmDiffers }
        result.byteCount = warm.storageByteCount
        return result
    }

    // MARK: - Private

    private mutating func timeCold() -> Int64 {
        let start = now()
        _ = solver.solve(instance.problem, into: &solution)
        return now() - start
    }

    private func timeWarm(_ warm: inout WarmPowerSolver, _ changes: [PowerDemandChange]) -> Int64 {
        let start = now()
        warm.setDemands(changes)
        _ = warm.solve()
        return now() - start
    }

    private mutating func timeStream(_ problem: PowerProblem) -> Int64 {
        let start = now()
        problem.gpuFloorMilliwatts.withUnsafeBufferPointer { floor in
            problem.gpuFullMilliwatts.withUnsafeBufferPointer { full in
                problem.gpuGang.withUnsafeBytes { gang in
                    problem.gpuLeaf[0].withUnsafeBytes { rack in
                        problem.gpuLeaf[1].withUnsafeBytes { feed in
                            caps.withUnsafeMutableBufferPointer { cap in
                                CStreamingPass_run(
                                    floor.count, floor.baseAddress, full.baseAddress,
                                    gang.bindMemory(to: UInt32.self).baseAddress,
                                    rack.bindMemory(to: UInt32.self).baseAddress,
                                    feed.bindMemory(to: UInt32.self).baseAddress,
                                    cap.baseAddress)
                            }
                        }
                    }
                }
            }
        }
        return now() - start
    }
}

extension SolveInstance {
    /// Draws new demands for one GPU in a hundred, in the order of GPUs.
    ///
    /// They come tray by tray, as nodes report them: the load of the GPUs of a node moves together.
    package mutating func drawChanges() -> [PowerDemandChange] {
        drawChanges(ofStretches: SolveInstance.gpusPerTray)
    }

    /// Draws new demands for one GPU in a hundred, each alone: what spoils the most caches and levels.
    package mutating func drawScatteredChanges() -> [PowerDemandChange] {
        drawChanges(ofStretches: 1)
    }

    private mutating func drawChanges(ofStretches length: Int) -> [PowerDemandChange] {
        var changes: [PowerDemandChange] = []
        // From one stretch to the next a hundred stretches in the mean.
        var stretch = generator.below(199)
        while stretch * length < problem.gpuCount {
            let start = stretch * length
            for gpu in start..<min(start + length, problem.gpuCount) {
                changes.append(drawChange(ofGPU: gpu))
            }
            stretch += generator.pick(1...199)
        }
        return changes
    }

    private mutating func drawChange(ofGPU gpu: Int) -> PowerDemandChange {
        let curve = problem.gpuCurve[gpu]
        guard curve >= 0 else {
            // As seen: up to a twentieth off what it wanted at first.
            let full = Int(problem.gpuFullMilliwatts[gpu])
            return PowerDemandChange(
                gpu: Int32(gpu), floorMilliwatts: problem.gpuFloorMilliwatts[gpu],
                fullMilliwatts: UInt32(generator.pick(full - full / 20...full + full / 20)))
        }
        let other = curve / 3 * 3 + Int32(generator.below(3))
        return PowerDemandChange(
            gpu: Int32(gpu), floorMilliwatts: problem.curves.floor(of: other),
            fullMilliwatts: problem.curves.full(of: other), curve: other)
    }
}
