// SPDX-License-Identifier: Apache-2.0

internal import FleetModel
internal import Wire

extension JobView: Listed {
    static var columns: [Table.Column] {
        [
            .init("JOB"), .init("NAME", yield: .flexible), .init("STATE"),
            .init("TASKS", .right, yield: .droppable), .init("GPUS", .right),
            .init("CAP", .right), .init("LEVEL", .right), .init("NODES", yield: .flexible),
            .init("REASON", yield: .droppable), .init("PRIORITY", .right, isWideOnly: true),
            .init("FLOOR", .right, isWideOnly: true), .init("SUBMITTED", isWideOnly: true),
            .init("BY", isWideOnly: true),
        ]
    }

    var cells: [String] {
        let isPlaced = state == .running || state == .starting
        let held = UInt64(gpuCount) * UInt64(gpuMilli)
        return [
            id.description, name, state.rawValue, String(taskCount), Format.gpus(milli: held),
            isPlaced ? cap.description : Format.unknown,
            isPlaced && gpuCount > 0 ? Format.percent(ppm: UInt64(levelPPM)) : Format.unknown,
            nodes, reason, String(priority), floor.description,
            Format.instant(unixMilliseconds: submittedUnixMilliseconds), submittedBy,
        ]
    }

    var json: JSONValue {
        .object([
            ("id", .string(id.description)), ("name", .string(name)),
            ("state", .string(state.rawValue)), ("priority", .integer(Int64(priority))),
            ("tasks", .integer(Int64(taskCount))), ("gpus", .integer(Int64(gpuCount))),
            ("gpu_milli", .integer(Int64(gpuMilli))), ("floor_mw", floor.json),
            ("cap_mw", cap.json), ("level_ppm", .integer(Int64(levelPPM))),
            ("reason", .string(reason)), ("submitted_unix_ms", .counter(submittedUnixMilliseconds)),
            ("nodes", .string(nodes)), ("submitted_by", .string(submittedBy)),
        ])
    }
}

extension EventView: Listed {
    static var columns: [Table.Column] {
        [
            .init("TIME"), .init("KIND"), .init("SUBJECT", yield: .flexible),
            .init("MESSAGE", yield: .flexible), .init("ACTOR", yield: .droppable),
            .init("REVISION", .right, isWideOnly: true),
        ]
    }

    var cells: [String] {
        [
            Format.instant(unixMilliseconds: unixMilliseconds), kind, subject, message, actor,
            String(revision),
        ]
    }

    var json: JSONValue {
        .object([
            ("revision", .counter(revision)), ("unix_ms", .counter(unixMilliseconds)),
            ("actor", .string(actor)), ("kind", .string(kind)), ("subject", .string(subject)),
            ("message", .string(message)),
        ])
    }
}

extension TaskView: Listed {
    static var columns: [Table.Column] {
        [.init("TASK", .right), .init("NODE", yield: .flexible), .init("GPUS"), .init("STATE")]
    }

    var cells: [String] {
        [String(index), node, devices.map(String.init).joined(separator: ","), state]
    }

    var json: JSONValue {
        .object([
            ("index", .integer(Int64(index))), ("node", .string(node)),
            ("devices", .array(devices.map { .integer(Int64($0)) })), ("state", .string(state)),
        ])
    }
}

extension JobExplanation {
    /// The reasons as lines, most common first, then what would help.
    var lines: [String] {
        // The message has the count of nodes in it.
        var lines = reasons.map { "\($0.kind): \($0.message)" }
        lines += shortfalls.map { shortfall in
            "power: \(shortfall.domain) has \(shortfall.headroom) of headroom, "
                + "\(shortfall.needed) is needed (\(shortfall.nodeCount) nodes)"
        }
        lines += fitsIf.map { "fits if: \($0)" }
        return lines
    }

    var json: JSONValue {
        .object([
            ("job", .string(job.description)), ("state", .string(state.rawValue)),
            (
                "reasons",
                .array(
                    reasons.map {
                        .object([
                            ("kind", .string($0.kind)), ("nodes", .integer(Int64($0.nodeCount))),
                            ("message", .string($0.message)),
                        ])
                    })
            ),
            (
                "shortfalls",
                .array(
                    shortfalls.map {
                        .object([
                            ("domain", .string($0.domain)), ("headroom_mw", $0.headroom.json),
                            ("needed_mw", $0.needed.json), ("nodes", .integer(Int64($0.nodeCount))),
                        ])
                    })
            ),
            ("fits_if", .array(fitsIf.map(JSONValue.string))),
            ("level_ppm", .integer(Int64(levelPPM))), ("bound_by", boundBy.json),
        ])
    }
}

extension SubmitReply {
    /// Whether the job has its GPUs.
    var isPlaced: Bool { !tasks.isEmpty }

    var json: JSONValue {
        .object([
            ("job", .string(job.description)), ("state", .string(state.rawValue)),
            ("placed", .bool(isPlaced)), ("tasks", .array(tasks.map(\.json))),
            ("explanation", explanation?.json ?? .null),
        ])
    }
}

extension JobSpec {
    /// What the job asks for, in one line.
    var text: String {
        var text = "\(taskCount) × "
        switch (task.gpuCount, task.gpuMilli) {
        case (0, _): text += "no GPU"
        case (1, 0..<1000): text += "\(Format.percent(ppm: UInt64(task.gpuMilli) * 1000)) of a GPU"
        case (1, _): text += "1 GPU"
        default: text += "\(task.gpuCount) GPUs"
        }
        if task.cpuMilli > 0 { text += ", \(Format.gpus(milli: UInt64(task.cpuMilli))) CPUs" }
        if task.memoryMiB > 0 { text += ", \(task.memoryMiB) MiB" }
        if !models.isEmpty { text += ", on " + models.joined(separator: " or ") }
        if !sites.isEmpty { text += ", in " + sites.joined(separator: " or ") }
        if isSpread { text += ", each on a node of its own" }
        if let requiredLevel { text += ", within one \(requiredLevel)" }
        if let preferredLevel { text += ", within one \(preferredLevel) if it can be" }
        if let levelSpread {
            let most = levelSpread.maximumTasks.map { "at most \($0) in one \(levelSpread.level)" }
            text += ", " + (most ?? "spread over every \(levelSpread.level)")
        }
        if isFullPace { text += ", at full pace only" }
        if let reservation { text += ", in reservation \(reservation)" }
        if preemption == .lower { text += ", may stop jobs of lower priority" }
        return text
    }

    var json: JSONValue {
        .object([
            ("name", .string(name)), ("priority", .integer(Int64(priority))),
            ("weight", .integer(Int64(weight))), ("task_count", .integer(Int64(taskCount))),
            ("gpu_count", .integer(Int64(task.gpuCount))),
            ("gpu_milli", .integer(Int64(task.gpuMilli))),
            ("cpu_milli", .integer(Int64(task.cpuMilli))),
            ("memory_mib", .integer(Int64(task.memoryMiB))), ("spread", .bool(isSpread)),
            ("models", .array(models.map(JSONValue.string))),
            ("sites", .array(sites.map(JSONValue.string))),
            (
                "selector",
                .object(selector.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
            ),
            ("required_level", requiredLevel.json), ("floor_mw", Milliwatts.json(floor)),
            ("profile", .string(profile.rawValue)),
            ("duration_ns", durationNanoseconds.map(JSONValue.integer) ?? .null),
            ("on_lease_end", .string(onLeaseEnd.rawValue)),
            ("preferred_level", preferredLevel.json),
            ("spread_level", (levelSpread?.level).json),
            (
                "spread_maximum_tasks",
                levelSpread?.maximumTasks.map { .integer(Int64($0)) } ?? .null
            ),
            ("full_pace", .bool(isFullPace)), ("preemption", .string(preemption.rawValue)),
            ("reservation", reservation.json),
        ])
    }
}
