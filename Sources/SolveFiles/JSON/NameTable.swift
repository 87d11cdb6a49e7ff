// SPDX-License-Identifier: Apache-2.0

/// Distinct byte strings, numbered in the order in which they came; found again without making one.
struct NameTable {
    /// All names, one after another.
    private var bytes: [UInt8] = []
    /// Where each begins, and the end.
    private var starts: [Int] = [0]
    /// Open addressing: the number of a name plus one, or 0.
    ///
    /// The number of slots is a power of two, at least double that of names.
    private var slots = [Int32](repeating: 0, count: 64)

    /// The number of names.
    var count: Int { starts.count - 1 }

    /// The bytes of a name as text.
    func text(_ number: Int) -> String {
        String(decoding: bytes[starts[number]..<starts[number + 1]], as: UTF8.self)
    }

    /// The bytes of a name.
    func slice(_ number: Int) -> ArraySlice<UInt8> { bytes[starts[number]..<starts[number + 1]] }

    /// The number of a name that is there.
    func find(_ name: UnsafeRawBufferPointer) -> Int? {
        let slot = slots[slot(of: name)]
        return slot == 0 ? nil : Int(slot) - 1
    }

    /// The number of a name, which is added when it is new.
    mutating func insert(_ name: UnsafeRawBufferPointer) -> (number: Int, isNew: Bool) {
        let place = slot(of: name)
        if slots[place] != 0 { return (Int(slots[place]) - 1, false) }
        bytes.append(contentsOf: name)
        starts.append(bytes.count)
        slots[place] = Int32(count)
        if count * 2 > slots.count { grow() }
        return (count - 1, true)
    }

    /// The slot that holds a name, or the free one where it belongs.
    private func slot(of name: UnsafeRawBufferPointer) -> Int {
        // Seeded for each process: no file can be made so that its names collide.
        var hasher = Hasher()
        hasher.combine(bytes: name)
        var place = hasher.finalize() & (slots.count - 1)
        while slots[place] != 0, !isEqual(Int(slots[place]) - 1, name) {
            place = (place + 1) & (slots.count - 1)
        }
        return place
    }

    private func isEqual(_ number: Int, _ name: UnsafeRawBufferPointer) -> Bool {
        let (start, end) = (starts[number], starts[number + 1])
        guard end - start == name.count else { return false }
        return bytes.withUnsafeBytes { all in
            for index in 0..<name.count where all[start + index] != name[index] { return false }
            return true
        }
    }

    private mutating func grow() {
        slots = [Int32](repeating: 0, count: slots.count * 4)
        bytes.withUnsafeBytes { all in
            for number in 0..<count {
                let range = starts[number]..<starts[number + 1]
                slots[slot(of: UnsafeRawBufferPointer(rebasing: all[range]))] = Int32(number + 1)
            }
        }
    }
}
