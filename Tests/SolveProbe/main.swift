// SPDX-License-Identifier: Apache-2.0

// Solves, and nothing else, for tools that count: `SolveProbe MODE GPUS SOLVES`.
//
//   cold      solves from nothing
//   warm      solves after one demand in a hundred has changed
//   scattered the same, with no two changed GPUs side by side
//   wasteful  cold solves of a caller that throws its storage away each time: what must be noticed
//   times     the benchmark, by the clock of this thread, which runs only while it works
//
// `Tests/SolveProbe/run` compares what is counted with thresholds.

import AllocationBench
import AllocationCore
import CAllocationCount
import Glibc

func threadNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Runs solves; prints what those after the third took from malloc.
///
/// Until then the storage of a size may still grow.
func count(_ solves: Int, _ solve: () -> PowerSolveStatus) {
    var before = CAllocationCount_value()
    for index in 0..<solves {
        if index == 3 { before = CAllocationCount_value() }
        guard solve() == .optimal else {
            print("error: not optimal")
            exit(1)
        }
    }
    // Before the text is made, which takes memory as well.
    let taken = solves > 3 ? CAllocationCount_value() - before : 0
    print("allocations \(taken)")
}

func runCold(_ gpuCount: Int, _ solves: Int) {
    let problem = SolveInstance(gpuCount: gpuCount, seed: 1).problem
    var solver = PowerSolver()
    var solution = PowerSolution()
    count(solves) { solver.solve(problem, into: &solution) }
}

func runWarm(_ gpuCount: Int, _ solves: Int, isScattered: Bool) {
    var instance = SolveInstance(gpuCount: gpuCount, seed: 1)
    // Two sets of demands in turn: after the first few solves nothing new comes up.
    let changes = (0..<2).map { _ in
        isScattered ? instance.drawScatteredChanges() : instance.drawChanges()
    }
    var warm = WarmPowerSolver(instance.problem)
    var turn = 0
    count(solves) {
        turn = 1 - turn
        warm.setDemands(changes[turn])
        return warm.solve()
    }
}

func runWasteful(_ gpuCount: Int, _ solves: Int) {
    let problem = SolveInstance(gpuCount: gpuCount, seed: 1).problem
    count(solves) {
        var solver = PowerSolver()
        var solution = PowerSolution()
        _ = solver.solve(problem, into: &solution)
        return solver.solve(problem, into: &solution)
    }
}

func runTimes(_ gpuCount: Int, _ repetitions: Int) throws {
    var benchmark = SolveBenchmark(
        gpuCount: gpuCount, seed: 1, repetitions: repetitions, now: threadNanoseconds)
    let result = try benchmark.run()
    let stream = result.stream.percentile(50)
    let (cold, warm) = (result.cold.percentile(50), result.warm.percentile(50))
    print("gpus \(gpuCount) stream \(stream) ms, \(result.streamGigabytesPerSecond) GB/s")
    print("cold \(cold) ms, \(cold / stream) streams; warm \(warm) ms, \(warm / stream) streams")
    print("bytes \(result.bytesPerGPU) hash \(result.hash.text)")
}

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count == 3, let mode = arguments.first, let gpuCount = Int(arguments[2]),
    let solves = Int(arguments[3]), (1...PowerProblem.maximumGPUCount).contains(gpuCount),
    solves > 0
else {
    print("usage: SolveProbe cold|warm|scattered|wasteful|times GPUS SOLVES")
    exit(2)
}
switch mode {
case "cold": runCold(gpuCount, solves)
case "warm": runWarm(gpuCount, solves, isScattered: false)
case "scattered": runWarm(gpuCount, solves, isScattered: true)
case "wasteful": runWasteful(gpuCount, solves)
default: try runTimes(gpuCount, solves)
}
