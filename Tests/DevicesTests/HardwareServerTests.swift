// SPDX-License-Identifier: Apache-2.0

// Goal: the simulated hardware is a server that outlives its clients, and a client that outlives its
// server. Method: the server's session on a thread of its own, real sockets.

import FleetModel
import Glibc
import LocalSocket
import Synchronization
import Testing
import Wire

@testable import Devices

/// Simulated hardware on a thread of its own, until it is stopped.
private final class RunningHardware: Sendable {
    private let isOver = Atomic(false)
    private let isListening = Atomic(false)
    private let hasEnded = Atomic(false)
    private let path: String

    /// Starts, and returns when the hardware listens.
    init(_ path: String) throws {
        self.path = path
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument {
                    Unmanaged<RunningHardware>.fromOpaque(argument).takeRetainedValue().serve()
                }
                return nil
            }, argument)
        try #require(code == 0)
        pthread_detach(thread)
        try wait(isListening)
    }

    /// Ends the thread, and returns when it has ended.
    func stop() throws {
        isOver.store(true, ordering: .releasing)
        try wait(hasEnded)
    }

    private func serve() {
        defer { hasEnded.store(true, ordering: .releasing) }
        let hardware = HardwareSession(topology: smallFleet(bootState: .fallback))
        do {
            try hardware.poller.listen(path: path)
        } catch {
            Issue.record("the hardware cannot listen: \(error)")
            return
        }
        isListening.store(true, ordering: .releasing)
        while !isOver.load(ordering: .acquiring) { hardware.turn(timeoutNanoseconds: 2_000_000) }
    }

    private func wait(_ flag: borrowing Atomic<Bool>) throws {
        for _ in 0..<30_000 where !flag.load(ordering: .acquiring) { usleep(1000) }
        let isSet = flag.load(ordering: .acquiring)
        try #require(isSet)
    }
}

/// Runs hardware while `body` runs.
private func withHardware(_ path: String, _ body: () throws -> Void) throws {
    let hardware = try RunningHardware(path)
    do {
        try body()
    } catch {
        try hardware.stop()
        throw error
    }
    try hardware.stop()
}

private func socketPath() -> String {
    "/tmp/busbar-hw-\(getpid())-\(UInt32.random(in: 0...(.max)))"
}

/// A client that waits long: a machine that builds at the same time is slow.
private func patientDevices(_ path: String) -> SimulatedDevices {
    SimulatedDevices(path: path, timeoutNanoseconds: 20_000_000_000)
}

@Suite("Hardware server")
struct HardwareServerTests {
    @Test("Many commands in one call are carried out and answered in order")
    func pipeline() throws {
        let path = socketPath()
        try withHardware(path) {
            let devices = patientDevices(path)
            let inventory = try devices.inventory(node: "n1")
            #expect(inventory.devices.map(\.model) == ["T700", "T700"])
            #expect(inventory.devices[0].uuid != inventory.devices[1].uuid)
            #expect(inventory.bootID.count == 16)
            var commands: [DeviceCommand] = []
            for step in 0..<1500 as Range<UInt32> {
                commands.append(
                    .setCap(node: "n1", device: 1, milliwatts: 300_000 + step % 100 * 1000))
                commands.append(.readSensors(node: "n2"))
            }
            let answers = try devices.perform(commands)
            #expect(answers.count == 3000)
            for step in 0..<1500 {
                guard case .caps(let caps) = answers[2 * step],
                    case .sensors(let sensors) = answers[2 * step + 1]
                else {
                    Issue.record("wrong kind of answer at \(step)")
                    return
                }
                #expect(caps.requestedMilliwatts[1] == 300_000 + UInt32(step) % 100 * 1000)
                #expect(sensors.drawMilliwatts.count == 2)
            }
        }
    }

    @Test("A refused command is answered as such; those around it are carried out")
    func refusal() throws {
        let path = socketPath()
        try withHardware(path) {
            let devices = patientDevices(path)
            let answers = try devices.perform([
                .setCap(node: "n1", device: 0, milliwatts: 350_000),
                .setCap(node: "n1", device: 0, milliwatts: 900_000),
                .setCap(node: "n9", device: 0, milliwatts: 350_000),
                .readCaps(node: "n1"),
            ])
            guard case .caps = answers[0], case .refused = answers[1], case .refused = answers[2],
                case .caps(let caps) = answers[3]
            else {
                Issue.record("answers: \(answers)")
                return
            }
            #expect(caps.requestedMilliwatts == [350_000, 400_000])
        }
    }

    @Test("Caps stay when the client that set them is gone; a planted violation is counted")
    func outlivesClients() throws {
        let path = socketPath()
        try withHardware(path) {
            do {
                let first = patientDevices(path)
                _ = try first.perform(
                    [0, 1].map { .setCap(node: "n1", device: $0, milliwatts: 700_000) })
                #expect(try first.summary().overBudgetInstants == 0)
                _ = try first.perform([.setCap(node: "n2", device: 0, milliwatts: 700_000)])
            }
            let second = patientDevices(path)
            let summary = try second.summary()
            #expect(summary.overBudgetInstants == 2)
            #expect(summary.domainEnforced[0] == .watts(2500))
            try second.resetSummary()
            #expect(try second.summary().overBudgetInstants == 0)
            try second.resetDriver(node: "n2")
            #expect(try second.summary().overBudgetInstants > 0)
        }
    }

    @Test("A client that speaks nonsense is cut off; others are served")
    func nonsense() throws {
        let path = socketPath()
        try withHardware(path) {
            let liar = try LocalClient(path: path)
            try liar.send([0xFF, 0xFF, 0xFF])
            #expect(throws: LocalSocketError.closedByPeer) { try liar.receive() }
            #expect(try patientDevices(path).inventory(node: "n2").devices.count == 2)
        }
    }

    @Test("A client finds hardware that was restarted, in a new boot")
    func outlivesServer() throws {
        let path = socketPath()
        let devices = patientDevices(path)
        var firstBoot: [UInt8] = []
        try withHardware(path) { firstBoot = try devices.inventory(node: "n1").bootID }
        #expect(throws: DeviceError.self) { try devices.inventory(node: "n1") }
        try withHardware(path) {
            let boot = try devices.inventory(node: "n1").bootID
            #expect(boot != firstBoot)
        }
    }
}
