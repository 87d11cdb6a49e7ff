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
    /// The same, and one placed pod in twenty arrivals may be moved for one that fits nowhere.
    case busbarMoves = "busbar-moves"
    /// The engine's own, which while the fleet is emptier also saves watts.
    case busbarPower = "pwr-busbar"

    /// Arrivals for each move that ``busbarMoves`` may make.
    package static let arrivalsPerMove = 20

    /// The engine's policy of an experiment with this seed.
    package func placementPolicy(seed: UInt64) -> PlacementPolicy {
        switch self {
        case .random: .random(seed: seed)
        case .bestFit: .bestFit
        case .fragmentation: .fragmentation
        case .busbar, .busbarMoves, .busbarPower: .busbar
        }
    }

    /// True when the policy looks at watts, and needs to know those of each model.
    package var isPowerAware: Bool { self == .busbarPower }
}
