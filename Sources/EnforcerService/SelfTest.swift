// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Glibc
internal import Logging

/// Measures, at the first start, what class S of a node stands for: that its caps are at the
/// fallback no later than σ after a deadline, also when the enforcer is killed, and when it hangs.
///
/// ```
///  first life:   lease of 250 ms or more, at or below the fallback ─► expiry ─► fallback verified   (1)
///                the same lease again, written to the record ─► marker file ─► SIGKILL
///  second life:  marker found ─► fallback verified again                                   (2)
///                the same lease again, written to the record ─► marker file ─► SIGSTOP
///  third life:   the supervisor has seen it hang ─► marker found ─► fallback verified      (3)
/// ```
///
/// (2) and (3) count from the instant of the death or of the last sign of life, as if the deadline
/// came right after it: whatever the supervisor takes to see it and to restart the enforcer is in
/// them. The worst of the three, if it is within σ, becomes the node's proof; a node that fails stays
/// class U and is tested again at the next start. No cap above the fallback is ever set, so the test
/// is safe while the fleet is being commissioned.
struct SelfTest {
    /// The length of the leases that it makes: long enough for all nodes to get there.
    static func leaseNanoseconds(nodeCount: Int) -> Int64 {
        250_000_000 + 1_000_000 * Int64(nodeCount)
    }

    /// A node that takes longer than this for one phase has failed.
    static let patienceNanoseconds: Int64 = 10_000_000_000
    /// How often it begins anew when a lease ends before it is held.
    static let attemptLimit = 5

    /// How an enforcer puts an end to a life.
    enum Ending: String, Hashable, Sendable {
        /// By SIGKILL, as a crash would.
        case kill
        /// By SIGSTOP: it is there and does nothing, until a supervisor loses patience.
        case hang
    }

    /// What the next life finds.
    struct Marker: Hashable, Sendable {
        var ending: Ending
        /// When the lease began, and how long it is.
        var start: ClockReading
        var leaseNanoseconds: Int64
        /// When the life that wrote it ended.
        var end: ClockReading
        /// The first measurement of each node: from a deadline to the fallback.
        var expiryNanoseconds: [String: Int64]
        /// The worst measurement of each node so far.
        var worstNanoseconds: [String: Int64]
    }

    private enum Phase {
        case idle
        case awaitingExpiry(since: ClockReading)
        case awaitingCalm(Marker)
        case awaitingEnd(Marker)
        case awaitingFallback(Marker, guardedAt: ClockReading?)
        /// It was stopped, or was to be killed; whoever gets here was neither.
        case ended
    }

    /// What the enforcer is to do after a turn.
    enum Outcome: Equatable {
        /// Go on and ask again.
        case running
        /// There is nothing (more) to test.
        case done
        /// Write this marker, and end this life as it says.
        case end(Marker)
    }

    private var phase = Phase.idle
    private var attempts = 0
    private let limitNanoseconds: Int64
    private let logger = Logger(label: "busbar.enforcer")

    /// A test with σ as its limit, that goes on where the marker of a killed process left off.
    init(limitNanoseconds: Int64, marker: Marker?) {
        self.limitNanoseconds = limitNanoseconds
        if let marker { phase = .awaitingFallback(marker, guardedAt: nil) }
    }

    /// Looks how far the nodes are; call it after every turn of the core.
    mutating func advance(_ core: EnforcerCore) -> Outcome {
        let now = core.clock.read()
        switch phase {
        case .idle:
            let candidates = core.untestedNodes
            guard !candidates.isEmpty else { return .done }
            guard candidates.allSatisfy({ core.status(of: $0)?.isAtFallback == true }) else {
                return .running
            }
            phase = .awaitingExpiry(since: now)
            _ = begin(candidates, core)
            return .running
        case .awaitingExpiry(let since): return expiryTurn(core, since: since, now: now)
        case .awaitingCalm(let marker):
            let nodes = marker.worstNanoseconds.keys
            guard nodes.allSatisfy({ core.status(of: $0)?.isAtFallback == true }) else {
                return .running
            }
            beginLife(ending: .hang, after: marker, core)
            return .running
        case .awaitingEnd(var marker):
            if marker.worstNanoseconds.keys.allSatisfy({ core.isHeldBySelfTest($0) }) {
                marker.end = now
                phase = .ended
                return .end(marker)
            }
            guard now.heldSince(marker.start) < marker.leaseNanoseconds else {
                return tryAgain(marker, core)
            }
            return .running
        case .awaitingFallback(let marker, let guardedAt):
            return nextLifeTurn(core, marker, guardedAt: guardedAt, now: now)
        case .ended:
            logger.error("self-test: an enforcer that was to be gone goes on; class U")
            return .done
        }
    }

    /// A machine that is busy, as at the start of a whole fleet, may not get there in one lease.
    private mutating func tryAgain(_ marker: Marker, _ core: EnforcerCore) -> Outcome {
        attempts += 1
        guard attempts < SelfTest.attemptLimit else {
            logger.error("self-test: the lease ended before every node held it; class U")
            return .done
        }
        phase = marker.ending == .kill ? .idle : .awaitingCalm(marker)
        return .running
    }

    /// Gives the nodes the lease under which this life is to end.
    private mutating func beginLife(ending: Ending, after last: Marker, _ core: EnforcerCore) {
        var next = last
        next.ending = ending
        next.start = core.clock.read()
        next.leaseNanoseconds = begin(last.worstNanoseconds.keys.sorted(), core)
        phase = .awaitingEnd(next)
    }

    /// Gives nodes their leases; returns how long those are.
    private func begin(_ nodes: [String], _ core: EnforcerCore) -> Int64 {
        let lease = SelfTest.leaseNanoseconds(nodeCount: nodes.count)
        for node in nodes { core.beginSelfTest(node, leaseNanoseconds: lease) }
        return lease
    }

    private mutating func expiryTurn(
        _ core: EnforcerCore, since: ClockReading, now: ClockReading
    ) -> Outcome {
        var measured: [String: Int64] = [:]
        for node in core.untestedNodes {
            guard let status = core.status(of: node), status.isAtFallback,
                let nanoseconds = status.lastFallbackNanoseconds
            else {
                if now.heldSince(since) < SelfTest.patienceNanoseconds { return .running }
                logger.error("self-test: node \(node) did not come back to its fallback; class U")
                continue
            }
            measured[node] = nanoseconds
        }
        guard !measured.isEmpty else { return .done }
        let first = Marker(
            ending: .kill, start: now, leaseNanoseconds: 0, end: now, expiryNanoseconds: measured,
            worstNanoseconds: measured)
        beginLife(ending: .kill, after: first, core)
        return .running
    }

    /// A turn of a life that found a marker: waits for the fallback, and measures.
    private mutating func nextLifeTurn(
        _ core: EnforcerCore, _ marker: Marker, guardedAt: ClockReading?, now: ClockReading
    ) -> Outcome {
        let deadline = marker.start.advanced(by: marker.leaseNanoseconds)
        let late = now.heldSince(deadline)
        let tested = marker.worstNanoseconds.keys.sorted()
        let isBack = tested.allSatisfy { core.status(of: $0)?.isAtFallback == true }
        // From here on the deadline is kept again: the death has cost this much and no more.
        let isGuarded = isBack || tested.allSatisfy { core.isHeldBySelfTest($0) }
        let guardedAt = guardedAt ?? (isGuarded ? now : nil)
        guard isBack || late >= SelfTest.patienceNanoseconds else {
            phase = .awaitingFallback(marker, guardedAt: guardedAt)
            return .running
        }
        let gap = (guardedAt ?? now).heldSince(marker.end)
        var next = marker
        next.worstNanoseconds = [:]
        for (node, worst) in marker.worstNanoseconds {
            guard core.status(of: node)?.isAtFallback == true else {
                logger.error("self-test: node \(node) did not come back to its fallback; class U")
                continue
            }
            // Back before the deadline, the node still needs what any expiry takes.
            let wasInTime = guardedAt.map { deadline.heldSince($0) > 0 } ?? false
            let bound = gap + (wasInTime ? marker.expiryNanoseconds[node] ?? 0 : 0)
            next.worstNanoseconds[node] = max(worst, late, bound)
        }
        for (node, worst) in next.worstNanoseconds.sorted(by: { $0.key < $1.key })
        where marker.ending == .hang || worst > limitNanoseconds {
            conclude(node, worst: worst, core)
            next.worstNanoseconds[node] = nil
        }
        guard !next.worstNanoseconds.isEmpty else { return .done }
        phase = .awaitingCalm(next)
        return .running
    }

    private func conclude(_ node: String, worst: Int64, _ core: EnforcerCore) {
        guard worst <= limitNanoseconds else {
            let took = worst / 1_000_000
            let limit = limitNanoseconds / 1_000_000
            logger.error("self-test: node \(node): \(took) ms, class S allows \(limit); class U")
            return
        }
        core.selfTestPassed(node, nanoseconds: worst)
    }
}

extension EnforcerCore {
    /// The hosted nodes that are declared class S, have devices, and have no proof yet.
    var untestedNodes: [String] {
        nodes.filter { node in
            node.holder != nil
                && topology.type(of: node.index).enforcementClass == .supervised
                && node.proofNanoseconds == nil
        }.map(\.name)
    }

    /// Gives a node a short lease halfway between its least cap and its fallback.
    func beginSelfTest(_ name: String, leaseNanoseconds: Int64) {
        guard let position = positions[name] else { return }
        let type = topology.type(of: nodes[position].index)
        let least =
            topology.model(of: nodes[position].index).minimumCap.rawValue
            * Int64(type.gpuCount)
        let cap = Milliwatts(least + (type.fallback.rawValue - least) / 2)
        let now = clock.read()
        let didBegin = nodes[position].holder?
            .selfTestBegan(cap: cap, leaseNanoseconds: leaseNanoseconds, now: now)
        if didBegin == true { nodes[position].makeDue() }
    }

    /// True while a node's devices are at the cap of the self-test and its record holds the lease.
    func isHeldBySelfTest(_ name: String) -> Bool {
        guard let status = status(of: name) else { return false }
        let set = status.requested.reduce(Milliwatts.zero, +)
        return status.remainingNanoseconds > 0 && set <= status.cap
    }

    /// Keeps a proof, and lets renewals carry it.
    func selfTestPassed(_ name: String, nanoseconds: Int64) {
        guard let position = positions[name] else { return }
        do throws(RecordError) {
            try records.storeProof(nanoseconds, of: name)
            nodes[position].proofNanoseconds = nanoseconds
            nodes[position].holder?.selfTestPassed(nanoseconds: nanoseconds)
        } catch {
            Logger(label: "busbar.enforcer").error("node \(name): \(error)")
        }
    }
}

// MARK: - The marker file

extension SelfTest.Marker {
    /// One line with the ending, both clocks at the lease's start and at the end, and the lease; then
    /// one for each node with its first and its worst measurement.
    func encoded() -> [UInt8] {
        var text =
            "\(ending.rawValue) \(start.rawNanoseconds) \(start.bootNanoseconds) "
            + "\(leaseNanoseconds) \(end.rawNanoseconds) \(end.bootNanoseconds)\n"
        for (node, worst) in worstNanoseconds.sorted(by: { $0.key < $1.key }) {
            text += "\(node) \(expiryNanoseconds[node] ?? worst) \(worst)\n"
        }
        return Array(text.utf8)
    }

    /// Reads a marker; nil when it is damaged, or from another run of the clocks.
    init?(_ bytes: [UInt8], now: ClockReading) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .map { $0.split(separator: " ").map(String.init) }
        guard let first = lines.first, first.count == 6,
            let ending = SelfTest.Ending(rawValue: first[0])
        else { return nil }
        let numbers = first.dropFirst().compactMap { Int64($0) }
        guard numbers.count == 5 else { return nil }
        self.ending = ending
        start = ClockReading(rawNanoseconds: numbers[0], bootNanoseconds: numbers[1])
        leaseNanoseconds = numbers[2]
        end = ClockReading(rawNanoseconds: numbers[3], bootNanoseconds: numbers[4])
        expiryNanoseconds = [:]
        worstNanoseconds = [:]
        for line in lines.dropFirst() {
            guard line.count == 3, let expiry = Int64(line[1]), let worst = Int64(line[2]) else {
                return nil
            }
            expiryNanoseconds[line[0]] = expiry
            worstNanoseconds[line[0]] = worst
        }
        // A minute is far more than any supervisor takes; clocks that went back are another boot's.
        guard now.waitedSince(start) >= 0, now.waitedSince(end) >= 0,
            now.heldSince(start) < 60_000_000_000
        else { return nil }
    }
}
