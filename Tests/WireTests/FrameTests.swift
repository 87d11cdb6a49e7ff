// SPDX-License-Identifier: Apache-2.0

import Testing
import Wire

/// Goal: frames come out of any slicing of the stream, and a length is bounded by its header alone.
@Suite("Frames")
struct FrameTests {
    @Test("Frames survive every way of cutting the stream in two")
    func everyCut() throws {
        let frames: [[UInt8]] = [[], [1], [2, 3, 4], [UInt8](repeating: 9, count: 300)]
        var stream: [UInt8] = []
        for frame in frames {
            FrameHeader.append(length: frame.count, to: &stream)
            stream += frame
        }
        for cut in 0...stream.count {
            var splitter = FrameSplitter(limit: 300)
            var found: [[UInt8]] = []
            for part in [stream[..<cut], stream[cut...]] {
                splitter.append(Array(part))
                while let frame = try splitter.next() { found.append(frame) }
            }
            #expect(found == frames, "cut at \(cut)")
            #expect(splitter.pendingByteCount == 0)
        }
    }

    @Test("A byte at a time is enough")
    func byteAtATime() throws {
        var stream: [UInt8] = []
        FrameHeader.append(length: 2, to: &stream)
        stream += [7, 8]
        var splitter = FrameSplitter(limit: 2)
        for byte in stream.dropLast() {
            splitter.append([byte])
            #expect(try splitter.next() == nil)
        }
        splitter.append([8])
        #expect(try splitter.next() == [7, 8])
    }

    @Test(
        "A length above the limit is refused before a byte of the frame has come",
        arguments: [65_537, 16_777_216, 4_294_967_295])
    func tooLong(length: Int) {
        var header: [UInt8] = []
        FrameHeader.append(length: length, to: &header)
        var splitter = FrameSplitter(limit: FrameLimit.agent)
        splitter.append(header)
        #expect(
            throws: WireError(
                message: "Frame", field: "length",
                reason: .frameTooLong(length: length, limit: FrameLimit.agent))
        ) { try splitter.next() }
    }

    @Test("A header needs four bytes")
    func shortHeader() {
        let bytes: [UInt8] = [0, 0, 0]
        #expect(throws: WireError(message: "Frame", field: "length", reason: .truncated)) {
            try FrameHeader.length(in: bytes.span.bytes, limit: 10)
        }
    }

    @Test("A message above the limit is not sent, and the buffer is as before")
    func sendLimit() {
        var bytes: [UInt8] = [1, 2]
        var arena = WireArena()
        let message = AgentMessage.goodbye(reason: String(repeating: "x", count: 100))
        #expect(throws: WireError.self) {
            try message.appendFrame(to: &bytes, limit: 50, arena: &arena)
        }
        #expect(bytes == [1, 2])
    }

    @Test("A sent frame has its length in front")
    func sentFrame() throws {
        let message = AgentMessage.goodbye(reason: "x")
        let frame = try message.frame(limit: FrameLimit.agent)
        #expect(Array(frame.prefix(4)) == [0, 0, 0, UInt8(frame.count - 4)])
        #expect(try AgentMessage.decode(Array(frame.dropFirst(4))) == message)
    }
}
