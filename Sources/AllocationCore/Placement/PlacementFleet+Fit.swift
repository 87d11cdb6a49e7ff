// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// Whether and how tasks fit one node.
extension PlacementFleet {
    /// The first test that a node fails for a task, power left out; nil when it passes all.
    func obstacle(node: Int, _ request: PlacementRequest) -> PlacementObstacle? {
        if let reason = NodeIneligibility(rawValue: ineligibility[node]) {
            return .ineligible(reason)
        }
        guard request.siteAllowed[Int(nodeSite[node])] else { return .site }
        switch request.typeObstacle[Int(nodeType[node])] {
        case .none: break
        case .model: return .model
        case .selector: return .selector
        case .tooSmall: return .tooSmall
        }
        guard request.gpuCount == 0 || hasDevices(node: node, request) else { return .gpus }
        guard freeCPU[node] >= request.cpuMilli else { return .cpu }
        guard freeMemory[node] >= request.memoryMiB else { return .memory }
        return nil
    }

    private func hasDevices(node: Int, _ request: PlacementRequest) -> Bool {
        guard request.isShared else {
            return freeDevices[node].nonzeroBitCount >= request.gpuCount
        }
        if freeDevices[node] != 0 { return true }
        guard freeMilli[node] >= request.gpuMilli else { return false }
        let first = Int(firstGPU[node])
        for gpu in first..<(first + Int(typeGPUCount[Int(nodeType[node])]))
        where gpuFreeMilli[gpu] >= request.gpuMilli {
            return true
        }
        return false
    }

    /// How many tasks a node that passes ``obstacle(node:_:)`` can take, power left out.
    func taskCapacity(node: Int, _ request: PlacementRequest, atMost limit: Int) -> Int {
        var count = request.isSpread ? 1 : limit
        if request.cpuMilli > 0 { count = min(count, Int(freeCPU[node] / request.cpuMilli)) }
        if request.memoryMiB > 0 { count = min(count, Int(freeMemory[node] / request.memoryMiB)) }
        guard request.gpuCount > 0, count > 1 else { return count }
        guard request.isShared else {
            return min(count, freeDevices[node].nonzeroBitCount / request.gpuCount)
        }
        let first = Int(firstGPU[node])
        var shares = 0
        for gpu in first..<(first + Int(typeGPUCount[Int(nodeType[node])])) {
            shares += Int(gpuFreeMilli[gpu] / request.gpuMilli)
        }
        return min(count, shares)
    }

    /// The floor that a device gains by one more task of a request.
    ///
    /// May be negative: an idle device's share of the fallback can be more than a small job's
    /// floor.
    func floorGrowth(node: Int, device: Int, _ request: PlacementRequest) -> Int64 {
        let type = Int(nodeType[node])
        let held = gpuHeldFloor[Int(firstGPU[node]) + device]
        let task = PlacementFleet.taskFloor(
            perGPU: request.floorMilliwatts[type], milli: request.gpuMilli)
        return heldFloor(held + task, type: type) - floor(node: node, device: device)
    }

    /// The free devices that a task of whole GPUs takes: the first ones, which have the largest idle
    /// floors, so no other choice grows the charge less.
    func firstFreeDevices(node: Int, count: Int) -> UInt64 {
        var free = freeDevices[node]
        var taken: UInt64 = 0
        for _ in 0..<count {
            let lowest = free & (~free &+ 1)
            taken |= lowest
            free &= ~lowest
        }
        return taken
    }

    /// The device with the least room that still takes a share; the first of equals.
    func tightestDevice(node: Int, _ request: PlacementRequest) -> Int? {
        var best: Int?
        var bestFree = UInt16.max
        let first = Int(firstGPU[node])
        for device in 0..<Int(typeGPUCount[Int(nodeType[node])]) {
            let free = gpuFreeMilli[first + device]
            guard free >= request.gpuMilli, free < bestFree else { continue }
            (best, bestFree) = (device, free)
        }
        return best
    }

    /// The device that takes a share with the least growth of the floor; then the tightest.
    func cheapestDevice(node: Int, _ request: PlacementRequest) -> Int? {
        var best: Int?
        var bestKey = (Int64.max, UInt16.max)
        let first = Int(firstGPU[node])
        for device in 0..<Int(typeGPUCount[Int(nodeType[node])]) {
            let free = gpuFreeMilli[first + device]
            guard free >= request.gpuMilli else { continue }
            let key = (floorGrowth(node: node, device: device, request), free)
            guard key < bestKey else { continue }
            (best, bestKey) = (device, key)
        }
        return best
    }

    /// The devices of one more task on a node with the least growth of its floors.
    func cheapestDevices(node: Int, _ request: PlacementRequest) -> UInt64? {
        if request.gpuCount == 0 { return 0 }
        guard request.isShared else {
            return firstFreeDevices(node: node, count: request.gpuCount)
        }
        return cheapestDevice(node: node, request).map { 1 << UInt64($0) }
    }

    /// The sum of the floors of a node after a task on these devices.
    func floorSum(node: Int, adding request: PlacementRequest, on devices: UInt64) -> Int64 {
        var sum = floorSum[node]
        var left = devices
        while left != 0 {
            sum += floorGrowth(node: node, device: left.trailingZeroBitCount, request)
            left &= left - 1
        }
        return sum
    }

    /// What one more task grows the charge of a node by, on the devices where that is least.
    ///
    /// The node passes ``obstacle(node:_:)``.
    func leastGrowth(node: Int, _ request: PlacementRequest) -> Int64 {
        guard request.gpuCount > 0, let devices = cheapestDevices(node: node, request) else {
            return 0
        }
        return chargeGrowth(
            node: node, floorSum: floorSum(node: node, adding: request, on: devices))
    }

    /// What the charge of a node grows by when its floors become this sum.
    func chargeGrowth(node: Int, floorSum: Int64) -> Int64 {
        charge(node: node, floorSum: floorSum) - nodeCharge[node]
    }

    /// True when every domain of a node takes this growth of its charge.
    func fits(node: Int, growth: Int64) -> Bool {
        guard growth > 0 else { return true }
        for position in domains(of: node) where room(nodeDomains[position]) < growth {
            return false
        }
        return true
    }

    /// The positions of the bits of a device mask.
    static func devices(_ mask: UInt64) -> [UInt16] {
        var devices: [UInt16] = []
        devices.reserveCapacity(mask.nonzeroBitCount)
        var left = mask
        while left != 0 {
            devices.append(UInt16(left.trailingZeroBitCount))
            left &= left - 1
        }
        return devices
    }
}
