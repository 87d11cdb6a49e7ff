// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// The whole product in one table. `BUSBAR_ONLY=AllocationCore,Wire swift test` narrows the package
// to those targets, what they import, and their tests: the pure targets build without fetching a
// single dependency.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

// Optimized builds compile a module as a whole; one file's Foundation then claims the fields of C
// structs of another file's Glibc, and no import satisfies the rule. The targets that need both leave
// it out.
let withFoundation: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

let cSettings: [CSetting] = [
    .unsafeFlags(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
]

// MARK: - External products

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let argumentParser = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let swiftASN1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let grpcCore = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcTransport = Target.Dependency.product(
    name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")

let packages: [(name: String, dependency: Package.Dependency)] = [
    ("swift-nio", .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2")),
    ("swift-log", .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2")),
    (
        "swift-argument-parser",
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2")
    ),
    ("GRDB.swift", .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0")),
    ("Yams", .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2")),
    (
        "swift-certificates",
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1")
    ),
    ("swift-crypto", .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2")),
    ("swift-asn1", .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4")),
    ("grpc-swift-2", .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3")),
    (
        "grpc-swift-nio-transport",
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2")
    ),
]

// MARK: - Targets

@MainActor func library(
    _ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = strict
) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

@MainActor func tests(
    _ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil
) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.target(name: name)] + dependencies,
        resources: resources, swiftSettings: strict)
}

@MainActor func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let allTargets: [Target] = [
    // Pure: no clock, no randomness, no Foundation, no I/O.
    library("FleetModel"),
    library("AllocationCore", ["FleetModel"]),
    library("ControlPlane", ["AllocationCore", "FleetModel"]),
    library("Simulation", ["ControlPlane", "AllocationCore", "FleetModel"]),
    library("MetricsText"),
    library("AllocationBench", ["AllocationCore", "CStreamingPass", "FleetModel"]),

    // C, each wrapped once.
    .systemLibrary(name: "CProtobufC", pkgConfig: "libprotobuf-c"),
    .target(name: "CBusbarProto", dependencies: ["CProtobufC"], cSettings: cSettings),
    .target(name: "CEtcdProto", dependencies: ["CProtobufC"], cSettings: cSettings),
    .target(
        name: "COpenSSL", cSettings: cSettings,
        linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),

    .target(name: "CProcess", cSettings: cSettings),
    .target(name: "CStreamingPass", cSettings: cSettings),

    // Adapters.
    library("Wire", ["CBusbarProto", "FleetModel"]),
    library("TLSEngine", ["COpenSSL", "FleetModel"]),
    library("SecureTransport", ["TLSEngine", nioCore, nioPosix, logging]),
    library("CertificateAuthority", ["TLSEngine", x509, crypto, swiftASN1]),
    library("DecisionStore", ["FleetModel"]),
    library("DecisionStoreSQLite", ["DecisionStore", "FleetModel", grdb]),
    library(
        "DecisionStoreEtcd",
        [
            "CBusbarProto", "CEtcdProto", "DecisionStore", "FleetModel", grpcCore, grpcTransport,
            logging,
        ]),
    library(
        "StoreAccess",
        ["DecisionStore", "DecisionStoreEtcd", "DecisionStoreSQLite", "FleetModel", logging]),
    library("Configuration", ["FleetModel", yams]),
    library("SolveFiles", ["AllocationCore"]),
    library("LocalSocket", ["Wire"]),
    library("Devices", ["FleetModel", "LocalSocket", "Wire"]),

    // Shells.
    library(
        "EnforcerService",
        [
            "ControlPlane", "Devices", "FleetModel", "LocalSocket", "TLSEngine", "Wire", logging,
        ]),
    library(
        "AgentService",
        [
            "AllocationCore", "ControlPlane", "Devices", "FleetModel", "LocalSocket",
            "SecureTransport", "TLSEngine", "Wire", nioCore, nioPosix, logging,
        ]),
    library(
        "CoordinatorService",
        [
            "ControlPlane", "AllocationCore", "DecisionStore", "FleetModel", "Configuration",
            "DecisionStoreEtcd", "MetricsText", "SecureTransport", "StoreAccess", "TLSEngine",
            "Wire", nioCore, nioPosix, nioHTTP1, logging,
        ]),
    library(
        "OperatorCLI",
        [
            "AllocationBench", "AllocationCore", "CProcess", "CertificateAuthority",
            "Configuration", "ControlPlane", "Devices", "FleetModel", "LocalSocket",
            "SecureTransport", "Simulation", "SolveFiles", "TLSEngine",
            "Wire", argumentParser, nioCore, nioPosix, logging,
        ], settings: withFoundation),

    // Programs: arguments and `run`, nothing else.
    program("busbar-agent", ["AgentService", argumentParser]),
    program("busbar-enforcer", ["EnforcerService", argumentParser]),
    program(
        "busbar-coordinator",
        ["CoordinatorService", "DecisionStoreEtcd", "StoreAccess", argumentParser]),
    program("busbar", ["OperatorCLI"]),

    // Tests.
    tests("FleetModel", []),
    tests("AllocationCore", ["FleetModel"]),
    tests("AllocationBench", ["AllocationCore", "FleetModel"]),
    tests("ControlPlane", ["AllocationCore", "FleetModel"]),
    tests("Simulation", ["ControlPlane", "FleetModel"]),
    tests("MetricsText", []),
    tests("Wire", ["CAllocationCount", "FleetModel"]),
    // Stands in front of malloc in test programs, to prove that a path allocates nothing.
    .target(
        name: "CAllocationCount", path: "Tests/Support/CAllocationCount", cSettings: cSettings),
    // Makes a fleet's credentials, and clients that keep no rule.
    .target(
        name: "TLSTestSupport", dependencies: ["COpenSSL", "TLSEngine", "CertificateAuthority"],
        path: "Tests/Support/TLSTestSupport", swiftSettings: strict),
    // Starts etcd clusters of real processes.
    .target(
        name: "EtcdTestSupport", dependencies: ["CertificateAuthority", "DecisionStoreEtcd"],
        path: "Tests/Support/EtcdTestSupport", swiftSettings: withFoundation),
    tests("TLSEngine", ["CertificateAuthority", "TLSTestSupport"]),
    tests(
        "SecureTransport",
        [
            "CertificateAuthority", "TLSEngine", "TLSTestSupport", nioCore, nioPosix, nioEmbedded,
            logging,
        ]),
    tests("CertificateAuthority", ["TLSEngine", x509]),
    tests(
        "DecisionStore",
        ["DecisionStoreEtcd", "DecisionStoreSQLite", "EtcdTestSupport", "FleetModel", grdb]),
    tests(
        "StoreAccess",
        ["DecisionStore", "DecisionStoreEtcd", "EtcdTestSupport", "FleetModel"]),
    tests("Configuration", ["AllocationCore", "FleetModel"]),
    tests("SolveFiles", ["AllocationCore"]),
    tests("LocalSocket", ["Wire"]),
    tests("Devices", ["FleetModel", "LocalSocket", "Wire"]),
    tests(
        "EnforcerService",
        [
            "ControlPlane", "Devices", "FleetModel", "LocalSocket", "TLSEngine",
            "CertificateAuthority", "Wire",
        ]),
    tests(
        "AgentService",
        [
            "AllocationCore", "CertificateAuthority", "Devices", "EnforcerService", "FleetModel",
            "LocalSocket", "SecureTransport", "TLSEngine", "Wire", nioCore, nioPosix, logging,
        ]),
    tests(
        "CoordinatorService",
        [
            "ControlPlane", "DecisionStoreSQLite", "FleetModel", "Configuration", "SecureTransport",
            "StoreAccess",
            "CertificateAuthority", "TLSEngine", "Wire", nioCore, nioPosix, logging,
        ]),
    tests(
        "OperatorCLI",
        [
            "AllocationBench", "AllocationCore", "CertificateAuthority", "Configuration",
            "FleetModel", "SecureTransport", "TLSEngine", "Wire", argumentParser, logging, nioCore,
            nioPosix,
        ]),
    // The shape of the repository, and whole fleets of real processes.
    .testTarget(name: "RepositoryTests", swiftSettings: strict),
    .testTarget(
        name: "ClusterTests",
        dependencies: [
            "Configuration", "DecisionStoreEtcd", "Devices", "EtcdTestSupport", "FleetModel",
            "LocalSocket",
            "OperatorCLI", "Wire",
            "busbar", "busbar-agent", "busbar-coordinator", "busbar-enforcer",
        ],
        path: "Tests/Cluster", swiftSettings: strict),
]

// MARK: - Fuzzing

/// The fuzz targets, for `Tests/Fuzz/run` only: they need a build with the fuzzer's sanitizer.
@MainActor func fuzzTargets() -> [Target] {
    guard Context.environment["BUSBAR_FUZZ"] != nil else { return [] }
    let asLibrary = strict + [.unsafeFlags(["-parse-as-library"])]
    return [
        .target(name: "FuzzDriver", path: "Tests/Fuzz/Driver", swiftSettings: strict),
        .executableTarget(
            name: "WireFuzz", dependencies: ["FleetModel", "FuzzDriver", "Wire"],
            path: "Tests/Fuzz/Wire", swiftSettings: asLibrary),
        .executableTarget(
            name: "SolveFuzz", dependencies: ["AllocationCore", "FuzzDriver", "SolveFiles"],
            path: "Tests/Fuzz/SolveFiles", swiftSettings: asLibrary),
        .executableTarget(
            name: "TransportFuzz",
            dependencies: ["FuzzDriver", "SecureTransport", nioCore, nioEmbedded],
            path: "Tests/Fuzz/Transport", swiftSettings: asLibrary),
    ]
}

// MARK: - Counting

/// The program whose instructions and allocations are counted, for `Tests/SolveProbe/run` only.
@MainActor func probeTargets() -> [Target] {
    guard Context.environment["BUSBAR_PROBE"] != nil else { return [] }
    return [
        .executableTarget(
            name: "SolveProbe",
            dependencies: ["AllocationBench", "AllocationCore", "CAllocationCount"],
            path: "Tests/SolveProbe", swiftSettings: strict)
    ]
}

// MARK: - Narrowing

/// The names of the targets and packages that one target imports.
@MainActor func imports(of target: Target) -> (targets: [String], packages: [String]) {
    var names: [String] = []
    var products: [String] = []
    for dependency in target.dependencies {
        switch dependency {
        case .targetItem(let name, _), .byNameItem(let name, _): names.append(name)
        case .productItem(_, let package, _, _): products.append(package ?? "")
        default: break
        }
    }
    return (names, products)
}

/// All targets, or those that `BUSBAR_ONLY` names with their imports and the tests of the named ones.
@MainActor func selectedTargets() -> [Target] {
    let everything = allTargets + fuzzTargets() + probeTargets()
    guard let only = Context.environment["BUSBAR_ONLY"], !only.isEmpty else { return everything }
    let named = only.split(separator: ",").map(String.init)
    let byName = Dictionary(uniqueKeysWithValues: everything.map { ($0.name, $0) })
    var keep: Set<String> = []
    var open = named + named.map { $0 + "Tests" }
    while let name = open.popLast() {
        guard let target = byName[name], keep.insert(name).inserted else { continue }
        open += imports(of: target).targets
    }
    return everything.filter { keep.contains($0.name) }
}

let selected = selectedTargets()
let neededPackages = Set(selected.flatMap { imports(of: $0).packages })

let package = Package(
    name: "busbar",
    dependencies: packages.filter { neededPackages.contains($0.name) }.map(\.dependency),
    targets: selected,
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
