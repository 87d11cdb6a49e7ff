// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import CEtcdProto
internal import GRPCCore

/// A value that is sent to etcd as one message.
protocol EtcdRequest: Sendable {
    /// The bytes of the message.
    func encoded() -> [UInt8]
}

/// A value that etcd sends as one message.
protocol EtcdResponse: Sendable {
    /// Reads a message.
    ///
    /// - Throws: ``EtcdMalformed`` for bytes that are not one.
    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> Self
}

/// Bytes that are not the message that was expected.
struct EtcdMalformed: Error {
    var message: String
}

/// Hands requests to gRPC.
struct EtcdSerializer<Message: EtcdRequest>: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: Message) throws -> Bytes {
        Bytes(message.encoded())
    }
}

/// Takes responses from gRPC.
struct EtcdDeserializer<Message: EtcdResponse>: MessageDeserializer {
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Message {
        try bytes.withUnsafeBytes { try Message.decode($0) }
    }
}

// MARK: - Building

/// Puts C messages together in an arena that lives for one message.
struct EtcdBuilder: ~Copyable {
    private let arena = CBusbar_arena_create(4096, 4096)

    deinit { CBusbar_arena_destroy(arena) }

    /// A C message, filled in.
    func message<C>(
        _ initialize: (UnsafeMutablePointer<C>?) -> Void, _ fill: (inout C) -> Void
    ) -> UnsafeMutablePointer<C> {
        let memory = CBusbar_arena_build(arena, MemoryLayout<C>.size)!
        let message = memory.bindMemory(to: C.self, capacity: 1)
        initialize(message)
        fill(&message.pointee)
        return message
    }

    /// A byte string.
    func bytes(_ value: [UInt8]) -> ProtobufCBinaryData {
        guard !value.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
        let memory = CBusbar_arena_build(arena, value.count)!
        value.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        return ProtobufCBinaryData(
            len: value.count, data: memory.assumingMemoryBound(to: UInt8.self))
    }

    /// Messages as a repeated field holds them; nil for none.
    func list<Value, C>(
        _ values: [Value], _ make: (Value) -> UnsafeMutablePointer<C>
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<C>?>? {
        guard !values.isEmpty else { return nil }
        let size = values.count * MemoryLayout<UnsafeMutablePointer<C>?>.stride
        let memory = CBusbar_arena_build(arena, size)!
            .bindMemory(to: UnsafeMutablePointer<C>?.self, capacity: values.count)
        for position in values.indices {
            (memory + position).initialize(to: make(values[position]))
        }
        return memory
    }
}

/// Packs a message.
func etcdPack<C>(
    _ message: UnsafeMutablePointer<C>, size: (UnsafePointer<C>?) -> Int,
    pack: (UnsafePointer<C>?, UnsafeMutablePointer<UInt8>?) -> Int
) -> [UInt8] {
    let count = size(message)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
        written = count == 0 ? 0 : pack(message, buffer.baseAddress)
    }
}

/// Unpacks a message, hands it to `body`, and frees it.
func etcdUnpack<C, Value>(
    _ bytes: UnsafeRawBufferPointer, _ name: String,
    unpack: (
        UnsafeMutablePointer<ProtobufCAllocator>?, Int, UnsafePointer<UInt8>?
    ) -> UnsafeMutablePointer<C>?,
    free: (UnsafeMutablePointer<C>?, UnsafeMutablePointer<ProtobufCAllocator>?) -> Void,
    _ body: (C) throws -> Value
) throws -> Value {
    let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    guard let message = unpack(nil, bytes.count, base) else {
        throw EtcdMalformed(message: name)
    }
    defer { free(message, nil) }
    return try body(message.pointee)
}

extension [UInt8] {
    /// A copy of a byte string of a C message.
    init(_ data: ProtobufCBinaryData) {
        self = data.data.map { Array(UnsafeBufferPointer(start: $0, count: data.len)) } ?? []
    }
}

/// Copies out a repeated field.
func etcdList<C, Value>(
    _ pointers: UnsafeMutablePointer<UnsafeMutablePointer<C>?>?, _ count: Int,
    _ read: (C) -> Value
) -> [Value] {
    guard let pointers else { return [] }
    return (0..<count).compactMap { pointers[$0].map { read($0.pointee) } }
}

/// Copies out a text; empty for none.
func etcdText(_ pointer: UnsafePointer<CChar>?) -> String {
    pointer.map { String(cString: $0) } ?? ""
}
