// SPDX-License-Identifier: Apache-2.0

package import AllocationCore

/// What a solve of a file came to.
package enum SolveResult: Sendable {
    case optimal(PowerSolution)
    /// The floors do not fit; what is short, and what to pause so that the rest does.
    case infeasible([PowerShortfall], ShedPlan)
}

extension SolveProblem {
    /// Writes the file that `busbar solve -o json` writes.
    ///
    /// - Parameters:
    ///   - result: of this problem.
    ///   - nanoseconds: what the solve took.
    /// - Returns: the file, with a final line break.
    package func json(_ result: SolveResult, nanoseconds: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        // Some 60 bytes for each GPU: its cap, its level, and what bounds it.
        bytes.reserveCapacity(4096 + problem.gpuCount * 64)
        switch result {
        case .optimal(let solution): write(solution, to: &bytes)
        case .infeasible(let shortfalls, let plan): write(shortfalls, plan, to: &bytes)
        }
        bytes.json(",\n\"solve_ns\":")
        bytes.json(Int64(clamping: nanoseconds))
        bytes.json("}\n")
        return bytes
    }

    // MARK: - Optimal

    private func write(_ solution: PowerSolution, to bytes: inout [UInt8]) {
        bytes.json("{\"status\":\"optimal\",\n\"caps_mw\":[")
        for (gpu, cap) in solution.capMilliwatts.enumerated() {
            if gpu > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.json(Int64(cap))
        }
        bytes.json("],\n\"gangs\":")
        bytes.json(lines: gangOfName.count, ("{", "}")) { name, bytes in
            bytes.json(name: gangNames.slice(name))
            bytes.append(UInt8(ascii: ":"))
            write(gang: Int(gangOfName[name]), solution, to: &bytes)
        }
        bytes.json(",\n\"gpus\":")
        bytes.json(lines: problem.gpuCount, ("[", "]")) { gpu, bytes in
            write(gang: Int(problem.gpuGang[gpu]), solution, to: &bytes)
        }
        bytes.json(",\n\"certificate\":{\"level_bits\":")
        bytes.json(Int64(PowerLevel.fractionalBits))
        bytes.json(",\"full_domains\":")
        let full = fullDomains(solution.certificate, caps: solution.capMilliwatts)
        bytes.json(lines: full.count, ("[", "]")) { place, bytes in
            let entry = full[place]
            bytes.json("{\"domain\":")
            bytes.json(name: domainNames.slice(Int(fileDomain[entry.domain])))
            bytes.json(",\"limit_mw\":")
            bytes.json(problem.domainBudgetMilliwatts[entry.domain])
            bytes.json(",\"caps_mw\":")
            bytes.json(entry.capSum)
            bytes.json(",\"stops\":")
            bytes.json(Int64(entry.stopCount))
            bytes.json("}")
        }
        bytes.json("}")
    }

    private func write(gang: Int, _ solution: PowerSolution, to bytes: inout [UInt8]) {
        bytes.json("{\"level\":")
        LevelText.append(solution.certificate.level[gang], to: &bytes)
        bytes.json(",\"bound_by\":")
        let domain = Int(solution.certificate.boundBy[gang])
        if domain < 0 {
            bytes.json("\"full\"}")
        } else {
            bytes.json(name: domainNames.slice(Int(fileDomain[domain])))
            bytes.json("}")
        }
    }

    /// A domain that stopped gangs.
    struct FullDomain: Hashable {
        var domain: Int
        /// Sum of the caps in it, in milliwatts.
        var capSum: Int64
        /// The gangs that it stopped; a GPU that rises alone counts as one.
        var stopCount: Int
    }

    /// The domains that stop gangs, in the order of the problem.
    func fullDomains(_ certificate: PowerCertificate, caps: [UInt32]) -> [FullDomain] {
        var stops = [Int](repeating: 0, count: problem.domainCount)
        for domain in certificate.boundBy where domain >= 0 { stops[Int(domain)] += 1 }
        let sums = sum(caps)
        return stops.indices.filter { stops[$0] > 0 }
            .map { FullDomain(domain: $0, capSum: sums[$0], stopCount: stops[$0]) }
    }

    /// What GPUs have in each domain.
    package func sum(_ milliwatts: [UInt32]) -> [Int64] {
        var sums = [Int64](repeating: 0, count: problem.domainCount)
        for leaves in problem.gpuLeaf {
            for gpu in 0..<problem.gpuCount where leaves[gpu] >= 0 {
                sums[Int(leaves[gpu])] += Int64(milliwatts[gpu])
            }
        }
        for domain in stride(from: problem.domainCount - 1, through: 0, by: -1) {
            let parent = Int(problem.domainParent[domain])
            if parent >= 0 { sums[parent] += sums[domain] }
        }
        return sums
    }

    // MARK: - Infeasible

    private func write(
        _ shortfalls: [PowerShortfall], _ plan: ShedPlan, to bytes: inout [UInt8]
    ) {
        bytes.json(
            "{\"status\":\"infeasible\",\n\"caps_mw\":[],\n\"gangs\":{},\n\"gpus\":[],\n")
        bytes.json("\"certificate\":{\"level_bits\":")
        bytes.json(Int64(PowerLevel.fractionalBits))
        bytes.json(",\"shortfalls\":")
        bytes.json(lines: shortfalls.count, ("[", "]")) { place, bytes in
            let (domain, missing) = (
                Int(shortfalls[place].domain), shortfalls[place].missingMilliwatts
            )
            bytes.json("{\"domain\":")
            bytes.json(name: domainNames.slice(Int(fileDomain[domain])))
            bytes.json(",\"limit_mw\":")
            bytes.json(problem.domainBudgetMilliwatts[domain])
            bytes.json(",\"floors_mw\":")
            bytes.json(problem.domainBudgetMilliwatts[domain] + missing)
            bytes.json(",\"missing_mw\":")
            bytes.json(missing)
            bytes.json("}")
        }
        bytes.json("},\n\"shed\":")
        bytes.json(lines: plan.steps.count, ("[", "]")) { place, bytes in
            write(plan.steps[place], to: &bytes)
        }
        bytes.json(plan.isLeast ? ",\n\"shed_is_least\":true" : ",\n\"shed_is_least\":false")
    }

    private func write(_ step: ShedPlan.Step, to bytes: inout [UInt8]) {
        let gang = Int(step.gang)
        bytes.json("{\"gang\":")
        if gangName[gang] < 0 {
            bytes.json("null")
        } else {
            bytes.json(name: gangNames.slice(Int(gangName[gang])))
        }
        bytes.json(",\"gpu\":")
        bytes.json(Int64(gangFirstGPU[gang]))
        bytes.json(",\"priority\":")
        bytes.json(Int64(problem.gangPriority[gang]))
        bytes.json(",\"gpus\":")
        bytes.json(Int64(step.gpuCount))
        bytes.json(",\"frees_mw\":")
        bytes.json(step.freedMilliwatts)
        bytes.json("}")
    }
}
