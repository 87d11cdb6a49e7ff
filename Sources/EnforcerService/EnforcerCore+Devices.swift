// SPDX-License-Identifier: Apache-2.0

internal import ControlPlane
internal import Devices
internal import FleetModel
internal import Logging
internal import Wire

// Finding the devices, at the start and again.
extension EnforcerCore {
    /// Looks which devices there are, at the start and whenever they have been away.
    ///
    /// Devices of another boot have lost all caps: their node gets a holder of a new incarnation,
    /// which begins at the fallback.
    func findDevices() {
        let now = clock.read()
        if let last = inventoryTriedAt, now.heldSince(last) < EnforcerCore.searchNanoseconds {
            return
        }
        inventoryTriedAt = now
        let known = nodes.indices.filter { nodes[$0].holder != nil }
        for position in nodes.indices {
            do throws(DeviceError) {
                try findDevices(of: position)
            } catch {
                if case .unavailable = error { return }
                logger.error("node \(nodes[position].name): \(error)")
            }
        }
        guard readAgain(known) else { return }
        isHardwareDoubtful = false
        logger.info("the devices of \(nodes.count { $0.holder != nil }) nodes answer")
    }

    /// Brings holders that lost an answer a fresh reading before they take another step.
    ///
    /// A write whose answer was lost may have been carried out: a holder that did not know of a
    /// raise could raise another device on top of it.
    ///
    /// - Returns: false when the devices do not answer.
    private func readAgain(_ known: [Int]) -> Bool {
        guard !known.isEmpty else { return true }
        do throws(DeviceError) {
            let answers = try devices.perform(known.map { .readCaps(node: nodes[$0].name) })
            for (position, answer) in zip(known, answers) {
                guard case .caps(let caps) = answer,
                    caps.requestedMilliwatts.count
                        == topology.type(of: nodes[position].index).gpuCount
                else { continue }
                nodes[position].holder?.capsRead(
                    caps.requestedMilliwatts.map { Milliwatts(Int64($0)) }, now: clock.read())
                nodes[position].makeDue()
            }
            return true
        } catch {
            return false
        }
    }

    private func findDevices(of position: Int) throws(DeviceError) {
        let node = nodes[position]
        let inventory = try devices.inventory(node: node.name)
        if node.holder != nil, node.bootID == inventory.bootID { return }
        let expected = topology.model(of: node.index).name
        guard inventory.devices.count == topology.type(of: node.index).gpuCount,
            inventory.devices.allSatisfy({ $0.model == expected })
        else { throw .refused("the devices are not those of the plan") }
        let configuration = LeaseHolder.Configuration(
            node: node.name, bootID: RandomID(bytes: inventory.bootID),
            fallback: topology.type(of: node.index).fallback,
            devices: inventory.devices.map {
                CapRange(minimum: $0.minimumCap, maximum: $0.maximumCap)
            },
            settleNanoseconds: inventory.settleNanoseconds, driftPPM: topology.lease.driftPPM)
        let now = clock.read()
        nodes[position].bootID = inventory.bootID
        nodes[position].loggedCounts = HolderCounts()
        nodes[position].proofNanoseconds = records.proof(of: node.name)
        nodes[position].holder = LeaseHolder(
            configuration: configuration, incarnation: newIncarnation(),
            record: records.record(of: node.name),
            provenEnforcerNanoseconds: nodes[position].proofNanoseconds, now: now)
        nodes[position].makeDue()
    }
}

extension RandomID {
    /// An id for a boot that a driver names in its own way: the first and the last eight bytes.
    init(bytes: [UInt8]) {
        func number(_ part: some Sequence<UInt8>) -> UInt64 {
            part.reduce(0) { $0 << 8 | UInt64($1) }
        }
        self.init(high: number(bytes.prefix(8)), low: number(bytes.dropFirst(8).suffix(8)))
    }
}
