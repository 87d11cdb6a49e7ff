// SPDX-License-Identifier: Apache-2.0

import CoordinatorService
import FleetModel
import Glibc
import NIOCore
import NIOPosix
import SecureTransport
import TLSEngine
import Testing
import Wire

/// Goal: a peer that breaks the rules is cut with a reason, and nobody else notices.
///
/// Method: agents that lie, over real TLS.
@Suite struct SessionServiceTests {
    @Test("An agent that speaks for another node is refused")
    func refusesForeignHello() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        try world.issue(.agent(site: "east", node: "e1"), as: "agent-e1")
        let liar = try await FakeAgent.dial(
            node: "e1", files: world.files("agent-e1"), port: running.ports.protocolPort,
            group: world.group)
        liar.hello(as: "e2")
        let isRefused = await wait { liar.seen.refusal?.code == .wrongIdentity }
        #expect(isRefused)
        let isClosed = await wait { liar.seen.closed != nil }
        #expect(isClosed)
        try await running.stop()
    }

    @Test("An agent of a node or site that the topology does not have is refused")
    func refusesUnknownNodes() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        for (node, site) in [("e9", "east"), ("e1", "west")] {
            let agent = try await world.agent(node, of: site, at: running.ports)
            let isRefused = await wait { agent.seen.refusal?.code == .unknownNode }
            #expect(isRefused)
        }
        try await running.stop()
    }

    @Test("An agent with other GPUs than the topology has is refused")
    func refusesOtherInventory() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        try world.issue(.agent(site: "east", node: "e1"), as: "agent-e1")
        let agent = try await FakeAgent.dial(
            node: "e1", files: world.files("agent-e1"), port: running.ports.protocolPort,
            group: world.group)
        agent.hello(gpuCount: 8)
        let isRefused = await wait { agent.seen.refusal?.code == .inventory }
        #expect(isRefused)
        try await running.stop()
    }

    @Test("A second session of a node takes over from the first")
    func replacesSessions() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let old = try await world.agent("e1", of: "east", at: running.ports)
        let isOpen = await wait { old.seen.welcomes == 1 }
        #expect(isOpen)
        let new = try await world.agent("e1", of: "east", at: running.ports)
        let isReplaced = await wait {
            old.seen.refusal?.code == .replaced && new.seen.welcomes == 1
        }
        #expect(isReplaced)
        let isGranted = await wait { !new.seen.grants.isEmpty }
        #expect(isGranted)
        try await running.stop()
    }

    @Test(
        "What breaks the protocol ends the session, and the others go on",
        arguments: [
            "bytes", "report first", "coordinator's message", "two hellos", "short report",
        ])
    func cutsViolators(what: String) async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let good = try await world.agent("e2", of: "east", at: running.ports)
        try world.issue(.agent(site: "east", node: "e1"), as: "agent-e1")
        let bad = try await FakeAgent.dial(
            node: "e1", files: world.files("agent-e1"), port: running.ports.protocolPort,
            group: world.group)
        switch what {
        case "bytes": bad.send([0xff, 0xff, 0xff])
        case "report first": bad.report(watts: 100)
        case "coordinator's message":
            bad.hello()
            bad.send(.taskStop(TaskAttempt(job: JobID(1), taskIndex: 0, attempt: 1)))
        case "two hellos":
            bad.hello()
            bad.hello()
        default:
            bad.hello()
            bad.report(watts: 100, gpuCount: 3)
        }
        let isCut = await wait {
            bad.seen.refusal?.code == .protocolViolation && bad.seen.closed != nil
        }
        #expect(isCut)
        let count = good.seen.grants.count
        let goesOn = await wait { good.seen.grants.count > count }
        #expect(goesOn)
        try await running.stop()
    }

    @Test("A silent node keeps its charge, and comes back without a manual step")
    func keepsSilentNodesCharged() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let agents = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        await agents[4].close()
        let isSilent = try await wait { try await node("w1", client).state == .silent }
        #expect(isSilent)
        #expect(try await node("w1", client).charge >= .watts(1200))
        let back = try await world.agent("w1", of: "west", at: running.ports)
        let isLive = try await wait { try await node("w1", client).state == .live }
        #expect(isLive)
        #expect(back.seen.welcomes == 1)
        try await running.stop()
    }

    @Test("Caps that an enforcer found raised reach the node's view, the audit log and the metrics")
    func tellsOfViolations() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let agents = try await world.allAgents(at: running.ports)
        let client = try await world.client(at: running.ports)
        try await client.waitUntilCommissioned()
        #expect(try await node("e1", client).violations == 0)
        agents[0].find(violations: 3)
        let isSeen = try await wait { try await node("e1", client).violations == 3 }
        #expect(isSeen)
        // The same count again is no news; that of the enforcer's next life adds up.
        agents[0].renew()
        agents[0].find(violations: 1, life: 2)
        let isAdded = try await wait { try await node("e1", client).violations == 4 }
        #expect(isAdded)
        #expect(try await node("e2", client).violations == 0)
        let events = try await client.events().filter { $0.kind == "cap-violation" }
        #expect(events.allSatisfy { $0.subject == "e1" })
        #expect(try #require(events.first).message.hasPrefix("3 caps "))
        let metrics = try await httpGet("/metrics", port: running.ports.httpPort)
        #expect(metrics.contains("busbar_cap_violations_total{site=\"east\"} 4\n"))
        #expect(metrics.contains("busbar_cap_violations_total{site=\"west\"} 0\n"))
        try await running.stop()
    }

    @Test("A new certificate of the coordinator signs grants without a restart; a bad one does not")
    func renewsItsCertificate() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let agent = try await world.agent("e1", of: "east", at: running.ports)
        let isGranted = await wait { !agent.seen.grants.isEmpty }
        #expect(isGranted)
        let first = agent.seen.chain
        try world.write("no key", to: "coordinator.key")
        let count = agent.seen.grants.count
        let goesOn = await wait { agent.seen.grants.count > count + 2 }
        #expect(goesOn)
        #expect(agent.seen.chain == first)
        try world.issue(.coordinator(site: SpiffeIdentity.everySite, name: "c1"), as: "coordinator")
        let isTold = await wait { agent.seen.chain != first }
        #expect(isTold)
        let second = agent.seen.chain
        let isUsed = await wait { agent.seen.deliveries.last?.signerChain == second }
        #expect(isUsed)
        // Every grant, before and after, verifies with the chain that was known when it came.
        let verifier = GrantVerifier(
            verifier: try CertificateVerifier(
                authorityPath: "\(world.directory)/ca.pem", fleet: "testbed"),
            site: "east")
        for delivery in agent.seen.deliveries {
            _ = try verifier.verify(
                payload: delivery.grant.payload, signature: delivery.grant.signature,
                chain: delivery.signerChain, at: Int64(time(nil)))
        }
        #expect(agent.seen.closed == nil)
        #expect(agent.seen.welcomes == 2)
        try await running.stop()
    }

    @Test("Health and metrics are served over HTTP")
    func servesHTTP() async throws {
        let world = try TestWorld()
        let running = try await world.start()
        let health = try await httpGet("/healthz", port: running.ports.httpPort)
        #expect(health.hasPrefix("HTTP/1.1 200"))
        #expect(health.contains("ok: 0 of 5 agents connected"))
        let metrics = try await httpGet("/metrics", port: running.ports.httpPort)
        #expect(metrics.contains("busbar_nodes 5"))
        #expect(metrics.contains("busbar_domain_limit_watts{domain=\"east/rack1\""))
        #expect(try await httpGet("/other", port: running.ports.httpPort).contains("404"))
        try await running.stop()
    }

    private func node(_ name: String, _ client: TestClient) async throws -> NodeView {
        let replies = try await client.ask(.describeNode(name))
        guard case .node(let detail) = replies[0].body else {
            throw CloseReason.lost("unexpected answer \(replies[0].body)")
        }
        return detail.node
    }

    /// One request on a connection of its own; the whole answer as text.
    private func httpGet(_ path: String, port: Int) async throws -> String {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ClientBootstrap(group: group)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel)
                }
            }
        let text = try await channel.executeThenClose { inbound, outbound in
            let request = "GET \(path) HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
            try await outbound.write(ByteBuffer(string: request))
            var answer = ""
            for try await part in inbound { answer += String(buffer: part) }
            return answer
        }
        try await group.shutdownGracefully()
        return text
    }
}
