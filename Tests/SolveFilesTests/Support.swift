// SPDX-License-Identifier: Apache-2.0

import AllocationCore

@testable import SolveFiles

/// Reads a problem from text.
func read(_ text: String) throws(SolveFileError) -> SolveProblem {
    try SolveProblem.read(Array(text.utf8))
}

/// What a text is refused for; nil when it is read.
func refusal(_ text: String) -> SolveFileError? {
    do {
        _ = try read(text)
        return nil
    } catch {
        return error
    }
}

extension SolveProblem {
    /// Solves and writes, as `busbar solve -o json` does.
    func solvedJSON() -> String {
        var solver = PowerSolver()
        var solution = PowerSolution()
        let result: SolveResult
        switch solver.solve(problem, into: &solution) {
        case .optimal: result = .optimal(solution)
        case .infeasible: result = .infeasible(solution.shortfalls, ShedPlanner.plan(problem))
        }
        return String(decoding: json(result, nanoseconds: 7), as: UTF8.self)
    }
}

/// Two racks under a site, and two feeds.
///
/// Gangs of two classes bind in rack 1; one GPU rises alone with a curve.
let exampleText = """
    {"domains": [
      {"name": "rack1", "parent": "site", "limit_mw": 1600},
      {"name": "site", "parent": null, "limit_mw": 5000},
      {"name": "rack2", "parent": "site"},
      {"name": "feedA", "limit_mw": 4000}
    ],
    "gpus": [
      {"domains": ["rack1", "feedA"], "floor_mw": 100, "full_mw": 900, "gang": "llama",
       "priority": 5, "weight": 1},
      {"domains": ["rack2", "feedA"], "floor_mw": 100, "full_mw": 900, "gang": "llama",
       "priority": 5, "weight": 1},
      {"domains": ["rack1"], "floor_mw": 100, "full_mw": 900, "gang": "mixtral",
       "priority": 5, "weight": 2},
      {"domains": ["rack1", "feedA"], "floor_mw": 100, "full_mw": 900, "gang": "batch"},
      {"domains": ["rack2"], "floor_mw": 100, "full_mw": 500,
       "curve": [[0, 100], [500000, 200], [1000000, 500]], "gang": null, "priority": 1}
    ]}
    """
