// SPDX-License-Identifier: Apache-2.0

import Testing

/// Goal: who may import whom, as ARCHITECTURE.md lays down, holds line by line.
@Suite("Import rules")
struct ImportRulesTests {
    /// Modules that each target may import, besides those that every non-pure target may.
    static let allowed: [String: Set<String>] = [
        "FleetModel": [],
        "AllocationCore": ["FleetModel"],
        "ControlPlane": ["AllocationCore", "FleetModel"],
        "Simulation": ["AllocationCore", "ControlPlane", "FleetModel"],
        "MetricsText": [],
        "AllocationBench": ["AllocationCore", "CStreamingPass", "FleetModel"],
        "Wire": ["CBusbarProto", "CProtobufC", "FleetModel"],
        "TLSEngine": ["COpenSSL", "FleetModel"],
        "SecureTransport": ["Logging", "NIOCore", "NIOPosix", "TLSEngine"],
        "CertificateAuthority": ["Crypto", "SwiftASN1", "TLSEngine", "X509"],
        "DecisionStore": ["FleetModel"],
        "DecisionStoreSQLite": ["DecisionStore", "FleetModel", "GRDB"],
        "DecisionStoreEtcd": [
            "CBusbarProto", "CEtcdProto", "DecisionStore", "FleetModel", "GRPCCore",
            "GRPCNIOTransportHTTP2Posix", "Logging",
        ],
        "StoreAccess": [
            "DecisionStore", "DecisionStoreEtcd", "DecisionStoreSQLite", "FleetModel", "Logging",
        ],
        "Configuration": ["FleetModel", "Yams"],
        "SolveFiles": ["AllocationCore"],
        "LocalSocket": ["Wire"],
        "Devices": ["FleetModel", "LocalSocket", "Wire"],
        "EnforcerService": [
            "ControlPlane", "Devices", "FleetModel", "LocalSocket", "Logging", "TLSEngine", "Wire",
        ],
        "AgentService": [
            "AllocationCore", "ControlPlane", "Devices", "FleetModel", "LocalSocket", "Logging",
            "NIOCore", "NIOPosix", "SecureTransport", "TLSEngine", "Wire",
        ],
        "CoordinatorService": [
            "AllocationCore", "Configuration", "ControlPlane", "DecisionStore",
            "DecisionStoreEtcd", "FleetModel", "Logging", "MetricsText", "NIOCore", "NIOHTTP1",
            "NIOPosix", "SecureTransport",
            "StoreAccess", "TLSEngine", "Wire",
        ],
        "OperatorCLI": [
            "AllocationBench", "AllocationCore", "ArgumentParser", "CProcess",
            "CertificateAuthority", "Configuration",
            "ControlPlane", "Devices", "FleetModel", "LocalSocket", "Logging", "NIOCore",
            "NIOPosix", "SecureTransport", "Simulation", "SolveFiles", "TLSEngine", "Wire",
        ],
        "busbar": ["OperatorCLI"],
        "busbar-agent": ["AgentService", "ArgumentParser"],
        "busbar-enforcer": ["ArgumentParser", "EnforcerService"],
        "busbar-coordinator": [
            "ArgumentParser", "CoordinatorService", "DecisionStoreEtcd", "SecureTransport",
            "StoreAccess",
        ],
    ]

    /// The system modules: free for shells and adapters, closed to pure targets.
    static let system: Set<String> = ["Glibc", "Synchronization", "Dispatch"]

    /// Full Foundation is for coordinators and operators; what runs on a node stays small.
    static let mayImportFoundation: Set<String> = [
        "CertificateAuthority", "Configuration", "CoordinatorService", "DecisionStoreSQLite",
        "OperatorCLI",
    ]

    @Test("No target imports a module that the design does not give it")
    func imports() throws {
        let files = try Repository.files(under: ["Sources"], endings: ["swift"])
        let findings = files.flatMap(Self.violations)
        #expect(findings.isEmpty, "\(findings.joined(separator: "\n"))")
        let targets = Set(files.compactMap(\.target))
        #expect(targets == Set(Self.allowed.keys))
    }

    @Test("The rule refuses a store in the agent, a clock in the core and an unknown target")
    func ruleCanFail() {
        let agent = Repository.File(path: "Sources/AgentService/A.swift", lines: ["import GRDB"])
        #expect(Self.violations(in: agent).count == 1)
        let core = Repository.File(
            path: "Sources/AllocationCore/A.swift", lines: ["internal import Glibc"])
        #expect(Self.violations(in: core).count == 1)
        let unknown = Repository.File(path: "Sources/Misc/A.swift", lines: ["import FleetModel"])
        #expect(Self.violations(in: unknown).count == 1)
    }

    static func violations(in file: Repository.File) -> [String] {
        guard let target = file.target else { return [] }
        let isPure = Tidy.pureTargets.contains(target)
        return file.lines.enumerated().compactMap { index, line in
            guard let module = importedModule(line) else { return nil }
            if allowed[target]?.contains(module) == true { return nil }
            if !isPure && allowed[target] != nil && system.contains(module) { return nil }
            if module.hasPrefix("Foundation") && mayImportFoundation.contains(target) {
                return nil
            }
            return "\(file.path):\(index + 1): \(target) imports \(module)"
        }
    }

    /// The module of an import line, `package import struct NIOCore.ByteBuffer` included.
    static func importedModule(_ line: String) -> String? {
        var words = line.split(separator: " ").map(String.init)[...]
        while let first = words.first,
            [
                "package", "public", "internal", "private", "fileprivate", "@testable",
                "@preconcurrency",
            ]
            .contains(first)
        {
            words.removeFirst()
        }
        guard words.first == "import" else { return nil }
        words.removeFirst()
        if let first = words.first, ["struct", "class", "enum", "func", "protocol"].contains(first)
        {
            words.removeFirst()
        }
        return words.first.map { String($0.split(separator: ".")[0]) }
    }
}
