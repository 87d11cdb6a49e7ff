// SPDX-License-Identifier: Apache-2.0

import FuzzDriver
import NIOCore
import NIOEmbedded
import SecureTransport

/// The decoders of the transport.
enum TransportTarget: String, FuzzTarget {
    case networkFrame = "network-frame"

    func run(_ input: [UInt8]) { checkCodec(input) }
}

/// The program's entry: SwiftPM renames `main` of an executable target to `<target>_main`.
@_cdecl("TransportFuzz_main")
func transportFuzzMain(
    _ argumentCount: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> CInt {
    FuzzDriver.main(TransportTarget.self, argumentCount, arguments)
}

/// The codec finds what the plainest reading finds; a frame without a byte is refused.
private func checkCodec(_ input: [UInt8]) {
    guard let stream = FrameStream(input) else { return }
    let codec = FrameCodec(limit: stream.limit, timeout: .seconds(10))
    let channel = EmbeddedChannel(handler: codec)
    var isRefused = false
    for piece in stream.pieces where !isRefused {
        do {
            try channel.writeInbound(ByteBuffer(bytes: piece))
        } catch {
            isRefused = true
        }
    }
    var found: [[UInt8]] = []
    while let frame = try? channel.readInbound(as: ByteBuffer.self) {
        found.append(Array(frame.readableBytesView))
    }
    _ = try? channel.finish(acceptAlreadyClosed: true)
    let expected = stream.frames(fromLength: 1)
    precondition(found == expected.whole && isRefused == expected.isRefused, "other frames")
}
