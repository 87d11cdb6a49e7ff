// SPDX-License-Identifier: Apache-2.0

/// How a run of the world broke a promise.
package struct WorldViolation: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A domain's hardware may be enforcing more than its proven budget.
        case budget
        /// A node's hardware may be enforcing more than its charge.
        case charge
        /// The charges of a domain are above its proven budget.
        case ledger
        /// A task runs whose floors its site's ledger does not hold.
        case floors
        /// A GPU is held by two jobs, or more than its whole is.
        case doubleHold = "double-hold"
        /// A job is placed in part.
        case gang
        /// An acknowledged job is in no store.
        case acknowledged
        /// An enforcer accepted an order that is not above its last.
        case fence
        /// A store took a write of an epoch that was over.
        case deposed
        /// The hardware stood above the fallback without a lease for longer than it may.
        case fallback
        /// The core healed and did not converge.
        case liveness
        /// The checker contradicts itself.
        case checker
    }

    package var kind: Kind
    package var milliseconds: Int64
    package var detail: String

    package var description: String {
        "\(kind.rawValue) at \(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst()) s: \(detail)"
    }
}

/// What a run of the world did.
package struct WorldReport: Hashable, Sendable {
    /// The first violation; the run ends with it.
    package var violation: WorldViolation?
    package var virtualNanoseconds: Int64 = 0
    package var eventCount = 0
    /// Faults injected at moments of their own, some without effect.
    package var injected = 0
    package var grantsAccepted = 0
    package var siteTakeOvers = 0
    package var fleetTakeOvers = 0
    package var expiries = 0
    package var resumes = 0
    package var reclaimsByTime = 0
    package var storeRollbackAlarms = 0
    /// Readings of meters above what the ledger accounts for.
    package var meterAlarms = 0
    /// When something last told the operator of a broken assumption.
    package var lastAlarm: Int64?
    /// The violation was followed by an alarm in time.
    package var isDetected = false
    package var hardwareWrites = 0
    package var ledgerWrites = 0
    package var jobsSubmitted = 0
    package var tasksStarted = 0
    package var jobsEnded = 0
    package var faults = FaultCounts()
    /// The highest use of any site's budget by hardware, in millionths.
    package var peakUsePPM: Int64 = 0
    /// Folds every hardware write, ledger write and task start: equal seeds give equal hashes.
    package var stateHash: UInt64 = 0xCBF2_9CE4_8422_2325

    package init() {}
}
