// SPDX-License-Identifier: Apache-2.0

/// When a process that ended is to be started again.
package enum RestartPolicy: Hashable, Sendable {
    /// Left down.
    case never
    /// At once, as long as it gets ready; within `limit` nanoseconds even when it does not.
    case immediate(limit: Int64)
    /// After a pause that doubles with every end in quick succession.
    case backoff(first: Int64, limit: Int64)
}

/// The pauses of one supervised process.
///
/// Pure: the time enters as nanoseconds of any steady clock.
package struct RestartClock: Hashable, Sendable {
    /// A process that ran for so long counts as well again: its next end starts from the beginning.
    package static let healthyNanoseconds: Int64 = 10_000_000_000

    package let policy: RestartPolicy
    /// Ends in succession, none of which followed a healthy run.
    package private(set) var failures: Int = 0

    package init(_ policy: RestartPolicy) { self.policy = policy }

    /// Counts an end.
    ///
    /// - Parameters:
    ///   - ranNanoseconds: how long the process ran.
    ///   - wasReady: it had reported that it is ready.
    /// - Returns: the pause before the next start, or nil when there is to be none.
    package mutating func ended(ranNanoseconds: Int64, wasReady: Bool) -> Int64? {
        switch policy {
        case .never: return nil
        case .immediate(let limit):
            if wasReady {
                failures = 0
                return 0
            }
            failures += 1
            // The first try again costs nothing; a program that can't start must not spin.
            return failures == 1 ? 0 : doubled(first: 10_000_000, limit: limit)
        case .backoff(let first, let limit):
            if ranNanoseconds >= RestartClock.healthyNanoseconds { failures = 0 }
            failures += 1
            return doubled(first: first, limit: limit)
        }
    }

    private func doubled(first: Int64, limit: Int64) -> Int64 {
        // 40 doublings of a nanosecond are beyond any limit, and far from overflow of the shift.
        let steps = min(failures - 1, 40)
        let (pause, overflow) = first.multipliedReportingOverflow(by: 1 << steps)
        return overflow ? limit : min(limit, pause)
    }
}
