// SPDX-License-Identifier: Apache-2.0

internal import CBusbarProto
internal import FleetModel

/// Puts C messages together in an arena; used inside one call of `Codec.encode` only.
struct Builder {
    let arena: OpaquePointer

    /// A C message filled from a value.
    func make<M: Mapped>(_ value: M) -> UnsafeMutablePointer<M.CMessage> {
        let memory = CBusbar_arena_build(arena, MemoryLayout<M.CMessage>.size)!
        let message = memory.assumingMemoryBound(to: M.CMessage.self)
        M.initialize(message)
        value.write(to: &message.pointee, self)
        return message
    }

    /// A C message of a type that has no value of its own.
    func message<C>(
        _ initialize: (UnsafeMutablePointer<C>?) -> Void, _ fill: (inout C) -> Void
    ) -> UnsafeMutablePointer<C> {
        let memory = CBusbar_arena_build(arena, MemoryLayout<C>.size)!
        let message = memory.assumingMemoryBound(to: C.self)
        initialize(message)
        fill(&message.pointee)
        return message
    }

    /// C messages filled from values, as a repeated field holds them; nil for none.
    func list<M: Mapped>(
        _ values: [M]
    ) -> UnsafeMutablePointer<UnsafeMutablePointer<M.CMessage>?>? {
        map(values) { make($0) }
    }

    /// A copy of a column; nil for none.
    func column<T: BitwiseCopyable>(_ values: [T]) -> UnsafeMutablePointer<T>? {
        map(values) { $0 }
    }

    /// A column of powers.
    func powers(_ values: [Milliwatts]) -> UnsafeMutablePointer<UInt64>? {
        map(values) { power($0) }
    }

    /// Transforms values into a C array; nil for none.
    func map<Value, T: BitwiseCopyable>(
        _ values: [Value], _ transform: (Value) -> T
    ) -> UnsafeMutablePointer<T>? {
        guard !values.isEmpty else { return nil }
        let size = values.count * MemoryLayout<T>.stride
        let raw = CBusbar_arena_build(arena, size)!
        let memory = raw.bindMemory(to: T.self, capacity: values.count)
        for position in values.indices {
            (memory + position).initialize(to: transform(values[position]))
        }
        return memory
    }

    /// A text with its terminating zero.
    func text(_ value: String) -> UnsafeMutablePointer<CChar> {
        var value = value
        return value.withUTF8 { utf8 in
            let memory = CBusbar_arena_build(arena, utf8.count + 1)!
            if let base = utf8.baseAddress { memory.copyMemory(from: base, byteCount: utf8.count) }
            memory.storeBytes(of: 0, toByteOffset: utf8.count, as: UInt8.self)
            return memory.assumingMemoryBound(to: CChar.self)
        }
    }

    /// Texts as a repeated field holds them; nil for none.
    func texts(_ values: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
        map(values) { text($0) }
    }

    /// A byte string.
    func bytes(_ value: [UInt8]) -> ProtobufCBinaryData {
        ProtobufCBinaryData(len: value.count, data: column(value))
    }

    /// Byte strings as a repeated field holds them; nil for none.
    func byteStrings(_ values: [[UInt8]]) -> UnsafeMutablePointer<ProtobufCBinaryData>? {
        map(values) { bytes($0) }
    }

    /// A power on the wire.
    ///
    /// One that is negative, which nothing makes on purpose, becomes a number above
    /// ``Milliwatts/maximum``: whoever writes goes on, and whoever reads refuses the field by name.
    /// Clamping it to zero would let a wrong charge or cap pass for a right one.
    func power(_ value: Milliwatts) -> UInt64 { UInt64(bitPattern: value.rawValue) }

    /// A time span on the wire; one that is negative is refused by whoever reads it.
    func duration(_ nanoseconds: Int64) -> UInt64 { UInt64(bitPattern: nanoseconds) }
}
