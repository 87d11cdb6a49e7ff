// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import LocalSocket
internal import TLSEngine
internal import Wire

/// One node that an enforcer process answers for.
struct EnforcedNode {
    let name: String
    let index: NodeIndex
    /// Shared by the nodes of a site.
    let verifier: GrantVerifier
    /// Nil until the node's devices have been found.
    var holder: LeaseHolder?
    var bootID: [UInt8] = []
    /// What the self-test measured, once it has passed.
    var proofNanoseconds: Int64?
    /// The connection of the node's agent: the one that spoke of the node last.
    var agent: ConnectionID?
    /// The holder is to be asked for its next step `delayNanoseconds` after `askedAt`.
    var askedAt: ClockReading
    var delayNanoseconds: Int64 = 0
    /// The counts of the holder that the log has told.
    var loggedCounts = HolderCounts()
    /// Failed steps in a row.
    var failureCount = 0
    var lastStatus: EnforcerStatus?
    var lastStatusAt: ClockReading

    init(name: String, index: NodeIndex, verifier: GrantVerifier, now: ClockReading) {
        self.name = name
        self.index = index
        self.verifier = verifier
        askedAt = now
        lastStatusAt = now
    }

    /// The time until the holder is to be asked again; zero or less when it is due.
    func untilDue(now: ClockReading) -> Int64 { delayNanoseconds - now.heldSince(askedAt) }

    /// Asks the holder at the next turn.
    mutating func makeDue() { delayNanoseconds = 0 }

    /// Asks the holder when `nanoseconds` have passed.
    mutating func wait(_ nanoseconds: Int64, from now: ClockReading) {
        askedAt = now
        delayNanoseconds = nanoseconds
    }

    /// Waits longer after each failure in a row: 10 ms at first, 160 ms at most.
    mutating func waitAfterFailure(from now: ClockReading) {
        wait(10_000_000 << Int64(min(failureCount, 4)), from: now)
        failureCount += 1
    }

    /// The status as it goes to the agent; nil without devices.
    func status(now: ClockReading) -> EnforcerStatus? {
        guard let status = holder?.status(now: now) else { return nil }
        return EnforcerStatus(
            isAtFallback: status.isAtFallback, cap: status.cap, order: status.order,
            remainingNanoseconds: status.remainingNanoseconds,
            requestedCapMilliwatts: status.requested.map { UInt32(clamping: $0.rawValue) },
            enforcedCapMilliwatts: status.enforced.map { UInt32(clamping: $0.rawValue) },
            leaseExpiries: status.counts.leaseExpiries, violations: status.counts.violations)
    }
}
