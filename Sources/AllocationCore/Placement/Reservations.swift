// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// GPUs, CPUs and watts that are kept for the jobs of one name until a moment.
package struct Reservation: Hashable, Sendable {
    package var name: String
    /// From this moment on it keeps nothing, in Unix milliseconds.
    package var expiresUnixMilliseconds: UInt64
    /// What it keeps: one entry for each GPU, or for each task without GPUs.
    var units: [Unit]

    /// One GPU with its part of a task's CPUs, memory and floor.
    struct Unit: Hashable, Sendable {
        /// What the engine holds it under.
        var id: JobID
        var spec: JobSpec
        var placement: [TaskPlacement]
    }

    /// The GPUs that it keeps for jobs that have not come yet, or that have gone again.
    package var unitCount: Int { units.count }
}

/// The reservations of a fleet, beside the ``PlacementEngine`` that holds what they keep.
///
/// A reservation is placed like a job, at its floors in every domain of every feed. It is cut into
/// single GPUs: a job of the reservation takes some of them, the rest stays kept, and what the job gives
/// back is kept again until the reservation expires. Time is only ever passed in.
///
/// Ids from ``firstID`` on belong to the book; jobs must not have them.
package struct ReservationBook: Sendable {
    /// The first of the ids under which the engine holds what is reserved.
    package static let firstID: UInt64 = 1 << 62

    /// In order of their making.
    package private(set) var reservations: [Reservation] = []
    /// What each job took out of a reservation.
    private var lent: [JobID: Loan] = [:]
    private var nextID = ReservationBook.firstID

    private struct Loan: Sendable {
        var reservation: String
        var units: [Reservation.Unit]
    }

    package init() {}

    /// Why there is no such reservation to be made or used.
    package enum Problem: Error, Hashable, Sendable {
        /// There is one of that name already.
        case exists
        case unknown
        /// The moment has passed.
        case expired
    }

    /// The reservation of a name.
    package func reservation(_ name: String) -> Reservation? {
        reservations.first { $0.name == name }
    }

    // MARK: - Making and ending

    /// Keeps room for a job from now on.
    ///
    /// - Parameters:
    ///   - name: the reservation's name.
    ///   - spec: what to keep, as if it were a job.
    ///   - expires: from when on nothing is kept, in Unix milliseconds.
    ///   - now: Unix time in milliseconds.
    ///   - engine: the fleet; holds the room if there is any, and is unchanged if not.
    /// - Returns: where the room is, or why there is none.
    /// - Throws: when the name is taken, or the moment is past.
    package mutating func reserve(
        _ name: String, _ spec: JobSpec, until expires: UInt64, now: UInt64,
        in engine: inout PlacementEngine
    ) throws(Problem) -> PlacementOutcome {
        guard now < expires else { throw .expired }
        guard reservation(name) == nil else { throw .exists }
        let outcome = engine.place(spec)
        guard case .placed(let placement) = outcome else { return outcome }
        var made = Reservation(name: name, expiresUnixMilliseconds: expires, units: [])
        for unit in units(of: spec, placement) {
            ReservationBook.keep(unit, for: &made, in: &engine)
        }
        reservations.append(made)
        return outcome
    }

    /// Ends the reservations whose moment has come; jobs that use them go on.
    ///
    /// - Returns: the names of those that ended.
    package mutating func expire(now: UInt64, in engine: inout PlacementEngine) -> [String] {
        let ended = reservations.filter { $0.expiresUnixMilliseconds <= now }
        for reservation in ended { end(reservation.name, in: &engine) }
        return ended.map(\.name)
    }

    /// Ends a reservation before its time; jobs that use it go on.
    ///
    /// - Returns: false when there is none of that name.
    @discardableResult
    package mutating func end(_ name: String, in engine: inout PlacementEngine) -> Bool {
        guard let index = reservations.firstIndex(where: { $0.name == name }) else { return false }
        for unit in reservations.remove(at: index).units { engine.release(unit.id) }
        return true
    }

    /// Brings back a reservation that was made before a restart.
    ///
    /// - Parameters:
    ///   - name: the reservation's name.
    ///   - spec: what it was made for.
    ///   - placement: where its room was found then.
    ///   - expires: as it was made.
    ///   - jobs: the jobs of the reservation that hold something, which the engine holds already: what
    ///     they have of its room comes back to it when they end.
    ///   - engine: the fleet, with every job held.
    package mutating func restore(
        _ name: String, _ spec: JobSpec, _ placement: [TaskPlacement], until expires: UInt64,
        jobs: [JobID], in engine: inout PlacementEngine
    ) {
        var made = Reservation(name: name, expiresUnixMilliseconds: expires, units: [])
        for unit in units(of: spec, placement)
        where !ReservationBook.keep(unit, for: &made, in: &engine) {
            guard let user = jobs.first(where: { engine.holds($0, unit.placement[0]) }) else {
                continue
            }
            lent[user, default: Loan(reservation: name, units: [])].units.append(unit)
        }
        reservations.append(made)
    }

    // MARK: - Using

    /// Decides where a job of a reservation goes: on what is kept for it as far as that reaches, else
    /// beside it; changes nothing.
    ///
    /// - Throws: when there is no such reservation, or its moment has passed.
    package func place(
        _ spec: JobSpec, of name: String, now: UInt64, in engine: PlacementEngine
    ) throws(Problem) -> PlacementOutcome {
        let reservation = try usable(name, now)
        var trial = engine
        for unit in reservation.units { trial.release(unit.id) }
        let kept = Set(reservation.units.flatMap { $0.placement.map(\.node) })
        var inside = trial
        for node in engine.topology.nodes.indices where !kept.contains(NodeIndex(node)) {
            inside.setEligible(NodeIndex(node), .cordoned)
        }
        if let placement = inside.placement(for: spec) { return .placed(placement) }
        return trial.place(spec)
    }

    /// Holds a placement that ``place(_:of:now:in:)`` gave; what the job does not take stays kept.
    ///
    /// - Throws: why it cannot be held; nothing has changed then.
    package mutating func hold(
        _ job: JobID, _ spec: JobSpec, _ placement: [TaskPlacement], of name: String,
        in engine: inout PlacementEngine
    ) throws(PlacementHoldError) {
        guard let index = reservations.firstIndex(where: { $0.name == name }) else {
            return try engine.hold(job, spec, placement)
        }
        let checkpoint = engine.checkpoint()
        var made = reservations[index]
        let before = made.units
        for unit in before { engine.release(unit.id) }
        do throws(PlacementHoldError) {
            try engine.hold(job, spec, placement)
        } catch {
            engine.rollback(to: checkpoint)
            throw error
        }
        made.units = []
        var taken: [Reservation.Unit] = []
        for unit in before where !ReservationBook.keep(unit, for: &made, in: &engine) {
            taken.append(unit)
        }
        engine.commit(checkpoint)
        reservations[index] = made
        lent[job] = Loan(reservation: name, units: taken)
    }

    /// Gives back what a job holds; what it took out of a reservation that still stands is kept again.
    ///
    /// Watts that the job did not use may have gone to others meanwhile: what does not fit any more is
    /// lost to the reservation.
    ///
    /// - Returns: the number of GPUs that were lost that way.
    @discardableResult
    package mutating func release(_ job: JobID, in engine: inout PlacementEngine) -> Int {
        engine.release(job)
        guard let loan = lent.removeValue(forKey: job),
            let index = reservations.firstIndex(where: { $0.name == loan.reservation })
        else { return 0 }
        var lost = 0
        for unit in loan.units
        where !ReservationBook.keep(unit, for: &reservations[index], in: &engine) {
            lost += 1
        }
        return lost
    }

    private func usable(_ name: String, _ now: UInt64) throws(Problem) -> Reservation {
        guard let reservation = reservation(name) else { throw .unknown }
        guard now < reservation.expiresUnixMilliseconds else { throw .expired }
        return reservation
    }

    // MARK: - Units

    /// Cuts a placement into single GPUs; what does not divide evenly goes to the first.
    private mutating func units(
        of spec: JobSpec, _ placement: [TaskPlacement]
    ) -> [Reservation.Unit] {
        var units: [Reservation.Unit] = []
        for task in placement {
            let count = max(1, task.devices.count)
            for part in 0..<count {
                var unit = spec
                unit.taskCount = 1
                unit.task.gpuCount = task.devices.isEmpty ? 0 : 1
                unit.task.cpuMilli = share(spec.task.cpuMilli, part, of: count)
                unit.task.memoryMiB = share(spec.task.memoryMiB, part, of: count)
                let devices = task.devices.isEmpty ? [] : [task.devices[part]]
                units.append(
                    Reservation.Unit(
                        id: JobID(nextID), spec: unit,
                        placement: [TaskPlacement(node: task.node, devices: devices)]))
                nextID += 1
            }
        }
        return units
    }

    private func share(_ amount: UInt32, _ part: Int, of count: Int) -> UInt32 {
        let share = amount / UInt32(count)
        return part == 0 ? amount - share * UInt32(count - 1) : share
    }

    /// Holds a unit for a reservation; false when others have what it needs.
    @discardableResult
    private static func keep(
        _ unit: Reservation.Unit, for reservation: inout Reservation,
        in engine: inout PlacementEngine
    ) -> Bool {
        // On trial, so that what is reserved does not count as work in the learned mix.
        let checkpoint = engine.checkpoint()
        do throws(PlacementHoldError) {
            try engine.hold(unit.id, unit.spec, unit.placement)
        } catch {
            engine.rollback(to: checkpoint)
            return false
        }
        engine.commit(checkpoint)
        reservation.units.append(unit)
        return true
    }
}

extension PlacementEngine {
    /// True when a job has a task on the node of a unit that uses its GPU, if it has one.
    fileprivate func holds(_ job: JobID, _ unit: TaskPlacement) -> Bool {
        placement(of: job)?.contains { task in
            task.node == unit.node
                && (unit.devices.isEmpty || unit.devices.contains { task.devices.contains($0) })
        } ?? false
    }
}
