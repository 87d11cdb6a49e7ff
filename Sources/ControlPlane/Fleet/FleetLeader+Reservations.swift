// SPDX-License-Identifier: Apache-2.0

package import AllocationCore
package import FleetModel

// Room that is kept for the jobs of a name, until a moment.
extension FleetLeader {
    /// A reservation, and what of it is in the store.
    struct ReservationEntry: Sendable {
        /// Nil once it has ended.
        var record: FleetReservation?
        /// Counts the changes of `record`.
        var change: UInt64 = 0
        /// The newest change that is known to be in the store.
        var durableChange: UInt64 = 0
    }

    /// The outcome of a request to reserve.
    package enum OnReserve: Sendable {
        /// It holds, or held already.
        case accepted
        /// There is no room now.
        case refused(PlacementRefusal)
        case invalid(message: String, hint: String)
    }

    /// The longest time that a reservation may be made for, in milliseconds: ten years.
    package static let maximumReservationMilliseconds: UInt64 = 3650 * 86_400_000

    /// The reservations that hold, in order of name.
    package var reservations: [FleetReservation] {
        reservationEntries.values.compactMap(\.record).sorted { $0.name < $1.name }
    }

    /// The GPUs of a reservation that no job uses.
    package func keptGPUCount(of name: String) -> Int {
        guard let spec = reservationEntries[name]?.record?.spec, spec.task.gpuCount > 0 else {
            return 0
        }
        return book.reservation(name)?.unitCount ?? 0
    }

    /// The number of changes that a reservation has seen, as ``change(of:)-(JobID)`` for jobs.
    package func change(ofReservation name: String) -> UInt64 {
        reservationEntries[name]?.change ?? 0
    }

    /// True when the store holds a reservation as it was at a change, or later.
    package func isDurable(reservation name: String, change: UInt64) -> Bool {
        guard let entry = reservationEntries[name] else { return true }
        return entry.durableChange >= change
    }

    /// Keeps room for the jobs of a name from now on; the same request again changes nothing.
    ///
    /// - Parameters:
    ///   - name: the reservation's name.
    ///   - spec: what to keep, as if it were a job.
    ///   - milliseconds: for how long.
    ///   - actor: the operator's name.
    ///   - now: Unix time in milliseconds.
    /// - Returns: what became of it; an accepted one is acknowledged once it is durable.
    package mutating func reserve(
        _ name: String, _ spec: JobSpec, milliseconds: UInt64, actor: String, now: UInt64
    ) -> OnReserve {
        if let problem = Name.problem(in: name) {
            return .invalid(
                message: "reservation name '\(name)' \(problem)",
                hint: "use letters, digits, '-', '_', '.'")
        }
        guard (1...FleetLeader.maximumReservationMilliseconds).contains(milliseconds) else {
            return .invalid(
                message: "a reservation of \(milliseconds) ms", hint: "use up to ten years")
        }
        var spec = spec
        spec.reservation = nil
        if let known = reservationEntries[name]?.record {
            guard known.spec != spec else { return .accepted }
            return .invalid(
                message: "there is a reservation '\(name)' for something else",
                hint: "end it first, or take another name")
        }
        if let problem = problem(in: spec) {
            return .invalid(message: problem.message, hint: problem.hint)
        }
        var trial = engine
        if let placement = trial.placement(for: spec), !leavesRoom(spec, placement, id: nil) {
            return .refused(PlacementRefusal())
        }
        return make(name, spec, until: now + milliseconds, actor: actor, now: now)
    }

    private mutating func make(
        _ name: String, _ spec: JobSpec, until expires: UInt64, actor: String, now: UInt64
    ) -> OnReserve {
        let outcome: PlacementOutcome
        do throws(ReservationBook.Problem) {
            outcome = try book.reserve(name, spec, until: expires, now: now, in: &engine)
        } catch {
            return .invalid(message: "reservation '\(name)': \(error)", hint: "")
        }
        switch outcome {
        case .refused(let refusal), .undecided(let refusal): return .refused(refusal)
        case .placed(let placement):
            let record = FleetReservation(
                name: name, spec: spec, expiresUnixMilliseconds: expires, actor: actor,
                placement: placement)
            setReservation(name, record)
            self.record(
                .reservationMade, subject: name, message: "\(spec.taskCount) tasks", actor: actor,
                now: now)
            return .accepted
        }
    }

    /// Ends a reservation before its time; jobs that use it go on.
    ///
    /// - Returns: false when there is none of that name.
    package mutating func endReservation(_ name: String, actor: String, now: UInt64) -> Bool {
        guard reservationEntries[name]?.record != nil else { return false }
        book.end(name, in: &engine)
        noteEnd(of: name, message: "ended by \(actor)", actor: actor, now: now)
        return true
    }

    /// Ends the reservations whose time has come.
    ///
    /// - Parameter now: Unix time in milliseconds.
    package mutating func expireReservations(now: UInt64) {
        guard !book.reservations.isEmpty else { return }
        for name in book.expire(now: now, in: &engine) {
            noteEnd(of: name, message: "its time is over", actor: "coordinator", now: now)
        }
    }

    private mutating func noteEnd(
        of name: String, message: String, actor: String, now: UInt64
    ) {
        setReservation(name, nil)
        record(.reservationEnded, subject: name, message: message, actor: actor, now: now)
        capacityChanged()
    }

    private mutating func setReservation(_ name: String, _ record: FleetReservation?) {
        reservationEntries[name, default: ReservationEntry()].record = record
        reservationEntries[name]!.change += 1
        if !dirtyReservations.contains(name) { dirtyReservations.append(name) }
    }

    /// A change of a reservation is in the store.
    mutating func reservationWritten(_ name: String, change: UInt64) {
        reservationEntries[name]?.durableChange = change
        guard let entry = reservationEntries[name], entry.record == nil, entry.change == change
        else { return }
        reservationEntries[name] = nil
    }

    /// Brings back the reservations of the store; every placed job is held already.
    mutating func restoreReservations(_ records: [FleetReservation]) {
        for record in records.sorted(by: { $0.name < $1.name }) {
            reservationEntries[record.name] = ReservationEntry(record: record)
            let users = active.filter { jobs[$0]!.job.spec.reservation == record.name }
            book.restore(
                record.name, record.spec, record.placement,
                until: record.expiresUnixMilliseconds, jobs: users, in: &engine)
        }
    }

    // MARK: - Jobs of a reservation

    /// The reservation that a job may use, while it holds.
    func reservation(of spec: JobSpec) -> Reservation? {
        spec.reservation.flatMap { book.reservation($0) }
    }

    /// Decides where a job would go, on its reservation's room first.
    mutating func outcome(for spec: JobSpec, explaining isExplaining: Bool) -> PlacementOutcome {
        guard let reservation = reservation(of: spec) else {
            return engine.place(spec, explaining: isExplaining)
        }
        do throws(ReservationBook.Problem) {
            // It is there until it is expired by ``expireReservations(now:)``.
            return try book.place(
                spec, of: reservation.name, now: reservation.expiresUnixMilliseconds - 1,
                in: engine)
        } catch {
            return engine.place(spec, explaining: isExplaining)
        }
    }

    /// Holds what a placed job was given, on its reservation's room or elsewhere.
    mutating func hold(_ job: FleetJob) throws(PlacementHoldError) {
        let placement = job.tasks.map(\.placement)
        if let reservation = reservation(of: job.spec) {
            try book.hold(job.id, job.spec, placement, of: reservation.name, in: &engine)
        } else {
            try engine.hold(job.id, job.spec, placement)
        }
    }
}
