// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Glibc
internal import Logging

/// Measures, at the first start, what class S of a node stands for: that its caps are at the
/// fallback no later than σ after a deadline, also when the enforcer is killed.
///
/// ```
///  first life:   lease of 250 ms or more, at or below the fallback ─► expiry ─► fallback verified   (1)
///                the same lease again, written to the record ─► marker file ─► SIGKILL
///  second life:  marker found ─► fallback verified again                                   (2)
/// ```
///
/// (1) and (2) are counted from the deadline on, so (2) holds the supervisor's restart. The worse
/// one, if it is within σ, becomes the node's proof; a node that fails stays class U and is tested
/// again at the next start. No cap above the fallback is ever set, so the test is safe while the
/// fleet is being commissioned.
struct SelfTest {
    /// The length of the leases that it makes: long enough for all nodes to get there.
    static func leaseNanoseconds(nodeCount: Int) -> Int64 {
        250_000_000 + 1_000_000 * Int64(nodeCount)
    }

    /// A node that takes longer than this for one phase has failed.
    static let patienceNanoseconds: Int64 = 10_000_000_000
    /// How often it begins anew when a lease ends before it is held.
    static let attemptLimit = 5

    /// What the second life finds.
    struct Marker: Hashable, Sendable {
        var start: ClockReading
        var leaseNanoseconds: Int64
        /// The first measurement of each node.
        var expiryNanoseconds: [String: Int64]
    }

    private enum Phase {
        case idle
        case awaitingExpiry(since: ClockReading)
        case awaitingKill(Marker)
        case awaitingFallback(Marker)
    }

    /// What the enforcer is to do after a turn.
    enum Outcome: Equatable {
        /// Go on and ask again.
        case running
        /// There is nothing (more) to test.
        case done
        /// Write this marker, and die by SIGKILL.
        case die(Marker)
    }

    private var phase = Phase.idle
    private var attempts = 0
    private let limitNanoseconds: Int64
    private let logger = Logger(label: "busbar.enforcer")

    /// A test with σ as its limit, that goes on where the marker of a killed process left off.
    init(limitNanoseconds: Int64, marker: Marker?) {
        self.limitNanoseconds = limitNanoseconds
        if let marker { phase = .awaitingFallback(marker) }
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
        case .awaitingKill(let marker):
            let areHeld = marker.expiryNanoseconds.keys.allSatisfy { core.isHeldBySelfTest($0) }
            if areHeld { return .die(marker) }
            guard now.heldSince(marker.start) < marker.leaseNanoseconds else { return tryAgain() }
            return .running
        case .awaitingFallback(let marker): return killedTurn(core, marker, now: now)
        }
    }

    /// A machine that is busy, as at the start of a whole fleet, may not get there in one lease.
    private mutating func tryAgain() -> Outcome {
        attempts += 1
        guard attempts < SelfTest.attemptLimit else {
            logger.error("self-test: the lease ended before every node held it; class U")
            return .done
        }
        phase = .idle
        return .running
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
        let lease = begin(measured.keys.sorted(), core)
        phase = .awaitingKill(
            Marker(start: now, leaseNanoseconds: lease, expiryNanoseconds: measured))
        return .running
    }

    private func killedTurn(
        _ core: EnforcerCore, _ marker: Marker, now: ClockReading
    ) -> Outcome {
        let deadline = marker.start.advanced(by: marker.leaseNanoseconds)
        let late = now.heldSince(deadline)
        for node in marker.expiryNanoseconds.keys.sorted() {
            guard let status = core.status(of: node) else { continue }
            guard status.isAtFallback else {
                if late < SelfTest.patienceNanoseconds { return .running }
                logger.error("self-test: node \(node) did not come back to its fallback; class U")
                continue
            }
        }
        for (node, expiry) in marker.expiryNanoseconds.sorted(by: { $0.key < $1.key }) {
            guard core.status(of: node)?.isAtFallback == true else { continue }
            conclude(node, worst: max(expiry, late, 0), core)
        }
        return .done
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
    /// One line with both clocks and the lease, then one for each node with its measurement.
    func encoded() -> [UInt8] {
        var text = "\(start.rawNanoseconds) \(start.bootNanoseconds) \(leaseNanoseconds)\n"
        for (node, nanoseconds) in expiryNanoseconds.sorted(by: { $0.key < $1.key }) {
            text += "\(node) \(nanoseconds)\n"
        }
        return Array(text.utf8)
    }

    /// Reads a marker; nil when it is damaged, or from another run of the clocks.
    init?(_ bytes: [UInt8], now: ClockReading) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .map { $0.split(separator: " ").map(String.init) }
        guard let first = lines.first, first.count == 3, let raw = Int64(first[0]),
            let boot = Int64(first[1]), let lease = Int64(first[2])
        else { return nil }
        start = ClockReading(rawNanoseconds: raw, bootNanoseconds: boot)
        leaseNanoseconds = lease
        expiryNanoseconds = [:]
        for line in lines.dropFirst() {
            guard line.count == 2, let nanoseconds = Int64(line[1]) else { return nil }
            expiryNanoseconds[line[0]] = nanoseconds
        }
        // A minute is far more than any supervisor takes; clocks that went back are another boot's.
        let age = now.heldSince(start)
        guard now.waitedSince(start) >= 0, age < 60_000_000_000 else { return nil }
    }
}
