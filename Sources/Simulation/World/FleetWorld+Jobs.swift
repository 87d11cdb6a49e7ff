// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import FleetModel

// MARK: - Clients

extension FleetWorld {
    /// A client wants a job, and will ask until somebody says that it is durable.
    mutating func jobArrives() {
        after(generator.interval(mean: scenario.settings.jobNanoseconds), .jobArrives)
        guard jobs.wishes.count < 40 else { return }
        jobs.submitted += 1
        jobs.wishes.append(
            JobTraffic.Wish(
                request: RandomID(high: 7, low: jobs.submitted), spec: someJob(jobs.submitted)))
    }

    private mutating func someJob(_ number: UInt64) -> JobSpec {
        let shape = generator.index(below: 10)
        var gpuCount: UInt16 = 1
        var gpuMilli: UInt16 = 1000
        var taskCount: UInt32 = 1
        switch shape {
        case 0..<3: gpuCount = [1, 2, 4][generator.index(below: 3)]
        case 3..<5: gpuMilli = [250, 500][generator.index(below: 2)]
        case 5..<7: gpuCount = 8
        default:
            gpuCount = 8
            taskCount = UInt32(generator.index(below: 4) + 2)
        }
        let isHeavy = scenario.settings.isFloorHeavy && generator.chance(500_000)
        return JobSpec(
            name: "job-\(number)", priority: Int32(generator.index(below: 3)),
            weight: UInt32(generator.index(below: 3) + 1), taskCount: taskCount,
            task: TaskRequest(
                gpuCount: gpuCount, gpuMilli: gpuMilli, cpuMilli: 1000, memoryMiB: 1024),
            isSpread: taskCount > 1, floor: isHeavy ? .watts(450) : nil,
            durationNanoseconds: generator.uniform(10_000_000_000...180_000_000_000))
    }

    /// Clients ask the leader again, and some end their jobs early.
    mutating func serveClients(_ coordinator: Int) {
        let unix = unixMilliseconds
        for wish in jobs.wishes {
            let outcome = coordinators[coordinator].fleet.leader!.submit(
                wish.spec, request: wish.request, actor: "client", nowOrNever: false, now: unix)
            switch outcome {
            case .accepted(let id):
                report.jobsSubmitted += 1
                awaitDurable(id, wish.request, coordinator)
            case .repeated(let id):
                if !coordinators[coordinator].fleet.unacknowledged.contains(where: {
                    $0.job == id
                }) {
                    awaitDurable(id, wish.request, coordinator)
                }
            case .refused, .invalid, .overloaded: break
            }
        }
        // A submission of an earlier leader may have nothing left to write.
        if !coordinators[coordinator].fleet.unacknowledged.isEmpty {
            acknowledgeClients(coordinator)
        }
        for cancel in jobs.cancels where cancel.at <= now {
            _ = coordinators[coordinator].fleet.leader!.cancel(
                cancel.job, actor: "client", now: unix)
        }
        jobs.cancels.removeAll { $0.at + 5_000_000_000 <= now }
    }

    private mutating func awaitDurable(_ id: JobID, _ request: RandomID, _ coordinator: Int) {
        let change = coordinators[coordinator].fleet.leader!.change(of: id)
        coordinators[coordinator].fleet.unacknowledged.append((id, request, change))
    }

    /// Tells clients what has become durable.
    mutating func acknowledgeClients(_ coordinator: Int) {
        var waiting: [(job: JobID, request: RandomID, change: UInt64)] = []
        for entry in coordinators[coordinator].fleet.unacknowledged {
            guard
                coordinators[coordinator].fleet.leader!.isDurable(entry.job, change: entry.change)
            else {
                waiting.append(entry)
                continue
            }
            acknowledge(entry.job, entry.request)
        }
        coordinators[coordinator].fleet.unacknowledged = waiting
    }

    private mutating func acknowledge(_ id: JobID, _ request: RandomID) {
        guard let place = jobs.wishes.firstIndex(where: { $0.request == request }) else { return }
        jobs.wishes.remove(at: place)
        jobs.acknowledged.append((id, request))
        if fleetStore.jobs[id]?.requestID != request {
            note(.acknowledged, "\(id) was acknowledged and is in no store")
        }
        if scenario.settings.jobNanoseconds > 0, generator.chance(300_000) {
            jobs.cancels.append((id, now + generator.uniform(1_000_000_000...60_000_000_000)))
        }
    }
}

// MARK: - Checks

extension FleetWorld {
    /// Takes a batch into the fleet store, and checks what it says.
    mutating func commitFleetBatch(
        _ batch: FleetBatch?, epoch: UInt64, expecting version: UInt64
    ) -> SimulatedFleetStore.Outcome {
        let before = batch?.jobs.map { fleetStore.jobs[$0.id] } ?? []
        let epochBefore = fleetStore.epoch
        let outcome = fleetStore.commit(batch, epoch: epoch, expecting: version)
        guard case .committed = outcome, let batch else { return outcome }
        if epoch != epochBefore { note(.deposed, "the fleet store took a write of \(epoch)") }
        // What is let go counts before what is taken: both are one write.
        for case let old? in before { countRecord(old, sign: -1) }
        for job in batch.jobs { countRecord(job, sign: 1) }
        for job in batch.jobs {
            checkRecord(job)
            if job.state.hasEnded { report.jobsEnded += 1 }
        }
        return outcome
    }

    private mutating func countRecord(_ job: FleetJob, sign: Int32) {
        guard job.state.isPlaced else { return }
        for task in job.tasks {
            let first = topology.nodes[task.placement.node.position].firstGPU.position
            for device in task.placement.devices {
                jobs.recordedMilli[first + Int(device)] += sign * Int32(job.spec.task.gpuMilli)
            }
        }
    }

    private mutating func checkRecord(_ job: FleetJob) {
        guard job.state.isPlaced else { return }
        let isWhole =
            job.tasks.count == Int(job.spec.taskCount)
            && job.tasks.allSatisfy {
                $0.placement.devices.count == Int(job.spec.task.gpuCount)
            }
        if !isWhole { note(.gang, "\(job.id) is placed in part") }
        for task in job.tasks {
            let first = topology.nodes[task.placement.node.position].firstGPU.position
            for device in task.placement.devices
            where jobs.recordedMilli[first + Int(device)] > 1000 {
                note(.doubleHold, "records hold GPU \(first + Int(device)) twice")
            }
        }
    }

    /// Checks what really runs on a node: after each start.
    mutating func checkTasks(_ node: Int) {
        var held = [Int](repeating: 0, count: nodes[node].configuration.devices.count)
        for task in nodes[node].tasks where task.ended == nil {
            for device in task.devices { held[Int(device)] += Int(task.gpuMilli) }
        }
        if held.contains(where: { $0 > 1000 }) {
            note(.doubleHold, "two jobs run on a GPU of \(topology.nodes[node].name)")
        }
        checkFloors(node)
    }

    /// The floors of what runs on a node are in its site's ledger.
    mutating func checkFloors(_ node: Int) {
        guard !nodes[node].tasks.isEmpty else { return }
        var floors = Milliwatts.zero
        for task in nodes[node].tasks where task.ended == nil {
            floors += Milliwatts(task.floorPerGPU.rawValue * Int64(task.devices.count))
        }
        if floors > jobs.reservedFloors[node] {
            let name = topology.nodes[node].name
            note(.floors, "\(name) runs jobs of \(floors), has \(jobs.reservedFloors[node])")
        }
        if jobs.reservedFloors[node].rawValue > truth.charge[node] {
            note(.floors, "\(topology.nodes[node].name) is charged less than its floors")
        }
    }

    /// What clients were promised is there, and somebody serves them.
    mutating func checkFleetConvergence() {
        for entry in jobs.acknowledged
        where fleetStore.jobs[entry.job]?.requestID != entry.request {
            note(.acknowledged, "\(entry.job) was acknowledged and is in no store")
        }
        let leaders = coordinators.indices.filter {
            coordinators[$0].fleet.leader != nil
                && coordinators[$0].fleet.epoch == fleetStore.epoch
        }
        if leaders.count != 1 { note(.liveness, "the fleet has \(leaders.count) leaders") }
        let waiting = jobs.wishes.count
        if scenario.settings.jobNanoseconds > 0, waiting > 8 {
            note(.liveness, "\(waiting) submissions are not answered")
        }
    }
}

// MARK: - Telemetry

extension FleetWorld {
    /// Gives a site's leader what a node's sensors say.
    mutating func takeTelemetry(of node: Int, _ coordinator: Int) {
        let hardware = nodes[node].hardware
        let count = hardware.limits.count
        var report = TelemetryReport(
            gpuCount: count, sequence: 0, sampledNanoseconds: UInt64(now))
        let isLying = now < nodes[node].liesUntil
        var busy = [Bool](repeating: false, count: count)
        for task in nodes[node].tasks where task.ended == nil {
            for device in task.devices { busy[Int(device)] = true }
        }
        for device in 0..<count {
            let cap = UInt32(clamping: hardware.limits[device].rawValue)
            report.enforcedCapMilliwatts[device] = cap
            report.enforcedCapValidity[device] = true
            // Steady work wants nine tenths of the most; a GPU draws no more than its cap.
            let wanted = busy[device] ? nodes[node].maximumCap.rawValue * 9 / 10 : 70_000
            report.drawMilliwatts[device] = min(cap, UInt32(clamping: wanted))
            report.drawValidity[device] = true
            guard isLying else { continue }
            report.drawMilliwatts[device] = [0, 1, 4_000_000_000, cap][generator.index(below: 4)]
            report.drawValidity[device] = generator.chance(700_000)
            report.enforcedCapMilliwatts[device] = generator.chance(500_000) ? 0 : cap
        }
        let clock = coordinators[coordinator].clock.reading(now: now).rawNanoseconds
        coordinators[coordinator].loop.reportReceived(report, from: NodeIndex(node), now: clock)
    }
}
