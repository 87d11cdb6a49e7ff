// SPDX-License-Identifier: Apache-2.0

import CertificateAuthority
import FleetModel
import Foundation
import Logging
import NIOCore
import NIOPosix
import SecureTransport
import Synchronization
import TLSEngine
import Testing
import Wire

@testable import OperatorCLI

/// Goal: what a client has asked for is answered once, whatever becomes of its connections.
///
/// Method: a coordinator that does as the test says, on a real port with real certificates.
@Suite("Operator client", .timeLimit(.minutes(1)))
struct OperatorClientTests {
    /// Answers requests by a script, and remembers them.
    private final class ScriptedCoordinator: Sendable {
        /// What to do with a request, by how many came before it on all connections.
        typealias Script = @Sendable (Int, OperatorRequest, SecureConnection) -> Void

        let requests = Mutex<[OperatorRequest]>([])
        private let script: Script

        init(_ script: @escaping Script) { self.script = script }

        func received(_ request: OperatorRequest, _ connection: SecureConnection) {
            let number = requests.withLock { requests in
                requests.append(request)
                return requests.count - 1
            }
            script(number, request, connection)
        }

        var bodies: [OperatorRequest.Body] { requests.withLock { $0.map(\.body) } }
    }

    private final class Receiver: FrameReceiver {
        private let coordinator: ScriptedCoordinator
        private let connection: SecureConnection

        init(_ coordinator: ScriptedCoordinator, _ connection: SecureConnection) {
            self.coordinator = coordinator
            self.connection = connection
        }

        func received(_ frame: ByteBuffer) {
            do {
                let request = try frame.withUnsafeReadableBytes { try OperatorRequest.decode($0) }
                coordinator.received(request, connection)
            } catch {
                Issue.record("not a request: \(error)")
            }
        }

        func closed(_ reason: CloseReason) {}
    }

    /// A fleet's authority, a scripted coordinator of it, and a client.
    private func withClient(
        patience: Duration = .seconds(20), operatorOf fleet: String = "f",
        _ script: @escaping ScriptedCoordinator.Script,
        _ body: (OperatorClient, ScriptedCoordinator) async throws -> Void
    ) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(
            path: "busbar-\(UUID().uuidString.prefix(8))"
        ).path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let validity = Validity.days(1, from: Int64(Date().timeIntervalSince1970))
        let authority = try FleetAuthority.create(fleet: "f", in: directory, validity: validity)
        func files(
            _ name: String, _ role: SpiffeIdentity.Role, by authority: FleetAuthority
        ) throws -> TLSCredentials.Files {
            let files = TLSCredentials.Files(
                certificate: "\(directory)/\(name).pem", key: "\(directory)/\(name).key",
                authority: "\(directory)/ca.pem")
            try authority.issue(
                SpiffeIdentity(fleet: authority.fleet, role: role), validity: validity,
                certificatePath: files.certificate, keyPath: files.key)
            return files
        }
        let own = try files("c", .coordinator(site: "fleet", name: "c"), by: authority)
        let issuer =
            fleet == "f" ? authority : try FleetAuthority(fleet: fleet, validity: validity)
        let client = try files("o", .operator(name: "o"), by: issuer)
        let coordinator = ScriptedCoordinator(script)
        let listener = try await SecureListener.open(
            .init(endpoint: Endpoint(host: "127.0.0.1", port: 0), protocols: [.operator]),
            context: TLSContext(TLSCredentials(files: own)),
            group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test")
        ) { Receiver(coordinator, $0) }
        let session = try OperatorClient(
            FleetAddress(coordinators: "127.0.0.1:\(listener.port)", credentials: client),
            patience: patience)
        session.open()
        do {
            try await body(session, coordinator)
        } catch {
            await session.close()
            await listener.close()
            throw error
        }
        await session.close()
        await listener.close()
    }

    private static func job(_ id: UInt64) -> JobView {
        JobView(
            id: JobID(id), name: "n\(id)", state: .running, priority: 0, taskCount: 1, gpuCount: 1,
            gpuMilli: 1000, floor: .zero, cap: .zero, levelPPM: 0, reason: "",
            submittedUnixMilliseconds: 0, nodes: "", submittedBy: "")
    }

    private static func answer(
        _ request: OperatorRequest, _ body: OperatorReply.Body, on connection: SecureConnection,
        isLast: Bool = true
    ) {
        connection.send(OperatorReply(id: request.id, isLast: isLast, body: body).encoded())
    }

    private static let version = OperatorReply.Body.version(
        VersionReply(version: "v", protocolVersion: 1))

    @Test("What was not answered when a connection ends is sent again, once each, in order")
    func resends() async throws {
        try await withClient { number, request, connection in
            // The first three stay without an answer, and then the connection goes.
            if number == 2 { connection.close() }
            guard number > 2, case .cancelJob(_, let job) = request.body else { return }
            let id = JobID(text: job) ?? JobID(0)
            Self.answer(
                request, .cancelled(CancelReply(job: id, state: .cancelled)), on: connection)
        } _: { client, coordinator in
            let ids = (1...3).map { RandomID(high: 7, low: $0) }
            let answers = await withTaskGroup(of: (Int, Int).self) { group in
                for (index, id) in ids.enumerated() {
                    let (stream, continuation) = AsyncStream.makeStream(of: Int.self)
                    client.post(
                        .cancelJob(requestID: id, job: "j\(index + 1)"), deadline: .seconds(20)
                    ) { result in
                        continuation.yield((try? result.get())?.sendCount ?? 0)
                        continuation.finish()
                    }
                    group.addTask {
                        for await count in stream { return (index, count) }
                        return (index, 0)
                    }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect(answers.values.allSatisfy { $0 >= 2 }, "\(answers)")
            let again = coordinator.bodies.suffix(3)
            let expected = ids.enumerated().map {
                OperatorRequest.Body.cancelJob(requestID: $0.element, job: "j\($0.offset + 1)")
            }
            #expect(Array(again) == expected)
        }
    }

    @Test("A list comes in as many pages and requests as it takes")
    func pages() async throws {
        try await withClient { _, request, connection in
            guard case .listJobs(_, let after, _) = request.body else { return }
            // Two pages of two in an answer, as long as there are any.
            let next = (1...6).map(UInt64.init).filter { $0 > after.rawValue }.prefix(4)
            Self.answer(
                request, .jobs(next.prefix(2).map(Self.job)), on: connection, isLast: false)
            Self.answer(request, .jobs(next.dropFirst(2).map(Self.job)), on: connection)
        } _: { client, coordinator in
            let jobs = try await client.jobs(.open, limit: nil, .seconds(10))
            #expect(jobs.map(\.id.rawValue) == [1, 2, 3, 4, 5, 6])
            #expect(coordinator.bodies.count == 3)
            let few = try await client.jobs(.open, limit: 3, .seconds(10))
            #expect(few.map(\.id.rawValue) == [1, 2, 3])
        }
    }

    @Test("A coordinator that cannot answer yet is asked again; a refusal is final")
    func passing() async throws {
        try await withClient { number, request, connection in
            if case .explainJob = request.body {
                let error = OperatorError(code: .notFound, message: "no job", hint: "look")
                Self.answer(request, .error(error), on: connection)
            } else if number < 2 {
                let error = OperatorError(code: .unavailable, message: "no leader")
                Self.answer(request, .error(error), on: connection)
            } else {
                Self.answer(request, Self.version, on: connection)
            }
        } _: { client, coordinator in
            let reply = try await client.version(.seconds(10))
            #expect(reply.version == "v")
            #expect(coordinator.bodies.count == 3)
            await #expect(throws: CommandFailure(.notFound, "no job", hint: "look")) {
                try await client.explanation(of: "j1", .seconds(10))
            }
            #expect(coordinator.bodies.count == 4)
        }
    }

    @Test("A request without an answer fails at its deadline, and the session goes on")
    func deadline() async throws {
        try await withClient { number, request, connection in
            if number > 0 { Self.answer(request, Self.version, on: connection) }
        } _: { client, _ in
            let failure = await #expect(throws: CommandFailure.self) {
                try await client.version(.milliseconds(300))
            }
            #expect(failure?.status == .timeout)
            let reply = try await client.version(.seconds(10))
            #expect(reply.version == "v")
        }
    }

    @Test("A reply that is none, or that answers another question, is not taken for an answer")
    func nonsense() async throws {
        try await withClient { number, request, connection in
            if number == 0 {
                connection.send([0xff, 0xff, 0xff])
            } else if case .getStatus = request.body {
                Self.answer(request, Self.version, on: connection)
            } else {
                Self.answer(request, Self.version, on: connection)
            }
        } _: { client, coordinator in
            let reply = try await client.version(.seconds(10))
            #expect(reply.version == "v")
            #expect(coordinator.bodies.count >= 2)
            let failure = await #expect(throws: CommandFailure.self) {
                try await client.status(.seconds(10))
            }
            #expect(failure?.status == .unavailable)
        }
    }

    @Test(
        "A certificate of another fleet's authority is refused at once, as a matter of permission")
    func foreign() async throws {
        try await withClient(operatorOf: "other") { _, _, _ in
        } _: { client, coordinator in
            let failure = await #expect(throws: CommandFailure.self) {
                try await client.version(.seconds(15))
            }
            #expect(failure?.status == .permission, "\(String(describing: failure))")
            #expect(coordinator.bodies.isEmpty)
        }
    }

    @Test("Where nobody listens a client says so as soon as its patience ends")
    func unavailable() async throws {
        try await withClient(patience: .milliseconds(200)) { _, _, connection in
            connection.close()
        } _: { client, _ in
            await client.close()
            let failure = await #expect(throws: CommandFailure.self) {
                try await client.version(.seconds(15))
            }
            #expect(failure?.status == .unavailable)
        }
        let files = TLSCredentials.Files(certificate: "/none", key: "/none", authority: "/none")
        let address = try FleetAddress(coordinators: "127.0.0.1:1", credentials: files)
        let failure = #expect(throws: CommandFailure.self) {
            try OperatorClient(address, patience: .seconds(1))
        }
        #expect(failure?.status == .permission)
        #expect(throws: CommandFailure.self) {
            try FleetAddress(coordinators: "nowhere", credentials: files)
        }
    }
}
