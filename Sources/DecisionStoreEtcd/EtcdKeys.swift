// SPDX-License-Identifier: Apache-2.0

internal import DecisionStore
internal import FleetModel

/// The names of everything that a store keeps in etcd, all below one prefix.
///
/// ```
/// elect/ROLE LEASE   a candidate that is alive; hangs from its etcd lease
/// epoch/ROLE         the newest epoch of a role
/// fence              written before a read, so that the read has a revision of its own
/// last/ROLE          written by every commit: its id; the next commit compares its revision
/// record/KEY         a record
/// ```
struct EtcdKeys: Sendable {
    private let prefix: [UInt8]

    init(prefix: String) {
        self.prefix = Array(prefix.utf8)
    }

    var fence: [UInt8] { key("fence") }
    func epoch(_ role: String) -> [UInt8] { key("epoch/" + role) }
    func last(_ role: String) -> [UInt8] { key("last/" + role) }
    func record(_ name: String) -> [UInt8] { key("record/" + name) }
    /// A role's name has no space, so that no role's candidates are among another's.
    func candidates(_ role: String) -> [UInt8] { key("elect/\(role) ") }
    func candidate(_ role: String, lease: Int64) -> [UInt8] {
        key("elect/\(role) \(String(UInt64(bitPattern: lease), radix: 16))")
    }

    /// The `last` keys of all roles.
    var allLast: EtcdRange { EtcdRange(key: key("last/"), end: Self.end(of: key("last/"))) }

    /// All records whose names begin with a text.
    func records(_ prefix: String) -> EtcdRange {
        let start = record(prefix)
        return EtcdRange(key: start, end: Self.end(of: start))
    }

    /// What a follower watches: the `last` keys and the records, which are neighbours.
    func watched(from revision: Int64) -> EtcdWatchRequest {
        EtcdWatchRequest(
            key: key("last/"), end: Self.end(of: key("record/")), startRevision: revision)
    }

    /// The record's name of a key; nil for a key that is none.
    func recordName(_ key: [UInt8]) -> String? {
        let start = record("")
        guard key.starts(with: start) else { return nil }
        return String(decoding: key[start.count...], as: UTF8.self)
    }

    private func key(_ rest: String) -> [UInt8] { prefix + Array(rest.utf8) }

    /// The first key behind all that begin with a prefix.
    ///
    /// - Precondition: the prefix ends in ASCII.
    static func end(of prefix: [UInt8]) -> [UInt8] {
        var end = prefix
        end[end.count - 1] += 1
        return end
    }
}

/// What is stored of a role's newest epoch.
struct EtcdEpoch: Hashable, Sendable {
    var number: UInt64
    var id: RandomID
    /// False after it was given up.
    var isHeld: Bool
    var candidate: String
    var predecessor: Leadership.Predecessor?

    private static let format = "busbar-epoch/1"

    /// One line of text, for people with etcdctl as well:
    /// `busbar-epoch/1 NUMBER ID held|resigned PREVIOUS PREVIOUS-ID CANDIDATE`.
    var bytes: [UInt8] {
        let previous = predecessor.map { "\($0.epoch) \(Self.hex($0.epochID))" } ?? "- -"
        let state = isHeld ? "held" : "resigned"
        return Array(
            "\(Self.format) \(number) \(Self.hex(id)) \(state) \(previous) \(candidate)".utf8)
    }

    init(
        number: UInt64, id: RandomID, isHeld: Bool, candidate: String,
        predecessor: Leadership.Predecessor?
    ) {
        self.number = number
        self.id = id
        self.isHeld = isHeld
        self.candidate = candidate
        self.predecessor = predecessor
    }

    /// Reads what ``bytes`` wrote.
    ///
    /// - Throws: ``StoreError/failed(_:)`` for anything else: another program's key.
    init(_ bytes: [UInt8]) throws(StoreError) {
        let text = String(decoding: bytes, as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 6, omittingEmptySubsequences: false)
            .map(String.init)
        guard words.count == 7, words[0] == Self.format, let number = UInt64(words[1]),
            let id = Self.id(words[2]), words[3] == "held" || words[3] == "resigned"
        else { throw .failed("etcd holds no epoch where one belongs: '\(text.prefix(100))'") }
        var predecessor: Leadership.Predecessor?
        if let epoch = UInt64(words[4]), let id = Self.id(words[5]) {
            predecessor = Leadership.Predecessor(epoch: epoch, epochID: id)
        }
        self.init(
            number: number, id: id, isHeld: words[3] == "held", candidate: words[6],
            predecessor: predecessor)
    }

    /// Whether a leadership is this epoch's, and still held.
    func isHeld(by leadership: Leadership) -> Bool {
        isHeld && number == leadership.epoch && id == leadership.epochID
    }

    /// 32 hexadecimal digits.
    static func hex(_ id: RandomID) -> String {
        func digits(_ half: UInt64) -> String {
            let text = String(half, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits(id.high) + digits(id.low)
    }

    private static func id(_ text: String) -> RandomID? {
        guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
            let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        return RandomID(high: high, low: low)
    }
}
