// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Glibc
internal import LocalSocket
internal import Wire

/// The process that plays a fleet's hardware: it goes on when its clients die, and it is the judge
/// of every budget.
package enum HardwareServer {
    /// What stops the process from serving.
    package struct StartError: Error, CustomStringConvertible {
        package var description: String
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Parameters:
    ///   - planPath: a file with the compiled plan of the fleet.
    ///   - socketPath: where to listen.
    /// - Throws: ``StartError`` when the plan cannot be read or the socket cannot be had.
    package static func run(planPath: String, socketPath: String) throws(StartError) {
        let signals = TerminationSignals()
        try serve(planPath: planPath, socketPath: socketPath) { signals.take() }
    }

    /// Serves on the calling thread until `isOver` says so; it is asked several times a second.
    ///
    /// - Parameters:
    ///   - planPath: a file with the compiled plan of the fleet.
    ///   - socketPath: where to listen.
    ///   - isOver: true to end.
    /// - Throws: ``StartError`` when the plan cannot be read or the socket cannot be had.
    package static func serve(
        planPath: String, socketPath: String, until isOver: () -> Bool
    ) throws(StartError) {
        let hardware: HardwareSession
        do throws(PlanFileError) {
            hardware = HardwareSession(topology: try FleetPlan.read(path: planPath).topology)
        } catch {
            throw StartError(description: "\(error)")
        }
        do throws(LocalSocketError) {
            try hardware.poller.listen(path: socketPath)
        } catch {
            throw StartError(description: "simulated hardware: \(error)")
        }
        let notifier = ServiceNotifier()
        notifier.ready()
        var lastBeat = monotonicNanoseconds()
        while !isOver() {
            hardware.turn(timeoutNanoseconds: 200_000_000)
            let now = monotonicNanoseconds()
            if now - lastBeat >= 1_000_000_000 {
                lastBeat = now
                notifier.watchdog()
            }
        }
        notifier.stopping()
    }
}

/// The fleet, its socket, and the requests that come by it.
///
/// **Isolation:** one thread.
final class HardwareSession {
    let poller = LocalPoller()
    private var fleet: SimulatedFleet
    private let origin: Int64
    private var events: [LocalEvent] = []
    private var arena = WireArena()
    private var bytes: [UInt8] = []

    /// Powers the fleet on, now.
    init(topology: Topology) {
        origin = monotonicNanoseconds()
        var bootID = [UInt8](repeating: 0, count: 16)
        var generator = SystemRandomNumberGenerator()
        for position in bootID.indices {
            bootID[position] = UInt8.random(in: 0...255, using: &generator)
        }
        fleet = SimulatedFleet(topology: topology, bootID: bootID, at: 0)
    }

    /// Serves what comes in one turn of the loop.
    func turn(timeoutNanoseconds: Int64) {
        poller.wait(timeoutNanoseconds: timeoutNanoseconds, into: &events)
        for event in events {
            guard case .frame(let connection, let payload) = event else { continue }
            do throws(WireError) {
                let request = try HardwareRequest.decode(payload.span.bytes, arena: &arena)
                let reply = HardwareReply(id: request.id, body: body(for: request))
                bytes.removeAll(keepingCapacity: true)
                reply.encode(into: &bytes, arena: &arena)
                poller.send(bytes, to: connection)
            } catch {
                // The client is at fault and may be out of step: it has to connect anew.
                poller.close(connection)
            }
        }
    }

    private func body(for request: HardwareRequest) -> HardwareReply.Body {
        do throws(DeviceError) {
            return try answer(request)
        } catch {
            return .failed("\(error)")
        }
    }

    private func answer(_ request: HardwareRequest) throws(DeviceError) -> HardwareReply.Body {
        let now = monotonicNanoseconds() - origin
        let node = request.node
        switch request.body {
        case .readInventory:
            return .inventory(try fleet.inventory(node: node))
        case .readCaps:
            return .caps(try fleet.caps(node: node, at: now))
        case .writeCap(let device, let cap):
            try fleet.writeCap(cap, node: node, device: Int(device), at: now)
            return .done
        case .readSensors:
            return .sensors(try fleet.sensors(node: node, at: now))
        case .setDemand(let device, let demand):
            try fleet.setDemand(demand, node: node, device: Int(device), at: now)
            return .done
        case .resetDriver:
            try fleet.resetDriver(node: node, at: now)
            return .done
        case .readSummary:
            return .summary(fleet.summary(at: now))
        case .resetSummary:
            fleet.resetSummary(at: now)
            return .done
        case .unknown:
            throw .refused("this version does not know the request")
        }
    }
}

/// CLOCK_MONOTONIC in nanoseconds.
func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
