// SPDX-License-Identifier: Apache-2.0

import FleetModel

/// A small generator of repeatable random values (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func flag() -> Bool { next() & 1 == 1 }

    /// A number that is as often short on the wire as long.
    mutating func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: Number.Type = Number.self, upTo maximum: Number = .max
    ) -> Number {
        let bits = Int.random(in: 0...Number.bitWidth, using: &self)
        let mask: Number = bits == Number.bitWidth ? .max : (1 << Number(bits)) - 1
        return min(maximum, Number(truncatingIfNeeded: next()) & mask)
    }

    mutating func power() -> Milliwatts {
        Milliwatts(Int64(number(UInt64.self, upTo: UInt64(Milliwatts.maximum.rawValue))))
    }

    mutating func powers(_ count: Int) -> [Milliwatts] { (0..<count).map { _ in power() } }

    mutating func duration() -> Int64 { Int64(number(UInt64.self, upTo: 1 << 60)) }

    /// A duration where 0 on the wire means none.
    mutating func optionalDuration() -> Int64? { flag() ? max(1, duration()) : nil }

    mutating func column(_ count: Int) -> [UInt32] { (0..<count).map { _ in number() } }

    mutating func list<Value>(
        upTo maximum: Int, _ make: (inout SeededGenerator) -> Value
    ) -> [Value] {
        (0..<Int.random(in: 0...maximum, using: &self)).map { _ in make(&self) }
    }

    mutating func bytes(upTo maximum: Int) -> [UInt8] {
        list(upTo: maximum) { UInt8(truncatingIfNeeded: $0.next()) }
    }

    mutating func name() -> String {
        let first = Array("abcXYZ019")
        let rest = Array("abcXYZ019-_.")
        return String(first.randomElement(using: &self)!)
            + String(
                (0..<Int.random(in: 0...20, using: &self)).map { _ in
                    rest.randomElement(using: &self)!
                })
    }

    mutating func path() -> String {
        (0...Int.random(in: 0...3, using: &self)).map { _ in name() }.joined(separator: "/")
    }

    mutating func text() -> String {
        let letters = Array("aZ 0,.:\"\\\t\nµ電力🔋é")
        return String(
            (0..<Int.random(in: 0...40, using: &self)).map { _ in
                letters.randomElement(using: &self)!
            })
    }

    /// A text where the empty one on the wire means none.
    mutating func optionalText() -> String? { flag() ? "x" + text() : nil }

    mutating func pick<Value: CaseIterable>(_ type: Value.Type = Value.self) -> Value {
        Value.allCases.randomElement(using: &self)!
    }
}
