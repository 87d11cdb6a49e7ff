// SPDX-License-Identifier: Apache-2.0

package import FleetModel

/// What is fixed about one device.
package struct DeviceDescription: Hashable, Sendable {
    package var uuid: String
    package var model: String
    /// The lowest cap that the device accepts.
    package var minimumCap: Milliwatts
    /// The highest cap that the device accepts; also what it does with no limit set.
    package var maximumCap: Milliwatts

    package init(uuid: String, model: String, minimumCap: Milliwatts, maximumCap: Milliwatts) {
        self.uuid = uuid
        self.model = model
        self.minimumCap = minimumCap
        self.maximumCap = maximumCap
    }
}

/// The devices of a node, as its driver lists them.
package struct NodeInventory: Hashable, Sendable {
    package var devices: [DeviceDescription]
    /// Changes at every power-on of the node.
    package var bootID: [UInt8]
    /// α: how long a lowered cap may take to hold, in nanoseconds.
    package var settleNanoseconds: Int64

    package init(devices: [DeviceDescription], bootID: [UInt8], settleNanoseconds: Int64) {
        self.devices = devices
        self.bootID = bootID
        self.settleNanoseconds = settleNanoseconds
    }
}

/// What a node's devices read back of their caps.
///
/// **Shape:** one entry for each device.
package struct DeviceCaps: Hashable, Sendable {
    package var requestedMilliwatts: [UInt32]
    /// What each device may be enforcing now: the old cap until a lowered one has settled.
    package var enforcedMilliwatts: [UInt32]

    package init(requestedMilliwatts: [UInt32], enforcedMilliwatts: [UInt32]) {
        self.requestedMilliwatts = requestedMilliwatts
        self.enforcedMilliwatts = enforcedMilliwatts
    }
}

/// One sample of a node's devices.
///
/// **Shape:** every column has one entry for each device.
package struct DeviceSensors: Hashable, Sendable {
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

/// One write of a cap.
package struct CapWrite: Hashable, Sendable {
    package var device: Int
    package var capMilliwatts: UInt32

    package init(device: Int, capMilliwatts: UInt32) {
        self.device = device
        self.capMilliwatts = capMilliwatts
    }
}

/// Why a device could not be read or written.
package enum DeviceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The driver does not answer; what the devices do now is unknown. Try again.
    case unavailable(String)
    /// The driver refused the request and changed nothing.
    case refused(String)

    package var description: String {
        switch self {
        case .unavailable(let reason): "devices unavailable: \(reason)"
        case .refused(let reason): "refused by the device: \(reason)"
        }
    }
}

/// The devices of one or several nodes, as the enforcer drives them and the agent samples them.
///
/// Calls block, for a bounded time, as the vendors' libraries do. Only the enforcer calls
/// ``writeCaps(_:node:)``.
///
/// Isolation: one thread; implementations need not be Sendable.
package protocol DeviceBackend: AnyObject {
    /// Lists a node's devices.
    ///
    /// - Throws: ``DeviceError``.
    func inventory(node: String) throws(DeviceError) -> NodeInventory

    /// Writes caps in the order given.
    ///
    /// - Throws: ``DeviceError/refused(_:)`` when a cap is out of the device's range: writes before
    ///   that one have been made. ``DeviceError/unavailable(_:)``: any of them may have been made.
    func writeCaps(_ writes: [CapWrite], node: String) throws(DeviceError)

    /// Reads back the caps of several nodes; one entry for each, in order.
    ///
    /// - Throws: ``DeviceError``.
    func caps(nodes: [String]) throws(DeviceError) -> [DeviceCaps]

    /// Samples several nodes; one entry for each, in order.
    ///
    /// - Throws: ``DeviceError``.
    func sensors(nodes: [String]) throws(DeviceError) -> [DeviceSensors]
}

/// What runs on one simulated device.
package struct DeviceDemand: Hashable, Sendable {
    package var device: Int
    /// Nil is idle.
    package var profile: DemandProfile?
    /// The share of the device that is held.
    package var utilizationPPM: UInt32
    /// Tasks of one gang swing together: their phase is derived from this number.
    package var phaseSeed: UInt64

    package init(
        device: Int, profile: DemandProfile?, utilizationPPM: UInt32, phaseSeed: UInt64
    ) {
        self.device = device
        self.profile = profile
        self.utilizationPPM = utilizationPPM
        self.phaseSeed = phaseSeed
    }
}

/// Devices whose load is played rather than caused by a program that runs on them.
package protocol SimulatedLoad: AnyObject {
    /// Sets what runs on devices of a node from now on.
    ///
    /// - Throws: ``DeviceError``.
    func setDemand(_ demands: [DeviceDemand], node: String) throws(DeviceError)
}
