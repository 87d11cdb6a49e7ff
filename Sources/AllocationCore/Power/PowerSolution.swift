// SPDX-License-Identifier: Apache-2.0

/// A domain whose floors alone do not fit, and by how much.
package struct PowerShortfall: Hashable, Sendable {
    /// The domain, as an index into the problem's domains.
    package var domain: Int32
    /// Floors less budget, in milliwatts; positive.
    package var missingMilliwatts: Int64

    package init(domain: Int32, missingMilliwatts: Int64) {
        self.domain = domain
        self.missingMilliwatts = missingMilliwatts
    }
}

/// How a solve ended.
package enum PowerSolveStatus: Hashable, Sendable {
    /// The solution is the optimum.
    case optimal
    /// The floors do not fit; carries the domain that misses most (the first of equals).
    ///
    /// All of them are in ``PowerSolution/shortfalls``.
    case infeasible(PowerShortfall)
}

/// The claim that makes an optimum checkable: for each gang how far it rose, and what stopped it.
///
/// Shape: both columns have one entry for each gang.
package struct PowerCertificate: Hashable, Sendable {
    /// The level of each gang.
    package var level: [PowerLevel]
    /// The domain that stopped each gang, or ``PowerSolution/atFull``.
    package var boundBy: [Int32]

    package init(level: [PowerLevel], boundBy: [Int32]) {
        self.level = level
        self.boundBy = boundBy
    }
}

/// The caps of a solved ``PowerProblem``, and why they are what they are.
///
/// A solution is storage that solves reuse: keep one and pass it in again.
package struct PowerSolution: Hashable, Sendable {
    /// The value of ``PowerCertificate/boundBy`` for a gang that no domain stopped.
    package static let atFull: Int32 = -1

    /// The cap of each GPU in milliwatts; empty after an infeasible solve.
    package internal(set) var capMilliwatts: [UInt32] = []
    /// How far each gang rose, and what stopped it; empty columns after an infeasible solve.
    package internal(set) var certificate = PowerCertificate(level: [], boundBy: [])
    /// Every domain whose floors do not fit, in order of index; empty after an optimal solve.
    package internal(set) var shortfalls: [PowerShortfall] = []

    package init() {}

    /// The level of a gang.
    package func level(ofGang gang: Int) -> PowerLevel { certificate.level[gang] }

    /// The domain that stopped a gang, or nil for a gang at full pace.
    package func boundBy(gang: Int) -> Int32? {
        let domain = certificate.boundBy[gang]
        return domain == PowerSolution.atFull ? nil : domain
    }

    /// Forgets caps and certificate.
    mutating func clearResult() {
        capMilliwatts.removeAll(keepingCapacity: true)
        certificate.level.removeAll(keepingCapacity: true)
        certificate.boundBy.removeAll(keepingCapacity: true)
    }
}
