// SPDX-License-Identifier: Apache-2.0

/// Turns levels into caps.
struct PowerCaps: ~Copyable {
    /// Twice the level of each gang in units of 2^-64, after a 0 for GPUs without a gang.
    ///
    /// A level of 1 is 2^63 here, so one multiplication serves it as well:
    /// `(level * 2^11) * (2 * span) / 2^64 = level * span / 2^52`.
    private var scaled = PowerColumn<UInt64>()
    /// What `prepare` found; shape: as `scaled`.
    private var isChanged = PowerColumn<Bool>()
    /// What was last worked out for a gang and a curve.
    private var memoKey = PowerColumn<UInt64>()
    private var memoRise = PowerColumn<UInt32>()

    private static let memoCount = 256

    var storageByteCount: Int {
        scaled.storageByteCount + isChanged.storageByteCount + memoKey.storageByteCount
            + memoRise.storageByteCount
    }

    /// Takes over the levels of all gangs, and marks those that are not as they were before.
    mutating func prepare(_ view: PowerView, _ level: UnsafePointer<PowerLevel>) {
        let known = scaled.count
        scaled.setCount(view.gangCount + 1)
        isChanged.setCount(view.gangCount + 1)
        scaled[0] = 0
        isChanged[0] = false
        for entry in 1..<scaled.count {
            let new = level[entry &- 1].rawValue &<< 11
            isChanged[entry] = entry >= known || scaled[entry] != new
            scaled[entry] = new
        }
        memoKey.reset(to: .max, count: PowerCaps.memoCount)
        memoRise.setCount(PowerCaps.memoCount)
    }

    /// True when the level of a gang, or of no gang (-1), was another one before.
    @inline(__always)
    func isChanged(gang: Int32) -> Bool { isChanged[Int(gang) &+ 1] }

    /// Writes the caps of some GPUs, stretch by stretch of one gang.
    func write(_ view: PowerView, _ gpus: Range<Int>, to cap: UnsafeMutablePointer<UInt32>) {
        var gpu = gpus.lowerBound
        while gpu < gpus.upperBound {
            let gang = view.checkedGang(gpu)
            let level = scaled[gang &+ 1]
            if level == 0 {
                gpu = writeFloors(view, gpu, gpus.upperBound, to: cap)
            } else if level == PowerCaps.full {
                gpu = writeFulls(view, gpu, gpus.upperBound, to: cap)
            } else {
                gpu = writeRises(view, gpu, gpus.upperBound, level, to: cap)
            }
        }
    }

    /// The scaled level of full pace.
    private static let full: UInt64 = 1 << 63

    /// Writes the caps of a stretch without a gang, or at level 0.
    ///
    /// - Returns: where it ends.
    @inline(__always)
    private func writeFloors(
        _ view: PowerView, _ start: Int, _ limit: Int, to cap: UnsafeMutablePointer<UInt32>
    ) -> Int {
        let (gangs, floors) = (view.gang, view.floor)
        let gang = gangs[start]
        var gpu = start
        repeat {
            cap[gpu] = floors[gpu]
            gpu &+= 1
        } while gpu < limit && gangs[gpu] == gang
        return gpu
    }

    /// Writes the caps of a stretch at full pace.
    ///
    /// - Returns: where it ends.
    @inline(__always)
    private func writeFulls(
        _ view: PowerView, _ start: Int, _ limit: Int, to cap: UnsafeMutablePointer<UInt32>
    ) -> Int {
        let (gangs, floors, fulls) = (view.gang, view.floor, view.full)
        let gang = gangs[start]
        var gpu = start
        repeat {
            cap[gpu] = max(floors[gpu], fulls[gpu])
            gpu &+= 1
        } while gpu < limit && gangs[gpu] == gang
        return gpu
    }

    /// Writes the caps of a stretch between floor and full pace.
    ///
    /// - Returns: where it ends.
    @inline(__always)
    private func writeRises(
        _ view: PowerView, _ start: Int, _ limit: Int, _ level: UInt64,
        to cap: UnsafeMutablePointer<UInt32>
    ) -> Int {
        let (gangs, curves, floors, fulls) = (view.gang, view.curve, view.floor, view.full)
        let gang = gangs[start]
        var gpu = start
        repeat {
            let (floor, full) = (floors[gpu], fulls[gpu])
            if curves[gpu] < 0 {
                let twice = UInt64(full > floor ? full &- floor : 0) &<< 1
                let rise = level.multipliedFullWidth(by: twice).high
                cap[gpu] = floor &+ UInt32(truncatingIfNeeded: rise)
            } else {
                cap[gpu] = floor &+ curveRise(view, gpu)
            }
            gpu &+= 1
        } while gpu < limit && gangs[gpu] == gang
        return gpu
    }

    /// What a GPU on a curve gets above its floor, between floor and full pace.
    @inline(__always)
    private func curveRise(_ view: PowerView, _ gpu: Int) -> UInt32 {
        let (gang, curve) = (view.gang[gpu], view.checkedCurve(gpu))
        let key = UInt64(UInt32(bitPattern: gang)) &<< 32 | UInt64(curve)
        let place = Int((UInt32(bitPattern: gang) &* 7 &+ UInt32(curve)) & 0xFF)
        if memoKey[place] != key {
            memoKey[place] = key
            let level = scaled[Int(gang) &+ 1] &>> 11
            let use = view.use(of: curve, level: level)
            memoRise[place] = UInt32(truncatingIfNeeded: use &>> PowerUnits.usageBits)
        }
        return memoRise[place]
    }
}
