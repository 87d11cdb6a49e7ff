// SPDX-License-Identifier: Apache-2.0

/// The time within which a certificate is good, in wall-clock seconds since 1970.
package struct Validity: Hashable, Sendable {
    /// The first second.
    package var start: Int64
    /// The last second.
    package var end: Int64

    /// Names both ends.
    ///
    /// - Parameters:
    ///   - start: the first second.
    ///   - end: the last second, after the first.
    package init(start: Int64, end: Int64) {
        self.start = start
        self.end = end
    }

    /// A number of days from now on, and five minutes before, for clocks that are behind.
    ///
    /// - Parameters:
    ///   - days: the days.
    ///   - now: the wall clock.
    /// - Returns: the validity.
    package static func days(_ days: Int, from now: Int64) -> Validity {
        Validity(start: now - 300, end: now + Int64(days) * 86_400)
    }
}
