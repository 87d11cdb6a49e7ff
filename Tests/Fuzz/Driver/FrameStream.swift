// SPDX-License-Identifier: Apache-2.0

/// How an input of a frame target is read: the first byte bounds the frames, the second one cuts
/// the rest into pieces as a network would.
package struct FrameStream {
    /// The longest frame allowed.
    package var limit: Int
    /// The bytes of every piece but the last.
    package var pieceByteCount: Int
    private var bytes: ArraySlice<UInt8>

    /// Reads an input; nil when it is too short to say anything.
    package init?(_ input: [UInt8]) {
        guard input.count >= 2 else { return nil }
        limit = 1 + Int(input[0])
        pieceByteCount = 1 + Int(input[1]) % 64
        bytes = input[2...]
    }

    /// The pieces, in order.
    package var pieces: [ArraySlice<UInt8>] {
        stride(from: bytes.startIndex, to: bytes.endIndex, by: pieceByteCount).map {
            bytes[$0..<min($0 + pieceByteCount, bytes.endIndex)]
        }
    }

    /// The frames by the plainest reading there is, up to the first refused length.
    package func frames(fromLength least: Int) -> (whole: [[UInt8]], isRefused: Bool) {
        var found: [[UInt8]] = []
        var rest = bytes
        while rest.count >= 4 {
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            guard (least...limit).contains(length) else { return (found, true) }
            guard rest.count - 4 >= length else { break }
            found.append(Array(rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
        return (found, false)
    }
}
