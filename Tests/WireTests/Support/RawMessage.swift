// SPDX-License-Identifier: Apache-2.0

/// Protobuf bytes put together field by field, without any rule: what a hostile peer may send.
struct RawMessage {
    var bytes: [UInt8] = []

    /// A varint field.
    func varint(_ field: UInt64, _ value: UInt64) -> RawMessage {
        appending(Self.varint(field << 3) + Self.varint(value))
    }

    /// A fixed 64-bit field.
    func fixed(_ field: UInt64, _ value: UInt64) -> RawMessage {
        let littleEndian = (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        return appending(Self.varint(field << 3 | 1) + littleEndian)
    }

    /// A field with a length and bytes.
    func field(_ field: UInt64, _ content: [UInt8]) -> RawMessage {
        appending(Self.varint(field << 3 | 2) + Self.varint(UInt64(content.count)) + content)
    }

    /// A text field.
    func field(_ field: UInt64, _ text: String) -> RawMessage {
        self.field(field, Array(text.utf8))
    }

    /// A nested message.
    func field(_ field: UInt64, _ message: RawMessage) -> RawMessage {
        self.field(field, message.bytes)
    }

    /// A packed column of varints.
    func column(_ field: UInt64, _ values: [UInt64]) -> RawMessage {
        self.field(field, values.flatMap(Self.varint))
    }

    /// The same message many times over.
    func repeated(_ count: Int) -> RawMessage {
        RawMessage(bytes: Array(repeatElement(bytes, count: count).joined()))
    }

    /// This message and then another one.
    func then(_ other: RawMessage) -> RawMessage { appending(other.bytes) }

    func appending(_ more: [UInt8]) -> RawMessage { RawMessage(bytes: bytes + more) }

    static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
