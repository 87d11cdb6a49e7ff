// SPDX-License-Identifier: Apache-2.0

/// Mixes the bits of a number so that near inputs give far outputs.
///
/// Source: the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
func mixed(_ value: UInt64) -> UInt64 {
    var result = value &+ 0x9E37_79B9_7F4A_7C15
    result = (result ^ (result >> 30)) &* 0xBF58_476D_1CE4_E5B9
    result = (result ^ (result >> 27)) &* 0x94D0_49BB_1331_11EB
    return result ^ (result >> 31)
}

/// A number for a text, the same in every process and on every machine.
///
/// Source: FNV-1a, 64 bits, then ``mixed(_:)``.
package func stableHash(_ text: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return mixed(hash)
}

/// A name in the form of a GPU's UUID, derived from its node and its position.
func simulatedUUID(node: String, device: Int) -> String {
    let first = hexadecimal(stableHash("\(node)/\(device)"))
    let second = hexadecimal(mixed(stableHash("\(device)/\(node)")))
    let groups = [
        first.prefix(8), first.dropFirst(8).prefix(4), first.suffix(4), second.prefix(4),
        second.suffix(12),
    ]
    return "GPU-" + groups.joined(separator: "-")
}

private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
