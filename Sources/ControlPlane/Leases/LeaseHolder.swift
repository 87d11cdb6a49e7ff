// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// The enforcer's side of the lease protocol for one node: the only owner of its caps.
///
/// A value without I/O. It is told what happened and what both clocks read, and says what to do next,
/// **one step at a time**. A shell drives it so:
///
/// ```swift
/// switch holder.nextStep(now: clock.read()) {
/// case .readCaps: holder.capsRead(try devices.readLimits(), now: clock.read())
/// case .setCap(let device, let cap):
///     try devices.setLimit(device, cap)
///     holder.capWritten(device: device, readBack: try devices.readLimit(device), now: clock.read())
/// case .storeRecord(let record):
///     try file.replaceDurably(record)       // must survive SIGKILL before the next line
///     holder.recordStored(now: clock.read())
/// case .wait(let nanoseconds): poll(sockets, timeout: nanoseconds)
/// }
/// ```
///
/// Every step but `wait` is answered, with a fresh clock reading, before anything else is told to the
/// holder: the clock is looked at again after every write, so that a pause between the check of the
/// deadline and the write cannot leave a raised cap behind. A step that fails is answered with
/// ``stepFailed(now:)``; the holder tries again. Messages (``renewalRequested(now:)``,
/// ``grantReceived(_:now:)``, ``sharesRequested(_:now:)``) are told between steps, after which the
/// shell asks for the next step at once. After ``takeAcknowledgement()`` returns true the shell sends
/// its agent a fresh renewal.
///
/// ```
///  starting ─ record in force and read-back ≤ its cap ───────────► leased ◄────────────────┐
///     │ otherwise                                        grant │ lower: store cap, old     │
///     ▼                                                        │ deadline ► lower ► settle │
///  fallingBack ─ all settled ► atFallback ─ grant: store ►─────┤ ► store new deadline ─────┤
///     ▲                                   cap and deadline     └ raise: write ► store ─────┘
///     └──────────── deadline passed, from any of the above
/// ```
///
/// Invariants (``checkInvariants()``): what the devices may be enforcing, settling included, is at
/// most the cap in force, or the fallback when none is; a deadline is extended only when the hardware
/// is at or below the new cap; hardware above the fallback always has a deadline in storage.
package struct LeaseHolder: Sendable {
    /// What the holder is told once.
    package struct Configuration: Sendable {
        /// The node's name; grants for any other are refused.
        package var node: String
        package var bootID: RandomID
        /// The fallback until a grant brings another.
        package var fallback: Milliwatts
        /// One entry for each device.
        package var devices: [CapRange]
        /// α: how long a lowered cap may take to hold.
        package var settleNanoseconds: Int64
        /// ρ, by which the settling time is lengthened.
        package var driftPPM: Int64
        /// Time between two readings of the caps while nothing else is to be done.
        package var reassertNanoseconds: Int64

        package init(
            node: String, bootID: RandomID, fallback: Milliwatts, devices: [CapRange],
            settleNanoseconds: Int64, driftPPM: Int64 = 10_000,
            reassertNanoseconds: Int64 = 1_000_000_000
        ) {
            self.node = node
            self.bootID = bootID
            self.fallback = fallback
            self.devices = devices
            self.settleNanoseconds = settleNanoseconds
            self.driftPPM = driftPPM
            self.reassertNanoseconds = reassertNanoseconds
        }
    }

    /// What the shell is to do next.
    package enum Step: Hashable, Sendable {
        /// Read the limit that each device reports as set; answer with ``capsRead(_:now:)``.
        case readCaps
        /// Set the limit of one device and read it back; answer with ``capWritten(device:readBack:now:)``.
        case setCap(device: Int, Milliwatts)
        /// Replace the stored record, atomically and durably; answer with ``recordStored(now:)``.
        case storeRecord(LeaseRecord)
        /// Nothing to do before a message arrives or this time has passed.
        case wait(nanoseconds: Int64)
    }

    /// A lease that was accepted, from its request on.
    struct Term: Hashable, Sendable {
        var order: LeaseOrder
        var epochID: RandomID
        var cap: Milliwatts
        var start: ClockReading
        var leaseNanoseconds: Int64
        var fallback: Milliwatts
        var fallbackVersion: UInt64
        /// Made by the holder itself to measure its own expiry; never acknowledged.
        var isSelfTest = false

        /// The time left; not positive once it is over.
        func remaining(now: ClockReading) -> Int64 { leaseNanoseconds - now.heldSince(start) }
    }

    /// Where the holder stands between two steps.
    enum Phase: Hashable, Sendable {
        case starting
        case fallingBack
        case atFallback
        case leased
        /// No deadline was in force: cap and deadline are stored before any device is raised.
        case storingFirst(Term)
        /// Devices are on their way to a cap that is not below the one in force.
        case raising(Term)
        /// The lower cap is stored with the old deadline before any device is lowered.
        case storingLower(Term)
        /// Devices are on their way down; the old deadline stays in force until they have settled.
        case lowering(Term)
        /// The hardware is at or below the new cap: the new deadline is stored.
        case storingExtension(Term)
    }

    /// The start and length of a lease that is over.
    struct Ended: Hashable, Sendable {
        var start: ClockReading
        var leaseNanoseconds: Int64
    }

    let configuration: Configuration
    let rules: LeaseRules
    let incarnation: RandomID
    var phase = Phase.starting
    var caps: DeviceCaps
    /// The lease whose deadline is in force.
    var term: Term?
    /// Accepted, to be carried out when the step under way is done.
    var pending: Term?
    var fence = LeaseOrder.zero
    var fenceEpochID = RandomID.none
    var fallback: Milliwatts
    var fallbackVersion: UInt64
    /// What storage held at the start; needed until the first reading of the caps.
    let found: LeaseRecord?
    var requests = OpenRequests()
    var ack: LeaseAck?
    /// The lease in force awaits its acknowledgement.
    var isAckDue = false
    var hasFreshAck = false
    var isStepOpen = false
    /// When the caps were last read as a whole.
    var lastReading: ClockReading
    /// When a device was first found above its cap; nil while none is.
    var violatedSince: ClockReading?
    /// The end of the last lease that ended, until the fallback is verified.
    var ended: Ended?
    package internal(set) var counts = HolderCounts()
    var provenEnforcerNanoseconds: Int64?

    /// A holder in a new incarnation of the enforcer.
    ///
    /// `incarnation` is 128 fresh random bits; `record` is what storage holds, nil when it holds
    /// nothing readable; `provenEnforcerNanoseconds` is what the self-test measured, if it has passed
    /// on this node.
    package init(
        configuration: Configuration, incarnation: RandomID, record: LeaseRecord?,
        provenEnforcerNanoseconds: Int64? = nil, now: ClockReading,
        rules: LeaseRules = .production
    ) {
        precondition(!configuration.devices.isEmpty, "a node without devices needs no lease")
        self.configuration = configuration
        self.rules = rules
        self.incarnation = incarnation
        self.provenEnforcerNanoseconds = provenEnforcerNanoseconds
        let million: Int64 = 1_000_000
        let settle = configuration.settleNanoseconds
        caps = DeviceCaps(
            ranges: configuration.devices,
            settleNanoseconds: (settle * (million + configuration.driftPPM) + million - 1) / million
        )
        fallback = record?.fallback ?? configuration.fallback
        fallbackVersion = record?.fallbackVersion ?? 0
        found = record
        lastReading = now
    }
}

/// Counts of a holder since its start.
package struct HolderCounts: Hashable, Sendable {
    /// Leases that ended by their deadline.
    package var leaseExpiries: UInt64 = 0
    /// Devices found above what was set (driver reload, another tool), corrected.
    package var violations: UInt64 = 0
    /// How long devices stood above what was set, as far as the readings tell.
    package var violationNanoseconds: Int64 = 0
    package var grantsAccepted: UInt64 = 0
    package var grantsRefused: UInt64 = 0
    /// Time from the last deadline until the fallback was verified and settled.
    var lastFallbackNanoseconds: Int64?

    package init() {}
}

/// The renewals that were sent and not yet answered: the last few, oldest overwritten.
struct OpenRequests: Sendable {
    /// How many requests may be open: a long poll needs one; reconnects leave some behind.
    static let capacity = 16
    private var starts: [ClockReading?] = Array(repeating: nil, count: capacity)
    private var last: UInt64 = 0

    /// Opens a request; nonces count from 1 in each incarnation.
    mutating func open(now: ClockReading) -> UInt64 {
        last += 1
        starts[Int(last % UInt64(OpenRequests.capacity))] = now
        return last
    }

    /// The clock reading from before the request was sent; nil for a nonce that is not open.
    func start(of nonce: UInt64) -> ClockReading? {
        guard nonce <= last, nonce > 0, last - nonce < UInt64(OpenRequests.capacity) else {
            return nil
        }
        return starts[Int(nonce % UInt64(OpenRequests.capacity))]
    }

    mutating func close(_ nonce: UInt64) {
        starts[Int(nonce % UInt64(OpenRequests.capacity))] = nil
    }
}
