// SPDX-License-Identifier: Apache-2.0

/// One cell in the order of the solve.
struct PowerFillCell: BitwiseCopyable, Sendable {
    /// As in ``PowerCells/weight``.
    var weight: Int64
    /// The place among the tracked domains.
    var domain: Int32
    var curve: Int32
}

/// The cells by class, high to low, and in a class by gang.
struct PowerLayout: ~Copyable {
    /// The gangs that have cells.
    private(set) var gang = PowerColumn<Int32>()
    /// The first cell of each of them, and the end.
    private(set) var start = PowerColumn<Int32>()
    private(set) var cell = PowerColumn<PowerFillCell>()
    /// Where each of the ``PowerCells`` stands.
    private(set) var place = PowerColumn<Int32>()

    /// By gang: how many cells, then where the next one goes.
    private var cursor = PowerColumn<Int32>()
    private var scratch = PowerColumn<Int32>()
    private var digitStart = PowerColumn<Int32>()

    var storageByteCount: Int {
        gang.storageByteCount + start.storageByteCount + cell.storageByteCount
            + place.storageByteCount + cursor.storageByteCount + scratch.storageByteCount
            + digitStart.storageByteCount
    }

    /// Arranges cells; what was there before is gone.
    ///
    /// Complexity: linear in gangs and cells.
    mutating func arrange(_ view: PowerView, _ cells: borrowing PowerCells) {
        cursor.reset(to: 0, count: view.gangCount)
        for cell in 0..<cells.count { cursor[Int(cells.key[cell].gang)] &+= 1 }
        gang.removeAll()
        for index in 0..<view.gangCount where cursor[index] > 0 {
            gang.append(Int32(truncatingIfNeeded: index))
        }
        sortByClass(view)
        start.removeAll()
        var next: Int32 = 0
        for position in 0..<gang.count {
            start.append(next)
            let count = cursor[Int(gang[position])]
            cursor[Int(gang[position])] = next
            next &+= count
        }
        start.append(next)
        cell.setCount(cells.count)
        place.setCount(cells.count)
        for index in 0..<cells.count {
            let key = cells.key[index]
            let position = cursor[Int(key.gang)]
            cursor[Int(key.gang)] = position &+ 1
            place[index] = position
            cell[Int(position)] = PowerFillCell(
                weight: cells.weight[index], domain: key.domain, curve: key.curve)
        }
    }

    /// Takes over the weights of the cells that were arranged last.
    func refreshWeights(_ cells: borrowing PowerCells) {
        let (place, cell, weight) = (place.base, cell.base, cells.weight.base)
        for index in 0..<self.place.count { cell[Int(place[index])].weight = weight[index] }
    }

    /// Where the class of the gang at a position ends.
    func classEnd(from position: Int, _ view: PowerView) -> Int {
        let priority = view.priority[Int(gang[position])]
        var end = position + 1
        while end < gang.count, view.priority[Int(gang[end])] == priority { end += 1 }
        return end
    }

    // MARK: - Private

    /// Sorts digit by digit from the lowest, which keeps the order by index inside a class.
    ///
    /// Digits in which all priorities agree, as a rule three of four, are left out.
    private mutating func sortByClass(_ view: PowerView) {
        guard gang.count > 1 else { return }
        let first = PowerLayout.key(view.priority[Int(gang[0])])
        var different: UInt32 = 0
        for position in 0..<gang.count {
            different |= PowerLayout.key(view.priority[Int(gang[position])]) ^ first
        }
        for shift in stride(from: UInt32(0), to: 32, by: 8) where (different >> shift) & 0xFF != 0 {
            sortByDigit(view, shift)
        }
    }

    private mutating func sortByDigit(_ view: PowerView, _ shift: UInt32) {
        digitStart.reset(to: 0, count: 257)
        scratch.setCount(gang.count)
        for position in 0..<gang.count {
            let key = PowerLayout.key(view.priority[Int(gang[position])])
            digitStart[Int((key >> shift) & 0xFF) &+ 1] &+= 1
        }
        for digit in 1..<257 { digitStart[digit] &+= digitStart[digit &- 1] }
        for position in 0..<gang.count {
            let key = PowerLayout.key(view.priority[Int(gang[position])])
            let digit = Int((key >> shift) & 0xFF)
            scratch[Int(digitStart[digit])] = gang[position]
            digitStart[digit] &+= 1
        }
        gang.base.update(from: scratch.base, count: gang.count)
    }

    /// Ascending keys are descending priorities.
    @inline(__always)
    private static func key(_ priority: Int32) -> UInt32 {
        ~(UInt32(bitPattern: priority) ^ 0x8000_0000)
    }
}
