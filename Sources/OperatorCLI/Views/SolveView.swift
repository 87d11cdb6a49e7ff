// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
internal import SolveFiles

/// The answer of `busbar solve` as tables.
struct SolveView {
    let problem: SolveProblem
    /// True for all rows; otherwise a long table is cut.
    let isWide: Bool

    /// The most rows of a table that is not wide.
    static let shownRowCount = 40

    private var columns: PowerProblem { problem.problem }

    func text(_ result: SolveResult, nanoseconds: UInt64, width: Int?) -> String {
        switch result {
        case .optimal(let solution):
            return gangs(solution, width) + domains(solution, width)
                + summary(solution, nanoseconds)
        case .infeasible(let shortfalls, let plan):
            return self.shortfalls(shortfalls, width) + shed(plan, width)
        }
    }

    /// Adds the rows of the first of `items`, and says how many are left out.
    private func text<Item>(
        _ items: [Item], _ columns: [Table.Column], _ what: String, _ width: Int?,
        _ row: (Item) -> [String]
    ) -> String {
        guard !items.isEmpty else { return "" }
        var table = Table(columns)
        let count = isWide ? items.count : min(items.count, SolveView.shownRowCount)
        for item in items.prefix(count) { table.append(row(item)) }
        let rest = items.count - count
        return table.text(width: width)
            + (rest > 0 ? "… and \(rest) more \(what); -o wide shows all\n" : "") + "\n"
    }

    // MARK: - Optimal

    /// Gangs by priority, the lowest level first.
    private func gangs(_ solution: PowerSolution, _ width: Int?) -> String {
        var caps = [Int64](repeating: 0, count: columns.gangCount)
        for gpu in 0..<columns.gpuCount {
            caps[Int(columns.gpuGang[gpu])] += Int64(solution.capMilliwatts[gpu])
        }
        let level = solution.certificate.level
        let order = (0..<columns.gangCount).sorted {
            (~columns.gangPriority[$0], level[$0], $0) < (~columns.gangPriority[$1], level[$1], $1)
        }
        return text(
            order,
            [
                .init("GANG", yield: .flexible), .init("PRIORITY", .right),
                .init("WEIGHT", .right, yield: .droppable), .init("GPUS", .right),
                .init("LEVEL", .right), .init("CAPS", .right),
                .init("BOUND BY", yield: .flexible),
            ], "gangs", width
        ) { gang in
            [
                problem.title(ofGang: gang), String(columns.gangPriority[gang]),
                String(columns.gangWeight[gang]), String(problem.gangGPUCount[gang]),
                Format.percent(ppm: UInt64(level[gang].partsPerMillion)),
                Format.watts(UInt64(caps[gang])),
                solution.boundBy(gang: gang).map { problem.name(ofDomain: Int($0)) } ?? "full",
            ]
        }
    }

    /// Domains with a limit, the fullest first.
    private func domains(_ solution: PowerSolution, _ width: Int?) -> String {
        let caps = problem.sum(solution.capMilliwatts)
        var stops = [Int](repeating: 0, count: columns.domainCount)
        for domain in solution.certificate.boundBy where domain >= 0 { stops[Int(domain)] += 1 }
        let free = caps.indices.map { columns.domainBudgetMilliwatts[$0] - caps[$0] }
        let order = caps.indices.filter { !problem.isUnlimited[$0] }
            .sorted { (free[$0], $0) < (free[$1], $1) }
        return text(
            order,
            [
                .init("DOMAIN", yield: .flexible), .init("LIMIT", .right), .init("CAPS", .right),
                .init("HEADROOM", .right), .init("STOPS", .right),
            ], "domains", width
        ) { domain in
            [
                problem.name(ofDomain: domain),
                Format.watts(UInt64(columns.domainBudgetMilliwatts[domain])),
                Format.watts(UInt64(caps[domain])), Format.watts(UInt64(free[domain])),
                stops[domain] > 0 ? "\(stops[domain]) gangs" : "-",
            ]
        }
    }

    private func summary(_ solution: PowerSolution, _ nanoseconds: UInt64) -> String {
        let total = solution.capMilliwatts.reduce(UInt64(0)) { $0 + UInt64($1) }
        let stopped = solution.certificate.boundBy.count { $0 >= 0 }
        return "optimal: \(Format.watts(total)) for \(columns.gpuCount) GPUs in "
            + "\(columns.gangCount) gangs, \(stopped) of them stopped by a domain; solved in "
            + "\(nanoseconds / 1000) µs\n"
    }

    // MARK: - Infeasible

    private func shortfalls(_ shortfalls: [PowerShortfall], _ width: Int?) -> String {
        let order = shortfalls.sorted {
            ($1.missingMilliwatts, $0.domain) < ($0.missingMilliwatts, $1.domain)
        }
        return text(
            order,
            [
                .init("DOMAIN", yield: .flexible), .init("LIMIT", .right), .init("FLOORS", .right),
                .init("MISSING", .right),
            ], "domains", width
        ) { shortfall in
            let limit = columns.domainBudgetMilliwatts[Int(shortfall.domain)]
            return [
                problem.name(ofDomain: Int(shortfall.domain)), Format.watts(UInt64(limit)),
                Format.watts(UInt64(limit + shortfall.missingMilliwatts)),
                Format.watts(UInt64(shortfall.missingMilliwatts)),
            ]
        }
    }

    private func shed(_ plan: ShedPlan, _ width: Int?) -> String {
        let freed = plan.steps.reduce(UInt64(0)) { $0 + UInt64($1.freedMilliwatts) }
        return text(
            plan.steps,
            [
                .init("PAUSE", yield: .flexible), .init("PRIORITY", .right),
                .init("GPUS", .right), .init("FREES", .right),
            ], "gangs", width
        ) { step in
            [
                problem.title(ofGang: Int(step.gang)),
                String(columns.gangPriority[Int(step.gang)]), String(step.gpuCount),
                Format.watts(UInt64(step.freedMilliwatts)),
            ]
        }
            + "infeasible: pausing these \(plan.steps.count) gangs frees \(Format.watts(freed)), and "
            + "the floors of the rest fit"
            + (plan.isLeast ? "; no choice harms less\n" : "\n")
    }
}
