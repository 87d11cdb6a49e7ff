// SPDX-License-Identifier: Apache-2.0

import AllocationBench
import AllocationCore
import CAllocationCount
import Glibc

func nowNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

let arguments = CommandLine.arguments
let gpuCount = arguments.count > 1 ? Int(arguments[1]) ?? 1_500_000 : 1_500_000
let repetitions = arguments.count > 2 ? Int(arguments[2]) ?? 21 : 21
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
