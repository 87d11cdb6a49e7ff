// SPDX-License-Identifier: Apache-2.0

/// One bit for each GPU of a report: set where the column's value is known.
///
/// Unknown is not zero: a missing, zero or absurd reading leaves its bit clear.
package struct ValidityBitmap: Hashable, Sendable {
    /// The bits, GPU 0 in the lowest.
    package var bits: UInt64

    package init(bits: UInt64 = 0) { self.bits = bits }

    package subscript(device: Int) -> Bool {
        get { bits >> UInt64(device) & 1 == 1 }
        set {
            let mask: UInt64 = 1 << UInt64(device)
            bits = newValue ? bits | mask : bits & ~mask
        }
    }
}

/// What an agent reports once a second: one column for each quantity, one entry for each GPU.
///
/// Shape: every array has `gpuCount` entries; at most ``maximumGPUCount``.
package struct TelemetryReport: Hashable, Sendable {
    /// The most GPUs that one node may have: the width of a validity bitmap.
    package static let maximumGPUCount = 64

    /// Counts the reports of a session.
    package var sequence: UInt64
    /// The agent's own clock when it sampled, in nanoseconds; for intervals only.
    package var sampledNanoseconds: UInt64
    package var drawMilliwatts: [UInt32]
    package var drawValidity: ValidityBitmap
    package var requestedCapMilliwatts: [UInt32]
    package var requestedCapValidity: ValidityBitmap
    package var enforcedCapMilliwatts: [UInt32]
    package var enforcedCapValidity: ValidityBitmap
    package var temperatureMillidegrees: [UInt32]
    package var temperatureValidity: ValidityBitmap
    package var utilizationPPM: [UInt32]
    package var utilizationValidity: ValidityBitmap

    /// A report of `gpuCount` GPUs with every value unknown.
    package init(gpuCount: Int, sequence: UInt64 = 0, sampledNanoseconds: UInt64 = 0) {
        let zeros = [UInt32](repeating: 0, count: gpuCount)
        self.sequence = sequence
        self.sampledNanoseconds = sampledNanoseconds
        drawMilliwatts = zeros
        drawValidity = ValidityBitmap()
        requestedCapMilliwatts = zeros
        requestedCapValidity = ValidityBitmap()
        enforcedCapMilliwatts = zeros
        enforcedCapValidity = ValidityBitmap()
        temperatureMillidegrees = zeros
        temperatureValidity = ValidityBitmap()
        utilizationPPM = zeros
        utilizationValidity = ValidityBitmap()
    }

    /// The number of GPUs reported on.
    package var gpuCount: Int { drawMilliwatts.count }
}
