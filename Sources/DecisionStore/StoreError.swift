// SPDX-License-Identifier: Apache-2.0

/// Why a call to a ``DecisionStore`` was not carried out.
package enum StoreError: Error, Hashable, Sendable {
    /// A newer epoch of the role exists, or the leadership was given up. Nothing was changed, and
    /// nothing will ever be changed under that leadership again: stop at once.
    case deposed(role: String, currentEpoch: UInt64)
    /// A record does not have the expected version; `found` is nil when it is absent. Nothing was
    /// changed. In a store with one writer this means that the writer's memory is wrong.
    case conflict(key: String, found: UInt64?)
    /// The outcome is unknown: the write may have been applied or may still be. Stop answering,
    /// campaign again and load.
    case ambiguous(String)
    /// Not now, and nothing was changed: try again after a while.
    case unavailable(String)
    /// The store has failed for good, or is closed. Nothing more can be read or written through it.
    case failed(String)
    /// Changes after the asked revision have been forgotten; `oldest` can still be followed.
    case compacted(oldest: UInt64)
    /// The caller's mistake, found before anything was tried: a bad key, a key named twice, or a
    /// batch over ``StoreLimits``.
    case invalid(String)
}

extension StoreError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .deposed(let role, let epoch):
            "no longer the leader of '\(role)': its epoch is \(epoch)"
        case .conflict(let key, let found?):
            "record '\(key)' has changed: its version is \(found)"
        case .conflict(let key, nil):
            "record '\(key)' is absent"
        case .ambiguous(let reason): "the outcome of a store write is unknown: \(reason)"
        case .unavailable(let reason): "the store is not available: \(reason)"
        case .failed(let reason): "the store has failed: \(reason)"
        case .compacted(let oldest):
            "changes before revision \(oldest) have been forgotten by the store"
        case .invalid(let reason): "invalid use of the store: \(reason)"
        }
    }
}
