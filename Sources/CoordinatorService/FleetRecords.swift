// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import DecisionStore
internal import FleetModel
internal import Wire

/// The records of the fleet store, and how they map to what the fleet leader knows.
///
/// ```
/// fleet            counters, fingerprint of the topology
/// job/NUMBER       one job
/// node/POSITION    what an operator wants of a node, unless it is open
/// reservation/NAME room that is kept, until it ends
/// event/SLOT       one event; SLOT is its number modulo the size of the log, which bounds it
/// ```
struct FleetRecords {
    /// The slots of the audit log.
    ///
    /// Fixed for ever: another number would misplace what is stored.
    static let eventSlotCount: UInt64 = 16_384

    var counters = FleetCounters()
    /// Nil in a store that was never used.
    var fingerprint: UInt64?
    var jobs: [FleetJob] = []
    var marks: [FleetNodeMark] = []
    var reservations: [FleetReservation] = []
    var events: [FleetEvent] = []

    /// Reads all records of a fleet store.
    ///
    /// - Throws: ``CoordinatorError`` for a record that cannot be read: the coordinator must not go on
    ///   with half of what it promised.
    init(_ snapshot: StoreSnapshot, topology: Topology) throws(CoordinatorError) {
        for record in snapshot.records {
            do {
                try take(record, topology: topology)
            } catch let error as WireError {
                throw CoordinatorError("fleet store: record '\(record.key)': \(error)")
            } catch let error as CoordinatorError {
                throw error
            } catch {
                throw CoordinatorError("fleet store: record '\(record.key)': \(error)")
            }
        }
        events.sort { $0.number < $1.number }
    }

    private mutating func take(_ record: StoreRecord, topology: Topology) throws {
        if record.key == "fleet" {
            let fleet = try FleetRecord.decode(record.value)
            fingerprint = fleet.topologyHash
            counters = FleetCounters(
                nextJobID: fleet.nextJobID, nextEventNumber: fleet.nextEvent,
                jobsPlacedTotal: fleet.jobsPlacedTotal,
                jobsFinishedTotal: fleet.jobsFinishedTotal)
        } else if record.key.hasPrefix("job/") {
            let job = FleetJob(try JobRecord.decode(record.value))
            guard job.tasks.allSatisfy({ $0.placement.node.position < topology.nodes.count })
            else {
                throw CoordinatorError("fleet store: \(job.id) is placed on an unknown node")
            }
            jobs.append(job)
        } else if record.key.hasPrefix("node/") {
            let mark = FleetNodeMark(try NodeRecord.decode(record.value))
            guard mark.node.position < topology.nodes.count else {
                throw CoordinatorError("fleet store: a mark of an unknown node")
            }
            marks.append(mark)
        } else if record.key.hasPrefix("reservation/") {
            let reservation = FleetReservation(try ReservationRecord.decode(record.value))
            guard reservation.placement.allSatisfy({ $0.node.position < topology.nodes.count })
            else {
                throw CoordinatorError(
                    "fleet store: reservation '\(reservation.name)' is on an unknown node")
            }
            reservations.append(reservation)
        } else if record.key.hasPrefix("event/") {
            if let event = FleetEvent(try EventRecord.decode(record.value)) {
                events.append(event)
            }
        } else {
            throw CoordinatorError("fleet store: unknown record '\(record.key)'")
        }
    }

    /// The store's batch for what the leader wants written, the fleet record not included.
    static func storeBatch(for batch: FleetBatch) -> StoreBatch {
        var store = StoreBatch()
        // The epoch fences the only writer there is, so versions add nothing for single records; the
        // fleet record is compared all the same, by the caller.
        for job in batch.jobs {
            store.put(key(of: job.id), JobRecord(job).encoded(), expecting: .anything)
        }
        for id in batch.forgottenJobs { store.delete(key(of: id), expecting: .anything) }
        for mark in batch.marks {
            let key = "node/\(mark.node.rawValue)"
            if mark.mark == .open {
                store.delete(key, expecting: .anything)
            } else {
                store.put(key, NodeRecord(mark).encoded(), expecting: .anything)
            }
        }
        for reservation in batch.reservations {
            store.put(
                "reservation/\(reservation.name)", ReservationRecord(reservation).encoded(),
                expecting: .anything)
        }
        for name in batch.endedReservations {
            store.delete("reservation/\(name)", expecting: .anything)
        }
        for event in batch.events {
            let slot = event.number % eventSlotCount
            store.put("event/\(slot)", EventRecord(event).encoded(), expecting: .anything)
        }
        return store
    }

    /// The bytes of the fleet record.
    static func fleetRecord(
        _ counters: FleetCounters, fingerprint: UInt64, allotments: [Milliwatts]
    ) -> [UInt8] {
        FleetRecord(
            nextJobID: counters.nextJobID, topologyHash: fingerprint,
            jobsPlacedTotal: counters.jobsPlacedTotal,
            jobsFinishedTotal: counters.jobsFinishedTotal, nextEvent: counters.nextEventNumber,
            allotments: allotments
        ).encoded()
    }

    private static func key(of id: JobID) -> String { "job/\(id.rawValue)" }
}

extension FleetJob {
    /// The job of a stored record.
    ///
    /// A task state of a newer version counts as not yet confirmed.
    init(_ record: JobRecord) {
        self.init(
            id: record.id, requestID: record.requestID, spec: record.spec, state: record.state,
            submittedUnixMilliseconds: record.submittedUnixMilliseconds,
            submittedBy: record.submittedBy, attempt: record.attempt,
            tasks: record.tasks.map {
                FleetTask(
                    placement: $0.placement, phase: TaskPhase(rawValue: $0.state) ?? .placed)
            },
            ledgerRevision: record.ledgerRevision, message: record.message,
            startedUnixMilliseconds: record.startedUnixMilliseconds,
            preemptedBy: record.preemptedBy, isRequeued: record.isRequeued)
    }
}

extension FleetReservation {
    init(_ record: ReservationRecord) {
        self.init(
            name: record.name, spec: record.spec,
            expiresUnixMilliseconds: record.expiresUnixMilliseconds, actor: record.actor,
            placement: record.placement)
    }
}

extension ReservationRecord {
    init(_ reservation: FleetReservation) {
        self.init(
            name: reservation.name, spec: reservation.spec,
            expiresUnixMilliseconds: reservation.expiresUnixMilliseconds,
            actor: reservation.actor, placement: reservation.placement)
    }
}

extension FleetNodeMark {
    init(_ record: NodeRecord) {
        self.init(
            node: record.node, mark: record.mark, actor: record.actor, reason: record.reason,
            unixMilliseconds: record.unixMilliseconds)
    }
}

extension NodeRecord {
    init(_ mark: FleetNodeMark) {
        self.init(
            node: mark.node, mark: mark.mark, actor: mark.actor, reason: mark.reason,
            unixMilliseconds: mark.unixMilliseconds)
    }
}

extension JobRecord {
    init(_ job: FleetJob) {
        self.init(
            id: job.id, requestID: job.requestID, spec: job.spec, state: job.state,
            submittedUnixMilliseconds: job.submittedUnixMilliseconds,
            submittedBy: job.submittedBy, attempt: job.attempt,
            tasks: job.tasks.map {
                TaskRecord(placement: $0.placement, state: $0.phase.rawValue)
            },
            ledgerRevision: job.ledgerRevision, message: job.message,
            startedUnixMilliseconds: job.startedUnixMilliseconds,
            preemptedBy: job.preemptedBy, isRequeued: job.isRequeued)
    }
}

extension FleetEvent {
    /// The event of a stored record; nil for a kind of a newer version.
    init?(_ record: EventRecord) {
        guard let kind = FleetEventKind(rawValue: record.kind) else { return nil }
        self.init(
            number: record.number, unixMilliseconds: record.unixMilliseconds,
            actor: record.actor, kind: kind, subject: record.subject, message: record.message)
    }
}

extension EventRecord {
    init(_ event: FleetEvent) {
        self.init(
            number: event.number, unixMilliseconds: event.unixMilliseconds, actor: event.actor,
            kind: event.kind.rawValue, subject: event.subject, message: event.message)
    }
}

extension Topology {
    /// A number that changes when nodes, GPUs, domains or their order do.
    ///
    /// Indices in stored records rest on all of these. Limits, fallbacks and constants may change
    /// between two starts.
    ///
    /// FNV-1a over names and shapes.
    var fingerprint: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ text: String) {
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            hash = (hash ^ 0xff) &* 0x100_0000_01b3
        }
        add(fleetName)
        for site in sites { add(site.name) }
        for domain in domains {
            add(domain.name)
            add("\(domain.site.rawValue) \(domain.tree) \(domain.parent?.position ?? -1)")
        }
        for node in nodes {
            let type = nodeTypes[node.type]
            add(node.name)
            add("\(node.site.rawValue) \(type.gpuCount) \(gpuModels[type.model.position].name)")
            add(node.leaves.map { "\($0.rawValue)" }.joined(separator: ","))
        }
        return hash
    }
}
