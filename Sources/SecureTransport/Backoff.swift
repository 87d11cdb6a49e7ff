// SPDX-License-Identifier: Apache-2.0

/// How long to wait before the next attempt: twice as long each time, with jitter, up to a limit.
///
/// The jitter takes off up to half, so that thousands of agents that lost one coordinator at one
/// moment come back spread over time.
package struct Backoff: Hashable, Sendable {
    /// The first wait, before jitter.
    package let first: Duration
    /// The longest wait.
    package let longest: Duration
    private var current: Duration

    /// Makes a backoff at its beginning.
    ///
    /// - Parameters:
    ///   - first: the first wait, before jitter; more than nothing.
    ///   - longest: the longest wait.
    package init(first: Duration = .milliseconds(100), longest: Duration = .seconds(2)) {
        precondition(first > .zero && longest >= first, "waits from \(first) to \(longest)")
        self.first = first
        self.longest = longest
        current = first
    }

    /// The next wait: half to whole of the time that doubles.
    ///
    /// - Parameter generator: where the jitter comes from.
    /// - Returns: the wait.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let wait = current
        current = min(current * 2, longest)
        return wait / 1000 * Int.random(in: 500...1000, using: &generator)
    }

    /// Goes back to the beginning, after an attempt that was good.
    package mutating func reset() { current = first }
}
