// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

extension FleetWorld {
    /// What travels between parties.
    enum Message {
        // Agents and site leaders.
        case renewal(LeaseRenewal, node: Int32)
        case grant(LeaseGrant)
        case notLeading
        // Site leaders and their store.
        case raiseEpoch(token: Int32)
        case epochRaised(token: Int32, epoch: UInt64)
        case readLedger(token: Int32)
        case ledgerRead(token: Int32, LedgerSnapshot, SimulatedStore.Versions)
        case write(LedgerWrite, epoch: UInt64, SimulatedStore.Versions)
        case written(sequence: UInt64, epoch: UInt64, SimulatedStore.Outcome)
        // Everything of the fleet leader.
        indirect case fleet(FleetMessage)
    }

    /// Sends over a link that loses, repeats, delays and reorders.
    mutating func send(_ message: Message, from: Int, to: Int) {
        if cuts[from * parties.count + to] > 0 { return }
        if isCalm {
            after(
                generator.uniform(1_000_000...20_000_000),
                .delivery(message, from: Int32(from), to: Int32(to)))
            return
        }
        let settings = scenario.settings
        // Connections to stores mend what is lost; now and then they break.
        let isToStore = min(from, to) <= parties.fleetStore
        if generator.chance(isToStore ? settings.lossPPM / 20 : settings.lossPPM) {
            report.faults.note(.messageLost)
            return
        }
        if generator.chance(settings.repeatPPM) {
            report.faults.note(.messageRepeated)
            after(networkDelay(), .delivery(message, from: Int32(from), to: Int32(to)))
        }
        after(networkDelay(), .delivery(message, from: Int32(from), to: Int32(to)))
    }

    /// Mostly short; one of sixteen up to 1 s; strays up to 25 s.
    private mutating func networkDelay() -> Int64 {
        let settings = scenario.settings
        if generator.chance(settings.strayPPM) {
            report.faults.note(.messageStrayed)
            return generator.uniform(1_000_000_000...25_000_000_000)
        }
        if settings.strayPPM > 0, generator.chance(62_500) {
            return generator.uniform(50_000_000...1_000_000_000)
        }
        return generator.uniform(500_000...settings.delayNanoseconds)
    }

    mutating func deliver(_ message: Message, from: Int32, to: Int32) {
        let pause = pausedUntil[Int(to)]
        if now < pause {
            agenda.add(.delivery(message, from: from, to: to), at: pause + 1)
            return
        }
        switch parties.kind(Int(to)) {
        case .siteStore(let site): storeReceives(message, from: Int(from), site: site)
        case .fleetStore:
            if case .fleet(let inner) = message { fleetStoreReceives(inner, from: Int(from)) }
        case .coordinator(let coordinator):
            guard !coordinators[coordinator].isDown else { return }
            if case .fleet(let inner) = message {
                fleetReceives(inner, from: Int(from), coordinator: coordinator)
            } else {
                coordinatorReceives(message, from: Int(from), coordinator)
            }
        case .node(let node):
            if case .fleet(let inner) = message {
                sessionReceives(inner, from: Int(from), node: node)
            } else {
                agentReceives(message, from: from, node)
            }
        }
    }

    func isPaused(_ party: Int) -> Bool { now < pausedUntil[party] }

    /// True when a message would get from one party to the other and back.
    func isLinked(_ one: Int, _ other: Int) -> Bool {
        cuts[one * parties.count + other] == 0 && cuts[other * parties.count + one] == 0
    }

    /// Cuts one direction for a while.
    mutating func cut(_ from: Int, _ to: Int, _ length: Int64) {
        let link = from * parties.count + to
        guard cuts[link] < 200 else { return }
        cuts[link] += 1
        after(length, .linkRestored(Int32(from), Int32(to)))
    }
}

// MARK: - Site stores

/// How well a store works.
struct StoreState {
    /// No quorum until then: it hears nothing.
    var downUntil: Int64 = 0
    /// Its leader was lost: until then some requests are lost, and some take effect unanswered.
    var movingUntil: Int64 = 0
    /// When it last took a write of its present leader, which is how others notice a silent one.
    var lastWrite: Int64 = -10_000_000_000
}

extension FleetWorld {
    /// What becomes of a request to a store.
    enum StoreFate {
        case served
        case lost
        /// Takes effect; the answer is lost.
        case unanswered
    }

    mutating func fate(ofRequestTo store: Int) -> StoreFate {
        let state = storeStates[store]
        if now < state.downUntil { return .lost }
        guard now < state.movingUntil else { return .served }
        guard generator.chance(500_000) else { return .lost }
        report.faults.note(.ambiguousWrite)
        return .unanswered
    }

    mutating func storeReceives(_ message: Message, from: Int, site: Int) {
        let fate = fate(ofRequestTo: site)
        guard fate != .lost else { return }
        let answer: Message
        switch message {
        case .raiseEpoch(let token):
            let epoch = stores[site].raiseEpoch()
            storeStates[site].lastWrite = now
            answer = .epochRaised(token: token, epoch: epoch)
        case .readLedger(let token):
            let isStale = !isCalm && generator.chance(scenario.settings.staleReadPPM)
            if isStale { report.faults.note(.staleRead) }
            let read =
                isStale ? stores[site].stale : (stores[site].ledger, stores[site].versions)
            answer = .ledgerRead(token: token, read.0, read.1)
        case .write(let write, let epoch, let versions):
            answer = commit(write, epoch: epoch, versions, site: site)
        default: return
        }
        if fate == .served { send(answer, from: parties.store(site), to: from) }
    }

    private mutating func commit(
        _ write: LedgerWrite, epoch: UInt64, _ versions: SimulatedStore.Versions, site: Int
    ) -> Message {
        let before = stores[site].epoch
        let outcome = stores[site].commit(write, epoch: epoch, expecting: versions)
        if case .committed = outcome {
            if epoch != before { note(.deposed, "site \(site) took a write of epoch \(epoch)") }
            storeStates[site].lastWrite = now
            report.ledgerWrites += 1
            fold(write.sequence &* 31 &+ epoch)
            adoptLedger(of: site, changed: write.shards)
            checkSite(site)
        }
        return .written(sequence: write.sequence, epoch: epoch, outcome)
    }
}
