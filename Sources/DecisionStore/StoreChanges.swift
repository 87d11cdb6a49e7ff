// SPDX-License-Identifier: Apache-2.0

/// The changes of a store from some revision on, see ``DecisionStore/changes(after:)``.
///
/// Pull-driven: a follower that is slow is handed merged changes and costs the store nothing.
package struct StoreChanges: AsyncSequence, Sendable {
    package typealias Element = StoreChange
    package typealias Failure = StoreError

    /// Waits until something has changed after a revision; nil when the store has closed.
    package typealias Next = @Sendable (_ after: UInt64) async throws(StoreError) -> StoreChange?

    private let start: UInt64
    private let next: Next

    /// A sequence that asks `next` for what changed after `start`, then after each element in turn.
    package init(after start: UInt64, next: @escaping Next) {
        self.start = start
        self.next = next
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(revision: start, next: next)
    }

    /// Hands out changes one by one.
    package struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var revision: UInt64
        fileprivate let next: Next

        package mutating func next() async throws(StoreError) -> StoreChange? {
            guard let change = try await next(revision) else { return nil }
            revision = change.revision
            return change
        }

        package mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(StoreError) -> StoreChange? {
            guard let change = try await next(revision) else { return nil }
            revision = change.revision
            return change
        }
    }
}
