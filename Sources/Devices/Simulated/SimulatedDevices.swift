// SPDX-License-Identifier: Apache-2.0

internal import LocalSocket
package import Wire

/// Simulated devices, behind the socket of the process that plays them.
///
/// Connects when it is first used, and again after an error.
///
/// **Isolation:** one thread; the type is not Sendable.
package final class SimulatedDevices: DeviceBackend {
    /// Requests that are sent before their answers are read.
    private static let windowCount = 512

    private let path: String
    private let timeoutNanoseconds: Int64
    private var client: LocalClient?
    private var nextID: UInt64 = 1
    private var arena = WireArena()
    private var bytes: [UInt8] = []

    /// Names the socket; nothing is opened yet.
    ///
    /// - Parameters:
    ///   - path: where the hardware listens.
    ///   - timeoutNanoseconds: how long one answer may take.
    package init(path: String, timeoutNanoseconds: Int64 = 500_000_000) {
        self.path = path
        self.timeoutNanoseconds = timeoutNanoseconds
    }

    package func inventory(node: String) throws(DeviceError) -> HardwareInventory {
        switch try exchange([(node, .readInventory)])[0] {
        case .inventory(let inventory): return inventory
        case .failed(let reason): throw .refused(reason)
        default: throw lost("an answer of another kind")
        }
    }

    package func perform(_ commands: [DeviceCommand]) throws(DeviceError) -> [DeviceAnswer] {
        var answers: [DeviceAnswer] = []
        answers.reserveCapacity(commands.count)
        var start = 0
        while start < commands.count {
            let end = min(start + SimulatedDevices.windowCount, commands.count)
            try perform(commands[start..<end], into: &answers)
            start = end
        }
        return answers
    }

    /// What the hardware has counted over the whole fleet.
    ///
    /// - Returns: the summary.
    /// - Throws: ``DeviceError``.
    package func summary() throws(DeviceError) -> HardwareSummary {
        guard case .summary(let summary) = try exchange([("", .readSummary)])[0] else {
            throw lost("an answer of another kind")
        }
        return summary
    }

    /// Starts the hardware's counts anew.
    ///
    /// - Throws: ``DeviceError``.
    package func resetSummary() throws(DeviceError) { _ = try exchange([("", .resetSummary)]) }

    /// Reloads a node's driver: every device goes to its highest cap.
    ///
    /// - Parameter node: the node's name.
    /// - Throws: ``DeviceError``.
    package func resetDriver(node: String) throws(DeviceError) {
        if case .failed(let reason) = try exchange([(node, .resetDriver)])[0] {
            throw .refused(reason)
        }
    }

    // MARK: - Exchanges

    private func perform(
        _ commands: ArraySlice<DeviceCommand>, into answers: inout [DeviceAnswer]
    ) throws(DeviceError) {
        var requests: [(String, HardwareRequest.Body)] = []
        requests.reserveCapacity(2 * commands.count)
        for command in commands {
            switch command {
            case .readCaps(let node): requests.append((node, .readCaps))
            case .readSensors(let node): requests.append((node, .readSensors))
            case .setCap(let node, let device, let cap):
                requests.append(
                    (node, .writeCap(device: try index(device), capMilliwatts: cap)))
                requests.append((node, .readCaps))
            case .setDemand(let node, let device, let demand):
                requests.append((node, .setDemand(device: try index(device), demand)))
            }
        }
        var replies = try exchange(requests)[...]
        for command in commands {
            guard let first = replies.popFirst() else { throw lost("too few answers") }
            var reply = first
            if case .setCap = command, let readBack = replies.popFirst() {
                if case .done = first { reply = readBack }
            }
            answers.append(try answer(reply))
        }
    }

    private func index(_ device: Int) throws(DeviceError) -> UInt16 {
        guard let index = UInt16(exactly: device) else { throw .refused("no device \(device)") }
        return index
    }

    private func answer(_ reply: HardwareReply.Body) throws(DeviceError) -> DeviceAnswer {
        switch reply {
        case .caps(let caps): return .caps(caps)
        case .sensors(let sensors): return .sensors(sensors)
        case .done: return .done
        case .failed(let reason): return .refused(reason)
        case .inventory, .summary: throw lost("an answer of another kind")
        }
    }

    private func exchange(
        _ requests: [(node: String, body: HardwareRequest.Body)]
    ) throws(DeviceError) -> [HardwareReply.Body] {
        do throws(LocalSocketError) {
            let client = try connected()
            let first = nextID
            for request in requests {
                bytes.removeAll(keepingCapacity: true)
                HardwareRequest(id: nextID, node: request.node, body: request.body)
                    .encode(into: &bytes, arena: &arena)
                nextID += 1
                client.enqueue(bytes)
            }
            try client.flush()
            var replies: [HardwareReply.Body] = []
            replies.reserveCapacity(requests.count)
            for offset in requests.indices {
                let payload = try client.receive()
                guard let reply = decode(payload), reply.id == first + UInt64(offset) else {
                    self.client = nil
                    throw .closedByPeer
                }
                replies.append(reply.body)
            }
            return replies
        } catch {
            throw lost("\(error)")
        }
    }

    private func decode(_ payload: [UInt8]) -> HardwareReply? {
        do throws(WireError) {
            return try HardwareReply.decode(payload.span.bytes, arena: &arena)
        } catch {
            // An answer that cannot be read is as good as none: the caller drops the connection.
            return nil
        }
    }

    private func connected() throws(LocalSocketError) -> LocalClient {
        if let client { return client }
        let fresh = try LocalClient(
            path: path, timeoutNanoseconds: timeoutNanoseconds, frameLimit: FrameLimit.large)
        client = fresh
        return fresh
    }

    /// Drops the connection: after an error nobody knows which answers are still to come.
    private func lost(_ reason: String) -> DeviceError {
        client = nil
        return .unavailable(reason)
    }
}
