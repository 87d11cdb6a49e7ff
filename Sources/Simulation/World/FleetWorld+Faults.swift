// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

extension FleetWorld {
    /// Injects one fault, and the time of the next.
    mutating func strike() {
        let settings = scenario.settings
        guard !isCalm else { return }
        after(generator.interval(mean: settings.faultNanoseconds), .fault)
        guard report.injected < scenario.faultLimit else { return }
        report.injected += 1
        var weight = 0
        for (position, entry) in FaultKind.injected.enumerated() where settings.enabled[position] {
            weight += entry.weight
        }
        var ticket = generator.index(below: max(weight, 1))
        for (position, entry) in FaultKind.injected.enumerated() where settings.enabled[position] {
            ticket -= entry.weight
            if ticket < 0 {
                inject(entry.kind)
                return
            }
        }
    }

    private mutating func inject(_ kind: FaultKind) {
        let coordinator = generator.index(below: coordinators.count)
        let node = generator.index(below: nodes.count)
        switch kind {
        case .oneWayCut, .linkCut, .siteCut, .flapping: injectCut(kind, coordinator, node)
        case .coordinatorCrash: crash(coordinator)
        case .coordinatorPause:
            pause(parties.coordinator(coordinator), upTo: 40_000_000_000, kind)
        case .agentPause: pause(parties.node(node), upTo: 40_000_000_000, kind)
        case .agentCrash: crashAgent(node)
        case .enforcerKill: _ = kill(node)
        case .takeOver:
            report.faults.note(kind)
            takeOver(coordinator)
        case .storeOutage, .storeFailOver: injectStoreFault(kind)
        case .driverReset, .hostReboot: injectReset(kind, node)
        case .powerCycle: askForReboot(node)
        case .sensorLie:
            report.faults.note(kind)
            nodes[node].liesUntil = now + generator.uniform(5_000_000_000...60_000_000_000)
        case .limitLowered: lowerLimit()
        case .fallbackChanged: changeFallback(node)
        default: preconditionFailure("\(kind.rawValue) has no moment of its own")
        }
    }

    // MARK: The network

    private mutating func injectCut(_ kind: FaultKind, _ coordinator: Int, _ node: Int) {
        report.faults.note(kind)
        let length = generator.uniform(500_000_000...45_000_000_000)
        let (one, other) = somePair(coordinator, node)
        switch kind {
        case .oneWayCut: cut(one, other, length)
        case .linkCut:
            cut(one, other, length)
            cut(other, one, length)
        case .siteCut: cutSite(generator.index(below: stores.count), length)
        default:
            for _ in 0..<20 {
                let (from, to) = somePair(
                    generator.index(below: coordinators.count), generator.index(below: nodes.count))
                cut(from, to, generator.uniform(100_000_000...8_000_000_000))
            }
        }
        tell("\(kind.rawValue) for \(length / 1_000_000) ms")
    }

    /// Two parties that talk to each other.
    private mutating func somePair(_ coordinator: Int, _ node: Int) -> (Int, Int) {
        let party = parties.coordinator(coordinator)
        switch generator.index(below: 4) {
        case 0: return (party, parties.store(coordinators[coordinator].site))
        case 1: return (party, parties.fleetStore)
        case 2:
            return (party, parties.coordinator(generator.index(below: coordinators.count)))
        default:
            let site = nodes[node].site
            let near =
                firstCoordinator(of: site)
                + generator.index(below: scenario.coordinatorCounts[site])
            return (parties.node(node), parties.coordinator(near))
        }
    }

    /// Cuts a site off from the fleet store and from every party of another site.
    mutating func cutSite(_ site: Int, _ length: Int64) {
        tell("site \(topology.sites[site].name) is cut off for \(length / 1_000_000) ms")
        for one in 0..<parties.count where self.site(of: one) == site {
            for other in 0..<parties.count where self.site(of: other) != site {
                cut(one, other, length)
                cut(other, one, length)
            }
        }
    }

    /// The site in which a party stands; nil for the fleet store.
    private func site(of party: Int) -> Int? {
        switch parties.kind(party) {
        case .siteStore(let site): site
        case .fleetStore: nil
        case .coordinator(let coordinator): coordinators[coordinator].site
        case .node(let node): nodes[node].site
        }
    }

    // MARK: Processes

    /// Stops a coordinator, or the agent of a node: messages wait.
    private mutating func pause(_ party: Int, upTo longest: Int64, _ kind: FaultKind) {
        report.faults.note(kind)
        let length = generator.uniform(500_000_000...longest)
        pausedUntil[party] = now + length
        tell("\(kind.rawValue) of party \(party) for \(length / 1_000_000) ms")
    }

    private mutating func crashAgent(_ node: Int) {
        guard !nodes[node].isAgentDown else { return }
        report.faults.note(.agentCrash)
        nodes[node].isAgentDown = true
        nodes[node].session = NodeSession()
        after(generator.uniform(300_000_000...20_000_000_000), .agentStarts(Int32(node)))
    }

    private mutating func injectStoreFault(_ kind: FaultKind) {
        report.faults.note(kind)
        let store = generator.index(below: stores.count + 1)
        if kind == .storeOutage {
            storeStates[store].downUntil = now + generator.uniform(2_000_000_000...40_000_000_000)
        } else {
            storeStates[store].movingUntil = now + generator.uniform(500_000_000...3_000_000_000)
        }
        tell("\(kind.rawValue) of store \(store)")
    }

    // MARK: Nodes

    /// A reset, if the domains of the node bear one more.
    private mutating func injectReset(_ kind: FaultKind, _ node: Int) {
        var isBorne = nodes[node].isPowered && !truth.isRecovering[node]
        truth.forEachDomain(of: node) {
            if truth.recovering[$0] >= scenario.resetsPerDomain { isBorne = false }
        }
        guard isBorne else { return }
        report.faults.note(kind)
        if kind == .driverReset {
            resetDriver(node)
        } else {
            powerOff(node, isAnnounced: false)
        }
    }

    private mutating func askForReboot(_ node: Int) {
        guard nodes[node].isPowered else { return }
        hasAskedForReboot = true
        nodes[node].bootToEnd = nodes[node].boot
        for coordinator in coordinators.indices
        where coordinators[coordinator].site == nodes[node].site {
            coordinators[coordinator].grantor.prepareReboot(NodeIndex(node))
        }
    }

    private mutating func changeFallback(_ node: Int) {
        let type = topology.type(of: NodeIndex(node))
        let model = topology.model(of: NodeIndex(node))
        let least = Milliwatts(model.minimumCap.rawValue * Int64(type.gpuCount))
        let more = Milliwatts(generator.uniform(0...(type.fallback - least).rawValue))
        report.faults.note(.fallbackChanged)
        for coordinator in coordinators.indices
        where coordinators[coordinator].site == nodes[node].site {
            coordinators[coordinator].grantor.setFallback(least + more, of: NodeIndex(node))
        }
    }

    // MARK: Limits

    /// Lowers a domain's limit by up to half of what is above its fallbacks; later it is put back.
    private mutating func lowerLimit() {
        let domain = generator.index(below: topology.domains.count)
        var fallbacks = Milliwatts.zero
        for node in nodes.indices {
            truth.forEachDomain(of: node) {
                if $0 == domain { fallbacks += topology.type(of: NodeIndex(node)).fallback }
            }
        }
        let limit = topology.domains[domain].limit
        let room = (limit - topology.domains[domain].overhead - fallbacks).rawValue
        guard room > 0 else { return }
        report.faults.note(.limitLowered)
        setLimit(domain, limit - Milliwatts(generator.uniform(0...(room / 2))))
        after(
            generator.uniform(5_000_000_000...60_000_000_000), .limitRestored(Int32(domain)))
    }

    mutating func restoreLimit(_ domain: Int) {
        setLimit(domain, topology.domains[domain].limit)
    }

    mutating func setLimit(_ domain: Int, _ limit: Milliwatts) {
        tell("\(topology.domains[domain].name) is to have \(limit)")
        wantedLimits[domain] = limit
        let site = topology.domains[domain].site.position
        for coordinator in coordinators.indices where coordinators[coordinator].site == site {
            coordinators[coordinator].grantor.setLimit(limit, of: DomainIndex(domain))
        }
    }

    // MARK: Clocks, and what is scripted

    mutating func driftClock(_ host: Int) {
        after(generator.uniform(5_000_000_000...90_000_000_000), .clockDrifts(Int32(host)))
        report.faults.note(.clockRate)
        if host < coordinators.count {
            coordinators[host].clock.drift(now: now, generator: &generator)
        } else {
            nodes[host - coordinators.count].clock.drift(now: now, generator: &generator)
        }
    }

    mutating func act(_ action: WorldScriptEntry.Action) {
        tell("script: \(action)")
        let second: Int64 = 1_000_000_000
        switch action {
        case .cutSite(let site, let seconds): cutSite(site, seconds * second)
        case .crash(let coordinator, let seconds): crash(coordinator, for: seconds * second)
        case .killEnforcer(let node): _ = kill(node)
        case .storeOutage(let site, let seconds):
            storeStates[site].downUntil = now + seconds * second
        case .cutNode(let node, let seconds):
            for coordinator in coordinators.indices {
                cut(parties.node(node), parties.coordinator(coordinator), seconds * second)
                cut(parties.coordinator(coordinator), parties.node(node), seconds * second)
            }
        case .limit(let domain, let limit, let seconds):
            setLimit(domain, limit)
            after(seconds * second, .limitRestored(Int32(domain)))
        }
    }
}
