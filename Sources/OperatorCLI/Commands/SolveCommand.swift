// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import ArgumentParser
internal import SolveFiles

/// `busbar solve`: the power solver on a problem from a file.
struct SolveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "solve", abstract: "Find the caps that fit a power problem, or check them.",
        discussion: """
            Reads domains with limits and GPUs with floors, and writes the highest caps that fit: \
            strictly by priority, fairly inside one, one level for each gang. Exits with 1 when the \
            floors do not fit; the answer then says which domains are short, and which gangs to \
            pause. With --check it solves nothing: it reads an answer that was written before, and \
            says whether it is the right one. docs/solve-files.md has the form of both files.
            """)

    @Argument(help: ArgumentHelp("The problem, JSON; - for stdin.", valueName: "file"))
    var file: String

    @Option(
        help: ArgumentHelp(
            "Check this answer of `busbar solve -o json` with a program that shares nothing with "
                + "the solver.", valueName: "file"))
    var check: String?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if file == "-" && check == "-" {
            throw ValidationError("only one of the two files can be stdin")
        }
    }

    func run() throws {
        let problem = try read(file) { bytes throws(SolveFileError) in
            try SolveProblem.read(bytes)
        }
        if let check {
            try self.check(check, problem)
        } else {
            try solve(problem)
        }
    }

    private func read<Value>(
        _ path: String, _ parse: (UnsafeRawBufferPointer) throws(SolveFileError) -> Value
    ) throws(CommandFailure) -> Value {
        let bytes = try InputFile.read(path, atMost: SolveFileLimits.byteCount)
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(SolveFileError) in try parse(buffer) }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error):
            throw CommandFailure(.refused, "\(title(path)): \(error)", hint: error.hint)
        }
    }

    private func title(_ path: String) -> String { path == "-" ? "stdin" : path }

    // MARK: - Solving

    private func solve(_ problem: SolveProblem) throws {
        var solver = PowerSolver()
        var solution = PowerSolution()
        let start = steadyNanoseconds()
        let status = solver.solve(problem.problem, into: &solution)
        let nanoseconds = UInt64(steadyNanoseconds() - start)
        let result: SolveResult
        switch status {
        case .optimal: result = .optimal(solution)
        case .infeasible:
            result = .infeasible(solution.shortfalls, ShedPlanner.plan(problem.problem))
        }
        if output.output == .json {
            Terminal.write(bytes: problem.json(result, nanoseconds: nanoseconds), to: 1)
        } else {
            let view = SolveView(problem: problem, isWide: output.output == .wide)
            Terminal.write(
                view.text(result, nanoseconds: nanoseconds, width: output.output.tableWidth), to: 1)
        }
        if case .infeasible(let worst) = status { throw shortage(worst, solution, problem) }
    }

    private func shortage(
        _ worst: PowerShortfall, _ solution: PowerSolution, _ problem: SolveProblem
    ) -> CommandFailure {
        let others = solution.shortfalls.count - 1
        let missing = Format.watts(UInt64(worst.missingMilliwatts))
        return CommandFailure(
            .negative,
            "the floors do not fit: \(problem.name(ofDomain: Int(worst.domain))) is \(missing) short"
                + (others > 0 ? ", and \(others) more domains are" : ""),
            hint: "raise limits, lower floors, or pause what the answer lists under shed")
    }

    // MARK: - Checking

    private func check(_ path: String, _ problem: SolveProblem) throws {
        let violation = try read(path) { bytes throws(SolveFileError) in
            try problem.firstViolation(inClaim: bytes)
        }
        if output.output == .json {
            output.output.write(
                .object([
                    ("accepted", .bool(violation == nil)),
                    ("path", violation.map { .string($0.path) } ?? .null),
                    ("reason", violation.map { .string($0.reason) } ?? .null),
                ]))
        } else if violation == nil {
            Terminal.write("\(title(path)): the answer is the right one\n", to: 1)
        }
        if let violation {
            throw CommandFailure(
                .negative, "\(title(path)): \(violation)",
                hint: "solve again: this is not the answer")
        }
    }
}
