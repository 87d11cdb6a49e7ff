// SPDX-License-Identifier: Apache-2.0

import FleetModel

@testable import AllocationCore

/// The decisions of an engine by looking at every node, every device and every domain each time.
///
/// Scores are worked out from the definition of the policies, watts from the floors; of the engine's own
/// state only what is free, what floors are held and what domains are charged is read.
struct NaiveSearch {
    let engine: PlacementEngine
    let mix: WorkloadMix
    private var fleet: PlacementFleet { engine.fleet }

    /// The best node and device set for one task; nil when there is none.
    func single(_ request: PlacementRequest) -> PlannedTask? {
        var best: (score: Int, task: PlannedTask)?
        for node in 0..<fleet.nodeCount where fleet.obstacle(node: node, request) == nil {
            guard let (score, devices) = choose(node, request), score > best?.score ?? -1 else {
                continue
            }
            best = (score, PlannedTask(node: Int32(node), devices: devices))
        }
        return best?.task
    }

    /// The policy's score of a node, and the devices that fit its domains; nil when none do.
    private func choose(_ node: Int, _ request: PlacementRequest) -> (Int, UInt64)? {
        let choices = choices(node, request)
        guard let best = choices.max(by: { $0.score < $1.score })?.score else { return nil }
        // The policy's device if it fits, else the one with the least growth, then room.
        let preferred =
            engine.scores.policy == .bestFit
            ? choices.min { $0.room < $1.room } : choices.first { $0.score == best }
        if let preferred, fits(node, preferred.growth) { return (best, preferred.devices) }
        let cheapest = choices.min { ($0.floorGrowth, $0.room) < ($1.floorGrowth, $1.room) }
        guard let cheapest, fits(node, cheapest.growth) else { return nil }
        return (best, cheapest.devices)
    }

    private struct Choice {
        var devices: UInt64
        var score: Int
        var room: UInt16
        var floorGrowth: Int64
        var growth: Int64
    }

    private func choices(_ node: Int, _ request: PlacementRequest) -> [Choice] {
        let first = Int(fleet.firstGPU[node])
        let count = Int(fleet.typeGPUCount[Int(fleet.nodeType[node])])
        let rooms = (0..<count).map { fleet.gpuFreeMilli[first + $0] }
        if request.isShared {
            return rooms.indices.filter { rooms[$0] >= request.gpuMilli }.map { device in
                var after = rooms
                after[device] -= request.gpuMilli
                let waste = Int(
                    engine.scores.scorer.prices?
                        .wasteScore(size: request.gpuMilli, room: rooms[device]) ?? 0)
                let score = 100 * waste + score(node, request, rooms, after)
                return choice(node, request, 1 << UInt64(device), score, rooms[device])
            }
        }
        let devices = rooms.indices.filter { rooms[$0] == 1000 }.prefix(request.gpuCount)
        guard devices.count == request.gpuCount else { return [] }
        var after = rooms
        var mask: UInt64 = 0
        for device in devices {
            after[device] = 0
            mask |= 1 << UInt64(device)
        }
        return [choice(node, request, mask, score(node, request, rooms, after), 1000)]
    }

    private func choice(
        _ node: Int, _ request: PlacementRequest, _ devices: UInt64, _ score: Int, _ room: UInt16
    ) -> Choice {
        let sum = fleet.floorSum(node: node, adding: request, on: devices)
        return Choice(
            devices: devices, score: score, room: room, floorGrowth: sum - fleet.floorSum[node],
            growth: fleet.chargeGrowth(node: node, floorSum: sum))
    }

    private func fits(_ node: Int, _ growth: Int64) -> Bool {
        growth <= 0
            || fleet.domains(of: node).allSatisfy {
                let domain = Int(fleet.nodeDomains[$0])
                return fleet.domainBudget[domain] - fleet.domainCharge[domain] >= growth
            }
    }

    private func score(
        _ node: Int, _ request: PlacementRequest, _ before: [UInt16], _ after: [UInt16]
    ) -> Int {
        if engine.scores.policy == .bestFit {
            let cpu = Int(fleet.freeCPU[node]) - Int(request.cpuMilli)
            let gpu = after.reduce(0) { $0 + Int($1) }
            return max(0, 100 * (256_000 - cpu - 16 * gpu) / 256_000)
        }
        let cpu = fleet.freeCPU[node]
        let gain = loss(node, cpu, before) - loss(node, cpu - request.cpuMilli, after)
        let scorer = engine.scores.scorer
        let rooms = (before.reduce(0) { $0 + Int64($1) }, after.reduce(0) { $0 + Int64($1) })
        return Int(
            scorer.score(
                fragmentation: gain, node, taking: rooms.0 - rooms.1, cpu: request.cpuMilli, fleet))
    }

    /// What of the free thousandths each kind of the mix cannot use, weighted with its share.
    private func loss(_ node: Int, _ cpu: UInt32, _ rooms: [UInt16]) -> Int64 {
        let model = engine.topology.model(of: NodeIndex(node)).name
        let all = rooms.reduce(0) { $0 + Int64($1) }
        var loss: Int64 = 0
        for kind in mix.kinds {
            let fitting = rooms.filter { $0 >= kind.gpuMilli }
            let isRunnable =
                kind.gpuCount > 0 && (kind.models.isEmpty || kind.models.contains(model))
                && cpu >= kind.cpuMilli && fitting.count >= kind.gpuCount
            let used = isRunnable ? fitting.reduce(0) { $0 + Int64($1) } : 0
            loss += Int64(kind.share) * (all - used)
        }
        return loss
    }
}
