// SPDX-License-Identifier: Apache-2.0

internal import AllocationCore
package import FleetModel
package import Wire

/// Shares a node's cap between its GPUs as their load moves: the fleet's own solver
/// (`AllocationCore`) on a tree of one domain, with what each GPU is seen to use.
///
/// The coordinator's plan says what each GPU is promised and may use; between two plans a GPU that
/// stays below its cap leaves watts to the others, and gets them back at once when it wants them.
/// A value without I/O.
package struct LocalShare: Sendable {
    /// Caps that differ by less than this are not worth a write to the hardware.
    package static let deadbandMilliwatts: UInt32 = 2000

    private var share: NodeShare
    private var estimator: DemandEstimator
    private let least: [UInt32]
    private let most: [UInt32]
    private var plan: PowerPlan?
    /// The most that the plan gives each GPU.
    private var top: [UInt32] = []
    private var caps: [UInt32] = []

    /// A node's devices, without a plan yet.
    ///
    /// - Parameter devices: the devices in order.
    package init(devices: [DeviceInventory]) {
        least = devices.map { UInt32(clamping: $0.minimumCap.rawValue) }
        most = devices.map { UInt32(clamping: $0.maximumCap.rawValue) }
        share = NodeShare(minimumCapMilliwatts: least, maximumCapMilliwatts: most)
        estimator = LocalShare.estimator(most: most)
    }

    /// The revision of the plan in use; nil without one.
    package var planRevision: UInt64? { plan?.revision }

    /// Takes a plan, if it is newer and fits the node.
    ///
    /// - Parameter newPlan: the plan.
    /// - Returns: false, and nothing changes, when it is older or for other devices.
    package mutating func adopt(_ newPlan: PowerPlan) -> Bool {
        if let plan, newPlan.revision < plan.revision { return false }
        let adopted = share.adopt(
            NodeSharePlan(
                floorMilliwatts: newPlan.floorMilliwatts, fullMilliwatts: newPlan.fullMilliwatts,
                ceilingMilliwatts: newPlan.ceilingMilliwatts, priority: newPlan.priority,
                weight: newPlan.weight, gang: newPlan.gang))
        guard adopted else { return false }
        for gpu in 0..<newPlan.gpuCount
        where plan?.fullMilliwatts[gpu] != newPlan.fullMilliwatts[gpu] {
            estimator.reset(gpu: gpu, mostMilliwatts: newPlan.fullMilliwatts[gpu])
        }
        plan = newPlan
        top = zip(newPlan.fullMilliwatts, newPlan.ceilingMilliwatts).map { min($0, $1) }
        for gpu in top.indices { top[gpu] = min(max(top[gpu], least[gpu]), most[gpu]) }
        return true
    }

    /// Forgets the plan: another coordinator counts its revisions anew.
    package mutating func forgetRevision() { plan?.revision = 0 }

    /// Takes a sample of the devices.
    ///
    /// - Parameters:
    ///   - sample: the sensors.
    ///   - now: the agent's monotonic clock, in nanoseconds.
    package mutating func observe(_ sample: HardwareSensors, now: Int64) {
        for gpu in 0..<min(sample.drawMilliwatts.count, estimator.gpuCount) {
            estimator.observe(
                gpu: gpu,
                DemandSample(
                    drawMilliwatts: sample.drawMilliwatts[gpu],
                    capMilliwatts: sample.enforcedMilliwatts[gpu]), now: now)
        }
    }

    /// The caps that the node's cap should be shared into now.
    ///
    /// Where the plan's fulls fit, every GPU gets its full: nobody is held back for nothing. Where
    /// they do not, GPUs that use less leave the rest to the others, and what nobody asks for is
    /// spread over all as room to rise.
    ///
    /// - Parameter cap: the node's cap in force.
    /// - Returns: one cap for each device, their sum at most `cap`; nil without a plan, or when the
    ///   cap is below what the devices accept.
    package mutating func caps(of cap: Milliwatts) -> [UInt32]? {
        guard let plan else { return nil }
        let fits = top.reduce(Int64(0)) { $0 + Int64($1) } <= cap.rawValue
        for gpu in 0..<plan.gpuCount {
            let seen = max(estimator.full(gpu: gpu), plan.floorMilliwatts[gpu], least[gpu])
            share.setFull(gpu: gpu, milliwatts: fits ? top[gpu] : seen)
        }
        guard share.share(cap, into: &caps) != .belowDevices else { return nil }
        spread(cap.rawValue - caps.reduce(0) { $0 + Int64($1) })
        return caps
    }

    /// Gives what is left to all GPUs, in proportion of what they lack to the plan's fulls.
    private mutating func spread(_ left: Int64) {
        let rooms = zip(top, caps).map { Int64($0) - Int64($1) }.map { max(0, $0) }
        let room = rooms.reduce(0, +)
        guard left > 0, room > 0 else { return }
        for gpu in caps.indices {
            // Caps are below 2^32 mW and nodes have at most 64 GPUs: the product is below 2^63.
            caps[gpu] += UInt32(rooms[gpu] * min(left, room) / room)
        }
    }

    /// True when caps differ enough from those in force to be worth a write.
    package static func isWorthWriting(_ caps: [UInt32], over present: [UInt32]) -> Bool {
        guard caps.count == present.count else { return false }
        return zip(caps, present).contains { wish, now in
            max(wish, now) - min(wish, now) >= deadbandMilliwatts
        }
    }

    /// Within a node watts change hands fast: two seconds of calm, not the fleet's ten.
    private static func estimator(most: [UInt32]) -> DemandEstimator {
        DemandEstimator(
            mostMilliwatts: most,
            parameters: DemandParameters(
                calmNanoseconds: 2_000_000_000, staleNanoseconds: 3_000_000_000))
    }
}
