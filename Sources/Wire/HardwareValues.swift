// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What runs on a simulated device now.
package struct DeviceDemand: Hashable, Sendable {
    /// Nil is idle.
    package var profile: DemandProfile?
    /// The share of the device that is held, in millionths.
    package var utilizationPPM: UInt32
    /// Tasks of one gang swing together: their phase is derived from this number.
    package var phaseSeed: UInt64

    package init(profile: DemandProfile?, utilizationPPM: UInt32, phaseSeed: UInt64) {
        self.profile = profile
        self.utilizationPPM = utilizationPPM
        self.phaseSeed = phaseSeed
    }

    /// Nothing runs.
    package static let idle = DeviceDemand(profile: nil, utilizationPPM: 0, phaseSeed: 0)
}

/// The devices of a simulated node.
package struct HardwareInventory: Hashable, Sendable {
    package var devices: [DeviceInventory]
    /// Names this boot of the node; at most 64 bytes.
    package var bootID: [UInt8]
    /// Time that a lowered cap needs to take hold.
    package var settleNanoseconds: Int64

    package init(devices: [DeviceInventory], bootID: [UInt8], settleNanoseconds: Int64) {
        self.devices = devices
        self.bootID = bootID
        self.settleNanoseconds = settleNanoseconds
    }
}

/// The caps of a simulated node's devices.
///
/// Shape: both columns have one entry for each device.
package struct HardwareCaps: Hashable, Sendable {
    package var requestedMilliwatts: [UInt32]
    /// What the device may be enforcing now: the old cap until a lowered one has settled.
    package var enforcedMilliwatts: [UInt32]

    package init(requestedMilliwatts: [UInt32], enforcedMilliwatts: [UInt32]) {
        self.requestedMilliwatts = requestedMilliwatts
        self.enforcedMilliwatts = enforcedMilliwatts
    }
}

/// One sampling of a simulated node.
///
/// Shape: every column has one entry for each device.
package struct HardwareSensors: Hashable, Sendable {
    package var drawMilliwatts: [UInt32]
    package var temperatureMillidegrees: [UInt32]
    package var utilizationPPM: [UInt32]
    package var requestedMilliwatts: [UInt32]
    package var enforcedMilliwatts: [UInt32]

    package init(
        drawMilliwatts: [UInt32], temperatureMillidegrees: [UInt32], utilizationPPM: [UInt32],
        requestedMilliwatts: [UInt32], enforcedMilliwatts: [UInt32]
    ) {
        self.drawMilliwatts = drawMilliwatts
        self.temperatureMillidegrees = temperatureMillidegrees
        self.utilizationPPM = utilizationPPM
        self.requestedMilliwatts = requestedMilliwatts
        self.enforcedMilliwatts = enforcedMilliwatts
    }
}

/// What the simulated hardware counted over all its nodes.
///
/// Shape: every `domain` column has one entry for each domain, in the order of the topology.
package struct HardwareSummary: Hashable, Sendable {
    package var capChanges: UInt64
    package var overBudgetInstants: UInt64
    package var domainEnforced: [Milliwatts]
    package var domainPeakEnforced: [Milliwatts]
    package var domainOverBudgetInstants: [UInt64]
    package var domainDraw: [Milliwatts]
    /// Domains that have fitted their budget at least once: only from then on is excess counted.
    package var domainArmed: [Bool]
    /// The first few instants over budget, in words; at most ``maximumViolationCount``.
    package var firstViolations: [String]

    /// The most violations that a summary names.
    package static let maximumViolationCount = 64

    package init(
        capChanges: UInt64, overBudgetInstants: UInt64, domainEnforced: [Milliwatts],
        domainPeakEnforced: [Milliwatts], domainOverBudgetInstants: [UInt64],
        domainDraw: [Milliwatts], domainArmed: [Bool], firstViolations: [String]
    ) {
        self.capChanges = capChanges
        self.overBudgetInstants = overBudgetInstants
        self.domainEnforced = domainEnforced
        self.domainPeakEnforced = domainPeakEnforced
        self.domainOverBudgetInstants = domainOverBudgetInstants
        self.domainDraw = domainDraw
        self.domainArmed = domainArmed
        self.firstViolations = firstViolations
    }
}
