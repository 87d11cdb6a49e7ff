// SPDX-License-Identifier: Apache-2.0

/// The constants of the lease protocol for a fleet.
///
/// All times are in nanoseconds.
package struct LeaseParameters: Hashable, Sendable {
    /// L_max: the longest time that a grant is good for, counted from before its request was sent.
    package var leaseNanoseconds: Int64
    /// σ: how long after the deadline a class S node may take to start going to its fallback.
    package var enforcerNanoseconds: Int64
    /// α: how long a lowered cap may take to hold, the largest of all node types.
    package var settleNanoseconds: Int64
    /// ρ in parts per million: the bound on clock drift.
    package var driftPPM: Int64
    /// Time between two ledger writes.
    package var tickNanoseconds: Int64
    /// p: the longest time that a renewal is held open.
    package var holdNanoseconds: Int64

    /// The suggested numbers: L 20 s, σ 2 s, α 0.2 s, ρ 1 %, tick 0.5 s, p = L/6.
    package init(
        leaseNanoseconds: Int64 = 20_000_000_000, enforcerNanoseconds: Int64 = 2_000_000_000,
        settleNanoseconds: Int64 = 200_000_000, driftPPM: Int64 = 10_000,
        tickNanoseconds: Int64 = 500_000_000, holdNanoseconds: Int64 = 3_333_000_000
    ) {
        self.leaseNanoseconds = leaseNanoseconds
        self.enforcerNanoseconds = enforcerNanoseconds
        self.settleNanoseconds = settleNanoseconds
        self.driftPPM = driftPPM
        self.tickNanoseconds = tickNanoseconds
        self.holdNanoseconds = holdNanoseconds
    }

    /// W, the time that a grantor waits on its own clock until a grant to a class S node is dead.
    ///
    /// W = (1+ρ)·(L/(1−ρ) + σ + α), rounded up.
    package var waitNanoseconds: Int64 {
        let million: Int64 = 1_000_000
        let held = ceilingDivide(leaseNanoseconds * million, million - driftPPM)
        let total = held + enforcerNanoseconds + settleNanoseconds
        return ceilingDivide(total * (million + driftPPM), million)
    }

    private func ceilingDivide(_ number: Int64, _ divisor: Int64) -> Int64 {
        (number + divisor - 1) / divisor
    }
}

/// One reading of the two clocks of the two-clock rule, in nanoseconds since each clock's own origin.
package struct ClockReading: Hashable, Sendable {
    /// CLOCK_MONOTONIC_RAW: not slewed, stops in suspend.
    package var rawNanoseconds: Int64
    /// CLOCK_BOOTTIME: slewed, counts suspend.
    package var bootNanoseconds: Int64

    package init(rawNanoseconds: Int64, bootNanoseconds: Int64) {
        self.rawNanoseconds = rawNanoseconds
        self.bootNanoseconds = bootNanoseconds
    }

    /// The time since `start` as the holder of a lease must count it: the longer of the two.
    package func heldSince(_ start: ClockReading) -> Int64 {
        max(rawNanoseconds - start.rawNanoseconds, bootNanoseconds - start.bootNanoseconds)
    }

    /// The time since `start` as the grantor of a lease must count it: the shorter of the two.
    package func waitedSince(_ start: ClockReading) -> Int64 {
        min(rawNanoseconds - start.rawNanoseconds, bootNanoseconds - start.bootNanoseconds)
    }

    /// Both clocks moved on by the same time; for tests and for deadlines of one's own.
    package func advanced(by nanoseconds: Int64) -> ClockReading {
        ClockReading(
            rawNanoseconds: rawNanoseconds + nanoseconds,
            bootNanoseconds: bootNanoseconds + nanoseconds)
    }
}
