// SPDX-License-Identifier: Apache-2.0

import AllocationBench
import AllocationCore
import CAllocationCount
import Glibc

func nowNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

let arguments = CommandLine.arguments
let gpuCount = arguments.count > 1 ? Int(arguments[1]) ?? 1_500_000 : 1_500_000
let repetitions = arguments.count > 2 ? Int(arguments[2]) ?? 21 : 21
if CommandLine.arguments.contains("stat") {
    let instance = SolveInstance(gpuCount: gpuCount, seed: 1)
    var solver = PowerSolver()
    var solution = PowerSolution()
    print(solver.solve(instance.problem, into: &solution))
    var kinds: [String: Int] = [:]
    var gpus: [String: Int] = [:]
    func kind(_ d: Int32) -> String {
        if d < 0 { return "full" }
        for s in instance.sites {
            if d == s.domain { return "site" }
            if s.rows.contains(d) { return "row" }
            if s.racks.contains(d) { return "rack" }
            if s.feeds.contains(d) { return "feed" }
        }
        return "other"
    }
    var doms: [String: Set<Int32>] = [:]
    var sizes = [Int](repeating: 0, count: instance.problem.gangCount)
    for g in instance.problem.gpuGang where g >= 0 { sizes[Int(g)] += 1 }
    for g in 0..<instance.problem.gangCount {
        let k = kind(solution.certificate.boundBy[g]) + " \(instance.problem.gangPriority[g])"
        kinds[k, default: 0] += 1
        gpus[k, default: 0] += sizes[g]
        doms[k, default: []].insert(solution.certificate.boundBy[g])
    }
    for k in kinds.keys.sorted() { print(k, kinds[k]!, gpus[k]!, doms[k]!.count) }
    print("idle", instance.problem.gpuGang.count { $0 < 0 })
    let use0 = (0..<gpuCount).filter { $0 < gpuCount / 5 }.reduce(0) {
        $0 + Int(solution.capMilliwatts[$1])
    }
    print(
        "use of binding sites", use0,
        instance.sites.filter { $0.isBinding }.map {
            instance.problem.domainBudgetMilliwatts[Int($0.domain)]
        }.reduce(0, +))
    var changing = instance
    var warm = WarmPowerSolver(instance.problem)
    print(warm.solve())
    for _ in 0..<3 {
        let before = warm.solution
        warm.setDemands(changing.drawChanges())
        print(warm.solve())
        let levels = (0..<sizes.count).filter {
            before.certificate.level[$0] != warm.solution.certificate.level[$0]
        }
        print(
            "caps changed",
            (0..<gpuCount).count { before.capMilliwatts[$0] != warm.solution.capMilliwatts[$0] },
            "gangs", levels.count, "gpus", levels.reduce(0) { $0 + sizes[$1] })
    }
    exit(0)
}
var benchmark = SolveBenchmark(
    gpuCount: gpuCount, seed: 1, repetitions: repetitions, now: nowNanoseconds)
do {
    let result = try benchmark.run()
    let stream = result.stream.percentile(50)
    print(
        result.gpuCount, result.gangCount, result.domainCount, "stream", stream,
        result.streamGigabytesPerSecond, "GB/s")
    print(
        "cold", result.cold.percentile(50), result.cold.percentile(50) / stream, "x  warm",
        result.warm.percentile(50), result.warm.percentile(50) / stream, "x  bytes",
        result.bytesPerGPU, "hash", result.hash.text)
} catch {
    print("failed: \(error)")
}
