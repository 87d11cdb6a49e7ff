// SPDX-License-Identifier: Apache-2.0

internal import Configuration
internal import FleetModel
internal import Foundation
internal import Glibc
internal import Wire

extension UpSession {
    /// The longest wait for one answer of the coordinator.
    private static let deadline = Duration.seconds(5)

    /// Runs the fleet to its end, and stops everything.
    ///
    /// - Returns: what it came to.
    /// - Throws: `CommandFailure` when it cannot be brought up; everything is stopped by then.
    func run() async throws(CommandFailure) -> UpSummary {
        do throws(CommandFailure) {
            let summary = try await runFleet()
            await stop()
            return summary
        } catch {
            progress.clear()
            await stop()
            throw error
        }
    }

    private func stop() async {
        await supervisor.stop()
        unlink(options.directory.contact)
        options.directory.removeRecords()
    }

    private func runFleet() async throws(CommandFailure) -> UpSummary {
        guard try await startProcesses() else {
            if !Interruption.hasCome {
                throw CommandFailure(
                    .negative, "the time was over before the fleet was up",
                    hint: "give it more with --for; the logs are in \(options.directory.logs)")
            }
            return await summary(nil, last: nil, firstPlaced: nil)
        }
        let address = try FleetAddress(options.directory)
        let client = try OperatorClient(address, patience: .seconds(3600))
        client.open()
        do throws(CommandFailure) {
            var firstPlaced: Double?
            if try await becomeHealthy(client) {
                firstPlaced = try await submitSamples(client)
            }
            let last = await watchFleet(client)
            let result = await summary(client, last: last, firstPlaced: firstPlaced)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }

    // MARK: - Coming up

    /// Starts all processes in the order of who needs whom; false when the run is over before.
    private func startProcesses() async throws(CommandFailure) -> Bool {
        progress.show("starting the simulated hardware")
        supervisor.start(processes.hardware)
        guard try await wait(for: { ready(.hardware).count == 1 }) else { return false }
        for spec in processes.enforcers { supervisor.start(spec) }
        progress.show("starting the coordinator")
        for spec in processes.coordinators { supervisor.start(spec) }
        guard
            try await wait(for: {
                let (count, total) = ready(.coordinator)
                return count == total
            })
        else { return false }
        for spec in processes.agents { supervisor.start(spec) }
        let directory = options.directory
        try FleetContact(
            fleet: topology.fleetName, endpoint: processes.endpoints,
            http: "\(LocalPorts.host):\(processes.ports[0].http)", ca: directory.authority,
            cert: directory.operatorCertificate, key: directory.operatorKey, pid: getpid()
        ).write(to: directory)
        return true
    }

    /// Waits until every node is live and no domain is in commissioning.
    private func becomeHealthy(_ client: OperatorClient) async throws(CommandFailure) -> Bool {
        try await wait {
            let status = try? await client.status(UpSession.deadline)
            guard let status else { return false }
            let total = Double(max(1, status.nodeCount))
            if status.liveNodeCount < status.nodeCount {
                progress.show(
                    "waiting for nodes", fraction: Double(status.liveNodeCount) / total,
                    detail: "\(status.liveNodeCount)/\(status.nodeCount) live")
            } else if status.isCommissioning {
                progress.show(
                    "commissioning", fraction: Double(status.provenNodeCount) / total,
                    detail: "\(status.provenNodeCount)/\(status.nodeCount) proven")
            }
            return status.isHealthy
        }
    }

    /// Submits the jobs of the topology file, each once in the life of the state directory.
    ///
    /// - Returns: the seconds from the start of the command to the first that was placed.
    private func submitSamples(_ client: OperatorClient) async throws(CommandFailure) -> Double? {
        progress.show("submitting \(file.sampleJobs.count) sample jobs")
        var firstPlaced: Double?
        for (position, spec) in file.sampleJobs.enumerated() {
            let request = SubmitJob(
                requestID: SampleJobs.requestID(
                    fleet: topology.fleetName, position: position, name: spec.name),
                spec: spec)
            do {
                let reply = try await client.submit(request, .seconds(30))
                if reply.isPlaced && firstPlaced == nil { firstPlaced = elapsedSeconds }
            } catch {
                progress.clear()
                throw CommandFailure(
                    error.status, "sample job \(spec.name): \(error.message)", hint: error.hint)
            }
            if isOver { break }
        }
        progress.clear()
        return firstPlaced
    }

    private var elapsedSeconds: Double {
        Double(steadyNanoseconds() - options.startedAt) / 1e9
    }

    // MARK: - Running

    /// Shows the fleet until the run is over.
    ///
    /// - Returns: the last that the coordinator said.
    private func watchFleet(_ client: OperatorClient) async -> FleetStatus? {
        progress.clear()
        var last: FleetStatus?
        forgetNotes()
        var display = UpDisplay(isJSON: options.isJSON)
        var nextAt: Int64 = 0
        while !isOver {
            let now = steadyNanoseconds()
            if now >= nextAt && display.isDue(now: now) {
                nextAt = now + 1_000_000_000
                let status = try? await client.status(.seconds(1))
                last = status ?? last
                let hardware = await hardwareProbe.summaryInBackground()
                display.show(status, hardware, note: lastNote, now: now)
            }
            await UpSession.pause(milliseconds: 50)
        }
        display.finish()
        return last
    }

    private func summary(
        _ client: OperatorClient?, last: FleetStatus?, firstPlaced: Double?
    ) async -> UpSummary {
        let now = try? await client?.status(UpSession.deadline)
        return UpSummary(
            fleet: topology.fleetName, seconds: elapsedSeconds, status: now ?? last,
            hardware: await hardwareProbe.summaryInBackground(),
            firstPlacedSeconds: firstPlaced, restarts: restarts)
    }
}

/// The sample jobs of a topology file.
enum SampleJobs {
    /// The request id of a sample job: the same in every run, so that a fleet that is started again
    /// knows it has the job already.
    static func requestID(fleet: String, position: Int, name: String) -> RandomID {
        let text = "sample\u{0}\(fleet)\u{0}\(position)\u{0}\(name)"
        return RandomID(
            high: hash(text, basis: 0xcbf2_9ce4_8422_2325),
            low: hash(text, basis: 0x6c62_272e_07bb_0142))
    }

    /// FNV-1a, 64 bits.
    private static func hash(_ text: String, basis: UInt64) -> UInt64 {
        text.utf8.reduce(basis) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }
}
