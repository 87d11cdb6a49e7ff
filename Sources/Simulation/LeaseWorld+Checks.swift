// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

// MARK: - Disturbances

extension LeaseWorld {
    mutating func disturb() {
        after(generator.interval(mean: scenario.disturbanceNanoseconds), .disturbance)
        let coordinator = generator.index(below: LeaseWorld.coordinatorCount)
        let node = generator.index(below: nodes.count)
        switch generator.index(below: 100) {
        case 0..<35: cutLinks(.node(node), .coordinator(coordinator), upTo: 40_000_000_000)
        case 35..<43: cutLinks(.coordinator(coordinator), .store, upTo: 30_000_000_000)
        case 43..<50: pause(.coordinator(coordinator), upTo: 30_000_000_000)
        case 50..<60: pause(.node(node), upTo: 20_000_000_000)
        case 60..<82: _ = kill(node)
        case 82..<85 where scenario.features.contains(.resets): resetDriver(node)
        default: takeOver(coordinator)
        }
    }

    mutating func act(_ action: LeaseScenario.Action) {
        tell("script: \(action)")
        switch action {
        case .cut(let one, let other, let seconds):
            cut(one, other, seconds * 1_000_000_000)
            cut(other, one, seconds * 1_000_000_000)
        case .takeOver(let coordinator): takeOver(coordinator)
        case .demand(let coordinator, let node, let units):
            coordinators[coordinator].targets[node] = LeaseScenario.units(units)
        case .kill(let node): _ = kill(node)
        case .backUp: backup = store
        case .putBack(let isAdmitted):
            guard let backup else { return }
            store.putBack(backup)
            isStoreDistrusted = isAdmitted
            for coordinator in coordinators.indices { takeOver(coordinator) }
        }
    }

    /// Cuts one direction or both, each for as long as the other.
    private mutating func cutLinks(_ one: Party, _ other: Party, upTo longest: Int64) {
        let length = generator.uniform(1_000_000_000...longest)
        let directions = generator.index(below: 3)
        if directions != 0 { cut(one, other, length) }
        if directions != 1 { cut(other, one, length) }
    }

    private mutating func cut(_ from: Party, _ to: Party, _ length: Int64) {
        cuts[from.number * LeaseWorld.partyCount + to.number] += 1
        after(length, .linkRestored(from.number, to.number))
    }

    /// Stops a coordinator, or the agent of a node: messages wait.
    private mutating func pause(_ party: Party, upTo longest: Int64) {
        pausedUntil[party.number] = now + generator.uniform(500_000_000...longest)
    }

    mutating func driftClock(_ host: Int) {
        after(generator.uniform(2_000_000_000...60_000_000_000), .clockDrifts(host))
        let node = host - 1 - LeaseWorld.coordinatorCount
        if host == 0 { return }
        if node < 0 {
            coordinators[host - 1].clock.drift(now: now, generator: &generator)
        } else {
            nodes[node].clock.drift(now: now, generator: &generator)
        }
    }
}

// MARK: - Checks

extension LeaseWorld {
    /// Checks the promise: at every change of a cap, of a charge and of a limit.
    mutating func check() {
        guard let site = store.ledger.site else { return }
        var enforced = [Milliwatts](repeating: .zero, count: topology.domains.count)
        var charged = enforced
        for node in nodes.indices {
            var most = nodes[node].hardware.enforced(now: now)
            let charge = store.entry(node, \.charge) ?? .zero
            if isRecovering(node) { most = min(most, charge) }
            if most > charge { note(.charge, "n\(node) enforces \(most), is charged \(charge)") }
            if let floors = store.entry(node, \.floors), charge < floors {
                note(.floors, "n\(node) is charged \(charge), its floors are \(floors)")
            }
            topology.forEachDomain(of: NodeIndex(node)) {
                enforced[$0.position] += most
                charged[$0.position] += charge
            }
        }
        for domain in topology.domains.indices where site.hasLeftCommissioning[domain] {
            let budget = site.effectiveLimit[domain] - topology.domains[domain].overhead
            let name = topology.domains[domain].name
            if enforced[domain] > budget {
                note(.budget, "\(name) enforces \(enforced[domain]) of \(budget)")
            }
            if charged[domain] > budget {
                note(.ledger, "\(name) is charged \(charged[domain]) of \(budget)")
            }
            if domain == 0 {
                let use = enforced[0].rawValue * 1_000_000 / budget.rawValue
                report.peakUsePPM = max(report.peakUsePPM, use)
            }
        }
    }

    private mutating func note(_ kind: LeaseViolation.Kind, _ detail: String) {
        guard report.violation(kind) == nil else { return }
        report.violations.append(
            LeaseViolation(
                kind: kind, seconds: Double(now / 1_000_000) / 1000, detail: detail))
        tell("VIOLATION \(kind.rawValue) \(detail)")
    }
}
