// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import FleetModel
internal import Wire

// Room that operators keep for jobs of a name.
extension Coordinator {
    func reserve(
        _ make: MakeReservation, _ request: OperatorRequest, _ session: OperatorSession
    ) {
        let outcome = leader.reserve(
            make.name, make.spec, milliseconds: make.durationMilliseconds,
            actor: session.operatorName, now: SystemClock.unixMilliseconds())
        switch outcome {
        case .accepted: wait(.reservation(make.name, nil), request, session)
        case .refused(let refusal):
            let why = explanation(refusal, job: JobID(0), state: .queued)
            let message =
                why.reasons.first?.message ?? "its room is being freed for a more important job"
            fail(
                request, session, .refused, "there is no room to reserve: \(message)",
                hint: why.fitsIf.first ?? "")
        case .invalid(let message, let hint):
            fail(request, session, .invalid, message, hint: hint)
        }
    }

    func endReservation(
        _ name: String, _ request: OperatorRequest, _ session: OperatorSession
    ) {
        let view = reservationViews().first { $0.name == name }
        guard
            leader.endReservation(
                name, actor: session.operatorName, now: SystemClock.unixMilliseconds())
        else {
            return fail(
                request, session, .notFound, "there is no reservation '\(name)'",
                hint: "busbar get reservations")
        }
        wait(.reservation(name, view), request, session)
    }

    /// The reservations that hold, in order of name.
    func reservationViews() -> [ReservationView] {
        leader.reservations.map { reservation in
            var seen: Set<NodeIndex> = []
            let nodes = reservation.placement.map(\.node).filter { seen.insert($0).inserted }
            let text = HostList.compress(nodes.map { topology.nodes[$0.position].name })
            return ReservationView(
                name: reservation.name, spec: reservation.spec,
                expiresUnixMilliseconds: reservation.expiresUnixMilliseconds,
                madeBy: reservation.actor,
                gpuCount: UInt32(reservation.placement.reduce(0) { $0 + $1.devices.count }),
                keptGPUCount: UInt32(leader.keptGPUCount(of: reservation.name)),
                nodes: text.utf8.count <= 256 ? text : String(text.prefix(253)) + "...")
        }
    }
}
