// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Logging
internal import Wire

/// What one node's enforcer has said of caps that another hand has raised.
struct NodeViolations: Hashable, Sendable {
    /// The enforcer's life that counts.
    var incarnation = RandomID.none
    /// The highest count of that life.
    var known: UInt64 = 0
    /// All that were counted since this coordinator began to listen.
    var total: UInt64 = 0
    /// Counted, and not in the audit log yet.
    var unrecorded: UInt64 = 0
    /// When the audit log was last told, in the coordinator's nanoseconds.
    var recordedAt: Int64 = .min / 2

    /// Takes the count of a renewal; returns how many are new.
    ///
    /// A count of another life begins anew. One that this coordinator hears for the first time is
    /// taken whole: what happened while no coordinator listened is worth a line, even a second one.
    mutating func heard(_ count: UInt64, of incarnation: RandomID) -> UInt64 {
        if self.incarnation != incarnation {
            self.incarnation = incarnation
            known = 0
        }
        // Renewals of one life may overtake each other on their way.
        guard count > known else { return 0 }
        let new = count - known
        known = count
        total &+= new
        unrecorded &+= new
        return new
    }
}

// Caps that another hand has raised: a driver reload, or a second tool that believes it is in charge.
extension Coordinator {
    /// The least time between two lines of the audit log on one node's violations: a tool that
    /// raises a cap as often as the enforcer lowers it would fill the log.
    private static let violationPause: Int64 = 10_000_000_000

    /// Counts what a renewal says of violations, and tells the log and the audit log.
    func noteViolations(_ renewal: LeaseRenewal, of node: NodeIndex) {
        let position = node.position
        let new = violations[position].heard(renewal.violations, of: renewal.incarnation)
        guard violations[position].unrecorded > 0 else { return }
        let name = topology.nodes[position].name
        if new > 0 {
            runtime(of: node).violationTotal &+= new
            log.warning(
                "caps were raised by another hand, and corrected by the enforcer",
                metadata: ["node": "\(name)", "caps": "\(new)"])
        }
        let now = SystemClock.monotonicNanoseconds()
        guard now - violations[position].recordedAt >= Coordinator.violationPause else { return }
        let count = violations[position].unrecorded
        violations[position].unrecorded = 0
        violations[position].recordedAt = now
        leader.record(
            .capViolation, subject: name,
            message:
                "\(count) \(count == 1 ? "cap" : "caps") found raised by another hand, corrected",
            actor: name, now: SystemClock.unixMilliseconds())
    }
}
