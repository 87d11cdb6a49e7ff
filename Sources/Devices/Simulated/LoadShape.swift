// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// What a device would draw over time if nothing capped it, as a share of its swing from idle to
/// maximum, in parts per million.
///
/// Shapes, after published traces (such as those of arXiv 2604.07345):
///
/// * training: full power, and a dip at every iteration boundary to three quarters, a half or a
///   fifth; period, dip and phase come from the seed, so a gang that shares a seed dips as one;
/// * inference: a flat decode at 55 % under prefill bursts at full power, one in every slot of
///   0.4 s, at a place and of a length that differ from slot to slot and from device to device;
/// * steady: full power.
///
/// Everything is a closed form over an interval, so nothing has to be stepped: a device that nobody
/// reads costs nothing.
struct LoadShape: Hashable, Sendable {
    /// Full power.
    static let fullPPM: Int64 = 1_000_000
    private static let decodePPM: Int64 = 550_000
    private static let slotNanoseconds: Int64 = 400_000_000

    private let profile: DemandProfile?
    private let seed: UInt64

    /// The shape of a profile; nil is idle, at zero.
    init(profile: DemandProfile?, seed: UInt64) {
        self.profile = profile
        self.seed = seed
    }

    /// The mean over `[start, end)`, in parts per million of the swing.
    ///
    /// - Precondition: `0 <= start < end`, both in nanoseconds.
    func meanPPM(from start: Int64, to end: Int64) -> Int64 {
        precondition(0 <= start && start < end, "the interval \(start)..<\(end) is empty")
        switch profile {
        case nil: return 0
        case .steady: return LoadShape.fullPPM
        case .training: return trainingMean(from: start, to: end)
        case .inference: return inferenceMean(from: start, to: end)
        }
    }

    // MARK: - Training

    private func trainingMean(from start: Int64, to end: Int64) -> Int64 {
        let mix = mixed(seed)
        // Iterations of 1.5 to 5.5 s, of which 8 to 16 % is the boundary.
        let period = 1_500_000_000 + Int64(mix % 4_000_000_000)
        let dip = period * Int64(8 + (mix >> 32) % 9) / 100
        let dipPPM = ([750_000, 500_000, 200_000] as [Int64])[Int((mix >> 40) % 3)]
        let offset = Int64(mixed(mix) % UInt64(period))
        let dipped =
            LoadShape.dippedTime(before: end + offset, period: period, dip: dip)
            - LoadShape.dippedTime(before: start + offset, period: period, dip: dip)
        return LoadShape.fullPPM - (LoadShape.fullPPM - dipPPM) * dipped / (end - start)
    }

    /// The time spent in dips from 0 to `instant`, when each period begins with one.
    private static func dippedTime(before instant: Int64, period: Int64, dip: Int64) -> Int64 {
        instant / period * dip + min(instant % period, dip)
    }

    // MARK: - Inference

    private func inferenceMean(from start: Int64, to end: Int64) -> Int64 {
        var burst: Int64 = 0
        var slot = start / LoadShape.slotNanoseconds
        while slot * LoadShape.slotNanoseconds < end {
            let mix = mixed(seed ^ UInt64(slot))
            // A burst of 40 to 160 ms that begins so early that it ends inside its slot.
            let length = 40_000_000 + Int64(mix % 120_000_000)
            let room = UInt64(LoadShape.slotNanoseconds - length)
            let first = slot * LoadShape.slotNanoseconds + Int64((mix >> 20) % room)
            burst += max(0, min(end, first + length) - max(start, first))
            slot += 1
        }
        let rise = LoadShape.fullPPM - LoadShape.decodePPM
        return LoadShape.decodePPM + rise * burst / (end - start)
    }
}
