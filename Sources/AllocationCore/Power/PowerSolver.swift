// SPDX-License-Identifier: Apache-2.0

/// Finds the optimum that ``PowerProblem`` defines, exactly.
///
/// A solve is two passes over the GPUs with work on domains and gangs between them:
///
/// 1. ``PowerSums`` sums up floors and wants of every domain. Floors that do not fit end it here.
/// 2. ``PowerTracking`` picks the domains that may become full, ``PowerGather`` sums up the GPUs below
///    those by gang and curve (``PowerCells``), ``PowerLayout`` puts the cells in order.
/// 3. ``PowerFill`` raises the gangs until each is at full pace or stopped: `O(C log D)` for C cells
///    and D tracked domains, because a gang freezes once.
/// 4. ``PowerCaps`` writes the caps.
///
/// A solver keeps its storage: after the first solve of a size it takes no memory. It keeps no
/// state from one solve to the next that could change a result, so a copy is as good as a new one.
package struct PowerSolver: Sendable {
    private var storage = Storage()

    // Sendable: the engine is reached through a solver that holds the only reference to it, which
    // `solve` makes sure of before it touches the engine.
    private final class Storage: @unchecked Sendable {
        var engine = PowerEngine()
    }

    package init() {}

    /// Solves a problem.
    ///
    /// - Parameters:
    ///   - problem: well-formed (``PowerProblem/firstDefect()`` is nil).
    ///   - solution: reused storage for the result.
    /// - Returns: optimal, or the domain whose floors do not fit.
    package mutating func solve(
        _ problem: PowerProblem, into solution: inout PowerSolution
    ) -> PowerSolveStatus {
        assert(problem.firstDefect() == nil, "malformed problem: \(problem.firstDefect()!)")
        if !isKnownUniquelyReferenced(&storage) { storage = Storage() }
        return storage.engine.solve(problem, into: &solution)
    }

    /// Bytes that the solver has room for.
    package var storageByteCount: Int { storage.engine.storageByteCount }
}

/// The fixed-point formats of the solver.
enum PowerUnits {
    /// Fractional bits of usage: those of a level and those of a slope.
    static let usageBits = Int128(PowerLevel.fractionalBits) + PowerCurves.slopeBits
}

extension PowerCurves {
    /// The fractional bits of a slope, to shift by.
    static let slopeBits = Int128(slopeFractionalBits)
}
