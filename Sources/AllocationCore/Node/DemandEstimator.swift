// SPDX-License-Identifier: Apache-2.0

/// The constants of a ``DemandEstimator``.
package struct DemandParameters: Hashable, Sendable {
    /// What is added to measured draw, in thousandths of it.
    package var marginPermille: UInt32
    /// Draw at or above this share of the cap, in thousandths, means that the cap may hide demand.
    package var nearPermille: UInt32
    /// How long draw must stay clear of the cap before the estimate falls, in nanoseconds.
    package var calmNanoseconds: Int64
    /// A reading is good for this long, in nanoseconds; an older one is unknown.
    package var staleNanoseconds: Int64

    /// 10 % margin; 92 % of the cap is near it; 10 s of calm; 5 s to stale.
    package init(
        marginPermille: UInt32 = 100, nearPermille: UInt32 = 920,
        calmNanoseconds: Int64 = 10_000_000_000, staleNanoseconds: Int64 = 5_000_000_000
    ) {
        self.marginPermille = marginPermille
        self.nearPermille = nearPermille
        self.calmNanoseconds = calmNanoseconds
        self.staleNanoseconds = staleNanoseconds
    }
}

/// One reading of a GPU.
package struct DemandSample: Hashable, Sendable {
    /// Measured draw in milliwatts, or nil when unknown.
    package var drawMilliwatts: UInt32?
    /// The cap that the hardware reported in milliwatts, or nil when unknown.
    package var capMilliwatts: UInt32?

    package init(drawMilliwatts: UInt32?, capMilliwatts: UInt32?) {
        self.drawMilliwatts = drawMilliwatts
        self.capMilliwatts = capMilliwatts
    }
}

/// Estimates what each GPU would draw at full pace from draw and cap telemetry.
///
/// A capped GPU hides its demand, so the estimate falls slowly and rises at once:
///
/// * it starts at the GPU's most: the job's curve or the model's maximum cap;
/// * while draw stays clear of the cap, the highest draw of the last calm period plus a margin is
///   remembered, and the estimate falls to it when the period ends;
/// * draw near the cap restores the most at once;
/// * unknown, zero, absurd or stale readings restore the most: unknown is not 0 W.
package struct DemandEstimator: Sendable {
    private let parameters: DemandParameters
    private var mostMilliwatts: [UInt32]
    private var estimateMilliwatts: [UInt32]
    /// The highest draw of the running calm period, in milliwatts.
    private var peakMilliwatts: [UInt32]
    /// When the running calm period began; `.min` outside one.
    private var calmSince: [Int64]
    /// When the last good reading came; `.min` before the first.
    private var readAt: [Int64]

    /// An estimator of GPUs that start at their most.
    ///
    /// `mostMilliwatts` is what each GPU can use at full pace.
    package init(mostMilliwatts: [UInt32], parameters: DemandParameters = DemandParameters()) {
        self.parameters = parameters
        self.mostMilliwatts = mostMilliwatts
        estimateMilliwatts = mostMilliwatts
        peakMilliwatts = [UInt32](repeating: 0, count: mostMilliwatts.count)
        calmSince = [Int64](repeating: .min, count: mostMilliwatts.count)
        readAt = [Int64](repeating: .min, count: mostMilliwatts.count)
    }

    /// The number of GPUs.
    package var gpuCount: Int { mostMilliwatts.count }

    /// What a GPU would draw at full pace, in milliwatts.
    package func full(gpu: Int) -> UInt32 { estimateMilliwatts[gpu] }

    /// The load of a GPU changed (a task came or went): start again from the most.
    ///
    /// `most` is what it can use at full pace from now on.
    package mutating func reset(gpu: Int, mostMilliwatts most: UInt32) {
        mostMilliwatts[gpu] = most
        restore(gpu)
    }

    /// Takes a reading.
    ///
    /// `now` is the caller's monotonic clock in nanoseconds, never going back.
    package mutating func observe(gpu: Int, _ sample: DemandSample, now: Int64) {
        guard let draw = sample.drawMilliwatts, let cap = sample.capMilliwatts,
            isPlausible(draw, cap, gpu)
        else {
            restore(gpu)
            return
        }
        // A gap hides what happened in it: a period does not run across one.
        if readAt[gpu] != .min, now - readAt[gpu] > parameters.staleNanoseconds { restore(gpu) }
        readAt[gpu] = now
        if UInt64(draw) * 1000 >= UInt64(cap) * UInt64(parameters.nearPermille) {
            let read = readAt[gpu]
            restore(gpu)
            readAt[gpu] = read
            return
        }
        observeCalm(gpu, draw, now)
    }

    /// Restores the most of every GPU whose last good reading is stale.
    package mutating func expire(now: Int64) {
        for gpu in 0..<gpuCount
        where readAt[gpu] != .min && now - readAt[gpu] > parameters.staleNanoseconds {
            restore(gpu)
        }
    }

    // MARK: - Private

    private func isPlausible(_ draw: UInt32, _ cap: UInt32, _ gpu: Int) -> Bool {
        // Short excursions over the cap are physics; more than twice the most is a broken sensor.
        draw > 0 && cap > 0 && UInt64(draw) <= 2 * UInt64(max(cap, mostMilliwatts[gpu]))
    }

    private mutating func restore(_ gpu: Int) {
        estimateMilliwatts[gpu] = mostMilliwatts[gpu]
        peakMilliwatts[gpu] = 0
        calmSince[gpu] = .min
        readAt[gpu] = .min
    }

    private mutating func observeCalm(_ gpu: Int, _ draw: UInt32, _ now: Int64) {
        if calmSince[gpu] == .min {
            calmSince[gpu] = now
            peakMilliwatts[gpu] = draw
        }
        peakMilliwatts[gpu] = max(peakMilliwatts[gpu], draw)
        // Draw may grow under the estimate at any time; only falling waits.
        let current = withMargin(draw, gpu)
        estimateMilliwatts[gpu] = max(estimateMilliwatts[gpu], current)
        guard now - calmSince[gpu] >= parameters.calmNanoseconds else { return }
        estimateMilliwatts[gpu] = withMargin(peakMilliwatts[gpu], gpu)
        calmSince[gpu] = now
        peakMilliwatts[gpu] = draw
    }

    private func withMargin(_ draw: UInt32, _ gpu: Int) -> UInt32 {
        let wanted = UInt64(draw) * UInt64(1000 + parameters.marginPermille) / 1000
        return UInt32(min(wanted, UInt64(mostMilliwatts[gpu])))
    }
}
