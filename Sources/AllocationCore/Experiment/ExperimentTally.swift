// SPDX-License-Identifier: Apache-2.0

/// What was allocated as demand arrived.
struct ExperimentTally {
    let gpuCount: Int
    private var arrivedMilli = 0
    private var allocatedMilli = 0
    private var allocatedSums: [Double] = []
    private var kilowattSums: [Double] = []
    private var counts: [Int] = []
    private var arrivals = 0
    private var refused = 0
    private var isWithWatts = false

    init(gpuCount: Int) { self.gpuCount = gpuCount }

    /// The share of the GPUs that is allocated, 0 to 1.
    var load: Double { Double(allocatedMilli) / Double(gpuCount * 1000) }

    /// Counts an arrival, and what the fleet draws after it if that is known.
    mutating func record(_ pod: ExperimentPod, isPlaced: Bool, watts: Int?) {
        arrivals += 1
        arrivedMilli += pod.gpuMilli
        if isPlaced { allocatedMilli += pod.gpuMilli } else { refused += 1 }
        // A percent of the cluster is 10 thousandths of each GPU.
        let arrived = Double(arrivedMilli) / Double(gpuCount * 10)
        let allocated = Double(allocatedMilli) / Double(gpuCount * 10)
        let column = Int(arrived.rounded())
        while counts.count <= column {
            allocatedSums.append(0)
            kilowattSums.append(0)
            counts.append(0)
        }
        allocatedSums[column] += (allocated * 100).rounded() / 100
        counts[column] += 1
        guard let watts else { return }
        isWithWatts = true
        kilowattSums[column] += Double(watts) / 1000
    }

    /// The means of the columns.
    var result: ExperimentResult {
        ExperimentResult(
            allocatedByArrival: means(allocatedSums),
            kilowattsByArrival: isWithWatts ? means(kilowattSums) : [], arrivals: arrivals,
            refused: refused)
    }

    private func means(_ sums: [Double]) -> [Double?] {
        zip(sums, counts).map { $1 == 0 ? nil : $0 / Double($1) }
    }
}
