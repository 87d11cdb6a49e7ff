// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

/// A campaign in which an assumption does not hold.
package enum BrokenAssumption: String, Hashable, Sendable, CaseIterable {
    /// Clocks drift by twice what the rules allow for (A1).
    case drift = "drift-twice-the-bound"
    /// GPUs stop taking caps, some after jumping to their default (A5).
    case hardware = "caps-ignored"
    /// A site's store is put back to an older state, and nobody says so (A4).
    case store = "store-rolled-back"
}

extension WorldScenario {
    /// The scenario with an assumption broken.
    ///
    /// Resets, which meters see as well, are left out: an alarm then has one cause.
    package func breaking(_ assumption: BrokenAssumption) -> WorldScenario {
        var scenario = self
        scenario.broken = assumption
        scenario.calmSeconds = 0
        for (position, entry) in FaultKind.injected.enumerated() {
            if entry.kind == .driverReset || entry.kind == .hostReboot {
                scenario.settings.enabled[position] = false
            }
        }
        if assumption == .drift { scenario.settings.driftExcessPPM = 2_000_000 }
        return scenario
    }
}

extension FleetWorld {
    /// How long after a violation an alarm still counts as its detection: meters are read by a site's
    /// leader, and a site may be without one for as long as its store is without a quorum.
    static let detectionNanoseconds: Int64 = 60_000_000_000

    /// True when a run need not go on after its violation: nobody is asked to notice it, somebody has, or
    /// it is too late.
    func isOver(after violation: WorldViolation) -> Bool {
        guard scenario.broken != nil else { return true }
        let since = violation.milliseconds * 1_000_000
        let hasNoticed = report.lastAlarm.map { $0 >= since } ?? false
        return hasNoticed || now - since > FleetWorld.detectionNanoseconds
    }

    /// Reads the meters of every site that has a leader.
    mutating func readMeters() {
        after(1_000_000_000, .meters)
        for coordinator in coordinators.indices
        where coordinators[coordinator].grantor.leads
            && !isPaused(parties.coordinator(coordinator))
        {
            let site = coordinators[coordinator].site
            // At a site's first start there is no ledger to compare with before the first write.
            guard stores[site].ledger.site != nil else { continue }
            readMeters(of: site)
        }
    }

    private mutating func readMeters(of site: Int) {
        let domains = freshGrantors[site].domains
        let overhead = domains.map { topology.domains[$0.position].overhead }
        let readings: [Milliwatts?] = domains.indices.map {
            Milliwatts(truth.peakEnforced[domains[$0].position]) + overhead[$0]
        }
        let charges = domains.map { Milliwatts(truth.peakCharge[$0.position]) }
        truth.forgetPeaks(of: domains)
        let alarms = meterWatches[site].alarms(
            readings: readings, charges: charges, overhead: overhead)
        guard let first = alarms.first else { return }
        noteAlarm()
        report.meterAlarms += 1
        tell(
            "\(topology.domains[domains[first.domain].position].name) draws \(first.excess) more "
                + "than it is charged")
    }

    /// Something told the operator that the fleet is not as it should be.
    mutating func noteAlarm() { report.lastAlarm = now }

    /// True when the first violation was noticed in time.
    mutating func judgeDetection() {
        guard let violation = report.violation, let alarm = report.lastAlarm else { return }
        let since = alarm - violation.milliseconds * 1_000_000
        report.isDetected = since >= -2_000_000_000 && since <= FleetWorld.detectionNanoseconds
    }

    /// Breaks the assumption of the campaign once more.
    mutating func breakAssumption() {
        switch scenario.broken {
        case .hardware:
            after(generator.interval(mean: 30_000_000_000), .assumptionBreaks)
            stick(generator.index(below: nodes.count))
        case .store: putStoreBack()
        case .drift:
            report.faults.note(.clockBeyondBound)
        case nil: break
        }
    }

    private mutating func stick(_ node: Int) {
        guard nodes[node].isPowered else { return }
        report.faults.note(.capIgnored)
        let jumps = generator.chance(500_000)
        for device in nodes[node].hardware.limits.indices where generator.chance(500_000) {
            if jumps { nodes[node].hardware.set(device, nodes[node].maximumCap, now: now) }
            nodes[node].hardware.stick(device)
        }
        tell(
            "\(topology.nodes[node].name) takes no caps any more\(jumps ? ", and has jumped" : "")")
        hardwareChanged(node)
    }

    /// A store is copied, and half a minute to two minutes later the copy is put back.
    private mutating func putStoreBack() {
        let site = brokenStore ?? generator.index(below: stores.count)
        guard let copy = storeCopy else {
            brokenStore = site
            storeCopy = stores[site]
            after(generator.uniform(30_000_000_000...120_000_000_000), .assumptionBreaks)
            return
        }
        report.faults.note(.storeRolledBack)
        tell("the store of site \(topology.sites[site].name) is put back")
        stores[site].putBack(copy)
        storeCopy = nil
        adoptLedger(of: site)
        for coordinator in coordinators.indices where coordinators[coordinator].site == site {
            crash(coordinator, for: generator.uniform(100_000_000...2_000_000_000))
        }
        after(generator.uniform(60_000_000_000...200_000_000_000), .assumptionBreaks)
    }
}
