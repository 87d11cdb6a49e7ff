// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
package import FleetModel

// Reports in, and what people ask about a site's power out.
extension SitePowerLoop {
    /// Takes in a report of one of the site's nodes.
    ///
    /// - Returns: false when the report's shape is not the node's: the agent breaks the protocol.
    @discardableResult
    package mutating func reportReceived(
        _ report: borrowing TelemetryReport, from node: NodeIndex, now: Int64
    ) -> Bool {
        guard let local = local(node) else { return false }
        let gpus = gpus(ofLocal: local)
        guard report.gpuCount == gpus.count else { return false }
        // Short peaks above the highest cap are real; twice that is a broken sensor.
        let limit = UInt32(clamping: topology.model(of: node).maximumCap.rawValue * 2)
        telemetry.take(report, node: local, gpus: gpus, limit: limit, now: now)
        for gpu in gpus { observe(gpu: gpu, now: now) }
        return true
    }

    /// A node's session has ended: what it last said is no longer known to hold.
    package mutating func nodeLost(_ node: NodeIndex) {
        guard let local = local(node) else { return }
        let gpus = gpus(ofLocal: local)
        telemetry.forget(node: local, gpus: gpus)
    }

    /// A GPU as people see it.
    package struct GPUPower: Hashable, Sendable {
        package var floor: Milliwatts
        package var full: Milliwatts
        package var capTarget: Milliwatts
        package var capEnforced: Milliwatts?
        package var draw: Milliwatts?
        /// Millionths between floor and full; 0 for an idle GPU.
        package var levelPPM: UInt32
        /// The domain that stopped its gang; nil at full pace or idle.
        package var boundBy: DomainIndex?
    }

    /// One GPU of a local node.
    package func power(ofLocal node: Int, device: Int) -> GPUPower {
        let gpu = firstGPU[node] + device
        guard gpu < problem.gpuCount else {
            return GPUPower(
                floor: topology.fallbackShare(of: nodes[node], device: device),
                full: .zero, capTarget: .zero, levelPPM: 0)
        }
        let gang = Int(problem.gpuGang[gpu])
        let level = gang >= 0 && isSolved ? level(ofGang: gang) : (levelPPM: 0, boundBy: nil)
        return GPUPower(
            floor: Milliwatts(Int64(problem.gpuFloorMilliwatts[gpu])),
            full: Milliwatts(Int64(problem.gpuFullMilliwatts[gpu])),
            capTarget: Milliwatts(Int64(solvedCap(gpu))),
            capEnforced: telemetry.isEnforcedKnown[gpu]
                ? Milliwatts(Int64(telemetry.enforced[gpu])) : nil,
            draw: telemetry.isDrawKnown[gpu] ? Milliwatts(Int64(telemetry.draw[gpu])) : nil,
            levelPPM: level.levelPPM, boundBy: level.boundBy)
    }

    /// The level of a job's gang in this site and what stopped it; nil when it has no whole GPU here.
    package func level(of job: JobID) -> (levelPPM: UInt32, boundBy: DomainIndex?)? {
        guard isSolved, let gang = gangOfJob[job] else { return nil }
        return level(ofGang: Int(gang))
    }

    private func level(ofGang gang: Int) -> (levelPPM: UInt32, boundBy: DomainIndex?) {
        guard gang < solution.certificate.level.count else { return (0, nil) }
        return (
            solution.level(ofGang: gang).partsPerMillion,
            solution.boundBy(gang: gang).map { domains[Int($0)] }
        )
    }

    /// What a local node draws; nil while a GPU of it is unknown.
    package func draw(ofLocal node: Int) -> Milliwatts? {
        telemetry.draw(of: gpus(ofLocal: node))
    }

    /// What the hardware of a local node reports as its caps together; nil while one is unknown.
    package func enforced(ofLocal node: Int) -> Milliwatts? {
        telemetry.enforced(of: gpus(ofLocal: node))
    }

    /// When a local node reported last, on the coordinator's clock.
    package func reportedAt(local node: Int) -> Int64? { telemetry.reportedAt[node] }

    /// The draw of every local domain: the sum over nodes that are known, and whether all are.
    package func domainDraw() -> [(draw: Milliwatts, isComplete: Bool)] {
        var sums = [(draw: Milliwatts, isComplete: Bool)](
            repeating: (.zero, true), count: domains.count)
        for (local, node) in nodes.enumerated() {
            let draw = draw(ofLocal: local)
            topology.forEachDomain(of: node) { domain in
                let position = Int(localDomain[domain.position])
                if let draw {
                    sums[position].draw += draw
                } else {
                    sums[position].isComplete = false
                }
            }
        }
        return sums
    }

    /// Hands one GPU's readings to the estimator.
    private mutating func observe(
        gpu: Int, now: Int64
    ) {
        guard gpu < problem.gpuCount, problem.gpuGang[gpu] >= 0 else { return }
        let sample = DemandSample(
            drawMilliwatts: telemetry.isDrawKnown[gpu] ? telemetry.draw[gpu] : nil,
            capMilliwatts: telemetry.isEnforcedKnown[gpu] ? telemetry.enforced[gpu] : nil)
        estimator.observe(gpu: gpu, sample, now: now)
    }
}
