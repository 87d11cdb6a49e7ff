// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// A durable, fenced store of a leader's decisions: records under keys, with versions.
///
/// A fleet has one for its jobs and allotments, and each site has one for its ledger. Nothing else
/// that Busbar holds in memory is needed to be safe after a crash.
///
/// Contract, kept by every implementation and checked by one conformance suite:
///
/// * **Durable.** When ``commit(_:under:)`` or ``campaign(role:candidate:epochID:above:)`` returns, the
///   write survives a crash of the process and of the machine.
/// * **Atomic.** A batch is applied whole or not at all, and readers never see a part of it.
/// * **Fenced.** A commit under a leadership whose epoch is not the newest of its role changes
///   nothing and throws ``StoreError/deposed(role:currentEpoch:)``.
/// * **Compared.** Every write and expectation of a batch names the version that its record must
///   have; one mismatch and nothing is changed (``StoreError/conflict(key:found:)``).
/// * **Ordered.** Commits are totally ordered by revision; ``load(prefix:)`` sees every commit that
///   was acknowledged before it was called.
/// * **Honest.** An outcome that is not known is ``StoreError/ambiguous(_:)``, never a guess.
///
/// Calls may be made from any task. Cancelling the calling task does not stop a commit that has
/// begun: it returns its outcome all the same.
package protocol DecisionStore: AnyObject, Sendable {
    /// Waits until `candidate` leads `role`, and raises the role's epoch.
    ///
    /// The epoch is one above the newest of the role, or one above `floor` where that is higher;
    /// commits under any older leadership fail from that moment. Read the records that the role guards **after** this returns.
    ///
    /// - Parameters:
    ///   - role: what is led, such as `fleet` or `site/dublin`; a good ``StoreKey``.
    ///   - candidate: who leads, for people to read.
    ///   - epochID: random bits that name this epoch, so that a store put back to an older state
    ///     cannot pass its epochs off as the lost ones.
    ///   - floor: an epoch that is known to have been, in a store that these records come from.
    /// - Returns: the leadership, to be handed to every commit.
    /// - Throws: ``StoreError``; after ``StoreError/ambiguous(_:)`` campaign again.
    func campaign(
        role: String, candidate: String, epochID: RandomID, above floor: UInt64
    ) async throws(StoreError) -> Leadership

    /// Returns when `leadership` has been lost: another candidate leads, it was given up, or the
    /// store was closed or has failed.
    ///
    /// A hint that saves time; safety rests on the fencing of commits alone. Implementations renew a
    /// leadership by themselves for as long as the store is open.
    func untilLost(_ leadership: Leadership) async

    /// Gives a leadership up, so that another candidate need not wait for it to lapse.
    ///
    /// Later commits under it throw ``StoreError/deposed(role:currentEpoch:)``.
    func resign(_ leadership: Leadership) async throws(StoreError)

    /// Reads every record whose key starts with `prefix`, in byte order of the keys.
    ///
    /// - Parameter prefix: may be empty, for all records.
    /// - Returns: the records and the revision at which they stood.
    /// - Throws: ``StoreError/unavailable(_:)`` or ``StoreError/failed(_:)``.
    func load(prefix: String) async throws(StoreError) -> StoreSnapshot

    /// Applies a batch if `leadership` is the newest of its role and every version is as expected.
    ///
    /// - Returns: the revision of the commit, which is the new version of every record it wrote.
    /// - Throws: ``StoreError``. After ``StoreError/deposed(role:currentEpoch:)`` the leader stops;
    ///   after ``StoreError/ambiguous(_:)`` it campaigns and loads again before it says anything.
    @discardableResult
    func commit(
        _ batch: StoreBatch, under leadership: Leadership
    ) async throws(StoreError) -> UInt64

    /// Follows the store from just after `revision`: first what has changed since, then each change
    /// as it is committed.
    ///
    /// Elements have rising revisions. Several commits may be merged into one element, which then
    /// holds the newest state of each record: followers learn where things stand, not every step.
    /// The sequence ends when the store closes; it throws ``StoreError/compacted(oldest:)`` when
    /// deletions after `revision` have been forgotten: load again and follow from that snapshot.
    func changes(after revision: UInt64) -> StoreChanges

    /// Finishes the commits that have begun, then lets go of the store. Idempotent.
    func close() async
}

extension DecisionStore {
    /// Waits until `candidate` leads `role`, and raises the role's epoch by one.
    package func campaign(
        role: String, candidate: String, epochID: RandomID
    ) async throws(StoreError) -> Leadership {
        try await campaign(role: role, candidate: candidate, epochID: epochID, above: 0)
    }
}
