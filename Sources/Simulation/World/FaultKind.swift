// SPDX-License-Identifier: Apache-2.0

/// What the simulator does to a fleet.
package enum FaultKind: String, Hashable, Sendable, CaseIterable {
    /// A message was lost, repeated, or took between one and 25 s.
    case messageLost = "message-lost"
    case messageRepeated = "message-repeated"
    case messageStrayed = "message-strayed"
    /// One direction, or both, between two parties.
    case oneWayCut = "one-way-cut"
    case linkCut = "link-cut"
    /// A site hears nothing of the others and of the fleet store.
    case siteCut = "site-cut"
    /// The links between two groups of parties go down and up again in random order.
    case flapping
    case coordinatorCrash = "coordinator-crash"
    /// Stopped for a while, then going on as if nothing had been.
    case coordinatorPause = "coordinator-pause"
    case agentPause = "agent-pause"
    case agentCrash = "agent-crash"
    case enforcerKill = "enforcer-kill"
    case takeOver = "forced-take-over"
    /// A store has no quorum: it answers nothing.
    case storeOutage = "store-quorum-loss"
    /// A store's leader is lost: some writes take effect without an answer.
    case storeFailOver = "store-leader-loss"
    case staleRead = "stale-read"
    case ambiguousWrite = "ambiguous-write"
    /// Every device of a node goes to its default cap.
    case driverReset = "driver-reset"
    /// A node starts again and comes up uncapped, unannounced.
    case hostReboot = "host-reboot"
    /// A node is taken down and up again by the coordinator's leave.
    case powerCycle = "power-cycle"
    case clockRate = "clock-rate"
    /// A node's sensors report nothing, zero or nonsense.
    case sensorLie = "sensor-lie"
    /// A limit is lowered, and later put back.
    case limitLowered = "limit-lowered"
    case fallbackChanged = "fallback-changed"

    // Beyond the assumptions.
    case clockBeyondBound = "clock-beyond-bound"
    case capIgnored = "cap-ignored"
    case storeRolledBack = "store-rolled-back"

    /// Its place in tables.
    var index: Int { FaultKind.positions[self]! }

    private static let positions: [FaultKind: Int] = Dictionary(
        uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })

    /// What is injected at a moment of its own, rather than to single messages and steps.
    static let injected: [(kind: FaultKind, weight: Int)] = [
        (.oneWayCut, 10), (.linkCut, 10), (.siteCut, 3), (.flapping, 2), (.coordinatorCrash, 8),
        (.coordinatorPause, 8), (.agentPause, 8), (.agentCrash, 5), (.enforcerKill, 14),
        (.takeOver, 8), (.storeOutage, 3), (.storeFailOver, 5), (.driverReset, 4), (.hostReboot, 3),
        (.powerCycle, 4), (.sensorLie, 4), (.limitLowered, 4), (.fallbackChanged, 4),
    ]
}

/// How often each kind of fault struck.
package struct FaultCounts: Hashable, Sendable {
    private var counts = [Int](repeating: 0, count: FaultKind.allCases.count)

    package init() {}

    package subscript(kind: FaultKind) -> Int { counts[kind.index] }

    @inline(__always)
    mutating func note(_ kind: FaultKind) { counts[kind.index] += 1 }

    /// Adds another run's.
    package mutating func add(_ other: FaultCounts) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }

    /// The kinds that struck, in order.
    package var struck: [(kind: FaultKind, count: Int)] {
        FaultKind.allCases.enumerated().compactMap { index, kind in
            counts[index] == 0 ? nil : (kind, counts[index])
        }
    }

    /// All of them together.
    package var total: Int { counts.reduce(0, +) }
}
