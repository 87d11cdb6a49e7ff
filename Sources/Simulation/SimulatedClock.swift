// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// The two clocks of one host, each with an offset and a drift that changes now and then.
///
/// The raw clock keeps to ±ρ. The other is slewed as well, which the two-clock rule must bear.
struct SimulatedClock {
    private var base: ClockReading
    private var since: Int64 = 0
    private var rawPPM: Int64 = 0
    private var bootPPM: Int64 = 0
    private let driftPPM: Int64
    private let slewPPM: Int64

    init(driftPPM: Int64, slewPPM: Int64, generator: inout SeededGenerator) {
        self.driftPPM = driftPPM
        self.slewPPM = slewPPM
        base = ClockReading(
            rawNanoseconds: generator.uniform(0...1_000_000_000_000_000),
            bootNanoseconds: generator.uniform(0...1_000_000_000_000_000))
        drift(now: 0, generator: &generator)
    }

    /// Goes on at another rate.
    mutating func drift(now: Int64, generator: inout SeededGenerator) {
        base = reading(now: now)
        since = now
        rawPPM = [-driftPPM, 0, driftPPM][generator.index(below: 3)]
        bootPPM = slewPPM == 0 ? rawPPM : [-slewPPM, 0, slewPPM][generator.index(below: 3)]
    }

    /// Both clocks at a real time.
    func reading(now: Int64) -> ClockReading {
        let passed = now - since
        return ClockReading(
            rawNanoseconds: base.rawNanoseconds + passed + passed * rawPPM / 1_000_000,
            bootNanoseconds: base.bootNanoseconds + passed + passed * bootPPM / 1_000_000)
    }

    /// How long to sleep until either clock may have moved on by `nanoseconds`: by the faster clock
    /// while it is long, by the slower one for the last stretch.
    func realTime(for nanoseconds: Int64) -> Int64 {
        let isShort = nanoseconds < 20_000_000
        let rate = 1_000_000 + (isShort ? min(rawPPM, bootPPM) : max(rawPPM, bootPPM))
        return nanoseconds * 1_000_000 / rate + 1000
    }
}
