// SPDX-License-Identifier: Apache-2.0

package import ControlPlane
package import Devices
package import FleetModel
package import LocalSocket
internal import Logging
package import TLSEngine
package import Wire

/// The enforcer of one node or of several: lease holders, their devices and their records.
///
/// It alone writes caps, one command at a time for each node. Every decision is the holder's
/// (`LeaseHolder`); this carries its steps out and brings it the messages of the agent. It has no
/// socket and no clock of its own, so tests drive it with theirs.
///
/// **Isolation:** one thread.
package final class EnforcerCore {
    /// A message for an agent.
    package struct Outgoing {
        package var connection: ConnectionID
        package var message: EnforcerMessage
    }

    private static let statusNanoseconds: Int64 = 1_000_000_000
    /// Time between two looks for devices that do not answer.
    static let searchNanoseconds: Int64 = 20_000_000

    let topology: Topology
    let devices: any DeviceBackend
    let records: any RecordStorage
    let clock: any LeaseClock
    let newIncarnation: () -> RandomID
    let logger: Logger
    var nodes: [EnforcedNode] = []
    private(set) var positions: [String: Int] = [:]
    private var outbox: [Outgoing] = []
    /// The devices did not answer: look whether they are those of before when they answer again.
    var isHardwareDoubtful = true
    var inventoryTriedAt: ClockReading?

    /// An enforcer that has not looked at its devices yet; ``advance()`` does.
    ///
    /// - Parameters:
    ///   - topology: the fleet.
    ///   - hosted: the nodes to answer for.
    ///   - verifiers: one for each site that a hosted node is in.
    ///   - devices: the devices of all hosted nodes.
    ///   - records: what is kept between lives.
    ///   - clock: the clocks.
    ///   - newIncarnation: makes 128 fresh random bits.
    package init(
        topology: Topology, hosted: [NodeIndex], verifiers: [SiteIndex: GrantVerifier],
        devices: any DeviceBackend, records: any RecordStorage, clock: any LeaseClock,
        newIncarnation: @escaping () -> RandomID
    ) {
        self.topology = topology
        self.devices = devices
        self.records = records
        self.clock = clock
        self.newIncarnation = newIncarnation
        logger = Logger(label: "busbar.enforcer")
        let now = clock.read()
        for index in hosted {
            let node = topology.nodes[index.position]
            guard let verifier = verifiers[node.site] else {
                preconditionFailure("no verifier for the site of node \(node.name)")
            }
            positions[node.name] = nodes.count
            nodes.append(EnforcedNode(name: node.name, index: index, verifier: verifier, now: now))
        }
    }

    /// True when the devices answer; a node whose devices are not those of the plan has no lease.
    package var hasDevices: Bool { !isHardwareDoubtful }

    /// What a node shows of itself.
    ///
    /// - Parameter node: the node's name.
    /// - Returns: nil for a node without devices yet, or not hosted here.
    package func status(of node: String) -> HolderStatus? {
        guard let position = positions[node] else { return nil }
        return nodes[position].holder?.status(now: clock.read())
    }

    /// Takes the messages that wait to be sent.
    package func takeOutbox() -> [Outgoing] {
        defer { outbox.removeAll(keepingCapacity: true) }
        return outbox
    }

    // MARK: - Messages

    /// Takes a message of an agent.
    ///
    /// - Parameters:
    ///   - message: what it says.
    ///   - connection: where it came from; answers for the node go there from now on.
    package func receive(_ message: EnforcerMessage, from connection: ConnectionID) {
        guard let position = positions[message.node] else {
            refuse("no node '\(message.node)' here", node: message.node, to: connection)
            return
        }
        if nodes[position].agent != connection {
            nodes[position].agent = connection
            nodes[position].lastStatus = nil
        }
        guard nodes[position].holder != nil else {
            refuse("the devices do not answer yet", node: message.node, to: connection)
            return
        }
        nodes[position].makeDue()
        switch message.body {
        case .renewalRequest: sendRenewal(position)
        case .grantDelivery(let delivery): deliver(delivery, position)
        case .shareRequest(let caps): share(caps, position)
        case .renewal, .grantVerdict, .status, .refusal:
            refuse("an agent does not say that", node: message.node, to: connection)
        case .unknown: break
        }
    }

    /// Forgets a connection; its nodes have no agent until one speaks again.
    package func connectionClosed(_ connection: ConnectionID) {
        for position in nodes.indices where nodes[position].agent == connection {
            nodes[position].agent = nil
        }
    }

    private func sendRenewal(_ position: Int) {
        guard let renewal = nodes[position].holder?.renewalRequested(now: clock.read()) else {
            return
        }
        send(.renewal(renewal), position)
    }

    private func deliver(_ delivery: GrantDelivery, _ position: Int) {
        var order = LeaseOrder.zero
        let outcome: GrantOutcome
        if let grant = verified(delivery, nodes[position]) {
            order = grant.order
            outcome = nodes[position].holder?.grantReceived(grant, now: clock.read()) ?? .expired
        } else {
            outcome = .badSignature
        }
        if outcome != .accepted {
            logger.warning("node \(nodes[position].name): grant \(order) refused: \(outcome)")
        }
        send(.grantVerdict(GrantVerdict(outcome: outcome, order: order)), position)
    }

    /// The grant, if a coordinator of the node's site signed it and it can be read.
    private func verified(_ delivery: GrantDelivery, _ node: EnforcedNode) -> LeaseGrant? {
        do throws(GrantProblem) {
            _ = try node.verifier.verify(
                payload: delivery.grant.payload, signature: delivery.grant.signature,
                chain: delivery.signerChain, at: clock.unixSeconds())
        } catch {
            logger.warning("node \(node.name): \(error)")
            return nil
        }
        do throws(WireError) {
            return try LeaseGrant.decode(delivery.grant.payload)
        } catch {
            logger.warning("node \(node.name): a signed grant cannot be read: \(error)")
            return nil
        }
    }

    /// Passes the agent's wish on.
    ///
    /// A wish that comes too early or too late needs no answer: the status that follows the change
    /// under way tells the agent all it needs for the next one.
    private func share(_ caps: [UInt32], _ position: Int) {
        let wishes = caps.map { Milliwatts(Int64($0)) }
        let outcome = nodes[position].holder?.sharesRequested(wishes, now: clock.read())
        switch outcome {
        case .accepted, .busy, .noLease, nil: return
        case .wrongCount, .outOfRange, .aboveCap: break
        }
        guard let outcome, let agent = nodes[position].agent else { return }
        refuse("shares refused: \(outcome)", node: nodes[position].name, to: agent)
    }

    private func send(_ body: EnforcerMessage.Body, _ position: Int) {
        guard let agent = nodes[position].agent else { return }
        let message = EnforcerMessage(node: nodes[position].name, body: body)
        outbox.append(Outgoing(connection: agent, message: message))
    }

    private func refuse(_ reason: String, node: String, to connection: ConnectionID) {
        let message = EnforcerMessage(node: node, body: .refusal(reason))
        outbox.append(Outgoing(connection: connection, message: message))
    }

    // MARK: - Steps

    /// Carries out all that is due.
    ///
    /// - Returns: how long nothing is to be done unless a message comes, in nanoseconds.
    package func advance() -> Int64 {
        if isHardwareDoubtful { findDevices() }
        guard !isHardwareDoubtful else { return EnforcerCore.searchNanoseconds }
        let now = clock.read()
        var active: [Int] = []
        for position in nodes.indices
        where nodes[position].holder != nil && nodes[position].untilDue(now: now) <= 0 {
            active.append(position)
        }
        while !active.isEmpty { active = carryOut(active) }
        return untilNextTurn()
    }

    private func untilNextTurn() -> Int64 {
        let now = clock.read()
        var shortest = EnforcerCore.statusNanoseconds
        for node in nodes where node.holder != nil {
            shortest = min(shortest, node.untilDue(now: now))
        }
        return max(shortest, 0)
    }

    /// One round: a step of every node, all device commands in one exchange.
    ///
    /// - Returns: the nodes that have another step.
    private func carryOut(_ active: [Int]) -> [Int] {
        var commands: [DeviceCommand] = []
        var targets: [(position: Int, device: Int?)] = []
        for position in active {
            switch nextDeviceStep(position) {
            case .readCaps:
                commands.append(.readCaps(node: nodes[position].name))
                targets.append((position, nil))
            case .setCap(let device, let cap):
                commands.append(
                    .setCap(
                        node: nodes[position].name, device: device,
                        milliwatts: UInt32(clamping: cap.rawValue)))
                targets.append((position, device))
            case .storeRecord, .wait, nil: finish(position)
            }
        }
        guard !commands.isEmpty else { return [] }
        do throws(DeviceError) {
            let answers = try devices.perform(commands)
            return zip(targets, answers).compactMap { target, answer in
                take(answer, device: target.device, position: target.position)
                    ? target.position : nil
            }
        } catch {
            logger.error("\(error); looking for them")
            isHardwareDoubtful = true
            for target in targets { fail(target.position) }
            return []
        }
    }

    /// The next step that is not a record: records are stored on the way.
    private func nextDeviceStep(_ position: Int) -> LeaseHolder.Step? {
        while true {
            guard let step = nodes[position].holder?.nextStep(now: clock.read()) else { return nil }
            switch step {
            case .storeRecord(let record):
                do throws(RecordError) {
                    try records.store(record, of: nodes[position].name)
                    nodes[position].failureCount = 0
                    nodes[position].holder?.recordStored(now: clock.read())
                } catch {
                    logFailure("\(error)", position)
                    fail(position)
                    return nil
                }
            case .wait(let nanoseconds):
                nodes[position].wait(nanoseconds, from: clock.read())
                return step
            case .readCaps, .setCap: return step
            }
        }
    }

    /// Brings the answer of a device to the holder; false when the step failed.
    private func take(_ answer: DeviceAnswer, device: Int?, position: Int) -> Bool {
        let now = clock.read()
        switch answer {
        case .caps(let caps)
        where caps.requestedMilliwatts.count == topology.type(of: nodes[position].index).gpuCount:
            let reading = caps.requestedMilliwatts.map { Milliwatts(Int64($0)) }
            nodes[position].failureCount = 0
            if let device {
                nodes[position].holder?
                    .capWritten(device: device, readBack: reading[device], now: now)
            } else {
                nodes[position].holder?.capsRead(reading, now: now)
            }
            return true
        case .refused(let reason): logFailure(reason, position)
        case .caps, .sensors, .done:
            logFailure("the devices are not those of the plan", position)
        }
        fail(position)
        return false
    }

    /// Logs the first failure of a row: the same step is tried again several times a second.
    private func logFailure(_ reason: String, _ position: Int) {
        guard nodes[position].failureCount == 0 else { return }
        logger.error("node \(nodes[position].name): \(reason); trying again")
    }

    private func fail(_ position: Int) {
        let now = clock.read()
        nodes[position].holder?.stepFailed(now: now)
        nodes[position].waitAfterFailure(from: now)
    }

    /// After the last step of a turn: tells the agent what is new.
    private func finish(_ position: Int) {
        let now = clock.read()
        let hasFound = logEvents(position)
        // What another hand has raised, the coordinator hears at once: its count is in the renewal.
        if nodes[position].holder?.takeAcknowledgement() == true || hasFound {
            sendRenewal(position)
        }
        guard nodes[position].agent != nil, let status = nodes[position].status(now: now) else {
            return
        }
        var comparable = status
        comparable.remainingNanoseconds = nodes[position].lastStatus?.remainingNanoseconds ?? -1
        let isOld = now.heldSince(nodes[position].lastStatusAt) >= EnforcerCore.statusNanoseconds
        guard isOld || comparable != nodes[position].lastStatus else { return }
        nodes[position].lastStatus = status
        nodes[position].lastStatusAt = now
        send(.status(status), position)
    }

    /// Logs a lease that ended and caps that somebody else has raised, once each.
    ///
    /// - Returns: true when caps were found raised.
    private func logEvents(_ position: Int) -> Bool {
        let name = nodes[position].name
        guard let counts = nodes[position].holder?.counts else { return false }
        let known = nodes[position].loggedCounts
        // A lease of no order is the self-test's own, resumed after its kill.
        if counts.leaseExpiries > known.leaseExpiries, status(of: name)?.order != .zero {
            logger.warning("node \(name): its lease ended; it goes to its fallback")
        }
        if counts.violations > known.violations {
            let count = counts.violations - known.violations
            logger.error("node \(name): \(count) caps were found raised by another hand; corrected")
        }
        nodes[position].loggedCounts = counts
        return counts.violations > known.violations
    }
}
