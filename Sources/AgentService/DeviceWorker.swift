// SPDX-License-Identifier: Apache-2.0

internal import Devices
internal import NIOCore
internal import NIOPosix
internal import Wire

/// The devices, on a thread of their own: drivers block, event loops must not.
///
/// Every call's work is queued behind the work before it.
// Sendable by confinement: `devices` is touched by work items of `pool` alone, and the pool has one
// thread.
final class DeviceWorker: @unchecked Sendable {
    private let devices: any DeviceBackend
    private let pool = NIOThreadPool(numberOfThreads: 1)

    /// Starts the thread; the devices belong to it from now on.
    init(devices: sending any DeviceBackend) {
        self.devices = devices
        pool.start()
    }

    /// Lists the devices of nodes, in order.
    func inventories(
        of nodes: [String], on loop: any EventLoop
    ) -> EventLoopFuture<[HardwareInventory]> {
        pool.runIfActive(eventLoop: loop) {
            try nodes.map { try self.devices.inventory(node: $0) }
        }
    }

    /// Carries out commands; one answer for each, in order.
    func perform(
        _ commands: [DeviceCommand], on loop: any EventLoop
    ) -> EventLoopFuture<[DeviceAnswer]> {
        pool.runIfActive(eventLoop: loop) { try self.devices.perform(commands) }
    }

    /// Ends the thread, without waiting for it.
    func stop() { pool.shutdownGracefully { _ in } }
}
