// SPDX-License-Identifier: Apache-2.0

package import Wire

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

/// One thing to do with a node's devices.
package enum DeviceCommand: Hashable, Sendable {
    /// Reads the caps; answered with ``DeviceAnswer/caps(_:)``.
    case readCaps(node: String)
    /// Sets the cap of one device and reads back; answered with ``DeviceAnswer/caps(_:)``.
    case setCap(node: String, device: Int, milliwatts: UInt32)
    /// Samples the sensors; answered with ``DeviceAnswer/sensors(_:)``.
    case readSensors(node: String)
    /// Plays a load on one device, where devices are simulated; answered with
    /// ``DeviceAnswer/done``.
    case setDemand(node: String, device: Int, DeviceDemand)
}

/// The answer to one ``DeviceCommand``.
package enum DeviceAnswer: Hashable, Sendable {
    case caps(HardwareCaps)
    case sensors(HardwareSensors)
    case done
    /// The device refused this command and changed nothing.
    case refused(String)
}

/// The devices of one or several nodes, as the enforcer drives them and the agent samples them.
///
/// Calls block, for a bounded time, as the vendors' libraries do. Only the enforcer sets caps.
///
/// **Isolation:** one thread; implementations need not be Sendable.
package protocol DeviceBackend: AnyObject {
    /// Lists a node's devices.
    ///
    /// - Parameter node: the node's name.
    /// - Returns: the devices, in the order of their positions in the node.
    /// - Throws: ``DeviceError``.
    func inventory(node: String) throws(DeviceError) -> HardwareInventory

    /// Carries out commands in the order given; many in one call cost little more than one.
    ///
    /// - Parameter commands: what to do.
    /// - Returns: one answer for each command, in order.
    /// - Throws: ``DeviceError/unavailable(_:)``: any of the commands may have been carried out.
    func perform(_ commands: [DeviceCommand]) throws(DeviceError) -> [DeviceAnswer]
}
