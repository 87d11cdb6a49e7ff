// SPDX-License-Identifier: Apache-2.0

/// A gang's share of a tracked domain, as far as it follows one curve.
struct PowerCellKey: BitwiseCopyable, Hashable, Sendable {
    var gang: Int32
    /// The place among the tracked domains.
    var domain: Int32
    /// The curve, or -1 for the straight lines.
    var curve: Int32
}

/// What the gangs can use of each tracked domain: GPUs summed up by gang, domain and curve.
///
/// GPUs that want nothing above their floors are in no cell. Cells stand in the order in which they came,
/// which no result depends on. Once ``makeTable()`` has run they are found by an open-addressing table
/// with linear probes, which holds the keys as well: a look-up mostly reads one line of memory.
struct PowerCells: ~Copyable {
    /// A place of the table.
    struct Slot: BitwiseCopyable, Sendable {
        var key: PowerCellKey
        /// The cell, or -1.
        var cell: Int32
    }

    private(set) var key = PowerColumn<PowerCellKey>()
    /// Straight lines: sum of full - floor in milliwatts.
    ///
    /// Curves: number of GPUs.
    private(set) var weight = PowerColumn<Int64>()
    /// Shape: a power of two, at least twice as many as cells; empty without a table.
    private var slot = PowerColumn<Slot>()
    private var shift: UInt64 = 0

    /// The number of cells.
    var count: Int { key.count }

    var storageByteCount: Int {
        key.storageByteCount + weight.storageByteCount + slot.storageByteCount
    }

    /// Forgets all cells and the table, and keeps the storage.
    mutating func removeAll() {
        key.removeAll()
        weight.removeAll()
        slot.removeAll()
    }

    /// Appends a cell that is not there yet.
    ///
    /// Precondition: there is no table.
    @inline(__always)
    mutating func append(_ newKey: PowerCellKey, _ amount: Int64) {
        assert(slot.count == 0)
        key.append(newKey)
        weight.append(amount)
    }

    /// Adds to the weight of a cell.
    @inline(__always)
    func add(_ amount: Int64, toCell cell: Int) { weight[cell] &+= amount }

    /// Makes the table of all cells.
    mutating func makeTable() {
        var slotCount = 64
        while slotCount < 2 * (count + 1) { slotCount *= 2 }
        makeTable(slotCount)
    }

    /// Adds to the weight of a cell, which is made when it is not there.
    ///
    /// Precondition: there is a table.
    @inline(__always)
    mutating func add(_ amount: Int64, to wanted: PowerCellKey) {
        var place = home(of: wanted)
        while true {
            let slot = slot[place]
            if slot.cell < 0 { return insert(wanted, amount, at: place) }
            if slot.key == wanted {
                weight[Int(slot.cell)] &+= amount
                return
            }
            place = (place &+ 1) & (self.slot.count &- 1)
        }
    }

    // MARK: - Private

    @inline(__always)
    private func home(of key: PowerCellKey) -> Int {
        let gang = UInt64(UInt32(bitPattern: key.gang))
        let domain = UInt64(UInt32(bitPattern: key.domain))
        let curve = UInt64(UInt32(bitPattern: key.curve &+ 1))
        // Multiplicative hashing: the high bits are mixed best.
        let mixed =
            (gang << 32 | domain) &* 0x9E37_79B9_7F4A_7C15 &+ curve &* 0xC2B2_AE3D_27D4_EB4F
        return Int(truncatingIfNeeded: mixed >> shift)
    }

    @inline(never)
    private mutating func insert(_ wanted: PowerCellKey, _ amount: Int64, at place: Int) {
        slot[place] = Slot(key: wanted, cell: Int32(truncatingIfNeeded: count))
        key.append(wanted)
        weight.append(amount)
        if count * 2 > slot.count { makeTable(slot.count * 2) }
    }

    private mutating func makeTable(_ slotCount: Int) {
        let none = PowerCellKey(gang: -1, domain: -1, curve: -1)
        slot.reset(to: Slot(key: none, cell: -1), count: slotCount)
        shift = UInt64(64 - slotCount.trailingZeroBitCount)
        for cell in 0..<count { enter(cell) }
    }

    private func enter(_ cell: Int) {
        var place = home(of: key[cell])
        while slot[place].cell >= 0 { place = (place &+ 1) & (slot.count &- 1) }
        slot[place] = Slot(key: key[cell], cell: Int32(truncatingIfNeeded: cell))
    }
}
