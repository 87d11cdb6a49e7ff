// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// First sets of victims: out of one part of the fleet each.
extension PreemptionSearch {
    /// The candidates that hold something in one part of the fleet.
    struct Region {
        /// Indices of candidates, ascending.
        var members: [Int] = []
        /// What each of them holds there, in thousandths of GPUs.
        var milli: [Int] = []
    }

    /// Parts of the fleet and the candidates there, the fewest victims to be expected first.
    ///
    /// For one task these are nodes, for a gang the domains of the primary tree; the pool as a whole
    /// comes last.
    func regions(_ pool: [Int]) -> [[Int]] {
        let isNode = request.taskCount == 1
        let count = isNode ? engine.fleet.nodeCount : engine.topology.domains.count
        var regions = [Region](repeating: Region(), count: count)
        for index in pool {
            guard let entry = engine.held[candidates[index].job] else { continue }
            for task in entry.placement {
                let node = task.node.position
                let milli = task.devices.count * Int(entry.request.gpuMilli)
                if isNode {
                    regions[node].add(index, milli)
                } else {
                    for position in engine.fleet.domains(of: node) {
                        let domain = Int(engine.fleet.nodeDomains[position])
                        guard engine.tree.domainTree[domain] == 0 else { continue }
                        regions[domain].add(index, milli)
                    }
                }
            }
        }
        let free = freeMilli(isNode: isNode, count: count)
        var ordered: [(victims: Int, region: Int)] = []
        for region in regions.indices where !regions[region].members.isEmpty {
            guard let victims = expectedVictims(regions[region], free: free[region]) else {
                continue
            }
            ordered.append((victims, region))
        }
        ordered.sort { ($0.victims, $0.region) < ($1.victims, $1.region) }
        return ordered.map { regions[$0.region].members } + [pool]
    }

    /// Free thousandths of GPUs of each region, over the nodes that may run a task; -1 where none may.
    private func freeMilli(isNode: Bool, count: Int) -> [Int] {
        var free = [Int](repeating: -1, count: count)
        let fleet = engine.fleet
        for node in 0..<fleet.nodeCount
        where fleet.ineligibility[node] == PlacementFleet.isEligible
            && request.typeObstacle[Int(fleet.nodeType[node])] == .none
            && request.siteAllowed[Int(fleet.nodeSite[node])]
        {
            let milli = Int(fleet.freeMilli[node])
            if isNode {
                free[node] = milli
            } else {
                for position in fleet.domains(of: node) {
                    let domain = Int(fleet.nodeDomains[position])
                    free[domain] = max(0, free[domain]) + milli
                }
            }
        }
        return free
    }

    /// The fewest victims that free enough thousandths of GPUs; nil when all of them do not.
    private func expectedVictims(_ region: Region, free: Int) -> Int? {
        guard free >= 0 else { return nil }
        var missing = request.taskCount * request.gpuCount * Int(request.gpuMilli) - free
        var count = 0
        for milli in region.milli.sorted(by: >) {
            guard missing > 0 || count == 0 else { break }
            missing -= milli
            count += 1
        }
        return missing > 0 ? nil : count
    }

    /// Puts the job where it fits without these candidates, and takes back every one that fits beside
    /// it: the others are the victims.
    ///
    /// - Returns: nil when the job does not fit.
    mutating func guided(_ region: [Int]) -> [Int]? {
        guard var fleet = fleetWithJob(without: region) else { return nil }
        // The most important and, of these, the smallest come back first, so that few do not.
        let order = region.sorted { returnKey($0) < returnKey($1) }
        var victims: [Int] = []
        for index in order {
            guard let entry = engine.held[candidates[index].job] else { continue }
            if !fleet.takeBack(entry.request, entry.placement) { victims.append(index) }
        }
        return victims.sorted()
    }

    private func returnKey(_ index: Int) -> (Int64, Int, UInt64, JobID) {
        let candidate = candidates[index]
        let devices = engine.held[candidate.job]?.placement.reduce(0) { $0 + $1.devices.count } ?? 0
        return (
            -Int64(candidate.priority), devices, .max - candidate.lostWork, candidate.job
        )
    }
}

extension PreemptionSearch.Region {
    /// Adds what a candidate holds; calls for one candidate come one after the other.
    fileprivate mutating func add(_ index: Int, _ milli: Int) {
        if members.last == index {
            self.milli[members.count - 1] += milli
        } else {
            members.append(index)
            self.milli.append(milli)
        }
    }
}

extension PlacementFleet {
    /// Takes a whole placement if all of it is free and its floors fit; else nothing.
    fileprivate mutating func takeBack(
        _ request: PlacementRequest, _ placement: [TaskPlacement]
    ) -> Bool {
        for (index, task) in placement.enumerated() {
            let node = task.node.position
            let before = nodeCharge[node]
            guard isFree(task, request) else {
                giveBack(request, placement[..<index])
                return false
            }
            take(request, node: node, devices: task.devices)
            guard nodeCharge[node] <= before || domains(of: node).allSatisfy({ hasRoom($0) })
            else {
                giveBack(request, placement[...index])
                return false
            }
        }
        return true
    }

    private func isFree(_ task: TaskPlacement, _ request: PlacementRequest) -> Bool {
        let node = task.node.position
        guard freeCPU[node] >= request.cpuMilli, freeMemory[node] >= request.memoryMiB else {
            return false
        }
        return task.devices.allSatisfy {
            gpuFreeMilli[Int(firstGPU[node]) + Int($0)] >= request.gpuMilli
        }
    }

    private func hasRoom(_ position: Int) -> Bool {
        let domain = Int(nodeDomains[position])
        return domainCharge[domain] <= domainBudget[domain]
    }

    private mutating func giveBack(
        _ request: PlacementRequest, _ placement: ArraySlice<TaskPlacement>
    ) {
        for task in placement.reversed() {
            take(request, node: task.node.position, devices: task.devices, giveBack: true)
        }
    }
}
