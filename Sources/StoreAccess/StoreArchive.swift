// SPDX-License-Identifier: Apache-2.0

package import DecisionStore

/// A backup of a fleet's stores as bytes.
///
/// ```
/// "busbar-backup/1\n"
/// text fleet   u32 number of stores
///   each: text role   u64 epoch   u32 number of records
///     each: text key   u32 length   value
/// u64 checksum (FNV-1a over everything before it)
/// ```
///
/// A text is its length in 4 bytes and its UTF-8; all numbers are big-endian.
package struct StoreArchive: Hashable, Sendable {
    package var fleet: String
    package var stores: [StoreContents]

    private static let magic = Array("busbar-backup/1\n".utf8)

    package init(fleet: String, stores: [StoreContents]) {
        self.fleet = fleet
        self.stores = stores
    }

    /// The bytes of the file.
    package var bytes: [UInt8] {
        var writer = Writer(bytes: Self.magic)
        writer.text(fleet)
        writer.number(UInt32(stores.count))
        for contents in stores {
            writer.text(contents.store.role)
            writer.number(contents.epoch)
            writer.number(UInt32(contents.records.count))
            for record in contents.records {
                writer.text(record.key)
                writer.number(UInt32(record.value.count))
                writer.bytes += record.value
            }
        }
        writer.number(Self.checksum(writer.bytes[...]))
        return writer.bytes
    }

    /// Reads a file's bytes.
    ///
    /// - Throws: ``StoreError/invalid(_:)`` for bytes that are no backup, or are cut or damaged.
    package init(_ bytes: [UInt8]) throws(StoreError) {
        guard bytes.starts(with: Self.magic) else { throw .invalid("this is no backup of Busbar") }
        guard bytes.count >= Self.magic.count + 8 else { throw .invalid("the backup is cut off") }
        var reader = Reader(rest: bytes.dropLast(8).dropFirst(Self.magic.count))
        var tail = Reader(rest: bytes.suffix(8))
        guard try tail.number(UInt64.self) == Self.checksum(bytes.dropLast(8)) else {
            throw .invalid("the backup is cut off or damaged: its checksum does not fit")
        }
        fleet = try reader.text()
        stores = []
        for _ in 0..<(try reader.number(UInt32.self)) {
            let role = try reader.text()
            let epoch = try reader.number(UInt64.self)
            var records: [StoreRecord] = []
            for _ in 0..<(try reader.number(UInt32.self)) {
                let key = try reader.text()
                let value = try reader.bytes(Int(try reader.number(UInt32.self)))
                records.append(StoreRecord(key: key, version: 0, value: Array(value)))
            }
            let store: StoreLocation.Store =
                role.hasPrefix("site/") ? .site(String(role.dropFirst("site/".count))) : .fleet
            stores.append(StoreContents(store: store, epoch: epoch, records: records))
        }
        guard reader.rest.isEmpty else { throw .invalid("the backup has bytes behind its end") }
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }
}

private struct Writer {
    var bytes: [UInt8]

    mutating func number<Number: FixedWidthInteger>(_ value: Number) {
        withUnsafeBytes(of: value.bigEndian) { bytes += $0 }
    }

    mutating func text(_ value: String) {
        number(UInt32(value.utf8.count))
        bytes += value.utf8
    }
}

private struct Reader {
    var rest: ArraySlice<UInt8>

    mutating func bytes(_ count: Int) throws(StoreError) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw .invalid("the backup is cut off") }
        let taken = rest.prefix(count)
        rest = rest.dropFirst(count)
        return taken
    }

    mutating func number<Number: FixedWidthInteger>(
        _ type: Number.Type
    ) throws(StoreError) -> Number {
        try bytes(Number.bitWidth / 8).reduce(0) { $0 << 8 | Number($1) }
    }

    mutating func text() throws(StoreError) -> String {
        String(decoding: try bytes(Int(try number(UInt32.self))), as: UTF8.self)
    }
}
