// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel
import Testing

/// A holder with two devices and a hand-turned clock; carries steps out and writes down what it did.
///
/// Devices take 100 to 500 W, the fallback is 300 W, α is 200 ms (202 ms with the drift allowed for).
struct HolderBench {
    static let millisecond: Int64 = 1_000_000
    var holder: LeaseHolder
    var now = ClockReading(rawNanoseconds: 1_000_000_000, bootNanoseconds: 5_000_000_000)
    var limits: [Milliwatts]
    var record: LeaseRecord?
    /// What was done, in order: `read`, `0=250`, `store 600`.
    var journal: [String] = []
    let rules: LeaseRules
    /// A device that takes no command.
    var stubborn: Int?
    /// True lets every store fail.
    var isStorageBroken = false

    /// What was written, in order, without the readings.
    var writes: [String] { journal.filter { $0 != "read" } }

    static let boot = RandomID(high: 7, low: 7)
    static let epochID = RandomID(high: 9, low: 9)

    static func configuration(boot: RandomID = HolderBench.boot) -> LeaseHolder.Configuration {
        let range = CapRange(minimum: .watts(100), maximum: .watts(500))
        return LeaseHolder.Configuration(
            node: "n0", bootID: boot, fallback: .watts(300), devices: [range, range],
            settleNanoseconds: 200 * HolderBench.millisecond)
    }

    init(
        limits: [Int64] = [500, 500], record: LeaseRecord? = nil, rules: LeaseRules = .production,
        boot: RandomID = HolderBench.boot
    ) {
        self.limits = limits.map { .watts($0) }
        self.record = record
        self.rules = rules
        holder = LeaseHolder(
            configuration: HolderBench.configuration(boot: boot),
            incarnation: RandomID(high: 1, low: 1), record: record, now: now, rules: rules)
    }

    /// A bench whose holder has reached its fallback.
    static func atFallback(rules: LeaseRules = .production) -> HolderBench {
        var bench = HolderBench(rules: rules)
        bench.run(for: 1000)
        bench.journal = []
        return bench
    }

    /// A bench with a lease of 10 s over so many watts, acknowledged.
    static func leased(_ watts: Int64, rules: LeaseRules = .production) -> HolderBench {
        var bench = HolderBench.atFallback(rules: rules)
        _ = bench.grant(watts, sequence: 1)
        bench.run(for: 500)
        bench.journal = []
        return bench
    }

    /// Kills the enforcer and starts another: the hardware and the record stay.
    mutating func restart(boot: RandomID = HolderBench.boot) {
        holder = LeaseHolder(
            configuration: HolderBench.configuration(boot: boot),
            incarnation: RandomID(high: UInt64(journal.count) + 2, low: 2), record: record,
            now: now,
            rules: rules)
        journal = []
    }

    mutating func pass(_ milliseconds: Int64) {
        now = now.advanced(by: milliseconds * HolderBench.millisecond)
    }

    /// Carries out one step; false when the holder waits.
    mutating func step() -> Bool {
        switch holder.nextStep(now: now) {
        case .readCaps:
            journal.append("read")
            holder.capsRead(limits, now: now)
        case .setCap(let device, let cap):
            journal.append("\(device)=\(cap.rawValue / 1000)")
            if device != stubborn { limits[device] = cap }
            holder.capWritten(device: device, readBack: limits[device], now: now)
        case .storeRecord where isStorageBroken:
            journal.append("failed")
            holder.stepFailed(now: now)
            return false
        case .storeRecord(let record):
            journal.append("store \(record.cap.rawValue / 1000)")
            self.record = record
            holder.recordStored(now: now)
        case .wait: return false
        }
        holder.checkInvariants()
        return true
    }

    /// Carries out steps, one each millisecond, for a time.
    mutating func run(for milliseconds: Int64) {
        for _ in 0..<milliseconds {
            while step() {}
            pass(1)
        }
    }

    /// Renews, and gives a grant that answers.
    mutating func grant(
        _ watts: Int64, sequence: UInt64, seconds: Int64 = 10, fallback: Int64 = 300,
        version: UInt64 = 1
    ) -> GrantOutcome {
        let renewal = holder.renewalRequested(now: now)
        let grant = HolderBench.grant(
            for: renewal, watts, sequence: sequence, seconds: seconds, fallback: fallback,
            version: version)
        return holder.grantReceived(grant, now: now)
    }

    static func grant(
        for renewal: LeaseRenewal, _ watts: Int64, sequence: UInt64, seconds: Int64 = 10,
        fallback: Int64 = 300, version: UInt64 = 1
    ) -> LeaseGrant {
        LeaseGrant(
            node: "n0", incarnation: renewal.incarnation, nonce: renewal.nonce,
            order: LeaseOrder(epoch: 3, sequence: sequence), epochID: HolderBench.epochID,
            cap: .watts(watts), leaseNanoseconds: seconds * 1_000_000_000,
            fallback: .watts(fallback), fallbackVersion: version, holdNanoseconds: 0)
    }

    /// What the next renewal would acknowledge.
    mutating func acknowledgement() -> LeaseAck? { holder.renewalRequested(now: now).ack }
}
