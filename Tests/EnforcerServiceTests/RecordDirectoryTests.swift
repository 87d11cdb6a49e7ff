// SPDX-License-Identifier: Apache-2.0

// Goal: a record comes back exactly, or not at all.

import ControlPlane
import FleetModel
import Glibc
import Testing

@testable import EnforcerService

private let record = LeaseRecord(
    bootID: RandomID(high: 1, low: 2), fence: LeaseOrder(epoch: 3, sequence: 4),
    fenceEpochID: RandomID(high: 5, low: 6), cap: .watts(1200),
    start: ClockReading(rawNanoseconds: 77, bootNanoseconds: 99), leaseNanoseconds: 20 * second,
    fallback: .watts(800), fallbackVersion: 3)

private func withDirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/busbar-records-XXXXXX".utf8CString)
    let path = String(cString: try #require(mkdtemp(&template)))
    defer {
        for name in ["n1.fallback", "n1.lease", "n1.lease.new", "n1.proof", "a.lock", "b.lock"] {
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }
    try body(path)
}

@Suite("Record directory")
struct RecordDirectoryTests {
    @Test("Records and proofs come back as they were stored, in another life too")
    func roundTrip() throws {
        try withDirectory { path in
            do {
                let directory = try RecordDirectory(path: path, owner: "a")
                #expect(directory.record(of: "n1") == nil)
                #expect(directory.proof(of: "n1") == nil)
                try directory.store(record, of: "n1")
                try directory.storeProof(123_456, of: "n1")
            }
            let next = try RecordDirectory(path: path, owner: "a")
            #expect(next.record(of: "n1") == record)
            #expect(next.proof(of: "n1") == 123_456)
            var changed = record
            changed.cap = .watts(900)
            try next.store(changed, of: "n1")
            #expect(next.record(of: "n1") == changed)
        }
    }

    @Test("A power loss that takes the lease file leaves the fallback; the newer fallback counts")
    func powerLoss() throws {
        try withDirectory { path in
            let directory = try RecordDirectory(path: path, owner: "a")
            try directory.store(record, of: "n1")
            unlink("\(path)/n1.lease")
            let found = try #require(directory.record(of: "n1"))
            #expect(found.fallback == .watts(800))
            #expect(found.fallbackVersion == 3)
            #expect(found.cap == .zero, "there is no lease in it")
            #expect(found.fence == .zero)

            var newer = record
            newer.fallback = .watts(700)
            newer.fallbackVersion = 4
            try directory.store(newer, of: "n1")
            try directory.replace("n1.lease", with: RecordCodec.encode(record), isSynced: false)
            #expect(directory.record(of: "n1")?.fallback == .watts(700))
            #expect(directory.record(of: "n1")?.cap == record.cap)
        }
    }

    @Test("One process holds the lock of an owner; another owner may share the directory")
    func lock() throws {
        try withDirectory { path in
            let first = try RecordDirectory(path: path, owner: "a")
            #expect(throws: RecordError.self) { try RecordDirectory(path: path, owner: "a") }
            let other = try RecordDirectory(path: path, owner: "b")
            try other.store(record, of: "n1")
            #expect(first.record(of: "n1") == record)
        }
    }

    @Test("Every damaged, short or long record is no record")
    func damage() {
        let bytes = RecordCodec.encode(record)
        #expect(RecordCodec.decode(bytes) == record)
        for position in bytes.indices {
            var damaged = bytes
            damaged[position] ^= 0x10
            #expect(RecordCodec.decode(damaged) == nil, "byte \(position)")
            #expect(RecordCodec.decode(Array(bytes[..<position])) == nil)
        }
        #expect(RecordCodec.decode(bytes + [0]) == nil)
    }

    @Test("A leftover of an interrupted write changes nothing")
    func interrupted() throws {
        try withDirectory { path in
            let directory = try RecordDirectory(path: path, owner: "a")
            try directory.store(record, of: "n1")
            let file = try #require(fopen("\(path)/n1.lease.new", "w"))
            fputs("half", file)
            fclose(file)
            #expect(directory.record(of: "n1") == record)
            try directory.store(record, of: "n1")
            #expect(access("\(path)/n1.lease.new", F_OK) != 0)
        }
    }
}
