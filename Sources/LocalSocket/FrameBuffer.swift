// SPDX-License-Identifier: Apache-2.0

internal import Wire

/// Collects bytes of a stream and cuts them into frames: 4-byte big-endian length, then the payload.
///
/// The length is checked before anything of the payload is kept, so a peer can make the buffer hold
/// no more than one frame and what one read brought.
struct FrameBuffer {
    private var bytes: [UInt8] = []
    /// Where the first byte not yet handed out lies.
    private var start = 0
    private let limit: Int

    /// An empty buffer.
    ///
    /// - Parameter limit: the longest payload, in bytes.
    init(limit: Int) { self.limit = limit }

    /// Adds what a read brought.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 65_536 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: more)
    }

    /// Takes the next whole payload, or nil when more bytes are needed.
    ///
    /// - Throws: ``LocalSocketError/frameTooLong(byteCount:limit:)``; the stream is of no use then.
    mutating func next() throws(LocalSocketError) -> [UInt8]? {
        guard bytes.count - start >= 4 else { return nil }
        var byteCount = 0
        for offset in 0..<4 { byteCount = byteCount << 8 | Int(bytes[start + offset]) }
        guard byteCount <= limit else {
            throw .frameTooLong(byteCount: byteCount, limit: limit)
        }
        guard bytes.count - start >= 4 + byteCount else { return nil }
        let payload = Array(bytes[(start + 4)..<(start + 4 + byteCount)])
        start += 4 + byteCount
        return payload
    }
}

/// Appends the length header and the payload of one frame.
func appendFrame(_ payload: [UInt8], to bytes: inout [UInt8]) {
    let byteCount = UInt32(payload.count)
    for shift in [24, 16, 8, 0] as [UInt32] {
        bytes.append(UInt8(truncatingIfNeeded: byteCount >> shift))
    }
    bytes.append(contentsOf: payload)
}
