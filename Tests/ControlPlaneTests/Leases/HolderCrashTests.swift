// SPDX-License-Identifier: Apache-2.0
//
// Goal: a crash between any two steps of the holder breaks nothing. Method: every procedure is run
// once for each of its steps; the enforcer dies just before or just after that step and another starts.
// All the while, what the hardware may be enforcing is compared with what the grantor believes.

import ControlPlane
import FleetModel
import Testing

/// Hardware that goes on enforcing an old cap while a lowered one settles.
private struct SettlingDevices {
    private var old: [(cap: Milliwatts, until: Int64)]
    private var limits: [Milliwatts]

    init(_ limits: [Milliwatts]) {
        self.limits = limits
        old = limits.map { ($0, 0) }
    }

    mutating func follow(_ now: [Milliwatts], at time: Int64) {
        for device in limits.indices where now[device] != limits[device] {
            if now[device] < limits[device] {
                let still = old[device].until > time ? old[device].cap : .zero
                old[device] = (max(limits[device], still), time + 200 * HolderBench.millisecond)
            }
            limits[device] = now[device]
        }
    }

    func enforced(at time: Int64) -> Milliwatts {
        limits.indices.reduce(.zero) { sum, device in
            let still = old[device].until > time ? old[device].cap : .zero
            return sum + max(limits[device], still)
        }
    }
}

/// One change of a lease of `from` watts, 3 s old and 10 s long.
private struct Change: CustomTestStringConvertible {
    var from: Int64
    var to: Int64
    /// A share that is on its way when the grant comes.
    var shares: [Int64] = []
    var testDescription: String { "\(from) W to \(to) W, shares \(shares)" }

    static let all = [
        Change(from: 800, to: 400), Change(from: 400, to: 800), Change(from: 600, to: 600),
        Change(from: 800, to: 400, shares: [300, 500]),
        Change(from: 600, to: 900, shares: [100, 500]),
        Change(from: 600, to: 600, shares: [500, 100]),
        Change(from: 300, to: 1000), Change(from: 1000, to: 300),
    ]
}

@Suite struct `Crashes between steps` {
    /// Runs a change, and crashes just before or just after one of its steps.
    ///
    /// - Returns: What was enforced above what the grantor counts on; nil when nothing was.
    private func excess(
        _ change: Change, crashAt step: Int, afterEffect: Bool,
        rules: LeaseRules = .production
    ) -> String? {
        var bench = HolderBench.leased(change.from, rules: rules)
        bench.run(for: 3000)
        let renewedAt = bench.now
        if !change.shares.isEmpty {
            let wishes = change.shares.map { Milliwatts.watts($0) }
            _ = bench.holder.sharesRequested(wishes, now: bench.now)
            _ = bench.step()
        }
        _ = bench.grant(change.to, sequence: 2)
        var devices = SettlingDevices(bench.limits)
        var steps = 0
        var hasCrashed = false
        var isAcknowledged = false
        var age: Int64 = 0
        while age < 11_000 {
            while true {
                if steps == step, !hasCrashed {
                    if afterEffect { perform(bench.holder.nextStep(now: bench.now), on: &bench) }
                    hasCrashed = true
                    devices.follow(bench.limits, at: bench.now.rawNanoseconds)
                    bench.pass(150)
                    bench.restart()
                }
                guard bench.step() else { break }
                steps += 1
                devices.follow(bench.limits, at: bench.now.rawNanoseconds)
            }
            bench.pass(age < 3800 ? 2 : 40)
            isAcknowledged = isAcknowledged || bench.acknowledgement()?.order.sequence == 2
            age = bench.now.heldSince(renewedAt) / HolderBench.millisecond
            let limit = allowed(change, isAcknowledged: isAcknowledged, ageMilliseconds: age)
            let enforced = devices.enforced(at: bench.now.rawNanoseconds)
            if enforced > limit { return "\(enforced) of \(limit) at \(age) ms" }
        }
        return hasCrashed ? nil : "no step \(step)"
    }

    /// What the grantor may count on.
    ///
    /// The new cap once it is acknowledged, or once the old lease is over; the fallback once both are.
    /// Restart, fall-back and settling take at most 400 ms; the leases began 3 s apart.
    private func allowed(
        _ change: Change, isAcknowledged: Bool, ageMilliseconds age: Int64
    ) -> Milliwatts {
        if age > 10_400 { return .watts(300) }
        let isOldOver = isAcknowledged || age > 10_400 - 3000
        return .watts(isOldOver ? change.to : max(change.from, change.to))
    }

    /// Lets a step take effect without the holder's ever learning of it.
    private func perform(_ step: LeaseHolder.Step, on bench: inout HolderBench) {
        switch step {
        case .setCap(let device, let cap): bench.limits[device] = cap
        case .storeRecord(let record): bench.record = record
        case .readCaps, .wait: break
        }
    }

    /// No change has more than ten steps; later ones are readings and the way to the fallback.
    private static let steps = 0..<14

    @Test(arguments: Change.all)
    fileprivate func `No step is a bad one to die at`(change: Change) {
        for step in Self.steps {
            let before = excess(change, crashAt: step, afterEffect: false)
            let after = excess(change, crashAt: step, afterEffect: true)
            #expect(before == nil && after == nil, "step \(step)")
        }
    }

    @Test(arguments: [
        LeaseMutant.extendsBeforeLowering, .acknowledgesBeforeSettling, .raisesWhileSettling,
        .keepsCapsOnRestart,
    ])
    func `A broken rule shows at some step`(mutant: LeaseMutant) {
        let rules = LeaseRules(breaking: mutant)
        let isFound = Self.steps.contains { step in
            Change.all.contains {
                excess($0, crashAt: step, afterEffect: true, rules: rules) != nil
            }
        }
        #expect(isFound)
    }
}
