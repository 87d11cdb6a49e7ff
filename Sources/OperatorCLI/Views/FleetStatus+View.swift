// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

extension FleetStatus {
    /// Whether every node is live and no domain is in commissioning.
    var isHealthy: Bool { nodeCount > 0 && liveNodeCount == nodeCount && !isCommissioning }

    /// The sites, and a line about the whole.
    func lines(width: Int?) -> [String] {
        SiteView.table(sites).lines(width: width) + [summaryLine]
    }

    /// Jobs, GPUs, the tightest domain.
    var summaryLine: String {
        let peak = Format.percent(ppm: peakCommittedPPB / 1000)
        return "fleet \(fleet): \(liveNodeCount)/\(nodeCount) nodes live, "
            + "\(Format.gpus(milli: heldGPUMilli))/\(gpuCount) GPUs held, "
            + "\(runningJobCount) jobs running, \(queuedJobCount) queued, "
            + "\(bindingDomainCount) domains binding, peak \(peak) committed"
    }

    var json: JSONValue {
        .object([
            ("fleet", .string(fleet)), ("sites", .array(sites.map(\.json))),
            ("gpus", .counter(gpuCount)), ("gpus_held_milli", .counter(heldGPUMilli)),
            ("jobs_running", .counter(runningJobCount)), ("jobs_queued", .counter(queuedJobCount)),
            ("jobs_placed_total", .counter(placedJobTotal)),
            ("jobs_finished_total", .counter(finishedJobTotal)),
            ("peak_committed_fraction", .number(Double(peakCommittedPPB) / 1e9)),
            ("lease_expiries", .counter(leaseExpiries)), ("nodes", .counter(nodeCount)),
            ("nodes_live", .counter(liveNodeCount)), ("nodes_proven", .counter(provenNodeCount)),
            ("commissioning", .bool(isCommissioning)),
            ("commissioning_seconds", .number(Double(commissioningMilliseconds) / 1000)),
            ("fleet_epoch", .counter(fleetEpoch)), ("uptime_ms", .counter(uptimeMilliseconds)),
            ("reports_total", .counter(reportTotal)),
            ("binding_domains", .counter(bindingDomainCount)),
            ("classes_proven", .counter(provenClassCount)),
        ])
    }
}
