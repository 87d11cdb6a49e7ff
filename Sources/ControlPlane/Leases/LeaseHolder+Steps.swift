// SPDX-License-Identifier: Apache-2.0

package import FleetModel

extension LeaseHolder {
    /// Says what to do next.
    ///
    /// Call it again after every answer and after every message.
    ///
    /// - Precondition: The step before was answered, unless it was `wait`.
    package mutating func nextStep(now: ClockReading) -> Step {
        precondition(!isStepOpen, "step asked for before the last one was answered: \(phase)")
        expire(now: now)
        if phase == .starting { return open(.readCaps) }
        beginPending(now: now)
        if let record = recordToStore() { return open(.storeRecord(record)) }
        if let device = nextWrite() {
            return open(.setCap(device: device, caps.targets[device]))
        }
        if advancePhase(now: now) { return nextStep(now: now) }
        acknowledgeIfDue()
        let sinceReading = now.heldSince(lastReading)
        if sinceReading >= configuration.reassertNanoseconds { return open(.readCaps) }
        return .wait(nanoseconds: untilNextEvent(now: now, sinceReading: sinceReading))
    }

    /// All devices were read; `reading` has the limit that each reports as set.
    package mutating func capsRead(_ reading: [Milliwatts], now: ClockReading) {
        isStepOpen = false
        lastReading = now
        if phase == .starting {
            start(reading: reading, now: now)
        } else {
            noteReading(reading, now: now)
        }
        expire(now: now)
    }

    /// A limit was written; `readBack` is what the device reports as set now.
    package mutating func capWritten(device: Int, readBack: Milliwatts, now: ClockReading) {
        isStepOpen = false
        caps.advance(now: now)
        caps.written(device, readBack: readBack, now: now)
        expire(now: now)
    }

    /// The record of the last step is in stable storage.
    package mutating func recordStored(now: ClockReading) {
        isStepOpen = false
        expire(now: now)
        switch phase {
        case .storingFirst(let next):
            adopt(next)
            caps.aim(caps.shares(of: next.cap))
            phase = .raising(next)
        case .storingLower(let next):
            fallback = next.fallback
            fallbackVersion = next.fallbackVersion
            if let old = term { term?.cap = min(next.cap, old.cap) }
            if rules.breaks(.extendsBeforeLowering) { term = next }
            caps.aim(caps.shares(of: next.cap))
            phase = .lowering(next)
        case .storingExtension(let next):
            adopt(next)
            phase = .leased
            isAckDue = !next.isSelfTest
        case .starting, .fallingBack, .atFallback, .leased, .raising, .lowering:
            break  // The deadline passed while the record was being written.
        }
    }

    /// The last step could not be carried out: nothing is known to have changed.
    ///
    /// The shell waits a moment (10 ms) before it asks for the next step, which tries again. The
    /// deadline in force stays in force meanwhile.
    package mutating func stepFailed(now: ClockReading) {
        isStepOpen = false
        expire(now: now)
    }
}

// MARK: - Inside a step

extension LeaseHolder {
    private mutating func open(_ step: Step) -> Step {
        isStepOpen = true
        return step
    }

    /// Goes to the fallback when the deadline in force has passed.
    mutating func expire(now: ClockReading) {
        caps.advance(now: now)
        guard let term, term.remaining(now: now) <= 0 else { return }
        if !term.isSelfTest { counts.leaseExpiries += 1 }
        ended = Ended(start: term.start, leaseNanoseconds: term.leaseNanoseconds)
        fallBack()
    }

    private mutating func fallBack() {
        term = nil
        pending = nil
        ack = nil
        isAckDue = false
        phase = .fallingBack
        caps.aim(caps.fallbackShares(fallback))
    }

    /// The first reading of this incarnation: resume the recorded lease or fall back.
    private mutating func start(reading: [Milliwatts], now: ClockReading) {
        if rules.breaks(.keepsCapsOnRestart) {
            caps.begin(reading: reading, distrusted: false, now: now)
            phase = .atFallback
            return
        }
        caps.begin(reading: reading, distrusted: !rules.breaks(.trustsCapsAtStart), now: now)
        guard let found, found.bootID == configuration.bootID else {
            fallBack()
            return
        }
        if !rules.breaks(.losesFenceOnResume) {
            fence = found.fence
            fenceEpochID = found.fenceEpochID
        }
        let isInForce = now.heldSince(found.start) < found.leaseNanoseconds
        guard found.cap > .zero, isInForce, caps.reportedSum <= found.cap else {
            fallBack()
            return
        }
        term = Term(
            order: found.fence, epochID: found.fenceEpochID, cap: found.cap, start: found.start,
            leaseNanoseconds: found.leaseNanoseconds, fallback: fallback,
            fallbackVersion: fallbackVersion)
        phase = .leased
        isAckDue = true
    }

    /// Looks for devices that somebody else has raised.
    private mutating func noteReading(_ reading: [Milliwatts], now: ClockReading) {
        caps.advance(now: now)
        let above = caps.read(reading, now: now)
        if above > 0 {
            counts.violations += UInt64(above)
            violatedSince = violatedSince ?? now
        } else if let since = violatedSince, caps.isThere {
            counts.violationNanoseconds += now.heldSince(since)
            violatedSince = nil
        }
    }

    /// Turns to the grant that waits, if the phase allows it.
    private mutating func beginPending(now: ClockReading) {
        guard let next = pending else { return }
        if next.remaining(now: now) <= 0 {
            pending = nil
            return
        }
        guard let cap = capInForce() else { return }
        pending = nil
        if !next.isSelfTest { keepUnacknowledged() }
        if phase == .atFallback {
            phase = .storingFirst(next)
        } else if next.cap < cap {
            phase = beginLowering(next)
        } else if next.cap == cap, phase == .leased {
            phase = .storingExtension(next)
        } else {
            caps.aim(caps.shares(of: next.cap))
            phase = .raising(next)
        }
    }

    /// The most that the hardware may be at, in the phases in which a grant can be begun.
    private func capInForce() -> Milliwatts? {
        switch phase {
        case .atFallback, .leased, .raising, .lowering:
            return max(term?.cap ?? fallback, caps.ceilingSum)
        case .starting, .fallingBack, .storingFirst, .storingLower, .storingExtension:
            return nil
        }
    }

    /// An acknowledgement of an older order says nothing of the one that is begun.
    private mutating func keepUnacknowledged() {
        isAckDue = false
        if !rules.breaks(.acknowledgesBeforeSettling) { ack = nil }
    }

    private mutating func beginLowering(_ next: Term) -> Phase {
        guard rules.breaks(.acknowledgesBeforeRecording) else { return .storingLower(next) }
        caps.aim(caps.shares(of: next.cap))
        return .lowering(next)
    }

    private func recordToStore() -> LeaseRecord? {
        switch phase {
        case .storingFirst(let next), .storingExtension(let next):
            return record(of: next, cap: next.cap, deadlineOf: next)
        case .storingLower(let next):
            if rules.breaks(.extendsBeforeLowering) {
                return record(of: next, cap: term?.cap ?? next.cap, deadlineOf: next)
            }
            return record(of: next, cap: next.cap, deadlineOf: term ?? next)
        case .starting, .fallingBack, .atFallback, .leased, .raising, .lowering:
            return nil
        }
    }

    private func record(of next: Term, cap: Milliwatts, deadlineOf old: Term) -> LeaseRecord {
        LeaseRecord(
            bootID: configuration.bootID, fence: next.order, fenceEpochID: next.epochID, cap: cap,
            start: old.start, leaseNanoseconds: old.leaseNanoseconds, fallback: next.fallback,
            fallbackVersion: next.fallbackVersion)
    }

    private func nextWrite() -> Int? {
        let ignores = rules.breaks(.raisesWhileSettling)
        switch phase {
        case .starting, .storingFirst, .storingLower, .storingExtension:
            return nil
        case .raising(let next), .lowering(let next):
            return caps.nextWrite(allowance: next.cap, ignoresSettling: ignores)
        case .fallingBack, .atFallback, .leased:
            return caps.nextWrite(allowance: term?.cap ?? fallback, ignoresSettling: ignores)
        }
    }

    /// Moves on when the hardware has arrived; true when that opened new steps.
    private mutating func advancePhase(now: ClockReading) -> Bool {
        switch phase {
        case .fallingBack:
            guard caps.isThere, caps.ceilingSum <= fallback else { return false }
            if let over = ended {
                let held = now.heldSince(over.start)
                counts.lastFallbackNanoseconds = held - over.leaseNanoseconds
                ended = nil
            }
            phase = .atFallback
            return pending != nil
        case .raising(let next):
            guard caps.isThere, caps.ceilingSum <= next.cap else { return false }
            if term?.order == next.order, term?.start == next.start {
                phase = .leased
                isAckDue = !next.isSelfTest
                return false
            }
            phase = .storingExtension(next)
            return true
        case .lowering(let next):
            guard caps.ceilingSum <= next.cap else { return false }
            if rules.breaks(.acknowledgesBeforeRecording) {
                acknowledge(next.order, epochID: next.epochID, cap: next.cap)
            }
            phase = .storingExtension(next)
            return true
        case .starting, .atFallback, .leased, .storingFirst, .storingLower, .storingExtension:
            return false
        }
    }

    private mutating func adopt(_ next: Term) {
        term = next
        fallback = next.fallback
        fallbackVersion = next.fallbackVersion
    }

    private mutating func acknowledgeIfDue() {
        guard isAckDue, phase == .leased, let term, caps.ceilingSum <= term.cap else { return }
        acknowledge(term.order, epochID: term.epochID, cap: term.cap)
    }

    private func untilNextEvent(now: ClockReading, sinceReading: Int64) -> Int64 {
        var shortest = configuration.reassertNanoseconds - sinceReading
        if let term { shortest = min(shortest, term.remaining(now: now)) }
        if let change = caps.untilChange(now: now) { shortest = min(shortest, change) }
        return max(shortest, 0)
    }
}
