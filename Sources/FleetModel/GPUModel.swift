// SPDX-License-Identifier: Apache-2.0

/// Who makes a GPU.
package enum Vendor: String, Hashable, Sendable, CaseIterable {
    case nvidia
    case amd
    case other
}

/// What is known of one model of GPU.
///
/// All powers are per GPU.
package struct GPUModel: Hashable, Sendable {
    /// The name by which jobs and files ask for it, such as `H100-SXM`.
    package var name: String
    package var vendor: Vendor
    /// Draw with no work.
    package var idle: Milliwatts
    /// The lowest cap that the device accepts.
    package var minimumCap: Milliwatts
    /// The highest cap, and what the device does with no limit set.
    package var maximumCap: Milliwatts
    /// The cap at which a job makes its floor pace when it names no floor of its own.
    package var defaultFloor: Milliwatts
    package var memoryMiB: UInt32
    /// True where a number is an estimate and not a vendor's or a measured figure.
    package var isEstimate: Bool
    /// Where the numbers come from.
    package var source: String

    package init(
        name: String, vendor: Vendor, idle: Milliwatts, minimumCap: Milliwatts,
        maximumCap: Milliwatts, defaultFloor: Milliwatts, memoryMiB: UInt32, isEstimate: Bool,
        source: String
    ) {
        self.name = name
        self.vendor = vendor
        self.idle = idle
        self.minimumCap = minimumCap
        self.maximumCap = maximumCap
        self.defaultFloor = defaultFloor
        self.memoryMiB = memoryMiB
        self.isEstimate = isEstimate
        self.source = source
    }
}
