// SPDX-License-Identifier: Apache-2.0

extension LeaseParameters {
    /// How long a fail-over of the coordinator may take when a file does not say: noticing it (2 s), a
    /// store that moves (2.7 s) and a round trip, rounded up.
    package static let defaultTakeoverNanoseconds: Int64 = 5_000_000_000

    /// Says why these constants cannot be used, or nil when they can.
    ///
    /// Two kinds of reasons. A constant may be out of its range; the ranges also keep
    /// ``waitNanoseconds`` free of overflow. Or nodes could lose their leases in one ordinary fail-over
    /// of the coordinator. They do not while
    ///
    ///     L / (1 + ρ)  ≥  2 p + takeover + tick
    ///
    /// because a request may have been held for p when the old coordinator died, the answer to the
    /// next may be held for p again, and in between the new one must take over and commit a tick.
    ///
    /// - Parameter takeoverNanoseconds: detection, store fail-over and a round trip together.
    /// - Returns: the reason, without the name of a file or key.
    package func problem(
        takeoverNanoseconds: Int64 = LeaseParameters.defaultTakeoverNanoseconds
    ) -> String? {
        if let problem = rangeProblem { return problem }
        guard (0...Self.maximumNanoseconds).contains(takeoverNanoseconds) else {
            return "the takeover time is not between 0 and 1 h"
        }
        let million: Int64 = 1_000_000
        let usable = leaseNanoseconds * million / (million + driftPPM)
        let needed = 2 * holdNanoseconds + takeoverNanoseconds + tickNanoseconds
        if usable >= needed { return nil }
        return "the lease of \(Self.seconds(leaseNanoseconds)) is too short to outlast a "
            + "take-over: \(Self.seconds(needed)) are needed (twice the hold, the takeover and a tick), and "
            + "clock drift leaves \(Self.seconds(usable))"
    }

    private static let maximumNanoseconds: Int64 = 3_600_000_000_000

    private var rangeProblem: String? {
        let second: Int64 = 1_000_000_000
        let ranges: [(String, Int64, ClosedRange<Int64>)] = [
            ("the lease", leaseNanoseconds, second...Self.maximumNanoseconds),
            ("the enforcer's time", enforcerNanoseconds, second / 100...60 * second),
            ("the settle time", settleNanoseconds, 0...60 * second),
            ("the tick", tickNanoseconds, second / 100...10 * second),
            ("the hold", holdNanoseconds, 0...Self.maximumNanoseconds),
        ]
        for (name, value, range) in ranges where !range.contains(value) {
            return "\(name) is \(Self.seconds(value)), not between "
                + "\(Self.seconds(range.lowerBound)) and \(Self.seconds(range.upperBound))"
        }
        if !(100...250_000).contains(driftPPM) {
            return "the drift is \(driftPPM) parts per million, not between 100 and 250000"
        }
        return nil
    }

    private static func seconds(_ nanoseconds: Int64) -> String {
        let milliseconds = nanoseconds / 1_000_000
        let rest = milliseconds % 1000
        if rest == 0 { return "\(milliseconds / 1000) s" }
        var digits = String(1000 + rest.magnitude).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(milliseconds / 1000).\(digits) s"
    }
}
