// SPDX-License-Identifier: Apache-2.0

package import FleetModel
internal import Glibc

/// The clocks that an enforcer goes by; tests bring their own.
package protocol LeaseClock {
    /// Both clocks of the two-clock rule, now.
    func read() -> ClockReading

    /// The wall clock, in seconds since 1970: for the validity of certificates alone.
    func unixSeconds() -> Int64
}

/// The clocks of the machine.
package struct SystemLeaseClock: LeaseClock, Sendable {
    package init() {}

    package func read() -> ClockReading {
        ClockReading(
            rawNanoseconds: nanoseconds(of: CLOCK_MONOTONIC_RAW),
            bootNanoseconds: nanoseconds(of: CLOCK_BOOTTIME))
    }

    package func unixSeconds() -> Int64 { nanoseconds(of: CLOCK_REALTIME) / 1_000_000_000 }

    private func nanoseconds(of clock: clockid_t) -> Int64 {
        var time = timespec()
        let result = clock_gettime(clock, &time)
        precondition(result == 0, "clock \(clock) cannot be read: the lease rules need it")
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
