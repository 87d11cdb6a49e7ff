// SPDX-License-Identifier: Apache-2.0

/// A way in which the lease protocol can be got wrong, for tests that show each rule is needed.
package enum LeaseMutant: String, Hashable, Sendable, CaseIterable {
    /// Ledger writes compare the epoch only, so a delayed older write overwrites a newer one.
    case comparesEpochOnly
    /// The holder counts a lease from the grant's arrival, not from before its request was sent.
    case countsFromReceipt
    /// The holder accepts grants that it did not ask for.
    case acceptsUnsolicited
    /// The grantor answers with caps that the ledger does not hold yet.
    case sendsBeforeReserving
    /// A new leader takes the grants of earlier epochs for dead at once.
    case skipsTakeOverWait
    /// Renewals that change nothing are answered without a committed write.
    case answersWithoutWrite
    /// The holder does not compare a grant's order with its fence.
    case ignoresOrder
    /// Grants to class U nodes are taken for dead after the wait, too.
    case reclaimsUnsupervisedByTime
    /// A restarted holder leaves the caps where they are, and nobody keeps the deadline.
    case keepsCapsOnRestart
    /// A lowering grant's deadline is in force before its cap is.
    case extendsBeforeLowering
    /// The grantor's wait does not allow for clock drift.
    case ignoresDrift
    /// The holder acknowledges before the lowered caps have taken hold.
    case acknowledgesBeforeSettling

    /// Devices are raised while others are still settling.
    case raisesWhileSettling
    /// The holder acknowledges a lowered cap before its record holds it.
    case acknowledgesBeforeRecording
    /// A resumed holder starts with an empty fence.
    case losesFenceOnResume
    /// After a start, devices count as settled at once.
    case trustsCapsAtStart
    /// A lowered fallback leaves the ledger before the node has it.
    case lowersFallbackEarly
    /// The floors of placed jobs are left out of the charges.
    case leavesOutFloors
    /// A node's report, however old, proves it to be at its fallback.
    case provesByReport
    /// A lowered limit becomes effective at once.
    case lowersLimitAtOnce

    /// The twelve that are found in the basic protocol, without commissioning, jobs or changing
    /// fallbacks and limits.
    package static let basic: [LeaseMutant] = [
        .comparesEpochOnly, .countsFromReceipt, .acceptsUnsolicited, .sendsBeforeReserving,
        .skipsTakeOverWait, .answersWithoutWrite, .ignoresOrder, .reclaimsUnsupervisedByTime,
        .keepsCapsOnRestart, .extendsBeforeLowering, .ignoresDrift, .acknowledgesBeforeSettling,
    ]
}

/// The rules that a lease state machine runs by: all of them, or all but one.
///
/// Shells use ``production``. Only tests and the simulator make rules that break one.
package struct LeaseRules: Hashable, Sendable {
    /// All rules.
    package static let production = LeaseRules()

    private let broken: LeaseMutant?

    private init() { broken = nil }

    /// All rules but one.
    package init(breaking mutant: LeaseMutant) { broken = mutant }

    /// True for the one mutant that these rules contain.
    package func breaks(_ mutant: LeaseMutant) -> Bool { broken == mutant }
}
