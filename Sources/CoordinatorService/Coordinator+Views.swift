// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Wire

// What operators see of the fleet, its sites, domains, nodes and GPUs.
extension Coordinator {
    /// The fleet in numbers.
    func fleetStatus() -> FleetStatus {
        var live: UInt64 = 0
        var proven: UInt64 = 0
        var supervised: UInt64 = 0
        var peak: Int64 = 0
        var expiries: UInt64 = 0
        var binding: UInt64 = 0
        for site in sites {
            site.grantor.forEachNode(now: SystemClock.reading()) { _, view in
                if view.state == .live { live += 1 }
                if view.state != .unproven && view.state != .heldOut { proven += 1 }
                if view.isSupervised { supervised += 1 }
            }
            peak = max(peak, site.grantor.peakCommittedPPM)
            expiries += site.grantor.counts.leaseExpiries
            binding += UInt64(site.loop.isBinding.count { $0 })
        }
        let isCommissioning = sites.contains { !$0.grantor.isCommissioned }
        return FleetStatus(
            fleet: topology.fleetName, sites: siteViews(), gpuCount: UInt64(topology.gpuCount),
            heldGPUMilli: leader.heldMilliTotal, runningJobCount: UInt64(leader.runningCount),
            queuedJobCount: UInt64(leader.queuedCount),
            placedJobTotal: leader.counters.jobsPlacedTotal,
            finishedJobTotal: leader.counters.jobsFinishedTotal,
            peakCommittedPPB: UInt64(max(0, peak)) * 1000, leaseExpiries: expiries,
            nodeCount: UInt64(topology.nodes.count), liveNodeCount: live, provenNodeCount: proven,
            isCommissioning: isCommissioning,
            commissioningMilliseconds: isCommissioning ? 0 : commissioningMilliseconds(),
            fleetEpoch: fleetLeadership.epoch,
            uptimeMilliseconds: UInt64(
                max(0, SystemClock.monotonicNanoseconds() - startedAt) / 1_000_000),
            reportTotal: counts.reports, bindingDomainCount: binding,
            provenClassCount: supervised)
    }

    /// From the first start of the fleet's stores to the last site's leaving commissioning.
    private func commissioningMilliseconds() -> UInt64 {
        let records = sites.compactMap(\.record)
        guard let first = records.map(\.firstStartUnixMilliseconds).min(),
            let last = records.map(\.commissionedUnixMilliseconds).max(), last > first
        else { return 0 }
        return last - first
    }

    func siteViews() -> [SiteView] {
        let running = runningJobsBySite()
        return sites.map { site in
            let root = topology.sites[site.site.position].root
            let domain = topology.domains[root.position]
            let local = site.loop.local(root) ?? 0
            var live: UInt32 = 0
            site.grantor.forEachNode(now: SystemClock.reading()) { _, view in
                if view.state == .live { live += 1 }
            }
            var gpus = 0
            var held = 0
            var floors = Milliwatts.zero
            for node in site.loop.nodes {
                let range = topology.gpus(of: node)
                gpus += range.count
                held += range.count { leader.held.heldMilli[$0] > 0 }
                floors += leader.held.nodeFloor[node.position]
            }
            let draw = site.loop.domainDraw()[local]
            return SiteView(
                name: site.name, draw: draw.isComplete ? draw.draw : nil,
                charged: site.domainViews[local].charge, limit: domain.limit,
                overhead: domain.overhead, floors: floors,
                nodeCount: UInt32(site.loop.nodes.count), liveNodeCount: live,
                gpuCount: UInt32(gpus), heldGPUCount: UInt32(held),
                runningJobCount: running[site.site.position],
                isCommissioning: !site.grantor.isCommissioned, epoch: site.leadership.epoch)
        }
    }

    private func runningJobsBySite() -> [UInt32] {
        var counts = [UInt32](repeating: 0, count: topology.sites.count)
        for id in leader.activeJobs {
            guard let job = leader.job(id), job.state == .running else { continue }
            var seen: Set<SiteIndex> = []
            for task in job.tasks {
                let site = topology.nodes[task.placement.node.position].site
                if seen.insert(site).inserted { counts[site.position] += 1 }
            }
        }
        return counts
    }

    // MARK: - Domains

    func domainViews(of wanted: [SiteIndex]) -> [DomainView] {
        wanted.flatMap { domainViews(of: sites[$0.position]) }
    }

    /// The views of all domains of a site, in the topology's order.
    private func domainViews(of site: SiteRuntime) -> [DomainView] {
        let draws = site.loop.domainDraw()
        var floors = [Milliwatts](repeating: .zero, count: site.loop.domains.count)
        var nodes = [UInt32](repeating: 0, count: site.loop.domains.count)
        for node in site.loop.nodes {
            topology.forEachDomain(of: node) { domain in
                guard let local = site.loop.local(domain) else { return }
                floors[local] += leader.held.nodeFloor[node.position]
                nodes[local] += 1
            }
        }
        return site.loop.domains.enumerated().map { local, index in
            let domain = topology.domains[index.position]
            let ledger = site.domainViews[local]
            return DomainView(
                name: domain.name, level: domain.level, site: site.name,
                parent: domain.parent.map { topology.domains[$0.position].name },
                tree: UInt32(domain.tree), limit: domain.limit,
                effectiveLimit: ledger.budget + domain.overhead, overhead: domain.overhead,
                charged: ledger.charge, floors: floors[local],
                draw: draws[local].isComplete ? draws[local].draw : nil,
                isCommissioning: !ledger.hasLeftCommissioning,
                isBinding: site.loop.isBinding[local], peakCharged: site.peakCharged[local],
                nodeCount: nodes[local])
        }
    }

    func domainDetail(_ index: DomainIndex) -> DomainDetail {
        let site = sites[topology.domains[index.position].site.position]
        let views = domainViews(of: site)
        let local = site.loop.local(index) ?? 0
        let children = site.loop.domains.indices.filter {
            topology.domains[site.loop.domains[$0].position].parent == index
        }
        let nodes = site.loop.nodes.filter { topology.nodes[$0.position].leaves.contains(index) }
        return DomainDetail(
            domain: views[local], children: children.map { views[$0] },
            nodes: nodes.prefix(Coordinator.pageCount).map { nodeView($0) })
    }

    // MARK: - Nodes and GPUs

    /// The nodes of some sites, or of one domain of theirs.
    func selectNodes(sites wanted: [SiteIndex], domain: DomainIndex?) -> [NodeIndex] {
        topology.nodes.indices.map { NodeIndex($0) }.filter { node in
            guard wanted.contains(topology.nodes[node.position].site) else { return false }
            guard let domain else { return true }
            var isInside = false
            topology.forEachDomain(of: node) { if $0 == domain { isInside = true } }
            return isInside
        }
    }

    func nodeView(_ index: NodeIndex) -> NodeView {
        let site = runtime(of: index)
        let node = topology.nodes[index.position]
        let type = topology.type(of: index)
        let local = site.loop.local(index) ?? 0
        guard let lease = site.grantor.view(of: index, now: SystemClock.reading()) else {
            preconditionFailure("node \(node.name) is not in the ledger of site \(site.name)")
        }
        let held = leader.held
        let heldMilli = topology.gpus(of: index).reduce(0) { $0 + Int(held.heldMilli[$1]) }
        return NodeView(
            name: node.name, site: site.name, type: type.name,
            model: topology.model(of: index).name,
            gpuCount: UInt32(type.gpuCount), state: NodeCondition(lease.state),
            enforcementClass: lease.isSupervised
                ? .supervised
                : type.enforcementClass == .supervised ? .unsupervised : type.enforcementClass,
            charge: lease.charge, cap: lease.cap ?? .zero,
            enforced: site.loop.enforced(ofLocal: local) ?? .zero,
            draw: site.loop.draw(ofLocal: local), fallback: lease.fallback,
            freeGPUMilli: UInt32(Int(type.gpuCount) * 1000 - heldMilli),
            freeCPUMilli: type.cpuMilli - min(type.cpuMilli, held.heldCPUMilli[index.position]),
            freeMemoryMiB: type.memoryMiB
                - min(type.memoryMiB, held.heldMemoryMiB[index.position]),
            leaseAgeMilliseconds: UInt64(max(0, lease.leaseAgeNanoseconds ?? 0) / 1_000_000),
            leaves: node.leaves.map { topology.domains[$0.position].name },
            mark: markText(of: index), violations: violations[index.position].total)
    }

    /// What an operator wants of a node, and whether a drain is done; empty for nothing.
    private func markText(of node: NodeIndex) -> String {
        let mark = leader.mark(of: node).mark
        switch mark {
        case .open: return ""
        case .cordoned: return mark.rawValue
        case .draining:
            return leader.held.jobsOfNode[node.position].isEmpty ? "drained" : mark.rawValue
        }
    }

    func gpuViews(_ index: NodeIndex) -> [GPUView] {
        let site = runtime(of: index)
        guard let local = site.loop.local(index) else { return [] }
        let name = topology.nodes[index.position].name
        let model = topology.model(of: index).name
        return topology.gpus(of: index).enumerated().map { device, gpu in
            let power = site.loop.power(ofLocal: local, device: device)
            return GPUView(
                node: name, device: UInt16(device), model: model,
                heldMilli: UInt32(leader.held.heldMilli[gpu]), jobs: leader.held.holders[gpu],
                floor: power.floor, full: power.full, capTarget: power.capTarget,
                capEnforced: power.capEnforced, draw: power.draw, levelPPM: power.levelPPM,
                boundBy: power.boundBy.map { topology.domains[$0.position].name })
        }
    }

    func nodeDetail(_ index: NodeIndex) -> NodeDetail {
        let site = runtime(of: index)
        let views = domainViews(of: site)
        var domains: [DomainView] = []
        topology.forEachDomain(of: index) { domain in
            if let local = site.loop.local(domain) { domains.append(views[local]) }
        }
        return NodeDetail(
            node: nodeView(index), gpus: gpuViews(index), domains: domains,
            jobs: Array(Set(leader.held.jobsOfNode[index.position])).sorted())
    }
}

extension NodeCondition {
    /// What people are told of a lease's state: a node that is held out is shown as unproven.
    init(_ state: NodeLeaseState) {
        switch state {
        case .live: self = .live
        case .silent: self = .silent
        case .fallback: self = .fallback
        case .unproven, .heldOut: self = .unproven
        }
    }
}
