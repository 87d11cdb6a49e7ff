// SPDX-License-Identifier: Apache-2.0

/// What of a node is free, and what more would be charged.
extension FragmentationModel {
    /// The free GPUs of a node, as scores look at them.
    struct FreeGPUs {
        /// Devices with nothing on them.
        var whole: Int32 = 0
        /// Free thousandths of the devices that are neither full nor free, and their number.
        var partial = InlineArray<64, UInt16>(repeating: 0)
        var partialCount = 0
        /// The largest of them.
        var largestPartial: Int32 = 0

        mutating func addDevice(_ free: UInt16) {
            if free == 1000 {
                whole += 1
            } else if free > 0 {
                partial[partialCount] = free
                partialCount += 1
                largestPartial = max(largestPartial, Int32(free))
            }
        }

        /// True when so many devices have so much room each.
        func takes(_ count: Int32, _ milli: Int32) -> Bool {
            milli == 1000 ? whole >= count : whole > 0 || largestPartial >= milli
        }

        /// The devices with at least this much room: their free thousandths and their number.
        func fitting(_ milli: Int32) -> (milli: Int32, count: Int32) {
            var (sum, count) = (whole * 1000, whole)
            guard largestPartial >= milli else { return (sum, count) }
            for index in 0..<partialCount where Int32(partial[index]) >= milli {
                sum += Int32(partial[index])
                count += 1
            }
            return (sum, count)
        }

        /// True when an earlier device has the same room.
        func hasPartial(_ room: UInt16, before end: Int) -> Bool {
            for index in 0..<end where partial[index] == room { return true }
            return false
        }
    }
}

extension PlacementFleet {
    /// The free GPUs of a node.
    func freeGPUs(node: Int) -> FragmentationModel.FreeGPUs {
        var free = FragmentationModel.FreeGPUs()
        let first = Int(firstGPU[node])
        if freeMilli[node] == 0 { return free }
        for device in 0..<Int(typeGPUCount[Int(nodeType[node])]) {
            free.addDevice(gpuFreeMilli[first + device])
        }
        return free
    }

    /// The least that a task grows the charge of a node of a type whose charge is the sum of its floors,
    /// by more than what held floors are below the least cap.
    func leastGrowth(type: Int, _ request: PlacementRequest) -> Int64 {
        guard request.gpuCount > 0, typeGPUCount[type] > 0 else { return 0 }
        let count = Int64(typeGPUCount[type])
        let idle = typeFallback[type] / count + (typeFallback[type] % count > 0 ? 1 : 0)
        let task = PlacementFleet.taskFloor(
            perGPU: request.floorMilliwatts[type], milli: request.gpuMilli)
        let onIdle = Int64(request.gpuCount) * (heldFloor(task, type: type) - idle)
        return request.isShared ? min(0, onIdle) : onIdle
    }

    /// True when no row of scores tells two nodes apart; false may be wrong.
    func isAlike(_ left: Int, _ right: Int) -> Bool {
        let whole = freeDevices[left].nonzeroBitCount
        return nodeType[left] == nodeType[right] && nodeSite[left] == nodeSite[right]
            && freeCPU[left] == freeCPU[right] && freeMemory[left] == freeMemory[right]
            && ineligibility[left] == ineligibility[right]
            && freeDevices[left] == freeDevices[right]
            // Nothing but whole devices.
            && freeMilli[left] == freeMilli[right] && Int(freeMilli[left]) == whole * 1000
            && nodeCharge[left] - floorSum[left] == nodeCharge[right] - floorSum[right]
    }
}
