// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import DecisionStore
internal import DecisionStoreEtcd
internal import FleetModel
internal import Glibc
internal import Logging
internal import SecureTransport
internal import StoreAccess
internal import TLSEngine
internal import Wire

/// The fleet store, led, and what it says.
struct OpenFleet {
    var store: any DecisionStore
    var leadership: Leadership
    var recordVersion: UInt64?
    var leader: FleetLeader
}

/// Opens a fleet's stores, waits until this coordinator leads in them, and reads what they hold.
struct StoreOpener {
    let options: CoordinatorOptions
    let topology: Topology
    /// Who leads, for people who look at the store.
    let candidate: String
    let log: Logger

    /// Opens the fleet's store; waits for as long as another coordinator leads.
    func openFleet() async throws(CoordinatorError) -> OpenFleet {
        let store: any DecisionStore
        do {
            store = try open(options.fleetStore, .fleet)
            // The records are read after the election, so that no older leader can change them.
            let leadership = try await campaign(store, role: "fleet")
            let snapshot = try await load(store)
            let records = try FleetRecords(snapshot, topology: topology)
            if let stored = records.fingerprint, stored != topology.fingerprint {
                throw CoordinatorError(
                    "the store '\(options.fleetStore)' was made for other nodes or domains than "
                        + "'\(options.topologyPath)' has",
                    hint: "use the former file, or a new store after every job has ended")
            }
            let leader = try FleetLeader(
                topology: topology, jobs: records.jobs, marks: records.marks,
                reservations: records.reservations,
                events: records.events, counters: records.counters)
            return OpenFleet(
                store: store, leadership: leadership,
                recordVersion: snapshot.records.first { $0.key == "fleet" }?.version,
                leader: leader)
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("fleet store: \(error)")
        }
    }

    /// Leads a site anew in its open store, and reads what is there.
    func leadAgain(
        _ store: any DecisionStore, site name: String
    ) async throws(StoreError) -> (Leadership, StoreSnapshot) {
        let leadership = try await campaign(store, role: "site/\(name)")
        return (leadership, try await load(store))
    }

    /// Opens a site's store and takes its ledger over.
    func openSite(_ site: SiteIndex) async throws(CoordinatorError) -> SiteRuntime {
        let name = topology.sites[site.position].name
        do {
            let store = try open(options.siteStore, .site(name))
            let leadership = try await campaign(store, role: "site/\(name)")
            let snapshot = try await load(store)
            let runtime = SiteRuntime(
                site: site, topology: topology, store: store, leadership: leadership)
            try runtime.takeOver(snapshot, isStoreDistrusted: options.isStoreDistrusted)
            return runtime
        } catch let error as CoordinatorError {
            throw error
        } catch {
            throw CoordinatorError("store of site '\(name)': \(error)")
        }
    }

    private func open(
        _ location: StoreLocation, _ store: StoreLocation.Store
    ) throws(StoreError) -> any DecisionStore {
        let files = options.storeCredentials
        return try location.open(
            store, fleet: topology.fleetName,
            credentials: EtcdOptions.Credentials(
                certificatePath: files.certificate ?? options.certificatePath,
                keyPath: files.key ?? options.keyPath,
                authorityPath: files.authority ?? options.authorityPath),
            log: log)
    }

    /// Campaigns until it is won: a cluster that is away comes back, or an operator ends the wait.
    private func campaign(
        _ store: any DecisionStore, role: String
    ) async throws(StoreError) -> Leadership {
        try await patiently(role) { () async throws(StoreError) in
            try await store.campaign(
                role: role, candidate: candidate, epochID: SystemRandom.id())
        }
    }

    /// Reads all records, unless the store says of itself that they must not be used.
    private func load(_ store: any DecisionStore) async throws(StoreError) -> StoreSnapshot {
        var snapshot = try await patiently("load") { () async throws(StoreError) in
            try await store.load(prefix: "")
        }
        if let refusal = StoreMarks(takenFrom: &snapshot).refusal { throw .failed(refusal) }
        return snapshot
    }

    private func patiently<Value: Sendable>(
        _ what: String, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        while true {
            do throws(StoreError) {
                return try await body()
            } catch {
                switch error {
                case .unavailable where options.isAnyStoreShared, .ambiguous: break
                default: throw error
                }
                log.warning(
                    "waiting for the store", metadata: ["what": "\(what)", "reason": "\(error)"])
                do {
                    try await Task.sleep(for: .milliseconds(500))
                } catch is CancellationError {
                    throw error
                } catch {
                    throw .failed("\(error)")
                }
            }
        }
    }
}

/// Tells the supervisor that the process lives while it waits for its turn to lead.
///
/// A coordinator that stands by listens nowhere: agents and operators go on to the next address.
final class Standby: Sendable {
    private let task: Task<Void, Never>?

    /// Starts to tell, after a moment in which a coordinator that need not wait has begun to lead.
    init(isShared: Bool, log: Logger) {
        guard isShared else {
            task = nil
            return
        }
        task = Task {
            let notifier = ServiceNotifier()
            var count = 0
            while !Task.isCancelled {
                do {
                    try await Task.sleep(for: .milliseconds(500))
                } catch {
                    return
                }
                count += 1
                if count == 4 {
                    log.info("standing by while another coordinator leads")
                    notifier.ready()
                }
                notifier.watchdog()
            }
        }
    }

    /// Stops to tell.
    func end() { task?.cancel() }
}

extension Coordinator {
    /// Ends the coordinator as soon as it is known that another leads the fleet.
    ///
    /// Commits would find out too, but an idle fleet has none. A site's ledger is written every tick.
    func watchLeadership() {
        Task { [weak self, fleetStore, fleetLeadership] in
            await fleetStore.untilLost(fleetLeadership)
            await self?.fail(CoordinatorError("the leadership of the fleet is lost"))
        }
    }

    /// Leads a site anew after a ledger write of which nobody knows whether it was applied, or that
    /// could not be made: nothing is answered until the ledger has been read under a new epoch, which
    /// fences the old write for ever.
    ///
    /// The site's agents have to come again: what they had asked for is dropped with the old epoch.
    func retakeLedger(_ site: SiteRuntime, reason: String) {
        log.warning(
            "leading a site anew", metadata: ["site": "\(site.name)", "reason": "\(reason)"])
        site.grantor.stepDown()
        site.isCommitting = true
        site.floorsInFlight = nil
        let opener = StoreOpener(
            options: options, topology: topology, candidate: "\(context.identity)", log: log)
        let (index, store, name) = (site.site.position, site.store, site.name)
        Task {
            do throws(StoreError) {
                let (leadership, snapshot) = try await opener.leadAgain(store, site: name)
                self.ledgerRetaken(leadership, snapshot, siteIndex: index)
            } catch {
                self.fail(CoordinatorError("the ledger of site '\(name)': \(error)"))
            }
        }
    }

    private func ledgerRetaken(
        _ leadership: Leadership, _ snapshot: StoreSnapshot, siteIndex: Int
    ) {
        guard !isEnding else { return }
        let site = sites[siteIndex]
        do throws(CoordinatorError) {
            site.leadership = leadership
            try site.takeOver(snapshot, isStoreDistrusted: options.isStoreDistrusted)
        } catch {
            return fail(error)
        }
        site.isCommitting = false
        for session in agents.values.sorted(by: { $0.number < $1.number })
        where topology.nodes[session.node.position].site == site.site {
            session.connection.close()
        }
        observeSites()
        log.info(
            "leads a site anew",
            metadata: ["site": "\(site.name)", "epoch": "\(leadership.epoch)"])
    }
}
