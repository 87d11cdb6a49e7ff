// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto

/// A value with a generated C message of its own.
protocol Mapped: Sendable {
    associatedtype CMessage

    /// The message type, as the `.proto` file names it.
    static var messageName: String { get }

    /// Calls the generated initializer.
    static func initialize(_ message: UnsafeMutablePointer<CMessage>)

    /// Checks a C message and copies it into a value that owns all it holds.
    static func read(_ message: CMessage) throws(WireError) -> Self

    /// Fills an initialized C message; what it points to lives in the builder's arena.
    func write(to message: inout CMessage, _ builder: Builder)
}

extension Mapped {
    /// Reads fields and says in errors that they are of this message.
    static var fields: FieldReader { FieldReader(message: messageName) }
}

/// The two ways across the C boundary: no pointer outlives a call.
enum Codec {
    static func decode<M: Mapped>(
        _ type: M.Type, _ bytes: RawSpan, _ arena: inout WireArena
    ) throws(WireError) -> M {
        let handle = arena.handle
        let limit = arena.limit
        defer { CBusbar_arena_reset(handle) }
        return try bytes.withUnsafeBytes { buffer throws(WireError) in
            try M.read(unpack(type, buffer, handle, limit: limit).pointee)
        }
    }

    /// Unpacks into the arena.
    ///
    /// The result is dead at the arena's next reset.
    static func unpack<M: Mapped>(
        _ type: M.Type, _ buffer: UnsafeRawBufferPointer, _ handle: OpaquePointer, limit: Int
    ) throws(WireError) -> UnsafeMutablePointer<M.CMessage> {
        let bytes = buffer.assumingMemoryBound(to: UInt8.self)
        let unpacked = CBusbar_arena_unpack(
            handle, descriptor(of: type, handle), bytes.count, bytes.baseAddress)
        guard let unpacked else {
            let isFull = CBusbar_arena_is_exhausted(handle) != 0
            throw WireError(
                message: M.messageName, reason: isFull ? .arenaExhausted(limit: limit) : .malformed)
        }
        return UnsafeMutableRawPointer(unpacked).assumingMemoryBound(to: M.CMessage.self)
    }

    static func encode<M: Mapped>(
        _ value: M, into bytes: inout [UInt8], _ arena: inout WireArena
    ) {
        let handle = arena.handle
        defer { CBusbar_arena_reset(handle) }
        let made = UnsafeMutableRawPointer(Builder(arena: handle).make(value))
        let message = made.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(message)
        let packed = CBusbar_arena_build(handle, size)!.assumingMemoryBound(to: UInt8.self)
        let written = protobuf_c_message_pack(message, packed)
        precondition(written == size, "\(M.messageName) packed into another size than foretold")
        bytes.append(contentsOf: UnsafeBufferPointer(start: packed, count: size))
    }

    /// The address of the generated descriptor, as the generated initializer writes it: the
    /// imported global itself would be copied by `withUnsafePointer`.
    private static func descriptor<M: Mapped>(
        of type: M.Type, _ handle: OpaquePointer
    ) -> UnsafePointer<ProtobufCMessageDescriptor> {
        let scratch = CBusbar_arena_build(handle, MemoryLayout<M.CMessage>.size)!
        M.initialize(scratch.assumingMemoryBound(to: M.CMessage.self))
        return scratch.assumingMemoryBound(to: ProtobufCMessage.self).pointee.descriptor
    }
}
