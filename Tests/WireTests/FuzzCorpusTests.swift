// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Glibc
import Testing
import Wire

/// Goal: the fuzzer starts from messages that are read to the end, and the corpus stays readable.
///
/// Method: seeds are encodings of random values. `BUSBAR_WRITE_CORPUS=1 swift test --filter Corpus`
/// writes them anew.
@Suite("Corpus of the fuzzer")
struct FuzzCorpusTests {
    /// Seeds of each target.
    static let seedsPerTarget: UInt64 = 32

    static let folder: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fuzz/corpus"
    }()

    static let targets: [(name: String, make: @Sendable (UInt64) -> [UInt8])] = [
        ("agent", { encoded(AgentMessage.self, $0) }),
        ("enforcer", { encoded(EnforcerMessage.self, $0) }),
        ("hardware-request", { encoded(HardwareRequest.self, $0) }),
        ("hardware-reply", { encoded(HardwareReply.self, $0) }),
        ("operator-request", { encoded(OperatorRequest.self, $0) }),
        ("operator-reply", { encoded(OperatorReply.self, $0) }),
        ("grant", { encoded(LeaseGrant.self, $0) }),
        ("plan", { encoded(FleetPlan.self, $0) }),
        ("store", record),
        ("frame", frames),
        ("network-frame", frames),
    ]

    static func encoded<Message: WireMessage & RandomValue>(
        _ type: Message.Type, _ seed: UInt64
    ) -> [UInt8] {
        var source = SeededGenerator(seed: seed)
        while true {
            let bytes = Message.random(&source).encoded()
            // The fuzzer is quicker on short inputs.
            if (1...1200).contains(bytes.count) { return bytes }
        }
    }

    static func record(_ seed: UInt64) -> [UInt8] {
        switch seed % 5 {
        case 0: encoded(LedgerShard.self, seed)
        case 1: encoded(SiteRecord.self, seed)
        case 2: encoded(JobRecord.self, seed)
        case 3: encoded(FleetRecord.self, seed)
        default: encoded(EventRecord.self, seed)
        }
    }

    /// A stream of some frames, with the two bytes in front that the fuzz targets of frames read.
    static func frames(_ seed: UInt64) -> [UInt8] {
        var source = SeededGenerator(seed: seed)
        var bytes: [UInt8] = [UInt8(truncatingIfNeeded: source.next()), source.number()]
        for _ in 0..<Int.random(in: 1...4, using: &source) {
            let frame = source.bytes(upTo: 60)
            FrameHeader.append(length: frame.count, to: &bytes)
            bytes += frame
        }
        return bytes
    }

    @Test(
        "The seeds are written",
        .enabled(if: getenv("BUSBAR_WRITE_CORPUS") != nil, "BUSBAR_WRITE_CORPUS is not set"))
    func write() throws {
        mkdir(Self.folder, 0o755)
        for (name, make) in Self.targets {
            mkdir(Self.folder + "/" + name, 0o755)
            for seed in 1...Self.seedsPerTarget {
                let path = Self.folder + "/\(name)/seed-\(seed)"
                let file = try #require(fopen(path, "w"), "cannot write \(path)")
                defer { fclose(file) }
                let bytes = make(seed)
                #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
            }
        }
    }

    @Test(
        "The checked-in seeds are those of this version's encoders",
        .enabled(if: getenv("BUSBAR_WRITE_CORPUS") == nil, "they are being written"))
    func current() throws {
        for (name, make) in Self.targets {
            for seed in 1...Self.seedsPerTarget {
                let path = Self.folder + "/\(name)/seed-\(seed)"
                #expect(try contents(of: path) == make(seed), "\(path)")
            }
        }
    }

    private func contents(of path: String) throws -> [UInt8] {
        let file = try #require(fopen(path, "r"), "cannot read \(path)")
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes.prefix(count))
    }
}
