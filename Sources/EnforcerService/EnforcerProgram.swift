// SPDX-License-Identifier: Apache-2.0

internal import Devices
internal import FleetModel
internal import Glibc
internal import LocalSocket
internal import Logging
internal import TLSEngine
internal import Wire

/// What an enforcer process is told on its command line.
package struct EnforcerOptions: Hashable, Sendable {
    /// Which nodes a process answers for.
    package enum Hosting: Hashable, Sendable {
        case node(String)
        /// Every node of a site: for fleets whose hardware is simulated.
        case site(String)
    }

    /// The compiled plan of the fleet.
    package var plan: String
    package var hosting: Hosting
    /// The socket of the simulated hardware.
    package var hardware: String
    /// Where to listen for agents.
    package var socket: String
    /// The directory of the records.
    package var records: String
    /// The authorities of the fleet, PEM.
    package var authority: String

    package init(
        plan: String, hosting: Hosting, hardware: String, socket: String, records: String,
        authority: String
    ) {
        self.plan = plan
        self.hosting = hosting
        self.hardware = hardware
        self.socket = socket
        self.records = records
        self.authority = authority
    }
}

/// What keeps an enforcer from starting; one line for its last words.
package struct EnforcerStartError: Error, CustomStringConvertible {
    package var description: String
}

/// The enforcer as a process: one thread, no network.
///
/// **Isolation:** the main thread.
package final class EnforcerProgram {
    private static let beatNanoseconds: Int64 = 200_000_000
    /// How often the file of trusted authorities is looked at.
    private static let authorityNanoseconds: Int64 = 1_000_000_000

    private let options: EnforcerOptions
    private let core: EnforcerCore
    private let authorities: CertificateVerifier
    private let records: RecordDirectory
    private let markerName: String
    private let limitNanoseconds: Int64
    private let clock = SystemLeaseClock()
    private let poller = LocalPoller()
    private let notifier = ServiceNotifier()
    private let logger = Logger(label: "busbar.enforcer")
    private var events: [LocalEvent] = []
    private var arena = WireArena()
    private var bytes: [UInt8] = []
    private var lastBeat: ClockReading
    private var lastAuthorityLook: ClockReading

    /// Serves until SIGTERM or SIGINT.
    ///
    /// The caps stay as they are at a stop: the next life resumes the lease or falls back.
    ///
    /// - Parameter options: the command line.
    /// - Throws: ``EnforcerStartError``.
    package static func run(_ options: EnforcerOptions) throws(EnforcerStartError) {
        let signals = TerminationSignals()
        try serve(options) { signals.take() }
    }

    /// Serves on the calling thread until `isOver` says so; it is asked several times a second.
    ///
    /// - Parameters:
    ///   - options: the command line.
    ///   - isOver: true to end.
    /// - Throws: ``EnforcerStartError``.
    package static func serve(
        _ options: EnforcerOptions, until isOver: () -> Bool
    ) throws(EnforcerStartError) {
        let program = try EnforcerProgram(options)
        do throws(LocalSocketError) {
            if try program.start(isOver) {
                while !isOver() { program.turn() }
            }
        } catch {
            throw EnforcerStartError(description: "\(error)")
        }
        program.notifier.stopping()
    }

    private init(_ options: EnforcerOptions) throws(EnforcerStartError) {
        self.options = options
        lastBeat = clock.read()
        lastAuthorityLook = lastBeat
        let topology: Topology
        do throws(PlanFileError) {
            topology = try FleetPlan.read(path: options.plan).topology
        } catch {
            throw EnforcerStartError(description: "\(error)")
        }
        let (hosted, owner) = try topology.hosted(options.hosting)
        markerName = "\(owner).selftest"
        limitNanoseconds = topology.lease.enforcerNanoseconds
        do throws(RecordError) {
            records = try RecordDirectory(path: options.records, owner: owner)
        } catch {
            throw EnforcerStartError(description: "\(error)")
        }
        var verifiers: [SiteIndex: GrantVerifier] = [:]
        do throws(TLSConfigurationError) {
            authorities = try CertificateVerifier(
                authorityPath: options.authority, fleet: topology.fleetName)
        } catch {
            throw EnforcerStartError(description: "\(error)")
        }
        for index in hosted {
            let site = topology.nodes[index.position].site
            if verifiers[site] == nil {
                verifiers[site] = GrantVerifier(
                    verifier: authorities, site: topology.sites[site.position].name)
            }
        }
        core = EnforcerCore(
            topology: topology, hosted: hosted, verifiers: verifiers,
            devices: SimulatedDevices(path: options.hardware), records: records, clock: clock,
            newIncarnation: { RandomID.fresh() })
    }

    // MARK: - Life

    /// Brings every node to its fallback or its old lease, tests class S, and opens the socket.
    ///
    /// - Returns: false when the end came first.
    private func start(_ isOver: () -> Bool) throws(LocalSocketError) -> Bool {
        while !core.hasDevices {
            if isOver() { return false }
            turn()
        }
        var test = SelfTest(limitNanoseconds: limitNanoseconds, marker: takeMarker())
        // Without a supervisor nobody would restart a killed enforcer, and without one that watches
        // for signs of life nobody would end one that hangs: nothing is proven then.
        let isSupervised = getenv("NOTIFY_SOCKET") != nil && getenv("WATCHDOG_USEC") != nil
        if !isSupervised, !core.untestedNodes.isEmpty {
            logger.info("no supervisor with a watchdog: no self-test, and so no class S")
        }
        testing: while isSupervised {
            if isOver() { return false }
            turn()
            switch test.advance(core) {
            case .running: continue
            case .done: break testing
            case .end(let marker): end(marker)
            }
        }
        try poller.listen(path: options.socket)
        notifier.ready()
        return true
    }

    /// One turn: what is due, what is to be sent, what comes in.
    private func turn() {
        let timeout = min(core.advance(), EnforcerProgram.beatNanoseconds)
        flush()
        poller.wait(timeoutNanoseconds: timeout, into: &events)
        for event in events { take(event) }
        flush()
        let now = clock.read()
        if now.heldSince(lastBeat) >= EnforcerProgram.beatNanoseconds {
            lastBeat = now
            notifier.watchdog()
        }
        if now.heldSince(lastAuthorityLook) >= EnforcerProgram.authorityNanoseconds {
            lastAuthorityLook = now
            reloadAuthorities()
        }
    }

    /// Looks whether the file of trusted authorities was replaced; one that cannot be used changes
    /// nothing and is named once.
    private func reloadAuthorities() {
        do throws(TLSConfigurationError) {
            if try authorities.reloadIfChanged() { logger.info("trusts new authorities") }
        } catch {
            logger.error("the new file of authorities is not used: \(error)")
        }
    }

    private func take(_ event: LocalEvent) {
        switch event {
        case .frame(let connection, let payload):
            do throws(WireError) {
                core.receive(
                    try EnforcerMessage.decode(payload.span.bytes, arena: &arena), from: connection)
            } catch {
                logger.error("an agent sent what cannot be read: \(error)")
                poller.close(connection)
                core.connectionClosed(connection)
            }
        case .closed(let connection, _): core.connectionClosed(connection)
        case .opened, .readable: break
        }
    }

    private func flush() {
        for outgoing in core.takeOutbox() {
            bytes.removeAll(keepingCapacity: true)
            outgoing.message.encode(into: &bytes, arena: &arena)
            poller.send(bytes, to: outgoing.connection)
        }
    }

    // MARK: - Self-test

    private func takeMarker() -> SelfTest.Marker? {
        guard let bytes = records.read(markerName) else { return nil }
        records.remove(markerName)
        return SelfTest.Marker(bytes, now: clock.read())
    }

    /// Leaves the marker, and dies as a crashed enforcer does, or hangs as a stuck one.
    private func end(_ marker: SelfTest.Marker) {
        do throws(RecordError) {
            try records.replace(markerName, with: marker.encoded(), isSynced: false)
        } catch {
            logger.error("self-test: \(error)")
            return
        }
        switch marker.ending {
        case .kill: kill(getpid(), SIGKILL)
        case .hang:
            // A supervisor watches only who has been ready, and counts from the last sign of life.
            notifier.ready()
            notifier.watchdog()
            kill(getpid(), SIGSTOP)
            // Whoever let it go on has not restarted it.
            records.remove(markerName)
        }
    }
}

extension RandomID {
    /// 128 fresh random bits.
    static func fresh() -> RandomID {
        var generator = SystemRandomNumberGenerator()
        return RandomID(high: generator.next(), low: generator.next())
    }
}

extension Topology {
    /// The nodes that a process hosts, and the name of its lock and marker.
    func hosted(
        _ hosting: EnforcerOptions.Hosting
    ) throws(EnforcerStartError) -> (nodes: [NodeIndex], owner: String) {
        switch hosting {
        case .node(let name):
            guard let position = nodes.firstIndex(where: { $0.name == name }) else {
                throw EnforcerStartError(description: "the plan has no node '\(name)'")
            }
            return ([NodeIndex(position)], "node-\(name)")
        case .site(let name):
            guard let site = sites.firstIndex(where: { $0.name == name }) else {
                throw EnforcerStartError(description: "the plan has no site '\(name)'")
            }
            let hosted = nodes.indices.filter { nodes[$0].site.position == site }
            return (hosted.map { NodeIndex($0) }, "site-\(name)")
        }
    }
}
