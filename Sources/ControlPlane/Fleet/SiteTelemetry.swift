// SPDX-License-Identifier: Apache-2.0

internal import FleetModel

/// The last report of every node of a site, in columns over its GPUs.
///
/// A value that was missing or absurd is unknown, never zero.
struct SiteTelemetry: Sendable {
    /// Draw of each local GPU in milliwatts; meaningful where `isDrawKnown`.
    private(set) var draw: [UInt32]
    private(set) var isDrawKnown: [Bool]
    /// Cap that the hardware reports back.
    private(set) var enforced: [UInt32]
    private(set) var isEnforcedKnown: [Bool]
    /// When each local node reported last, in nanoseconds of the coordinator's clock; nil for never.
    private(set) var reportedAt: [Int64?]

    init(gpuCount: Int, nodeCount: Int) {
        draw = Array(repeating: 0, count: gpuCount)
        isDrawKnown = Array(repeating: false, count: gpuCount)
        enforced = Array(repeating: 0, count: gpuCount)
        isEnforcedKnown = Array(repeating: false, count: gpuCount)
        reportedAt = Array(repeating: nil, count: nodeCount)
    }

    /// Keeps the columns that views and the power loop need.
    ///
    /// A draw above `limit`, in milliwatts, is absurd and therefore unknown.
    mutating func take(
        _ report: borrowing TelemetryReport, node: Int, gpus: Range<Int>, limit: UInt32, now: Int64
    ) {
        let drawBits = report.drawValidity
        let enforcedBits = report.enforcedCapValidity
        for (device, gpu) in gpus.enumerated() {
            let value = report.drawMilliwatts[device]
            draw[gpu] = value
            isDrawKnown[gpu] = drawBits[device] && value > 0 && value <= limit
            let cap = report.enforcedCapMilliwatts[device]
            enforced[gpu] = cap
            isEnforcedKnown[gpu] = enforcedBits[device] && cap > 0
        }
        reportedAt[node] = now
    }

    /// Forgets what a node said: it has gone silent.
    mutating func forget(node: Int, gpus: Range<Int>) {
        for gpu in gpus {
            isDrawKnown[gpu] = false
            isEnforcedKnown[gpu] = false
        }
        reportedAt[node] = nil
    }

    /// The draw of some GPUs together; nil when one of them is unknown.
    func draw(of gpus: Range<Int>) -> Milliwatts? {
        var sum: Int64 = 0
        for gpu in gpus {
            guard isDrawKnown[gpu] else { return nil }
            sum += Int64(draw[gpu])
        }
        return Milliwatts(sum)
    }

    /// The enforced caps of some GPUs together; nil when one of them is unknown.
    func enforced(of gpus: Range<Int>) -> Milliwatts? {
        var sum: Int64 = 0
        for gpu in gpus {
            guard isEnforcedKnown[gpu] else { return nil }
            sum += Int64(enforced[gpu])
        }
        return Milliwatts(sum)
    }
}
