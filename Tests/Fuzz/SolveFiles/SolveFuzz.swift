// SPDX-License-Identifier: Apache-2.0

import AllocationCore
import FuzzDriver
import SolveFiles

/// The readers of `busbar solve`.
enum SolveTarget: String, FuzzTarget {
    case problem = "solve-problem"
    case answer = "solve-answer"

    func run(_ input: [UInt8]) {
        switch self {
        case .problem: checkProblem(input)
        case .answer: checkAnswer(input)
        }
    }
}

/// The program's entry: SwiftPM renames `main` of an executable target to `<target>_main`.
@_cdecl("SolveFuzz_main")
func solveFuzzMain(
    _ argumentCount: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> CInt {
    FuzzDriver.main(SolveTarget.self, argumentCount, arguments)
}

/// Solves a problem and writes the answer.
private func answer(_ problem: SolveProblem) -> [UInt8] {
    var solver = PowerSolver()
    var solution = PowerSolution()
    switch solver.solve(problem.problem, into: &solution) {
    case .optimal: return problem.json(.optimal(solution), nanoseconds: 1)
    case .infeasible:
        let plan = ShedPlanner.plan(problem.problem)
        return problem.json(.infeasible(solution.shortfalls, plan), nanoseconds: 1)
    }
}

/// What is read is well-formed, and its answer is written, read and accepted.
private func checkProblem(_ input: [UInt8]) {
    guard let problem = try? SolveProblem.read(input) else { return }
    precondition(problem.problem.firstDefect() == nil, "a malformed problem was read")
    do {
        let violation = try problem.firstViolation(inClaim: answer(problem))
        precondition(violation == nil, "the answer is refused: \(violation!)")
    } catch {
        preconditionFailure("the answer is not read: \(error)")
    }
}

/// The problem that answers are held against: two gangs and a GPU alone, two trees, a curve.
private let example: SolveProblem = {
    let text = """
        {"domains":[{"name":"a","limit_mw":1600},{"name":"b","parent":"a"},{"name":"f"}],
        "gpus":[{"domains":["b","f"],"floor_mw":100,"full_mw":900,"gang":"x","priority":1},
        {"domains":["b"],"floor_mw":100,"full_mw":900,"gang":"y","weight":2},
        {"domains":["f"],"floor_mw":1,"full_mw":9,"curve":[[0,1],[500000,2],[1000000,9]]}]}
        """
    do {
        return try SolveProblem.read(Array(text.utf8))
    } catch {
        preconditionFailure("the example is not read: \(error)")
    }
}()

/// Any bytes are read or refused; what is accepted says what the right answer says.
private func checkAnswer(_ input: [UInt8]) {
    do {
        guard try example.firstViolation(inClaim: input) == nil else { return }
    } catch {
        // Refused, as most of what the fuzzer makes.
        return
    }
    let right = answer(example)
    func caps(_ bytes: [UInt8]) -> [UInt8] {
        // From "caps_mw" to the end of its list, without white space.
        let text = bytes.filter { $0 > 0x20 }
        let key = Array("\"caps_mw\":[".utf8)
        guard let start = text.indices.first(where: { text[$0...].starts(with: key) }) else {
            return []
        }
        return Array(text[start...].prefix { $0 != UInt8(ascii: "]") })
    }
    // A key may be written with escapes: then there is nothing to compare.
    let found = caps(input)
    precondition(found.isEmpty || found == caps(right), "an answer with other caps is accepted")
}
