// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What an enforcer keeps in stable storage, so that a restart neither loses nor prolongs a lease.
///
/// The lease counts only in the boot that wrote it; the fallback and its version count for ever.
package struct LeaseRecord: Hashable, Sendable {
    /// The boot in which the lease was recorded.
    package var bootID: RandomID
    /// The highest accepted order, and the id of its epoch.
    package var fence: LeaseOrder
    package var fenceEpochID: RandomID
    /// The cap in force; zero when there is no lease.
    package var cap: Milliwatts
    /// a0: both clocks before the request was sent that the grant answered.
    package var start: ClockReading
    /// L: the lease ends when either clock has moved on by this much from `start`.
    package var leaseNanoseconds: Int64
    package var fallback: Milliwatts
    package var fallbackVersion: UInt64

    package init(
        bootID: RandomID, fence: LeaseOrder, fenceEpochID: RandomID, cap: Milliwatts,
        start: ClockReading, leaseNanoseconds: Int64, fallback: Milliwatts, fallbackVersion: UInt64
    ) {
        self.bootID = bootID
        self.fence = fence
        self.fenceEpochID = fenceEpochID
        self.cap = cap
        self.start = start
        self.leaseNanoseconds = leaseNanoseconds
        self.fallback = fallback
        self.fallbackVersion = fallbackVersion
    }
}
