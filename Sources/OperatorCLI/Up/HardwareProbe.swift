// SPDX-License-Identifier: Apache-2.0

package import FleetModel
internal import Foundation
internal import LocalSocket
package import Wire

/// Asks the simulated hardware itself: what it enforces, and whether a budget was ever exceeded.
package struct HardwareProbe: Sendable {
    private let path: String

    package init(socketPath: String) { path = socketPath }

    /// The counters of the whole fleet.
    package func summary() throws(CommandFailure) -> HardwareSummary {
        guard case .summary(let summary) = try ask(node: "", .readSummary) else {
            throw HardwareProbe.unexpected
        }
        return summary
    }

    /// The caps of a node's devices.
    package func caps(node: String) throws(CommandFailure) -> HardwareCaps {
        guard case .caps(let caps) = try ask(node: node, .readCaps) else {
            throw HardwareProbe.unexpected
        }
        return caps
    }

    /// Sets a cap behind everybody's back, as a violation that must be noticed.
    package func write(
        node: String, device: UInt16, cap: Milliwatts
    ) throws(CommandFailure) {
        let request = HardwareRequest.Body.writeCap(
            device: device, capMilliwatts: UInt32(clamping: cap.rawValue))
        guard case .done = try ask(node: node, request) else { throw HardwareProbe.unexpected }
    }

    /// The summary, asked on a thread of its own so that nobody else waits for it; nil when the
    /// hardware does not answer.
    package func summaryInBackground() async -> HardwareSummary? {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: try? summary())
            }
        }
    }

    private static let unexpected = CommandFailure(
        .unavailable, "the simulated hardware gave an answer that does not fit the question")

    private func ask(
        node: String, _ body: HardwareRequest.Body
    ) throws(CommandFailure) -> HardwareReply.Body {
        do {
            let client = try LocalClient(path: path)
            try client.send(HardwareRequest(id: 1, node: node, body: body).encoded())
            let reply = try HardwareReply.decode(try client.receive())
            if case .failed(let reason) = reply.body {
                throw CommandFailure(.refused, "the simulated hardware: \(reason)")
            }
            return reply.body
        } catch let failure as CommandFailure {
            throw failure
        } catch {
            throw CommandFailure(.unavailable, "the simulated hardware at \(path): \(error)")
        }
    }
}
