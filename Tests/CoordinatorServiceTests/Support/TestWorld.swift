// SPDX-License-Identifier: Apache-2.0

import CertificateAuthority
import Configuration
import CoordinatorService
import FleetModel
import Foundation
import Glibc
import Logging
import NIOCore
import NIOPosix
import SecureTransport
import StoreAccess
import Synchronization
import TLSEngine
import Testing

/// A fleet's files in a folder of their own, and the coordinators that are started on them one after
/// the other.
final class TestWorld: Sendable {
    /// One site with two racks, and one that is small.
    ///
    /// The hold is long enough that a loaded machine makes no node look silent.
    static let topology = """
        fleet: testbed
        lease: {term: 12 s, enforcer: 2 s, tick: 50 ms, hold: 1 s}
        node_types:
          - {name: t4, model: H100-SXM, gpus: 4, cpus: 64, memory: 512 GiB, fallback: 1200 W, \
        class: S, settle: 100 ms}
          - {name: u4, model: H100-SXM, gpus: 4, cpus: 64, memory: 512 GiB, fallback: 1200 W, \
        class: U, settle: 100 ms}
        sites:
          - name: east
            limit: 11 kW
            domains:
              - name: rack1
                limit: 6 kW
                nodes: [{names: "e[1-2]", type: t4}]
              - name: rack2
                limit: 6 kW
                nodes: [{names: "e[3-4]", type: t4}]
          - name: west
            limit: 3500 W
            nodes: [{names: w1, type: u4}]
        """

    let directory: String
    let authority: FleetAuthority
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let validity: Validity

    init() throws {
        var template = Array("/tmp/busbar-coordinator-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw CoordinatorError("no temporary folder: errno \(errno)")
        }
        directory = String(cString: made)
        validity = Validity.days(1, from: Int64(time(nil)))
        authority = try FleetAuthority(fleet: "testbed", validity: validity)
        try write(TestWorld.topology, to: "fleet.yaml")
        try write(authority.certificatePEM, to: "ca.pem")
        try issue(.coordinator(site: SpiffeIdentity.everySite, name: "c1"), as: "coordinator")
        try issue(.operator(name: "admin"), as: "admin")
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            print("left behind: \(directory): \(error)")
        }
        group.shutdownGracefully { _ in }
    }

    func write(_ text: String, to name: String) throws {
        let file = fopen("\(directory)/\(name)", "w")
        guard let file else { throw CoordinatorError("cannot write \(name): errno \(errno)") }
        defer { fclose(file) }
        fputs(text, file)
    }

    func issue(_ role: SpiffeIdentity.Role, as name: String) throws {
        try authority.issue(
            try SpiffeIdentity(fleet: "testbed", role: role), validity: validity,
            certificatePath: "\(directory)/\(name).pem", keyPath: "\(directory)/\(name).key")
    }

    func files(_ name: String) -> TLSCredentials.Files {
        TLSCredentials.Files(
            certificate: "\(directory)/\(name).pem", key: "\(directory)/\(name).key",
            authority: "\(directory)/ca.pem")
    }

    var options: CoordinatorOptions {
        CoordinatorOptions(
            topologyPath: "\(directory)/fleet.yaml", storeDirectory: "\(directory)/store",
            listenAddress: Endpoint(host: "127.0.0.1", port: 0),
            httpAddress: Endpoint(host: "127.0.0.1", port: 0),
            certificatePath: "\(directory)/coordinator.pem",
            keyPath: "\(directory)/coordinator.key", authorityPath: "\(directory)/ca.pem",
            readyFilePath: "\(directory)/ready.json")
    }

    /// Starts a coordinator on the files, with stores in a folder of the world's.
    func start(store: String = "store") async throws -> RunningCoordinator {
        var log = Logger(label: "test") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .error
        let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var options = options
        options.fleetStore = StoreLocation(folder: "\(directory)/\(store)")
        options.siteStore = options.fleetStore
        let coordinator = try await Coordinator.open(options, on: loop.next(), log: log)
        let ports = try await coordinator.serve()
        let ended = Task { () async -> CoordinatorError? in
            do {
                try await coordinator.run()
                return nil
            } catch {
                return error as? CoordinatorError ?? CoordinatorError("\(error)")
            }
        }
        return RunningCoordinator(
            coordinator: coordinator, ports: ports, ended: ended, loops: loop)
    }

    /// Connects an agent for a node.
    func agent(_ node: String, of site: String, at ports: Coordinator.Ports) async throws
        -> FakeAgent
    {
        let name = "agent-\(node)"
        try issue(.agent(site: site, node: node), as: name)
        return try await FakeAgent.connect(
            node: node, files: files(name), port: ports.protocolPort, group: group)
    }

    /// Connects an agent for every node.
    func allAgents(at ports: Coordinator.Ports) async throws -> [FakeAgent] {
        var agents: [FakeAgent] = []
        for (node, site) in [
            ("e1", "east"), ("e2", "east"), ("e3", "east"), ("e4", "east"), ("w1", "west"),
        ] {
            agents.append(try await agent(node, of: site, at: ports))
        }
        return agents
    }

    /// Connects an operator's client.
    func client(at ports: Coordinator.Ports) async throws -> TestClient {
        try await TestClient.connect(
            files: files("admin"), port: ports.protocolPort, group: group)
    }
}

/// A coordinator that serves.
struct RunningCoordinator {
    let coordinator: Coordinator
    let ports: Coordinator.Ports
    let ended: Task<CoordinatorError?, Never>
    let loops: MultiThreadedEventLoopGroup

    /// Ends it, and waits until its stores are closed.
    func stop() async throws {
        await coordinator.stop()
        let error = await ended.value
        try await loops.shutdownGracefully()
        if let error { throw error }
    }
}

/// Waits until something holds.
///
/// - Returns: false when it does not within 20 s; the caller says what was expected.
func wait(until condition: () async throws -> Bool) async rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < end {
        if try await condition() { return true }
        do {
            try await Task.sleep(for: .milliseconds(10))
        } catch {
            return false
        }
    }
    return false
}
