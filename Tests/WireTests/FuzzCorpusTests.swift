// SPDX-License-Identifier: Apache-2.0

import FleetModel
import Glibc
import Testing
import Wire

/// Goal: the fuzzer starts from messages that are read to the end, and the corpus stays readable.
///
/// Method: seeds are encodings of random values; `BUSBAR_WRITE_CORPUS=1 swift test --filter
/// FuzzCorpusTests` writes them anew.
@Suite("Corpus of the fuzzer")
struct FuzzCorpusTests {
    /// Seeds of each target.
    static let seedsPerTarget: UInt64 = 32

    static let folder: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fuzz/corpus"
    }()

    /// A target: how its seeds are made, and how an input is read to its end.
    struct Target: Sendable {
        var name: String
        var make: @Sendable (UInt64) -> [UInt8]
        var read: @Sendable ([UInt8]) throws -> Void

        init(
            _ name: String, make: @escaping @Sendable (UInt64) -> [UInt8],
            read: @escaping @Sendable ([UInt8]) throws -> Void
        ) {
            self.name = name
            self.make = make
            self.read = read
        }

        init<Message: WireMessage & RandomValue>(_ name: String, _ type: Message.Type) {
            self.init(name) {
                encoded(type, $0)
            } read: {
                _ = try type.decode($0)
            }
        }
    }

    static let targets = [
        Target("agent", AgentMessage.self),
        Target("enforcer", EnforcerMessage.self),
        Target("hardware-request", HardwareRequest.self),
        Target("hardware-reply", HardwareReply.self),
        Target("operator-request", OperatorRequest.self),
        Target("operator-reply", OperatorReply.self),
        Target("grant", LeaseGrant.self),
        Target("plan", FleetPlan.self),
        Target("store", make: record, read: readRecord),
        Target("frame", make: frames, read: readFrames),
        Target("network-frame", make: frames, read: readFrames),
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
        switch seed % 7 {
        case 0: encoded(LedgerShard.self, seed)
        case 1: encoded(SiteRecord.self, seed)
        case 2: encoded(JobRecord.self, seed)
        case 3: encoded(FleetRecord.self, seed)
        case 4: encoded(NodeRecord.self, seed)
        case 5: encoded(ReservationRecord.self, seed)
        default: encoded(EventRecord.self, seed)
        }
    }

    /// Reads an input as some record of a store.
    static func readRecord(_ bytes: [UInt8]) throws {
        let isReadable =
            (try? LedgerShard.decode(bytes)) != nil || (try? SiteRecord.decode(bytes)) != nil
            || (try? JobRecord.decode(bytes)) != nil || (try? FleetRecord.decode(bytes)) != nil
            || (try? EventRecord.decode(bytes)) != nil || (try? NodeRecord.decode(bytes)) != nil
            || (try? ReservationRecord.decode(bytes)) != nil
        #expect(isReadable)
    }

    /// Reads an input as a stream of frames, from its third byte on.
    static func readFrames(_ bytes: [UInt8]) throws {
        var splitter = FrameSplitter(limit: FrameLimit.agent)
        splitter.append(Array(bytes.dropFirst(2)))
        while try splitter.next() != nil {}
        #expect(splitter.pendingByteCount == 0)
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
        for target in Self.targets {
            mkdir(Self.folder + "/" + target.name, 0o755)
            for seed in 1...Self.seedsPerTarget {
                let path = Self.folder + "/\(target.name)/seed-\(seed)"
                let file = try #require(fopen(path, "w"), "cannot write \(path)")
                defer { fclose(file) }
                let bytes = target.make(seed)
                #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
            }
        }
    }

    @Test(
        "Every checked-in seed is read to its end",
        .enabled(if: getenv("BUSBAR_WRITE_CORPUS") == nil, "they are being written"))
    func readable() throws {
        for target in Self.targets {
            for seed in 1...Self.seedsPerTarget {
                let path = Self.folder + "/\(target.name)/seed-\(seed)"
                let bytes = try contents(of: path)
                #expect(!bytes.isEmpty, "\(path)")
                #expect(throws: Never.self, "\(path)") { try target.read(bytes) }
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
