// SPDX-License-Identifier: Apache-2.0

/// 128 random bits that name a process incarnation, a nonce or an epoch.
package struct RandomID: Hashable, Sendable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The id that stands for "none yet".
    package static let none = RandomID(high: 0, low: 0)
}

/// The place of a grant among all grants to a node: epoch first, then the sequence in it.
package struct LeaseOrder: Hashable, Comparable, Sendable {
    /// The number of the site leadership.
    package var epoch: UInt64
    /// The write counter of the ledger shard, as committed by the tick that fenced the grant.
    package var sequence: UInt64

    package init(epoch: UInt64, sequence: UInt64) {
        self.epoch = epoch
        self.sequence = sequence
    }

    /// Before every grant.
    package static let zero = LeaseOrder(epoch: 0, sequence: 0)

    package static func < (left: LeaseOrder, right: LeaseOrder) -> Bool {
        (left.epoch, left.sequence) < (right.epoch, right.sequence)
    }
}

/// A promise that `cap` is enforced by read-back and every order up to `order` is refused from now on.
package struct LeaseAck: Hashable, Sendable {
    package var order: LeaseOrder
    /// The random id of the order's epoch, as the grant carried it.
    package var epochID: RandomID
    package var cap: Milliwatts
    /// The version of the fallback value that the enforcer has stored durably.
    package var fallbackVersion: UInt64

    package init(order: LeaseOrder, epochID: RandomID, cap: Milliwatts, fallbackVersion: UInt64) {
        self.order = order
        self.epochID = epochID
        self.cap = cap
        self.fallbackVersion = fallbackVersion
    }
}

/// A request for a lease, made by a node's enforcer and relayed by its agent.
package struct LeaseRenewal: Hashable, Sendable {
    package var incarnation: RandomID
    package var nonce: UInt64
    /// Nil until this incarnation has verified and settled a grant.
    package var ack: LeaseAck?
    /// The highest order that the enforcer has accepted, in any incarnation of this boot.
    package var fence: LeaseOrder
    package var fenceEpochID: RandomID
    /// Sum of the caps that the hardware reads back now, settling included.
    package var enforced: Milliwatts
    /// What the self-test of the enforcement class measured, if it has passed on this node.
    package var provenEnforcerNanoseconds: Int64?
    /// Caps that this incarnation has found above what it had set, and corrected.
    package var violations: UInt64

    package init(
        incarnation: RandomID, nonce: UInt64, ack: LeaseAck?, fence: LeaseOrder,
        fenceEpochID: RandomID, enforced: Milliwatts, provenEnforcerNanoseconds: Int64?,
        violations: UInt64 = 0
    ) {
        self.incarnation = incarnation
        self.nonce = nonce
        self.ack = ack
        self.fence = fence
        self.fenceEpochID = fenceEpochID
        self.enforced = enforced
        self.provenEnforcerNanoseconds = provenEnforcerNanoseconds
        self.violations = violations
    }
}

/// An answer to one ``LeaseRenewal``: the absolute cap for a node, for a time.
package struct LeaseGrant: Hashable, Sendable {
    /// The node it is for; an enforcer refuses any other.
    package var node: String
    package var incarnation: RandomID
    package var nonce: UInt64
    package var order: LeaseOrder
    package var epochID: RandomID
    package var cap: Milliwatts
    /// L of this grant, at most the fleet's L_max.
    package var leaseNanoseconds: Int64
    /// The fallback that the node is to store, and its version.
    package var fallback: Milliwatts
    package var fallbackVersion: UInt64
    /// How long the holder should expect its next renewal to be held open.
    package var holdNanoseconds: Int64

    package init(
        node: String, incarnation: RandomID, nonce: UInt64, order: LeaseOrder, epochID: RandomID,
        cap: Milliwatts, leaseNanoseconds: Int64, fallback: Milliwatts, fallbackVersion: UInt64,
        holdNanoseconds: Int64
    ) {
        self.node = node
        self.incarnation = incarnation
        self.nonce = nonce
        self.order = order
        self.epochID = epochID
        self.cap = cap
        self.leaseNanoseconds = leaseNanoseconds
        self.fallback = fallback
        self.fallbackVersion = fallbackVersion
        self.holdNanoseconds = holdNanoseconds
    }
}

/// What an enforcer made of a grant.
package enum GrantOutcome: UInt8, Hashable, Sendable, CaseIterable {
    /// Accepted; the acknowledgement follows when the hardware has settled.
    case accepted
    /// The signature, or the certificate behind it, does not verify.
    case badSignature
    /// It is for another node.
    case wrongNode
    /// It answers no request of this incarnation: never made, answered already, or too old.
    case unknownNonce
    /// Its order is not above the last accepted one.
    case staleOrder
    /// Its time is over already.
    case expired
    /// Its cap is below the fallback or above what the node can be set to.
    case capOutOfRange
    /// Its epoch has the number of the accepted one but another id: two histories of one store.
    case unknownEpoch
}
