// SPDX-License-Identifier: Apache-2.0

/// The policies of the placement experiment, by the names that the operator's program knows them by.
package enum ExperimentPolicy: String, CaseIterable, Sendable {
    /// Any node, any device.
    case random
    /// The node with the least CPU and GPU left over.
    case bestFit = "best-fit"
    /// Fragmentation gradient descent, as published.
    case fragmentation = "fgd"
    /// The engine's own.
    case busbar

    /// The engine's policy of an experiment with this seed.
    package func placementPolicy(seed: UInt64) -> PlacementPolicy {
        switch self {
        case .random: .random(seed: seed)
        case .bestFit: .bestFit
        case .fragmentation: .fragmentation
        case .busbar: .busbar
        }
    }
}
