// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The settable range of one device.
package struct CapRange: Hashable, Sendable {
    package var minimum: Milliwatts
    package var maximum: Milliwatts

    package init(minimum: Milliwatts, maximum: Milliwatts) {
        self.minimum = minimum
        self.maximum = maximum
    }
}

/// The caps of a node's devices: where they are, where they shall go, and what each may be enforcing
/// meanwhile.
///
/// One rule moves them: lower first; raise a device only when the sum of what all devices may be
/// enforcing, the raise included, stays within the allowance. A lowered device may go on enforcing
/// its old cap until it has settled.
struct DeviceCaps: Sendable {
    let ranges: [CapRange]
    let settleNanoseconds: Int64
    /// What the hardware reported last, by read-back.
    private(set) var reported: [Milliwatts]
    /// Where each device shall go.
    private(set) var targets: [Milliwatts]
    /// The target whose writing the hardware confirmed last; a device may confirm a lower cap.
    private var confirmed: [Milliwatts?]
    /// While settling: the highest cap that the device may still be enforcing.
    private var old: [Milliwatts]
    /// When the device's last lowering was written; nil when it has settled.
    private var loweredAt: [ClockReading?]
    /// When the device last read back above what was written; nil once it may be tried again.
    private var refusedAt: [ClockReading?]

    /// How long a device that did not obey is left alone: 100 ms.
    static let retryNanoseconds: Int64 = 100_000_000

    init(ranges: [CapRange], settleNanoseconds: Int64) {
        self.ranges = ranges
        self.settleNanoseconds = settleNanoseconds
        let zeros = [Milliwatts](repeating: .zero, count: ranges.count)
        reported = zeros
        targets = zeros
        confirmed = Array(repeating: nil, count: ranges.count)
        old = zeros
        loweredAt = Array(repeating: nil, count: ranges.count)
        refusedAt = Array(repeating: nil, count: ranges.count)
    }

    var minimumSum: Milliwatts { ranges.reduce(.zero) { $0 + $1.minimum } }
    var maximumSum: Milliwatts { ranges.reduce(.zero) { $0 + $1.maximum } }
    var reportedSum: Milliwatts { reported.reduce(.zero, +) }
    var targetSum: Milliwatts { targets.reduce(.zero, +) }

    /// What a device may be enforcing now.
    func ceiling(_ device: Int) -> Milliwatts {
        loweredAt[device] == nil ? reported[device] : max(reported[device], old[device])
    }

    /// What all devices together may be enforcing now.
    var ceilingSum: Milliwatts { reported.indices.reduce(.zero) { $0 + ceiling($1) } }

    /// The time until a device has settled or may be tried again; nil when none is waited for.
    func untilChange(now: ClockReading) -> Int64? {
        var shortest: Int64?
        for case let start? in loweredAt {
            shortest = least(shortest, settleNanoseconds - now.waitedSince(start))
        }
        for case let start? in refusedAt {
            shortest = least(shortest, DeviceCaps.retryNanoseconds - now.waitedSince(start))
        }
        return shortest
    }

    private func least(_ shortest: Int64?, _ candidate: Int64) -> Int64 {
        guard let shortest else { return candidate }
        return Swift.min(shortest, candidate)
    }

    /// Forgets the old caps of devices whose settling time is over.
    mutating func advance(now: ClockReading) {
        for device in loweredAt.indices {
            if let start = loweredAt[device], now.waitedSince(start) >= settleNanoseconds {
                loweredAt[device] = nil
            }
            if let start = refusedAt[device],
                now.waitedSince(start) >= DeviceCaps.retryNanoseconds
            {
                refusedAt[device] = nil
            }
        }
    }

    /// Takes a first reading: whoever ran before may have lowered any device just now.
    mutating func begin(reading: [Milliwatts], distrusted: Bool, now: ClockReading) {
        reported = reading
        targets = reading
        confirmed = reading.map { $0 }
        guard distrusted else { return }
        for device in reading.indices {
            old[device] = max(reading[device], ranges[device].maximum)
            loweredAt[device] = now
        }
    }

    /// Aims every device.
    mutating func aim(_ caps: [Milliwatts]) {
        precondition(caps.count == targets.count, "\(caps.count) caps for \(targets.count) devices")
        targets = caps
    }

    /// True when a device is where it shall be; hardware may round a cap down.
    func isThere(_ device: Int) -> Bool {
        reported[device] == targets[device]
            || (confirmed[device] == targets[device] && reported[device] <= targets[device])
    }

    /// True when every device is where it shall be.
    var isThere: Bool { targets.indices.allSatisfy { isThere($0) } }

    /// The next write on the way to the targets; nil when none is allowed now or none is needed.
    func nextWrite(allowance: Milliwatts, ignoresSettling: Bool) -> Int? {
        var raise: Int?
        for device in targets.indices where !isThere(device) && refusedAt[device] == nil {
            if targets[device] < reported[device] { return device }
            raise = raise ?? device
        }
        guard let raise else { return nil }
        if ignoresSettling { return raise }
        let others = ceilingSum - ceiling(raise)
        return others + max(targets[raise], ceiling(raise)) <= allowance ? raise : nil
    }

    /// Takes the read-back of a write of the device's target.
    mutating func written(_ device: Int, readBack: Milliwatts, now: ClockReading) {
        if readBack < reported[device] { noteLowered(device, now: now) }
        reported[device] = readBack
        let isObeyed = readBack <= targets[device]
        confirmed[device] = isObeyed ? targets[device] : nil
        refusedAt[device] = isObeyed ? nil : now
    }

    /// Takes a reading of all devices; returns how many stand above where they were left.
    mutating func read(_ reading: [Milliwatts], now: ClockReading) -> Int {
        var above = 0
        for device in reading.indices {
            if reading[device] > reported[device] { above += 1 }
            if reading[device] < reported[device] { noteLowered(device, now: now) }
            if reading[device] != reported[device] { confirmed[device] = nil }
            reported[device] = reading[device]
        }
        return above
    }

    private mutating func noteLowered(_ device: Int, now: ClockReading) {
        old[device] = ceiling(device)
        loweredAt[device] = now
    }
}

extension DeviceCaps {
    /// The node's fallback as one share for each device: equal, the first carry the odd milliwatts.
    func fallbackShares(_ fallback: Milliwatts) -> [Milliwatts] {
        let count = Int64(ranges.count)
        return ranges.indices.map { device in
            let odd: Int64 = Int64(device) < fallback.rawValue % count ? 1 : 0
            return Milliwatts(fallback.rawValue / count + odd)
        }
    }

    /// Shares a node cap between the devices; the sum is at most `cap`.
    ///
    /// The present targets shrink toward the minimum caps or grow toward the maximum caps in
    /// proportion.
    ///
    /// - Precondition: `cap` is at least the sum of the minimum caps.
    func shares(of cap: Milliwatts) -> [Milliwatts] {
        let present = targets.indices.map {
            min(max(targets[$0], ranges[$0].minimum), ranges[$0].maximum)
        }
        let sum = present.reduce(.zero, +)
        if cap >= sum {
            let room = maximumSum - sum
            let extra = min(cap - sum, room)
            return present.indices.map {
                present[$0] + portion(ranges[$0].maximum - present[$0], times: extra, over: room)
            }
        }
        let least = minimumSum
        precondition(cap >= least, "node cap \(cap) is below the devices' minimum \(least)")
        return present.indices.map {
            let above = present[$0] - ranges[$0].minimum
            return ranges[$0].minimum + portion(above, times: cap - least, over: sum - least)
        }
    }

    /// `part × amount ÷ whole`, rounded down, without overflow.
    private func portion(
        _ part: Milliwatts, times amount: Milliwatts, over whole: Milliwatts
    ) -> Milliwatts {
        guard whole > .zero else { return .zero }
        let product = UInt64(part.rawValue).multipliedFullWidth(by: UInt64(amount.rawValue))
        let (quotient, _) = UInt64(whole.rawValue).dividingFullWidth(product)
        return Milliwatts(Int64(quotient))
    }
}
