// SPDX-License-Identifier: Apache-2.0

package import CertificateAuthority
package import DecisionStoreEtcd
package import Foundation
internal import Glibc
internal import Synchronization

/// An etcd cluster of real processes on this machine's loopback address, for tests.
///
/// Every connection is TLS with certificates of an authority made for it, in a temporary directory. The
/// members end with the value, or with this process whatever becomes of it.
package final class EtcdServer: Sendable {
    /// What is not as in an ordinary cluster.
    package struct Settings: Sendable {
        package var memberCount = 1
        /// The most bytes that the database may hold; nil for etcd's own.
        package var quotaByteCount: Int?

        package init(memberCount: Int = 1, quotaByteCount: Int? = nil) {
            self.memberCount = memberCount
            self.quotaByteCount = quotaByteCount
        }
    }

    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    /// Where everything of the cluster lies.
    package let directory: URL
    package let settings: Settings
    package let authority: FleetAuthority
    package let endpoints: [EtcdOptions.Endpoint]
    private let peerPorts: [Int]
    private let members: Mutex<[Process?]>

    /// A cluster of one member that all tests of this process share.
    private static let sharedServer = Task { try await EtcdServer.start() }
    package static var shared: EtcdServer {
        get async throws { try await sharedServer.value }
    }

    /// Starts a cluster, and waits until it answers.
    package static func start(_ settings: Settings = Settings()) async throws -> EtcdServer {
        let server = try EtcdServer(settings)
        for member in 0..<settings.memberCount { try server.startMember(member) }
        try await server.waitUntilReady()
        return server
    }

    private init(_ settings: Settings) throws {
        self.settings = settings
        directory = FileManager.default.temporaryDirectory.appending(
            path: "busbar-etcd-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let validity = Validity.days(2, from: Int64(Date().timeIntervalSince1970))
        authority = try FleetAuthority.create(
            fleet: "test", in: directory.path, validity: validity)
        for name in ["member", "client"] {
            try authority.issue(
                LeafTemplate(storeMember: name, hosts: ["127.0.0.1", "localhost"]),
                validity: validity, certificatePath: "\(directory.path)/\(name).pem",
                keyPath: "\(directory.path)/\(name).key")
        }
        let ports = try Self.freePorts(2 * settings.memberCount)
        endpoints = ports.prefix(settings.memberCount).map {
            EtcdOptions.Endpoint(host: "127.0.0.1", port: $0)
        }
        peerPorts = Array(ports.suffix(settings.memberCount))
        members = Mutex(Array(repeating: nil, count: settings.memberCount))
    }

    deinit {
        for member in 0..<settings.memberCount { kill(member) }
        try? FileManager.default.removeItem(at: directory)
    }

    /// The client's certificate, its key, and the authority.
    package var credentials: EtcdOptions.Credentials {
        EtcdOptions.Credentials(
            certificatePath: "\(directory.path)/client.pem",
            keyPath: "\(directory.path)/client.key",
            authorityPath: "\(directory.path)/\(FleetAuthority.certificateFile)")
    }

    /// Options for a store of this cluster, with short waits.
    package func options(prefix: String) -> EtcdOptions {
        EtcdOptions(endpoints: endpoints, credentials: credentials, prefix: prefix)
    }

    /// The endpoints as they stand in a URL: `HOST:PORT,HOST:PORT`.
    package var endpointList: String {
        endpoints.map(\.description).joined(separator: ",")
    }

    // MARK: - Members

    /// Starts a member, anew with the data that it had.
    package func startMember(_ member: Int) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        // The watcher ends the member with this process, however that ends. It closes what it has
        // inherited: an end of the member is seen by the end of such a descriptor.
        process.arguments =
            [
                "-c",
                """
                (for f in /proc/$BASHPID/fd/*; do n=${f##*/}; ((n > 2)) && eval "exec $n>&-"; done
                while kill -0 \(getpid()) && kill -0 $$; do sleep 1; done; kill -9 $$
                kill -0 \(getpid()) || rm -rf '\(directory.path)') >/dev/null 2>&1 &
                exec "$0" "$@"
                """, "etcd",
            ] + arguments(of: member)
        process.environment = ["PATH": "/usr/bin:/bin:/usr/local/bin"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        let log = directory.appending(path: "member\(member).log")
        if !FileManager.default.fileExists(atPath: log.path) { try Data().write(to: log) }
        let handle = try FileHandle(forWritingTo: log)
        try handle.seekToEnd()
        process.standardError = handle
        try process.run()
        members.withLock { $0[member] = process }
    }

    /// Sends a signal to a member: SIGKILL, SIGSTOP, SIGCONT.
    package func signal(_ signal: Int32, _ member: Int) {
        members.withLock { members in
            guard let process = members[member], process.isRunning else { return }
            _ = Glibc.kill(process.processIdentifier, signal)
        }
    }

    /// Kills a member, and waits until it has gone.
    package func kill(_ member: Int) {
        signal(SIGKILL, member)
        let process = members.withLock { members in
            defer { members[member] = nil }
            return members[member]
        }
        while process?.isRunning == true { usleep(2000) }
    }

    /// Waits until a store of the cluster can be read.
    package func waitUntilReady() async throws {
        var options = options(prefix: "/ready/")
        options.patience = .milliseconds(200)
        let store = EtcdDecisionStore(options)
        let start = ContinuousClock.now
        while true {
            do {
                _ = try await store.load(prefix: "")
                break
            } catch {
                guard ContinuousClock.now - start < .seconds(60) else {
                    throw Failure(description: "etcd does not answer (\(error)): \(logText(0))")
                }
                try checkProgram()
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        await store.close()
    }

    private func checkProgram() throws {
        let hasEnded = members.withLock { $0.contains { $0?.isRunning == false } }
        if hasEnded {
            throw Failure(
                description: "etcd has ended; is etcd-server installed (make setup)? \(logText(0))")
        }
    }

    /// The last lines that a member has written.
    package func logText(_ member: Int) -> String {
        let path = directory.appending(path: "member\(member).log").path
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: data.suffix(2000), as: UTF8.self)
    }

    private func arguments(of member: Int) -> [String] {
        let peers = peerPorts.enumerated().map { "m\($0.offset)=https://127.0.0.1:\($0.element)" }
        let peer = "https://127.0.0.1:\(peerPorts[member])"
        let client = "https://127.0.0.1:\(endpoints[member].port)"
        let (certificate, key, ca) = (
            "\(directory.path)/member.pem", "\(directory.path)/member.key",
            "\(directory.path)/\(FleetAuthority.certificateFile)"
        )
        var arguments = [
            "--name", "m\(member)", "--data-dir", "\(directory.path)/data\(member)",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", peers.joined(separator: ","),
            "--initial-cluster-token", directory.lastPathComponent,
            "--client-cert-auth", "--cert-file", certificate, "--key-file", key,
            "--trusted-ca-file", ca, "--peer-client-cert-auth", "--peer-cert-file", certificate,
            "--peer-key-file", key, "--peer-trusted-ca-file", ca, "--pre-vote",
            "--logger", "zap", "--log-level", "error",
        ]
        if let quota = settings.quotaByteCount {
            arguments += ["--quota-backend-bytes", "\(quota)"]
        }
        return arguments
    }

    // MARK: - Ports

    /// Ports that were free a moment ago, below those that the kernel gives to outgoing connections.
    package static func freePorts(_ count: Int) throws -> [Int] {
        var ports: [Int] = []
        for _ in 0..<1000 where ports.count < count {
            let port = Int.random(in: 20_000...32_000)
            if !ports.contains(port) && isFree(port) { ports.append(port) }
        }
        guard ports.count == count else { throw Failure(description: "no free ports") }
        return ports
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
