// SPDX-License-Identifier: Apache-2.0

package import FleetModel
internal import Glibc

/// The clocks of the machine, read by the shell and handed to the pure parts.
package enum SystemClock {
    /// Both clocks of the two-clock rule.
    package static func reading() -> ClockReading {
        ClockReading(
            rawNanoseconds: nanoseconds(CLOCK_MONOTONIC_RAW),
            bootNanoseconds: nanoseconds(CLOCK_BOOTTIME))
    }

    /// Nanoseconds since boot, for intervals that nothing rests on.
    package static func monotonicNanoseconds() -> Int64 { nanoseconds(CLOCK_MONOTONIC) }

    /// Wall-clock time, for people to read.
    package static func unixMilliseconds() -> UInt64 {
        UInt64(max(0, nanoseconds(CLOCK_REALTIME) / 1_000_000))
    }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        let result = clock_gettime(clock, &time)
        precondition(result == 0, "clock \(clock) cannot be read: errno \(errno)")
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// Random numbers for ids, from the system's generator.
package enum SystemRandom {
    /// 128 random bits, never all zero.
    package static func id() -> RandomID {
        var generator = SystemRandomNumberGenerator()
        let id = RandomID(high: generator.next(), low: generator.next())
        return id == .none ? RandomID(high: 1, low: 0) : id
    }
}
