// SPDX-License-Identifier: Apache-2.0

/// A value that travels, or is stored, as one protobuf message.
///
/// Decoding checks everything: a value that comes out has valid names, numbers in range, lists
/// within their limits. What a newer peer adds is ignored.
package protocol WireMessage: Sendable {
    /// The most memory that one such message may unpack into.
    static var arenaLimit: Int { get }

    /// Reads a message.
    ///
    /// - Throws: what is wrong with it; the sender is at fault.
    static func decode(_ bytes: RawSpan, arena: inout WireArena) throws(WireError) -> Self

    /// Appends the bytes of the message.
    ///
    /// - Precondition: no power and no duration is negative.
    func encode(into bytes: inout [UInt8], arena: inout WireArena)
}

extension WireMessage {
    /// Reads a message, in an arena that lives for this call only.
    package static func decode(_ bytes: [UInt8]) throws(WireError) -> Self {
        var arena = WireArena(blockByteCount: 16 * bytes.count, limit: arenaLimit)
        return try decode(bytes.span.bytes, arena: &arena)
    }

    /// Reads a message, in an arena that lives for this call only.
    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> Self {
        var arena = WireArena(blockByteCount: 16 * bytes.count, limit: arenaLimit)
        return try decode(bytes.bytes, arena: &arena)
    }

    /// Appends the bytes of the message, built in an arena that lives for this call only.
    package func encode(into bytes: inout [UInt8]) {
        var arena = WireArena()
        encode(into: &bytes, arena: &arena)
    }

    /// The bytes of the message.
    package func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        encode(into: &bytes)
        return bytes
    }

    /// Appends a whole frame: the header, then the message.
    ///
    /// - Throws: `.frameTooLong`, with `bytes` as before, when the message is above `limit`: the
    ///   caller sends it in parts.
    package func appendFrame(
        to bytes: inout [UInt8], limit: Int, arena: inout WireArena
    ) throws(WireError) {
        let start = bytes.count
        FrameHeader.append(length: 0, to: &bytes)
        encode(into: &bytes, arena: &arena)
        let length = bytes.count - start - FrameHeader.byteCount
        guard length <= limit else {
            bytes.removeSubrange(start...)
            throw WireError(
                message: "\(Self.self)", reason: .frameTooLong(length: length, limit: limit))
        }
        for position in 0..<FrameHeader.byteCount {
            bytes[start + position] = UInt8(truncatingIfNeeded: length >> (24 - 8 * position))
        }
    }

    /// The message as a whole frame.
    ///
    /// - Throws: `.frameTooLong` when it is above `limit`.
    package func frame(limit: Int) throws(WireError) -> [UInt8] {
        var bytes: [UInt8] = []
        var arena = WireArena()
        try appendFrame(to: &bytes, limit: limit, arena: &arena)
        return bytes
    }
}
