// SPDX-License-Identifier: Apache-2.0

import FleetModel

extension SiteGrantor {
    /// What every domain of a node has left; not positive when any has nothing.
    private func headroom(of node: Int) -> Milliwatts {
        var least = Milliwatts.maximum
        for entry in Int(domainStart[node])..<Int(domainStart[node + 1]) {
            let domain = Int(domainList[entry])
            least = min(least, bound[domain] - used[domain])
        }
        return least
    }

    /// Raises a node's charge to `charge` if every domain has room for it.
    private mutating func raise(_ node: Int, to charge: Milliwatts) -> Bool {
        let more = charge - proposed.charge[node]
        guard more > .zero else { return true }
        guard !isFrozen(node), more <= headroom(of: node) else { return false }
        proposed.charge[node] = charge
        add(more, node: node)
        return true
    }

    /// Raises that no renewal has to wait for: floors, uncapped charges, higher fallbacks.
    mutating func raiseLeastCharges(floors: [Milliwatts]) {
        if isQuiet { return }
        for step in nodes.indices {
            let node = (turn + step) % nodes.count
            if proposed.proof[node] == .heldOut { admit(node) }
            if let fallback = seats[node].wantedFallback { commit(fallback, node: node) }
            if proposed.proof[node] != .proven { continue }
            if floors[node] > proposed.floors[node] {
                reserve(floors[node], node: node)
            }
            if seats[node].isRebootWanted { chargeUncapped(node) }
        }
    }

    private mutating func reserve(_ floors: Milliwatts, node: Int) {
        let charge = rules.breaks(.leavesOutFloors) ? .zero : floors
        guard raise(node, to: max(proposed.charge[node], charge)) else {
            hasUnmetRaise = true
            return
        }
        proposed.floors[node] = floors
    }

    /// Takes a node in that the ledger did not know, once its uncapped draw fits.
    private mutating func admit(_ node: Int) {
        guard raise(node, to: uncapped[node]) else { return }
        proposed.proof[node] = .unproven
        proposed.unleased[node] = uncapped[node]
        seats[node].proofMark = proposedRecord.heartbeat
    }

    private mutating func chargeUncapped(_ node: Int) {
        guard raise(node, to: max(proposed.charge[node], uncapped[node])) else { return }
        proposed.proof[node] = .rebooting
        proposed.unleased[node] = uncapped[node]
        seats[node].isRebootWanted = false
    }

    /// Commits another fallback: φ_n covers the old and the new one until it is acknowledged.
    private mutating func commit(_ fallback: Milliwatts, node: Int) {
        if fallback == proposed.fallback[node] {
            seats[node].wantedFallback = nil
            return
        }
        let isSettled =
            proposed.proof[node] != .proven
            || seats[node].ackFallbackVersion == proposed.fallbackVersion[node]
        guard isSettled || rules.breaks(.lowersFallbackEarly) else { return }
        let unleased = max(proposed.unleased[node], fallback)
        guard raise(node, to: max(proposed.charge[node], unleased)) else { return }
        proposed.unleased[node] = rules.breaks(.lowersFallbackEarly) ? fallback : unleased
        proposed.fallback[node] = fallback
        proposed.fallbackVersion[node] += 1
        seats[node].wantedFallback = nil
    }

    /// True while a store that may have been put back is being compared with its nodes.
    var isQuiet: Bool { isStoreDistrusted }

    /// Ends the quiet time after a take-over by a distrusted store.
    mutating func updateTrust(now: ClockReading) {
        guard isStoreDistrusted else { return }
        guard now.waitedSince(tookOverAt) >= waitNanoseconds(lease: record.leaseNanoseconds) else {
            return
        }
        for node in nodes.indices where !committed.isSupervised[node] {
            guard committed.proof[node] == .heldOut || seats[node].heardAt != nil else { return }
        }
        isStoreDistrusted = false
    }

    mutating func planAnswers(now: ClockReading, targets: [Milliwatts]) {
        plan.removeAll(keepingCapacity: true)
        updateTrust(now: now)
        for step in nodes.indices {
            let node = (turn + step) % nodes.count
            guard seats[node].isOpen, proposed.proof[node] != .heldOut else { continue }
            let cap = decideCap(of: node, target: targets[node])
            guard cap <= uncapped[node], isDue(node, cap: cap, now: now) else { continue }
            plan.append(
                PlannedGrant(
                    node: Int32(node), incarnation: seats[node].incarnation,
                    nonce: seats[node].nonce, cap: cap))
        }
    }

    /// The cap to grant, with the charge raised for it as far as that fits.
    private mutating func decideCap(of node: Int, target: Milliwatts) -> Milliwatts {
        let least = max(
            proposed.fallback[node], min(proposed.floors[node], proposed.charge[node]))
        let wanted = max(least, min(target, uncapped[node]))
        let charge = proposed.charge[node]
        if rules.breaks(.sendsBeforeReserving) { return wanted }
        if isQuiet {
            return max(proposed.fallback[node], min(wanted, charge, seats[node].reported))
        }
        if isFrozen(node) { return least }
        guard wanted > charge else { return wanted }
        let more = min(wanted - charge, headroom(of: node))
        if more < wanted - charge { hasUnmetRaise = true }
        guard more >= min(wanted - charge, SiteGrantor.leastRaise) else { return charge }
        proposed.charge[node] = charge + more
        add(more, node: node)
        return charge + more
    }

    /// Smaller partial raises are not worth a grant: 1 W.
    private static let leastRaise = Milliwatts.watts(1)

    /// True when an open renewal is to be answered now.
    ///
    /// The time that renewals are held is spread over the last quarter of p by position, so that nodes
    /// that came up together do not renew together for ever.
    private func isDue(_ node: Int, cap: Milliwatts, now: ClockReading) -> Bool {
        let seat = seats[node]
        if cap != seat.grantedCap || seat.grantedTo != seat.incarnation { return true }
        let hold = topology.lease.holdNanoseconds
        let spread = Int64((UInt64(node) &* 0x9E37_79B9_7F4A_7C15) >> 56) * (hold / 4) / 256
        return now.waitedSince(seat.openedAt) >= hold - spread - topology.lease.tickNanoseconds
    }
}
