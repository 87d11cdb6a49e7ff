// SPDX-License-Identifier: Apache-2.0

extension OperatorRequest {
    /// The id at the front of an encoded request, nil when there is none.
    ///
    /// For answering a request that could not be decoded. Encoders write fields in the order of their
    /// numbers, so the id (field 1, a varint) comes first.
    package static func id(of bytes: RawSpan) -> UInt64? {
        let tag: UInt8 = 1 << 3
        guard bytes.byteCount > 1, bytes.unsafeLoad(as: UInt8.self) == tag else { return nil }
        var value: UInt64 = 0
        // A varint of 64 bits takes ten bytes at most.
        for position in 1..<min(bytes.byteCount, 11) {
            let byte = bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
            value |= UInt64(byte & 0x7f) << UInt64(7 * (position - 1))
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
