// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import MetricsText
internal import Wire

// What probes and Prometheus are told.
extension Coordinator {
    /// Whether the coordinator serves.
    func health() -> (isHealthy: Bool, text: String) {
        if isEnding { return (false, "ending") }
        let live = sessionOfNode.count { $0 != nil }
        return (true, "ok: \(live) of \(topology.nodes.count) agents connected")
    }

    /// The page of metrics.
    func metricsPage() -> [UInt8] {
        var page = MetricsText(reservingCapacity: 16_384)
        let status = fleetStatus()
        addFleet(status, to: &page)
        addSites(status.sites, to: &page)
        addDomains(to: &page)
        addWork(status, to: &page)
        return page.utf8
    }

    private func addFleet(_ status: FleetStatus, to page: inout MetricsText) {
        page.family("busbar_gpus", .gauge, "GPUs of the fleet.")
        page.sample(status.gpuCount)
        page.family("busbar_gpus_held", .gauge, "GPUs held by jobs, shares counted as such.")
        page.sample(milliunits: Int64(status.heldGPUMilli))
        page.family("busbar_jobs", .gauge, "Jobs by state.")
        page.sample(labels: [("state", "running")], status.runningJobCount)
        page.sample(labels: [("state", "queued")], status.queuedJobCount)
        page.family("busbar_jobs_placed_total", .counter, "Jobs ever placed.")
        page.sample(status.placedJobTotal)
        page.family("busbar_jobs_finished_total", .counter, "Jobs that ended by themselves.")
        page.sample(status.finishedJobTotal)
        page.family("busbar_nodes", .gauge, "Nodes of the fleet.")
        page.sample(status.nodeCount)
        page.family("busbar_nodes_live", .gauge, "Nodes that renew their leases in time.")
        page.sample(status.liveNodeCount)
        page.family("busbar_nodes_proven", .gauge, "Nodes proven at their fallback.")
        page.sample(status.provenNodeCount)
        page.family("busbar_lease_expiries_total", .counter, "Leases that ended unrenewed.")
        page.sample(status.leaseExpiries)
    }

    private func addSites(_ views: [SiteView], to page: inout MetricsText) {
        page.family("busbar_site_draw_watts", .gauge, "Measured draw of a site's GPUs.")
        for site in views {
            if let draw = site.draw {
                page.sample(labels: [("site", site.name)], milliunits: draw.rawValue)
            }
        }
        page.family("busbar_site_commissioning", .gauge, "1 while a domain is not proven.")
        for site in views {
            page.sample(labels: [("site", site.name)], site.isCommissioning ? 1 : 0)
        }
        page.family("busbar_site_epoch", .counter, "Number of the site's leadership.")
        for site in views { page.sample(labels: [("site", site.name)], site.epoch) }
        page.family(
            "busbar_cap_violations_total", .counter,
            "Caps that enforcers found raised by another hand, and corrected.")
        for site in sites {
            page.sample(labels: [("site", site.name)], site.violationTotal)
        }
    }

    private func addDomains(to page: inout MetricsText) {
        let views = domainViews(of: topology.sites.indices.map { SiteIndex($0) })
        func family(
            _ name: StaticString, _ help: String, _ value: (DomainView) -> Milliwatts
        ) {
            page.family(name, .gauge, help)
            for view in views {
                page.sample(
                    labels: [("domain", view.name), ("level", view.level)],
                    milliunits: value(view).rawValue)
            }
        }
        family("busbar_domain_limit_watts", "Proven limit of a power domain.", \.effectiveLimit)
        family("busbar_domain_overhead_watts", "Watts that no GPU cap governs.", \.overhead)
        family("busbar_domain_charge_watts", "Most that nodes may be enforcing.", \.charged)
        family("busbar_domain_floors_watts", "Watts promised to GPUs.", \.floors)
    }

    private func addWork(_ status: FleetStatus, to page: inout MetricsText) {
        page.family("busbar_agent_reports_total", .counter, "Telemetry reports taken in.")
        page.sample(counts.reports)
        page.family("busbar_grants_sent_total", .counter, "Lease grants sent.")
        page.sample(counts.grantsSent)
        page.family("busbar_plans_sent_total", .counter, "Power plans sent.")
        page.sample(counts.plansSent)
        page.family("busbar_operator_requests_total", .counter, "Operators' requests.")
        page.sample(counts.requests)
        page.family("busbar_protocol_violations_total", .counter, "Peers cut for what they sent.")
        page.sample(counts.protocolViolations)
        page.family("busbar_store_commits_total", .counter, "Commits of a store.")
        page.sample(labels: [("store", "fleet")], counts.fleetCommits)
        page.sample(labels: [("store", "site")], counts.siteCommits)
        page.family("busbar_solves_total", .counter, "Power solves.")
        page.sample(counts.solves)
        page.family("busbar_solve_seconds_total", .counter, "Time spent in power solves.")
        page.sample(milliunits: Int64(counts.solveNanoseconds / 1_000_000))
        page.family("busbar_uptime_seconds", .gauge, "Time since the start.")
        page.sample(milliunits: Int64(status.uptimeMilliseconds))
    }
}
