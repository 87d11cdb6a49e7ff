// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Foundation

/// The processes of a fleet on one machine: which there are, and how each is started.
struct FleetProcesses {
    /// Fleets of at most so many nodes run an agent and an enforcer for each; larger ones a pair for
    /// each site.
    static let pairPerNodeLimit = 32

    let topology: Topology
    let topologyPath: String
    let directory: StateDirectory
    /// The ports of each coordinator.
    let ports: [Ports]
    /// What tells a coordinator where its stores are; the state directory's without it.
    let storeArguments: [String]
    /// Kinds that stay down when they die.
    let unrestarted: Set<ChildKind>
    /// Where the programs are.
    let programs: String

    /// Where a coordinator listens.
    struct Ports: Hashable, Sendable {
        var listen: UInt16
        var http: UInt16
    }

    /// Where the coordinators are, in the order in which to try them.
    var endpoints: String {
        ports.map { "\(LocalPorts.host):\($0.listen)" }.joined(separator: ",")
    }

    /// The directory of this program, where the others are too.
    static func programDirectory() throws(CommandFailure) -> String {
        do {
            let path = try FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/exe")
            return URL(fileURLWithPath: path).deletingLastPathComponent().path
        } catch {
            throw CommandFailure(
                .unavailable, "cannot find where busbar is installed: \(error.localizedDescription)"
            )
        }
    }

    /// Says which program is missing, before anything is started.
    func checkPrograms() throws(CommandFailure) {
        for name in ["busbar", "busbar-agent", "busbar-enforcer", "busbar-coordinator"]
        where !FileManager.default.isExecutableFile(atPath: "\(programs)/\(name)") {
            throw CommandFailure(
                .unavailable, "\(name) is not in \(programs)",
                hint: "install or build all programs together (`swift build`)")
        }
    }

    /// One pair of agent and enforcer: its name, the option that says what it serves, its socket.
    private struct Pair {
        var name: String
        var option: [String]
        var socket: String
    }

    private var pairs: [Pair] {
        let isPerNode = topology.nodes.count <= FleetProcesses.pairPerNodeLimit
        let names = isPerNode ? topology.nodes.map(\.name) : topology.sites.map(\.name)
        return names.enumerated().map { position, name in
            // Short paths by number: a socket's address holds 107 bytes, a name alone up to 128.
            Pair(
                name: name, option: [isPerNode ? "--node" : "--site", name],
                socket: "\(directory.run)/e\(position).sock")
        }
    }

    var hardware: ChildSpec {
        spec(
            "hardware", .hardware, program: "busbar",
            ["hardware", "--plan", directory.plan, "--socket", directory.hardwareSocket],
            .backoff(first: 100_000_000, limit: 1_000_000_000))
    }

    var coordinators: [ChildSpec] {
        ports.enumerated().map { number, ports in
            let name = number == 0 ? "coordinator" : "coordinator-\(number + 1)"
            return spec(
                name, .coordinator, program: "busbar-coordinator",
                [
                    "--topology", topologyPath, "--store", directory.store,
                    "--listen", "\(LocalPorts.host):\(ports.listen)", "--http",
                    "\(LocalPorts.host):\(ports.http)",
                    "--cert", directory.coordinatorCertificate, "--key",
                    directory.coordinatorKey, "--ca", directory.authority, "--ready-file",
                    "\(directory.run)/\(name).ready",
                ] + storeArguments, .backoff(first: 100_000_000, limit: 2_000_000_000))
        }
    }

    var enforcers: [ChildSpec] {
        pairs.map { pair in
            spec(
                "enforcer-\(pair.name)", .enforcer, program: "busbar-enforcer",
                ["--plan", directory.plan] + pair.option + [
                    "--hardware", directory.hardwareSocket, "--socket", pair.socket,
                    "--records", directory.records, "--ca", directory.authority,
                ], .immediate(limit: topology.lease.enforcerNanoseconds / 4))
        }
    }

    var agents: [ChildSpec] {
        pairs.map { pair in
            spec(
                "agent-\(pair.name)", .agent, program: "busbar-agent",
                ["--plan", directory.plan] + pair.option + [
                    "--hardware", directory.hardwareSocket, "--enforcer", pair.socket,
                    "--coordinator", endpoints,
                    "--pki", directory.agentCertificates, "--ca", directory.authority,
                ], .backoff(first: 250_000_000, limit: 5_000_000_000))
        }
    }

    private func spec(
        _ name: String, _ kind: ChildKind, program: String, _ arguments: [String],
        _ restart: RestartPolicy
    ) -> ChildSpec {
        let isRestarted = !unrestarted.contains(kind)
        return ChildSpec(
            name: name, kind: kind, executable: "\(programs)/\(program)", arguments: arguments,
            restart: isRestarted ? restart : .never,
            watchdogNanoseconds: isRestarted ? watchdog(kind) : nil)
    }

    /// How long a child of a kind may be silent.
    ///
    /// An enforcer speaks every 200 ms. Half of σ for finding out that it hangs leaves the other half
    /// for its restart. The others speak every second, and nothing hangs on them but progress.
    private func watchdog(_ kind: ChildKind) -> Int64 {
        kind == .enforcer ? topology.lease.enforcerNanoseconds / 2 : 15_000_000_000
    }
}
