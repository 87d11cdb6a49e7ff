// SPDX-License-Identifier: Apache-2.0

/// The longest frame of each protocol, in bytes, without its header.
package enum FrameLimit {
    /// Frames of an agent's session: 64 KiB.
    package static let agent = 65_536
    /// Frames between coordinators, from and to operators, and on local sockets: 1 MiB.
    package static let large = 1_048_576
}

/// The header of a frame: the number of bytes that follow, 4 bytes, big-endian.
package enum FrameHeader {
    /// The bytes of a header.
    package static let byteCount = 4

    /// Reads the length of a frame from its header and bounds it before anything is allocated.
    ///
    /// - Parameters:
    ///   - bytes: at least ``byteCount`` bytes, the header first.
    ///   - limit: the longest frame allowed, see ``FrameLimit``.
    /// - Returns: the number of bytes that follow the header, in `0...limit`.
    /// - Throws: `.truncated` for too few bytes, `.frameTooLong` above the limit.
    package static func length(in bytes: RawSpan, limit: Int) throws(WireError) -> Int {
        guard bytes.byteCount >= byteCount else {
            throw WireError(message: "Frame", field: "length", reason: .truncated)
        }
        let length = Int(UInt32(bigEndian: bytes.unsafeLoadUnaligned(as: UInt32.self)))
        guard length <= limit else {
            throw WireError(
                message: "Frame", field: "length",
                reason: .frameTooLong(length: length, limit: limit))
        }
        return length
    }

    /// Appends the header of a frame of `length` bytes.
    ///
    /// - Precondition: `length` is in `0...UInt32.max`.
    package static func append(length: Int, to bytes: inout [UInt8]) {
        let value = UInt32(length)
        bytes.append(UInt8(truncatingIfNeeded: value >> 24))
        bytes.append(UInt8(truncatingIfNeeded: value >> 16))
        bytes.append(UInt8(truncatingIfNeeded: value >> 8))
        bytes.append(UInt8(truncatingIfNeeded: value))
    }
}

/// Cuts a stream of bytes into frames.
///
/// Holds at most one frame and what came with it: a caller takes all frames out after every
/// ``append(_:)``, and no append is larger than what one read returns.
package struct FrameSplitter: Sendable {
    private var buffered: [UInt8] = []
    /// Where the bytes start that no frame has taken yet.
    private var start = 0
    private let limit: Int

    /// Makes a splitter for frames of at most `limit` bytes, see ``FrameLimit``.
    package init(limit: Int) { self.limit = limit }

    /// The bytes that are held and not yet taken.
    package var pendingByteCount: Int { buffered.count - start }

    /// Takes bytes from the stream.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if start > 0 {
            buffered.removeSubrange(..<start)
            start = 0
        }
        buffered.append(contentsOf: bytes)
    }

    /// Takes bytes from the stream.
    package mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    /// Takes the next whole frame out, without its header; nil when more bytes are needed.
    ///
    /// - Throws: `.frameTooLong` as soon as the header is there. The stream is then of no more use.
    package mutating func next() throws(WireError) -> [UInt8]? {
        guard pendingByteCount >= FrameHeader.byteCount else { return nil }
        let length = try nextLength()
        let first = start + FrameHeader.byteCount
        guard buffered.count - first >= length else { return nil }
        let frame = Array(buffered[first..<(first + length)])
        start = first + length
        if start == buffered.count {
            buffered.removeAll(keepingCapacity: true)
            start = 0
        }
        return frame
    }

    private func nextLength() throws(WireError) -> Int {
        try FrameHeader.length(in: buffered.span.bytes.extracting(start...), limit: limit)
    }
}
