// SPDX-License-Identifier: Apache-2.0

// Goal: the codec takes in exactly the frames that were sent, however they are cut, and nothing else.
// Method: an embedded channel with virtual time, as on a Unix socket: the codec alone.

import NIOCore
import NIOEmbedded
import SecureTransport
import TLSTestSupport
import Testing

@Suite struct FrameCodecTests {
    private func channel(limit: Int = 1000) throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(
            handler: FrameCodec(limit: limit, timeout: .seconds(5)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func framed(_ payload: [UInt8]) -> [UInt8] {
        [0, 0, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)] + payload
    }

    @Test("Random frames in random pieces come out whole and in order")
    func pieces() throws {
        var generator = Generator(seed: 20)
        for _ in 0..<50 {
            let channel = try channel()
            let payloads = (0..<Int.random(in: 1...20, using: &generator)).map { _ in
                (0..<Int.random(in: 1...1000, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
            }
            var bytes = payloads.flatMap(framed)[...]
            while !bytes.isEmpty {
                let count = min(Int.random(in: 1...1500, using: &generator), bytes.count)
                try channel.writeInbound(ByteBuffer(bytes: bytes.prefix(count)))
                bytes = bytes.dropFirst(count)
            }
            for payload in payloads {
                #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: payload))
            }
            #expect(try channel.readInbound(as: ByteBuffer.self) == nil)
            #expect(try channel.finish().isClean)
        }
    }

    @Test("Frames written are one write after the flush")
    func out() throws {
        let channel = try channel()
        let first = channel.write(ByteBuffer(bytes: [1, 2]))
        let second = channel.write(ByteBuffer(bytes: [3]))
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
        channel.flush()
        let bytes = try channel.readOutbound(as: ByteBuffer.self)
        #expect(bytes == ByteBuffer(bytes: [0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 3]))
        try first.wait()
        try second.wait()
        #expect(throws: CloseReason.frameTooLong(byteCount: 1001, limit: 1000)) {
            try channel.writeAndFlush(ByteBuffer(repeating: 0, count: 1001)).wait()
        }
        #expect(throws: CloseReason.frameEmpty) {
            try channel.writeAndFlush(ByteBuffer()).wait()
        }
        _ = try channel.finish()
    }

    @Test("A length over the limit is refused before a byte of it is taken in")
    func tooLong() throws {
        let channel = try channel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        #expect(throws: CloseReason.frameTooLong(byteCount: 1001, limit: 1000)) {
            try channel.writeInbound(ByteBuffer(bytes: [0, 0, 3, 0xe9]))
        }
        #expect(!channel.isActive)
    }

    @Test("A frame before the fault is delivered, one after it is not")
    func afterFault() throws {
        let channel = try channel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        #expect(throws: CloseReason.frameEmpty) {
            try channel.writeInbound(
                ByteBuffer(bytes: framed([1]) + [0, 0, 0, 0] + framed([2])))
        }
        #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [1]))
        #expect(try channel.readInbound(as: ByteBuffer.self) == nil)
    }

    @Test("A frame has five seconds from its first byte, and a byte now and then does not help")
    func slow() throws {
        let channel = try channel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        let loop = channel.embeddedEventLoop
        try channel.writeInbound(ByteBuffer(bytes: [0, 0, 0]))
        for byte in [100, 1, 1, 1] as [UInt8] {
            loop.advanceTime(by: .seconds(1))
            try channel.writeInbound(ByteBuffer(bytes: [byte]))
            #expect(channel.isActive)
        }
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
        #expect(throws: CloseReason.frameTimedOut) { try channel.throwIfErrorCaught() }
    }

    @Test("Every frame has its own five seconds, and between frames there is no limit")
    func steady() throws {
        let channel = try channel()
        let loop = channel.embeddedEventLoop
        for _ in 0..<5 {
            try channel.writeInbound(ByteBuffer(bytes: [0, 0, 0, 2, 7]))
            loop.advanceTime(by: .seconds(4))
            try channel.writeInbound(ByteBuffer(bytes: [7, 0, 0]))
            loop.advanceTime(by: .seconds(4))
            try channel.writeInbound(ByteBuffer(bytes: [0, 1, 8]))
            loop.advanceTime(by: .hours(1))
            #expect(channel.isActive)
            #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [7, 7]))
            #expect(try channel.readInbound(as: ByteBuffer.self) == ByteBuffer(bytes: [8]))
        }
        #expect(try channel.finish().isClean)
    }
}
