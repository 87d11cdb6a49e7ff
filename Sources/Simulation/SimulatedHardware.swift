// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// The devices of one node: they keep their caps whatever becomes of the software.
struct SimulatedHardware {
    private struct Settling {
        var device: Int
        var cap: Milliwatts
        var until: Int64
    }

    private(set) var limits: [Milliwatts]
    /// Devices that take no caps any more.
    private var stuck: UInt64 = 0
    private var settling: [Settling] = []
    /// True while a lowered device may still be enforcing its old cap.
    var isSettling: Bool { !settling.isEmpty }
    let settleNanoseconds: Int64

    init(limits: [Milliwatts], settleNanoseconds: Int64) {
        self.limits = limits
        self.settleNanoseconds = settleNanoseconds
    }

    /// Sets one limit; a lowered device enforces the old one for a while longer.
    mutating func set(_ device: Int, _ cap: Milliwatts, now: Int64) {
        if stuck >> UInt64(device) & 1 == 1 { return }
        if cap < limits[device] {
            settling.append(
                Settling(device: device, cap: limits[device], until: now + settleNanoseconds))
        }
        limits[device] = cap
    }

    /// From now on a device keeps the limit that it has, until it loses power.
    mutating func stick(_ device: Int) { stuck |= 1 << UInt64(device) }

    /// Takes the power away.
    mutating func powerOff() {
        stuck = 0
        settling.removeAll()
        for device in limits.indices { limits[device] = .zero }
    }

    /// E_n: the most that the node may be enforcing at a real time.
    mutating func enforced(now: Int64) -> Milliwatts {
        settling.removeAll { $0.until <= now }
        var sum = Milliwatts.zero
        for device in limits.indices {
            var most = limits[device]
            for old in settling where old.device == device { most = max(most, old.cap) }
            sum += most
        }
        return sum
    }
}
