// SPDX-License-Identifier: Apache-2.0

import CertificateAuthority
import ControlPlane
import Devices
import EnforcerService
import FleetModel
import LocalSocket
import TLSEngine
import Testing
import Wire

let millisecond: Int64 = 1_000_000
let second: Int64 = 1_000_000_000

/// Clocks that stand still until they are moved.
final class ManualClock: LeaseClock {
    /// Where certificates of the tests are valid.
    static let unixSeconds: Int64 = 1_800_000_000
    var reading = ClockReading(rawNanoseconds: 5 * second, bootNanoseconds: 9 * second)

    func read() -> ClockReading { reading }
    func unixSeconds() -> Int64 { ManualClock.unixSeconds }
    func advance(_ nanoseconds: Int64) { reading = reading.advanced(by: nanoseconds) }
}

/// Simulated hardware in this process, on the test's clock; outlives enforcers.
final class TestHardware: DeviceBackend {
    private let clock: ManualClock
    private let topology: Topology
    var fleet: SimulatedFleet
    var isAvailable = true
    /// Commands are carried out, but nobody hears of it.
    var losesAnswers = false
    /// Called after every command that was carried out.
    var afterCommand: (DeviceCommand) -> Void = { _ in }
    private(set) var writeCount = 0

    init(_ topology: Topology, clock: ManualClock) {
        self.clock = clock
        self.topology = topology
        fleet = SimulatedFleet(topology: topology, bootID: [1], at: clock.reading.rawNanoseconds)
    }

    /// Power goes off and on: a new boot, with boot caps.
    func powerCycle() {
        fleet = SimulatedFleet(topology: topology, bootID: [2], at: now)
    }

    var now: Int64 { clock.reading.rawNanoseconds }

    func enforced(_ node: String) throws -> [UInt32] {
        try fleet.caps(node: node, at: now).enforcedMilliwatts
    }

    func inventory(node: String) throws(DeviceError) -> HardwareInventory {
        guard isAvailable else { throw .unavailable("switched off by the test") }
        return try fleet.inventory(node: node)
    }

    func perform(_ commands: [DeviceCommand]) throws(DeviceError) -> [DeviceAnswer] {
        var answers: [DeviceAnswer] = []
        for command in commands {
            guard isAvailable else { throw .unavailable("switched off by the test") }
            do throws(DeviceError) {
                answers.append(try answer(command))
            } catch {
                answers.append(.refused("\(error)"))
            }
            afterCommand(command)
        }
        if losesAnswers { throw .unavailable("the answer was lost by the test") }
        return answers
    }

    private func answer(_ command: DeviceCommand) throws(DeviceError) -> DeviceAnswer {
        switch command {
        case .readCaps(let node): return .caps(try fleet.caps(node: node, at: now))
        case .readSensors(let node): return .sensors(try fleet.sensors(node: node, at: now))
        case .setCap(let node, let device, let cap):
            writeCount += 1
            try fleet.writeCap(cap, node: node, device: device, at: now)
            return .caps(try fleet.caps(node: node, at: now))
        case .setDemand(let node, let device, let demand):
            try fleet.setDemand(demand, node: node, device: device, at: now)
            return .done
        }
    }
}

/// Records in memory; outlives enforcers as a file does.
final class TestRecords: RecordStorage {
    var leases: [String: LeaseRecord] = [:]
    var proofs: [String: Int64] = [:]
    var afterStore: () -> Void = {}

    func record(of node: String) -> LeaseRecord? { leases[node] }

    func store(_ record: LeaseRecord, of node: String) throws(RecordError) {
        leases[node] = record
        afterStore()
    }

    func proof(of node: String) -> Int64? { proofs[node] }

    func storeProof(_ nanoseconds: Int64, of node: String) throws(RecordError) {
        proofs[node] = nanoseconds
    }
}

/// A certificate authority and the coordinators that sign in tests; made once, keys are slow.
struct TestSigners {
    static let shared = TestSigners()

    let authorities: [[UInt8]]
    let coordinator: GrantSigner
    /// A coordinator of another site.
    let foreign: GrantSigner
    /// A coordinator of every site, under an authority that nobody trusts.
    let impostor: GrantSigner

    private init() {
        do {
            let validity = Validity.days(30, from: ManualClock.unixSeconds - 1000)
            let authority = try FleetAuthority(fleet: "small", validity: validity)
            let other = try FleetAuthority(fleet: "small", validity: validity)
            coordinator = try TestSigners.signer(authority, site: "s", validity)
            foreign = try TestSigners.signer(authority, site: "elsewhere", validity)
            impostor = try TestSigners.signer(other, site: "fleet", validity)
            authorities = try TestSigners.credentials(authority, site: "s", validity).authorities
        } catch {
            preconditionFailure("test certificates could not be made: \(error)")
        }
    }

    private static func credentials(
        _ authority: FleetAuthority, site: String, _ validity: Validity
    ) throws -> TLSCredentials {
        let identity = try SpiffeIdentity(
            fleet: "small", role: .coordinator(site: site, name: "c1"))
        let issued = try authority.issue(identity, validity: validity)
        return try TLSCredentials(
            chainPEM: Array(issued.certificatePEM.utf8), keyPEM: Array(issued.keyPEM.utf8),
            authorityPEM: Array(authority.certificatePEM.utf8))
    }

    private static func signer(
        _ authority: FleetAuthority, site: String, _ validity: Validity
    ) throws -> GrantSigner {
        try GrantSigner(credentials(authority, site: site, validity))
    }
}

/// Two nodes of two GPUs in one rack: 100 W idle, 200 to 700 W each; the fallback is 800 W a node.
func pairFleet(enforcementClass: EnforcementClass = .unsupervised) -> Topology {
    let site = SiteIndex(rawValue: 0)
    let root = DomainIndex(rawValue: 0)
    return Topology(
        fleetName: "small", sites: [Site(name: "s", root: root, allotment: .watts(2400))],
        domains: [
            PowerDomain(
                name: "s", level: "site", site: site, parent: nil, tree: 0, limit: .watts(2400),
                overhead: .zero)
        ],
        gpuModels: [
            GPUModel(
                name: "T700", vendor: .nvidia, idle: .watts(100), minimumCap: .watts(200),
                maximumCap: .watts(700), defaultFloor: .watts(350), memoryMiB: 80 << 10,
                isEstimate: true, source: "made up for tests")
        ],
        nodeTypes: [
            NodeType(
                name: "pair", model: ModelIndex(rawValue: 0), gpuCount: 2, cpuMilli: 64_000,
                memoryMiB: 512 << 10, fallback: .watts(800), enforcementClass: enforcementClass,
                bootState: .default, settleNanoseconds: 50 * millisecond)
        ],
        nodes: ["n1", "n2"].enumerated().map { position, name in
            Node(
                name: name, site: site, type: 0, leaves: [root],
                firstGPU: GPUIndex(2 * position))
        }, lease: LeaseParameters())
}

/// An enforcer of both nodes, its hardware, its records, and an agent's connection.
final class EnforcerHarness {
    static let agent = ConnectionID(rawValue: 1)

    let topology: Topology
    let clock = ManualClock()
    let hardware: TestHardware
    let records = TestRecords()
    private(set) var core: EnforcerCore
    /// What came for the agent and was not yet asked for.
    private(set) var inbox: [EnforcerMessage] = []
    private var incarnations: UInt64 = 0
    let epochID = RandomID(high: 7, low: 7)

    init(_ topology: Topology = pairFleet()) throws {
        self.topology = topology
        hardware = TestHardware(topology, clock: clock)
        core = try EnforcerHarness.makeCore(topology, hardware, records, clock, 0)
    }

    private static func makeCore(
        _ topology: Topology, _ hardware: TestHardware, _ records: TestRecords,
        _ clock: ManualClock, _ generation: UInt64
    ) throws -> EnforcerCore {
        let verifier = GrantVerifier(
            verifier: try CertificateVerifier(
                authorities: TestSigners.shared.authorities, fleet: "small"), site: "s")
        var count: UInt64 = 0
        return EnforcerCore(
            topology: topology, hosted: topology.nodes.indices.map { NodeIndex($0) },
            verifiers: [SiteIndex(rawValue: 0): verifier], devices: hardware, records: records,
            clock: clock,
            newIncarnation: {
                count += 1
                return RandomID(high: generation, low: count)
            })
    }

    /// The enforcer dies where it stands, and another one starts.
    func restart() throws {
        incarnations += 1
        inbox = []
        core = try EnforcerHarness.makeCore(topology, hardware, records, clock, incarnations)
    }

    /// Lets time pass in the steps that the enforcer asks for.
    func run(_ nanoseconds: Int64) {
        let end = clock.reading.rawNanoseconds + nanoseconds
        while true {
            let wait = core.advance()
            inbox += core.takeOutbox().map(\.message)
            let left = end - clock.reading.rawNanoseconds
            guard left > 0 else { return }
            clock.advance(min(max(wait, 100_000), left))
        }
    }

    /// Takes the messages that came for a node.
    func take(_ node: String) -> [EnforcerMessage.Body] {
        defer { inbox.removeAll { $0.node == node } }
        return inbox.filter { $0.node == node }.map(\.body)
    }

    func send(_ body: EnforcerMessage.Body, _ node: String = "n1") {
        core.receive(EnforcerMessage(node: node, body: body), from: EnforcerHarness.agent)
        inbox += core.takeOutbox().map(\.message)
    }

    /// Asks for a renewal and returns it.
    func renewal(_ node: String = "n1") throws -> LeaseRenewal {
        send(.renewalRequest, node)
        let renewals = take(node).compactMap { body in
            if case .renewal(let renewal) = body { renewal } else { nil }
        }
        return try #require(renewals.last)
    }

    func grant(
        for renewal: LeaseRenewal, watts: Int64, sequence: UInt64, node: String = "n1",
        lease: Int64 = 20 * second, epoch: UInt64 = 1
    ) -> LeaseGrant {
        LeaseGrant(
            node: node, incarnation: renewal.incarnation, nonce: renewal.nonce,
            order: LeaseOrder(epoch: epoch, sequence: sequence), epochID: epochID,
            cap: .watts(watts), leaseNanoseconds: lease, fallback: .watts(800),
            fallbackVersion: 1, holdNanoseconds: 3 * second)
    }

    /// Signs a grant and hands it over; returns the verdict.
    func deliver(
        _ grant: LeaseGrant, to node: String = "n1",
        by signer: GrantSigner = TestSigners.shared.coordinator
    ) throws -> GrantOutcome {
        let payload = grant.encoded()
        let signed = SignedGrant(payload: payload, signature: try signer.sign(payload))
        send(.grantDelivery(GrantDelivery(grant: signed, signerChain: signer.chain)), node)
        let verdicts = take(node).compactMap { body in
            if case .grantVerdict(let verdict) = body { verdict.outcome } else { nil }
        }
        return try #require(verdicts.last)
    }

    /// Gets a lease for a node, and lets it settle.
    func lease(
        watts: Int64, sequence: UInt64, node: String = "n1", lease: Int64 = 20 * second
    ) throws {
        let grant = grant(
            for: try renewal(node), watts: watts, sequence: sequence, node: node, lease: lease)
        #expect(try deliver(grant, to: node) == .accepted)
        run(200 * millisecond)
    }

    /// What a node's hardware may be enforcing, in watts.
    func enforcedWatts(_ node: String = "n1") throws -> UInt32 {
        try hardware.enforced(node).reduce(0, +) / 1000
    }
}
